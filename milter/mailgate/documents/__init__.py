"""What is inside the files of a mail: octets in, findings out; run where a crash or a hang costs one file alone.

`content.look_into` opens a file by what it is; each other module knows one family of files, and none of the others.
"""

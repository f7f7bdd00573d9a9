"""MIME as it arrives: header fields, transfer encodings, and the walk over a message's parts."""

"""Private servers for tests, benchmarks and the demonstration: Postfix, clamd, rspamd, Redis, Mailgate.

Each is a context manager that runs one real server on loopback ports and in a folder of its own, so that
several of a kind, and a system-wide installation, live side by side.  Nothing here knows pytest.
"""

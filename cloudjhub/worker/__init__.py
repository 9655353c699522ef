"""What travels to a worker machine and runs there as root; nothing of it is installed.

Only the standard library, and nothing newer than Python 3.8: the machine's own python3
runs it. The hub reads these files as text (``cloudjhub.notebook``), sends them over stdin
and the machine makes a package named ``cloudjhub_worker`` of them in memory.
"""

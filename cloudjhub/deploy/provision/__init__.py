"""What is done over SSH on the builder of the worker image and on the manager.

Everything may be repeated: after a kill in the middle the same call goes on. The work itself is
in ``files/*.sh``, which run as root on the machine; Python decides, hands over and reads back.
"""

"""``timeout`` of asyncio, also for Python 3.10.

Used instead of ``asyncio.wait_for``, which before Python 3.12 loses a cancellation that arrives
together with the result (https://github.com/python/cpython/issues/86296): a start that a user
stops would go on.
"""

import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["timeout"]

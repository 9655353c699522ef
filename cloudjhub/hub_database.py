"""The hub's SQLite file, set up for a class that logs in at once.

A start of a server makes JupyterHub commit about ten times, each in the hub's event loop. As
SQLite is by default, each commit waits for the disk twice: 5 ms here, in which nobody is served.
With a write-ahead log and ``synchronous=NORMAL`` it waits for nothing (0.01 ms). A hub that is
killed loses nothing by it. After a power cut the file is whole and may lack the last commits: the
tags of the machines say what belongs to whom, but a user or token deleted in the last seconds may
be back. https://www.sqlite.org/wal.html#performance_considerations
"""

import sqlite3
from typing import Any


def quick_commits() -> None:
    """Have every SQLite connection that this process opens from now on use a write-ahead log."""
    # Here and not above: who only imports the package has no need of a database.
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _use_log):
        event.listen(Engine, "connect", _use_log)


def _use_log(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

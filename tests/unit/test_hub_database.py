"""The hub's SQLite file: quick commits that a killed hub does not lose."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from cloudjhub import hub_database

KILLED_AFTER_A_COMMIT = """
import os, signal, sys
from sqlalchemy import create_engine, text
from cloudjhub.hub_database import quick_commits
quick_commits()
engine = create_engine("sqlite:///" + sys.argv[1])
with engine.begin() as connection:
    connection.execute(text("create table users (name text)"))
    connection.execute(text("insert into users values ('ada')"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def quick() -> None:
    hub_database.quick_commits()
    hub_database.quick_commits()  # a configuration that is read twice
    yield
    event.remove(Engine, "connect", hub_database._use_log)


def settings_of(url: str) -> tuple[str, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        mode = connection.execute(text("pragma journal_mode")).scalar_one()
        synchronous = connection.execute(text("pragma synchronous")).scalar_one()
    engine.dispose()
    return mode, synchronous


def test_a_file_is_written_through_a_log(quick, tmp_path: Path):
    assert settings_of(f"sqlite:///{tmp_path / 'hub.sqlite'}") == ("wal", 1)


def test_a_database_in_memory_stays_one(quick):
    assert settings_of("sqlite://")[0] == "memory"


def test_without_it_every_commit_waits_for_the_disk(tmp_path: Path):
    assert settings_of(f"sqlite:///{tmp_path / 'hub.sqlite'}") == ("delete", 2)


def test_a_killed_hub_loses_no_commit(tmp_path: Path):
    file = tmp_path / "hub.sqlite"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_A_COMMIT, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with sqlite3.connect(file) as connection:
        assert connection.execute("select name from users").fetchall() == [("ada",)]
    connection.close()

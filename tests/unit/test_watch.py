"""What the watch reads, whom it asks and what it is made of; its judgment has a file of its own."""

import ast
import base64
import http.server
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from cloudjhub.watch_archive import watch_archive
from cloudjhub.worker import machine, servers, watch, watch_install

NOTE = {"written": 1.5, "signs": [], "limit_seconds": 60}


# -- the note, which is the user's to write --------------------------------------------------------


def test_the_note_is_read(tmp_path):
    (tmp_path / "idle.json").write_text(json.dumps(NOTE))
    assert watch.read_note(str(tmp_path / "idle.json")) == NOTE


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 60000, b"{}" + b" " * 70000 + b"x"]
)
def test_nonsense_in_its_place_is_no_note(tmp_path, content):
    (tmp_path / "idle.json").write_bytes(content)
    assert watch.read_note(str(tmp_path / "idle.json")) == {}


def test_what_is_no_file_is_no_note(tmp_path):
    good, note = tmp_path / "good", tmp_path / "idle.json"
    good.write_text(json.dumps(NOTE))
    assert watch.read_note(str(note)) == {}
    note.symlink_to(good)
    assert watch.read_note(str(note)) == {}
    note.unlink()
    os.mkfifo(note)  # nobody writes into it: a reader that waits would wait for ever
    assert watch.read_note(str(note)) == {}
    note.unlink()
    note.mkdir()
    assert watch.read_note(str(note)) == {}


# -- the hub ---------------------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers with the status that stands in the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def hub_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(watch, "HUB_SECONDS", 60.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "answers"), [("/200", True), ("/403", True), ("/500", False), ("/503", False)]
)
def test_a_hub_answers_unless_it_is_in_trouble(hub_port, path, answers):
    assert watch.hub_answers(f"http://127.0.0.1:{hub_port}{path}") is answers


def test_nobody_there_is_no_hub(hub_port):
    # With TLS it is enough that somebody is there: it may want a certificate of ours.
    assert watch.hub_answers(f"https://127.0.0.1:{hub_port}/hub/api")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        for url in (f"http://127.0.0.1:{port}/", f"https://127.0.0.1:{port}/"):
            assert not watch.hub_answers(url)
    for url in ("", "http://", "http://127.0.0.1:99999/", "nonsense"):
        assert not watch.hub_answers(url)


def test_who_speaks_something_else_is_no_hub():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak():
            connection = server.accept()[0]
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ESMTP 4\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        assert not watch.hub_answers(f"http://127.0.0.1:{server.getsockname()[1]}/hub/api")
        thread.join()


# -- the program -----------------------------------------------------------------------------------


def test_its_archive_is_the_same_each_time():
    first = watch_archive()
    watch_archive.cache_clear()
    assert watch_archive() == first


def test_it_needs_python_3_8_and_its_standard_library_only():
    with zipfile.ZipFile(io.BytesIO(watch_archive())) as archive:
        sources = {name: archive.read(name) for name in archive.namelist()}
    assert "cloudjhub_worker/watch.py" in sources
    for name, source in sources.items():
        imported = set()
        for node in ast.walk(ast.parse(source, feature_version=(3, 8))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.split(".")[0])
        assert imported <= {*sys.stdlib_module_names, "cloudjhub_worker"}, name


def test_on_a_copy_of_its_machine_it_ends(tmp_path):
    """Such as a spare that was launched from an AMI made of a user's machine."""
    (tmp_path / "watch.pyz").write_bytes(watch_archive())
    (tmp_path / "watch.json").write_text(json.dumps({"machine": ["another", "machine"]}))
    command = [sys.executable, "-I", str(tmp_path / "watch.pyz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "this machine is a copy" in done.stdout


# -- a machine that stays on -----------------------------------------------------------------------


@pytest.mark.parametrize(("poweroff", "held"), [("/bin/true", True), ("/bin/false", False)])
def test_while_a_machine_goes_off_no_start_begins_but_one_that_stays_on_can_be_used(
    tmp_path, monkeypatch, poweroff, held
):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    machine.make_folder(machine.under_root(servers.RUN), 0o711)
    found = []

    def sleep(seconds):
        with machine.locked(servers.path("lock")) as lock:
            found.append((seconds, lock is None))

    its_watch = watch._Watch(
        {**dict.fromkeys(watch.Settings._fields), "poweroff": poweroff, "account": "root"}
    )
    its_watch._looker = Mock()
    its_watch._patience = Mock(look=Mock(return_value="nothing has worked"))
    monkeypatch.setattr(watch.time, "sleep", sleep)
    its_watch._end()
    assert found == [(watch.OFF_SECONDS, held)]


# -- what stands in the way of it does not stand in the way of a notebook --------------------------


def asked():
    return {"limit_seconds": 60, "archive": base64.b64encode(watch_archive()).decode()}


def test_who_asks_for_none_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    assert watch_install.ensure(None, servers.Background(), account()) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_cannot_have_one_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    said = watch_install.ensure(asked(), servers.Background(), account())
    assert said == "Without a watch: the machine lacks the program poweroff."
    # The computer's own is out of reach from a machine that only has a folder of it.
    assert machine.root() == str(tmp_path)

    off = tmp_path / "bin" / "poweroff"
    off.parent.mkdir()
    off.write_text("#!/bin/sh\n")
    off.chmod(0o755)
    (tmp_path / "run").write_text("no folder")
    said = watch_install.ensure(asked(), servers.Background(), account())
    assert said.startswith("Without a watch: ") and "Not a directory" in said


# -- the process where there is no systemd ---------------------------------------------------------


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process that has the watch's lock, and has not written who it is."""
    script = 'exec 9>"$1"; flock 9; echo locked; exec sleep 600'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", str(tmp_path / "lock")], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.communicate()


def test_an_earlier_watch_that_has_just_begun_is_waited_for_and_replaced(
    tmp_path, monkeypatch, earlier
):
    started = []
    monkeypatch.setattr(watch_install, "END_SECONDS", 120.0)
    monkeypatch.setattr(watch_install.subprocess, "Popen", lambda *a, **k: started.append(a))
    monkeypatch.setattr(
        watch_install.time, "sleep", lambda _: (tmp_path / "lock").write_text(str(earlier.pid))
    )
    watch_install._ensure_process(str(tmp_path), new=False)
    assert earlier.poll() is None and not started
    watch_install._ensure_process(str(tmp_path), new=True)
    assert len(started) == 1
    assert earlier.wait(120) == -signal.SIGKILL


def test_one_that_never_says_who_it_is_is_named_as_the_trouble(tmp_path, monkeypatch, earlier):
    monkeypatch.setattr(watch_install, "END_SECONDS", 0.1)
    with pytest.raises(machine.Trouble, match="does not say which process it is"):
        watch_install._ensure_process(str(tmp_path), new=True)
    assert earlier.poll() is None


def account():
    return machine.Account("root")

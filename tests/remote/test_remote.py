"""Logging in and running commands, against a real sshd."""

import errno
import hashlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cloudjhub import remote
from cloudjhub.errors import ConfigError, HostKeyChanged, LoginRefused, MachineNotAnswering
from cloudjhub.remote import connect
from cloudjhub.remote_values import Target, no_connection


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.64.200.254", 0)) as server:
        yield server


def _ssh_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "paramiko" in type(thread).__module__]


def test_output_holds_both_streams_and_the_exit_code(machine):
    with machine.connect() as session:
        output = session.run("echo out; echo err >&2; exit 7", timeout_seconds=60)
    assert output.exit_code == 7
    assert sorted(output.text.split()) == ["err", "out"]


@pytest.mark.slow
def test_one_connection_runs_several_commands(machine):
    with machine.connect() as session:
        texts = [session.run(f"echo {n}", timeout_seconds=60).text for n in range(3)]
    assert texts == ["0\n", "1\n", "2\n"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_kind_of_key_logs_in(machine, keys, kind):
    with connect(replace(machine.target, key_file=str(keys / kind)), timeout_seconds=60) as session:
        assert session.run("echo in", timeout_seconds=60).text == "in\n"


def test_the_fingerprint_is_the_one_ssh_keygen_prints(machine):
    with machine.connect() as session:
        seen = session.fingerprint
    with machine.connect(fingerprint=seen) as session:
        assert session.fingerprint == seen
    public = (machine.root / "host_key.pub").read_text()
    keygen = ["ssh-keygen", "-l", "-f", "-"]
    listed = subprocess.run(keygen, input=public, text=True, capture_output=True).stdout
    assert seen in listed.split()


def test_changed_host_key_is_refused_before_any_login_attempt(fresh_machine):
    other = "SHA256:" + "A" * 43
    with pytest.raises(HostKeyChanged) as caught:
        fresh_machine.connect(fingerprint=other)
    assert other in str(caught.value)
    fresh_machine.wait_until_logged("Connection closed by")
    assert "userauth-request" not in fresh_machine.log()


def test_unknown_key_is_refused(machine, keys):
    with pytest.raises(LoginRefused) as caught:
        connect(replace(machine.target, key_file=str(keys / "stranger")), timeout_seconds=60)
    assert machine.target.username in str(caught.value)
    assert "stranger" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "does not exist"),
        ("locked", "passphrase"),
        ("text", "is not an ed25519"),
        ("ed25519.pub", "is not an ed25519"),
        ("folder", "cannot be read"),
        ("dsa", "is not an ed25519"),
    ],
)
def test_unusable_key_file_is_a_config_error(machine, keys, name, words):
    (keys / "text").write_text("no key\n")
    (keys / "folder").mkdir(exist_ok=True)
    (keys / "dsa").write_text(
        "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----"
    )
    with pytest.raises(ConfigError) as caught:
        connect(replace(machine.target, key_file=str(keys / name)))
    assert words in str(caught.value)
    assert str(keys / name) in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_unreadable_key_file_is_a_config_error(machine, tmp_path):
    file = tmp_path / "key"
    file.touch(mode=0)
    with pytest.raises(ConfigError, match="cannot be read"):
        connect(replace(machine.target, key_file=str(file)))


def test_silent_peer_is_not_answering(silent, keys, wait_for):
    host, port = silent.getsockname()
    with pytest.raises(MachineNotAnswering, match="no SSH server spoke"):
        connect(Target(host, port, "x", str(keys / "ed25519")), timeout_seconds=0.3)
    wait_for("the end of paramiko's thread", lambda: not _ssh_threads())


def test_peer_that_hangs_up_is_not_answering(silent, keys):
    host, port = silent.getsockname()
    threading.Thread(target=lambda: silent.accept()[0].close(), daemon=True).start()
    with pytest.raises(MachineNotAnswering):
        connect(Target(host, port, "x", str(keys / "ed25519")), timeout_seconds=60)


def test_closed_port_is_refused_in_words(keys):
    with pytest.raises(MachineNotAnswering, match="refused") as caught:
        connect(Target("127.64.200.253", 1, "x", str(keys / "ed25519")))
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "Nothing listens"),
        (TimeoutError("timed out"), "No answer from 10.0.0.5:22 within 5 seconds"),
        (OSError(errno.ETIMEDOUT, "timed out"), "No answer"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route"),
        (OSError(errno.ENETUNREACH, "x"), "no route"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    ],
)
def test_each_way_to_find_nobody_has_its_sentence(error, words):
    assert words in str(no_connection(Target("10.0.0.5", 22, "x", "k"), error, 5.0))


@pytest.mark.slow
def test_frozen_sshd_is_not_answering(fresh_machine):
    fresh_machine.sshd.send_signal(signal.SIGSTOP)
    with pytest.raises(MachineNotAnswering, match="no SSH server spoke"):
        fresh_machine.connect(timeout_seconds=0.5)


@pytest.mark.slow
def test_machine_that_freezes_in_a_command_is_not_answering(fresh_machine):
    session = fresh_machine.connect()
    session.run("true", timeout_seconds=60)
    assert fresh_machine.sessions()
    for pid in fresh_machine.sessions():
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(MachineNotAnswering, match=r"within 0\.5 seconds"):
        session.run("echo never", stdin=b"x" * 5_000_000, timeout_seconds=0.5)
    with pytest.raises(MachineNotAnswering):
        session.run("echo never", timeout_seconds=0.5)


def test_machine_that_dies_in_a_command_is_not_answering(fresh_machine):
    session = fresh_machine.connect()

    def die() -> None:
        fresh_machine.wait_until_logged("Starting session")
        fresh_machine.end()

    threading.Thread(target=die).start()
    with pytest.raises(MachineNotAnswering, match="cut off"):
        session.run("sleep 600", timeout_seconds=120)


@pytest.mark.slow
def test_the_timeout_is_for_the_whole_command(machine):
    with (
        machine.connect() as session,
        pytest.raises(MachineNotAnswering, match=r"within 0\.6 seconds"),
    ):
        session.run("while :; do echo tick; sleep 0.1; done", timeout_seconds=0.6)


def test_300_kb_of_stdin_arrive_whole(machine):
    data = os.urandom(300_000)
    with machine.connect() as session:
        output = session.run("sha256sum", stdin=data, timeout_seconds=60)
    assert output.text.split()[0] == hashlib.sha256(data).hexdigest()


def test_peer_that_fills_stderr_before_it_reads_does_not_block(machine):
    command = "head -c 1000000 /dev/zero | tr '\\0' e >&2; wc -c"
    with machine.connect() as session:
        output = session.run(command, stdin=b"i" * 3_000_000, timeout_seconds=60)
    assert output.text.count("e") == 1_000_000
    assert output.text.endswith("3000000\n")


def test_long_output_keeps_its_end(machine):
    with machine.connect() as session:
        output = session.run("head -c 5000000 /dev/zero; echo end", timeout_seconds=60)
    assert output.text.endswith("end\n")
    assert len(output.text) == remote.MAX_TEXT_BYTES


def test_command_that_ignores_its_stdin_gives_its_exit_code(machine):
    with machine.connect() as session:
        output = session.run("exit 4", stdin=b"x" * 5_000_000, timeout_seconds=60)
    assert output.exit_code == 4


@pytest.mark.slow
def test_sessions_of_many_threads_do_not_mix(machine):
    def login(number: int) -> str:
        with machine.connect(timeout_seconds=60) as session:
            return session.run(f"cat; echo {number}", stdin=b"in ", timeout_seconds=60).text

    with ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(login, range(20)))
    # Above it may stand what the account's own start-up files print.
    said = [[line for line in text.splitlines() if line.startswith("in ")] for text in texts]
    assert said == [[f"in {number}"] for number in range(20)]


def test_weak_algorithms_are_not_offered(silent, keys):
    """Read from what the client proposes in clear before the key exchange."""
    host, port = silent.getsockname()
    proposed = bytearray()

    def listen() -> None:
        peer, _ = silent.accept()
        with peer:
            peer.settimeout(60)
            peer.sendall(b"SSH-2.0-test\r\n")
            while len(proposed) < 600:
                chunk = peer.recv(4096)
                if not chunk:
                    return
                proposed.extend(chunk)

    listener = threading.Thread(target=listen)
    listener.start()
    with pytest.raises(MachineNotAnswering):
        connect(Target(host, port, "x", str(keys / "ed25519")), timeout_seconds=60)
    listener.join()
    assert b"aes128-ctr" in proposed
    for weak in (b"cbc", b"hmac-md5", b"hmac-sha1", b"group1-", b"ssh-rsa,", b"ssh-dss"):
        assert weak not in proposed


def test_closing_leaves_no_thread_and_may_be_repeated(machine, wait_for):
    session = machine.connect()
    session.close()
    session.close()
    wait_for("the end of paramiko's threads", lambda: not _ssh_threads())
    with pytest.raises(MachineNotAnswering):
        session.run("true", timeout_seconds=1)


def test_key_file_may_be_replaced_between_two_logins(machine, keys, tmp_path: Path):
    file = tmp_path / "key"
    target = replace(machine.target, key_file=str(file))
    file.write_bytes((keys / "stranger").read_bytes())
    with pytest.raises(LoginRefused):
        connect(target, timeout_seconds=60)
    file.write_bytes((keys / "ed25519").read_bytes())
    connect(target, timeout_seconds=60).close()


def test_a_long_command_is_heard_line_by_line(machine):
    heard: list[str] = []
    with machine.connect() as session:
        output = session.run(
            r"printf 'one\ntwo\r'; printf '\nthr\303'; printf '\251e'",
            timeout_seconds=60,
            on_line=heard.append,
        )
    assert heard == ["one", "two", "thrée"]
    assert output.text == "one\ntwo\r\nthrée"

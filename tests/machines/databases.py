"""A PostgreSQL server of this computer, for hubs that keep their users there."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.clouds import wait_for

PORT = 54321
_PASSWORD = "for-the-tests-only"


@contextmanager
def postgresql(address: str) -> Iterator[str]:
    """Gives the URL of an empty database at this address of this computer."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="cloudjhub-postgresql-"))
    shutil.chown(folder, "postgres", "postgres")
    secret = folder / "password"
    secret.write_text(_PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    _as_postgres(
        programs / "initdb", "-D", data, "-U", "hub", "-A", "scram-sha-256", "--pwfile", secret
    )
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all hub 10.0.0.0/8 scram-sha-256\n")
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        _command(
            programs / "postgres", "-D", data, "-p", str(PORT),
            "-c", f"listen_addresses={address}", "-c", f"unix_socket_directories={folder}",
        ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )  # fmt: skip
    try:
        wait_for("PostgreSQL", lambda: _answers(server, programs, address, folder / "log"))
        yield f"postgresql://hub:{_PASSWORD}@{address}:{PORT}/postgres"
    finally:
        # A fast shutdown: SIGTERM would wait for the hubs to leave first.
        server.send_signal(signal.SIGINT)
        server.wait()
        log.close()
        shutil.rmtree(folder)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert found, "PostgreSQL is not installed; scripts/test installs it by name."
    return found[-1]


def _answers(server: "subprocess.Popen[bytes]", programs: Path, address: str, log: Path) -> bool:
    assert server.poll() is None, log.read_text()
    ready = [programs / "pg_isready", "-q", "-h", address, "-p", str(PORT)]
    return subprocess.run(ready, check=False).returncode == 0


def _command(*words: object) -> list[str]:
    # It refuses to run as root.
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *map(str, words)]


def _as_postgres(*words: object) -> None:
    done = subprocess.run(_command(*words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

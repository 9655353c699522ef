"""The process of the stand-ins as the local EC2 sees it."""

import base64
import hashlib
import hmac
import importlib.util
import json
import os
import secrets
import select
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cloudjhub.local import processes
from cloudjhub.local.machines.disk import write_private
from cloudjhub.local.settings import LocalEC2Error

LOG = "standins.log"
SEED = "standins.seed"
#: orders are answered at once, whatever a machine does
_ANSWER_SECONDS = 120.0
_END_SECONDS = 30.0


class StandIns:
    """Starts the process with the first machine that needs it. Thread-safe; orders block."""

    def __init__(self, state_dir: Path, ssh_port: int):
        self.state_dir = state_dir
        self.ssh_port = ssh_port
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._seed: bytes | None = None

    @property
    def pid(self) -> int | None:
        """None while there is no such process."""
        return self._process.pid if self._process else None

    def order(self, verb: str, instance_id: str = "", *arguments: Any, **more: Any) -> Any:
        """Raises LocalEC2Error. Without a process there is nothing to be done about a machine."""
        with self._lock:
            if self._process is None:
                if "plan" not in more:
                    return [] if verb == "records" else None
                self._process = self._start()
            asked = {"do": verb, "machine": instance_id, "arguments": arguments, **more}
            return self._ask(self._process, asked)

    def host_key(self, instance_id: str) -> str:
        """The secret of the machine's host key, in hex: the same whenever it is asked for."""
        with self._lock:
            if self._seed is None:
                path = self.state_dir / SEED
                if not path.exists():
                    write_private(path, secrets.token_bytes(32))
                self._seed = path.read_bytes()
        return hmac.new(self._seed, instance_id.encode(), hashlib.sha256).hexdigest()

    def fingerprint(self, instance_id: str) -> str:
        """The host key as clients show it, "SHA256:..."; also of a machine that was never on."""
        secret = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.host_key(instance_id)))
        line = secret.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def close(self) -> None:
        """Ends the process, and every machine with it."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin and process.stdout
        with suppress(OSError):  # what it did not read any more
            process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if importlib.util.find_spec("asyncssh") is None:
            raise LocalEC2Error(
                "Stand-in machines need the package asyncssh.", "Install it: pip install asyncssh"
            )
        package = Path(__file__).resolve().parents[4]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(package),
            processes.STATE_VARIABLE: str(self.state_dir),
        }
        with (self.state_dir / LOG).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "cloudjhub.local.machines.standins"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,
            )

    def _ask(self, process: subprocess.Popen[bytes], asked: dict[str, Any]) -> Any:
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            answers, _, _ = select.select([process.stdout], [], [], _ANSWER_SECONDS)
            line = process.stdout.readline() if answers else b""
        except OSError:
            line = b""
        if not line:
            # Its machines went with it; the next one that is switched on has another process.
            self._end()
            words = (self.state_dir / LOG).read_text(errors="replace")[-2000:]
            raise LocalEC2Error(f"The process of the stand-in machines has ended. {words}")
        answer = json.loads(line)
        if "error" in answer:
            raise LocalEC2Error(f"A stand-in machine cannot do that: {answer['error']}.")
        return answer["done"]

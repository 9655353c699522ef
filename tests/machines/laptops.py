"""An operator's laptop: a checkout, what `pip install -r` puts beside it, and an account's keys."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_OURS = ("AWS_", "CLOUDJHUB_", "PYTHON", "VIRTUAL_ENV")
_LAUNCH_SECONDS = 900


@dataclass
class Laptop:
    """Runs the commands of the README as an operator does."""

    folder: Path
    endpoint_url: str
    said: list[str] = field(default_factory=list)

    @property
    def checkout(self) -> Path:
        return self.folder / "cloudjhub"

    @property
    def python(self) -> Path:
        return self.folder / "venv/bin/python"

    def set_up(self) -> None:
        """Copy what git would clone, and install what the launch says it needs."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=CHECKOUT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (CHECKOUT / name).is_file():
                copy = self.checkout / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, copy)
        subprocess.run([sys.executable, "-m", "venv", self.folder / "venv"], check=True)
        requirements = self.checkout / "launch_cluster/requirements.txt"
        subprocess.run(
            [self.python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True
        )

    def write_secure(self, **values: str) -> None:
        """launch_cluster/secure.py, as the operator fills it in."""
        path = self.checkout / "launch_cluster/secure.py"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        ours = {"CLOUDJHUB_EC2_ENDPOINT_URL": self.endpoint_url, "HOME": str(self.folder)}
        return kept | ours | {"PATH": path, "AWS_EC2_METADATA_DISABLED": "true"}

    def run(self, *command: str, exit_code: int = 0, seconds: float = _LAUNCH_SECONDS) -> str:
        """What a command of the checkout printed; it must end as said."""
        done = subprocess.run(
            [str(each) for each in command],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        self._keep(command, done.stdout)
        assert done.returncode == exit_code, f"{command} ended {done.returncode}:\n{done.stdout}"
        return done.stdout

    def killed_after(self, line: str, *command: str, seconds: float = _LAUNCH_SECONDS) -> str:
        """SIGKILL to the command as soon as it prints a line that begins so."""
        process = subprocess.Popen(
            [str(each) for each in command],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        printed: list[str] = []
        try:
            self._read_until(process, line, printed, time.monotonic() + seconds)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._keep(command, "".join(printed) + "(killed)\n")
        return "".join(printed)

    def _read_until(
        self, process: "subprocess.Popen[str]", line: str, printed: list[str], deadline: float
    ) -> None:
        assert process.stdout
        for said in process.stdout:
            printed.append(said)
            if said.startswith(line):
                return
            assert time.monotonic() < deadline, f"waited for {line!r}:\n{''.join(printed)}"
        raise AssertionError(f"ended without {line!r}:\n{''.join(printed)}")

    def _keep(self, command: tuple[str, ...], text: str) -> None:
        self.said.append(f"$ {' '.join(map(str, command))}\n{text}")

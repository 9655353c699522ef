"""What crosses the border of ``remote``: where to log in, what came back, what went wrong."""

import codecs
import errno
from collections.abc import Callable
from dataclasses import dataclass

from cloudjhub.errors import ConfigError, MachineNotAnswering


@dataclass(frozen=True)
class Target:
    """Where to log in, as whom, with which private key file."""

    host: str
    port: int
    username: str
    key_file: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Output:
    """What a command left behind. ``text`` is stdout and stderr as they came, the last 2 MiB."""

    exit_code: int
    text: str


class LineSplitter:
    """Bytes as they come, given on as whole lines of text; what a terminal would overwrite counts.

    A last piece without an end of line is given on by ``feed(b"")``, the end of the output.
    """

    LONGEST_LINE = 8192

    def __init__(self, on_line: Callable[[str], None]):
        self._on_line = on_line
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, chunk: bytes) -> None:
        """The next bytes; none at all is the end."""
        text = self._rest + self._decode(chunk, final=not chunk).replace("\r", "\n")
        *lines, self._rest = text.split("\n")
        if not chunk or len(self._rest) > self.LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], ""
        for line in filter(str.strip, lines):
            self._on_line(line.rstrip())


def unusable_key(key_file: str, finding: str) -> ConfigError:
    """For a private key file; the finding ends with the remedy."""
    return ConfigError([f"The private key file {key_file} (WORKER_KEY_FILE) {finding}."])


def no_connection(target: Target, error: OSError, timeout_seconds: float) -> MachineNotAnswering:
    """For a connection that did not come about; the words differ by what the network said."""
    return MachineNotAnswering(_why_no_connection(target, error, timeout_seconds))


def _why_no_connection(target: Target, error: OSError, timeout_seconds: float) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens at {target} (yet): the connection was refused."
    if isinstance(error, TimeoutError):
        return f"No answer from {target} within {timeout_seconds:g} seconds."
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return f"There is no route to {target}."
    return f"No connection to {target}: {error.strerror or error}."


def unfinished(target: Target, timeout_seconds: float, *, broken: bool) -> MachineNotAnswering:
    """For a command whose end nobody saw: the connection broke, or the time was up."""
    if broken:
        return MachineNotAnswering(
            f"The connection to {target} or the command there was cut off in the middle."
        )
    return MachineNotAnswering(
        f"The machine at {target} did not finish a command within {timeout_seconds:g} seconds."
    )

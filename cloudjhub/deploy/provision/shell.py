"""Running our scripts as root on a machine, and putting files there, over one SSH session."""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from cloudjhub.deploy.distributions import Distribution, known_titles, of_os_release
from cloudjhub.errors import CloudJHubError
from cloudjhub.remote import Session
from cloudjhub.remote_values import Output

# Told what is done, line by line; what programs on the machine print is indented.
Say = Callable[[str], None]

# A script answers with a line of its own; whatever else it prints is for people.
ANSWER = "cloudjhub-answer:"
# Lines that say what is done next; all others are a program's own.
PHASE = "cloudjhub-phase:"
SCRIPT_SECONDS = 1800.0
PUT_SECONDS = 120.0
TAIL_LINES = 40

# Runs what stands on stdin as a whole: bash reads all of it before it begins, so that no program
# in it can swallow the rest, and a connection that breaks while it travels runs nothing.
_COMMON = """
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
export LC_ALL=C.UTF-8 HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1
umask 022
cd /
phase() { printf '%s%s\\n' 'cloudjhub-phase:' "$1"; }
exec 9>/run/cloudjhub-provision.lock
# What a launch that was cut off began goes on to its end there.
if ! flock --nonblock 9; then
    phase "an earlier run is still at work on this machine; waiting for it"
    flock --timeout 900 9 || { echo "An earlier run on this machine does not end." >&2; exit 75; }
fi
answer() { printf '\\n%s%s\\n' 'cloudjhub-answer:' "$1"; }
# The first boot and unattended upgrades install packages too; not every lock can be waited for.
patiently() {
    until words=$("$@" 2>&1); do
        case "$words" in *" lock"*) ;; *) printf '%s\\n' "$words" >&2; return 1 ;; esac
        [ "$SECONDS" -lt 900 ] || { printf '%s\\n' "$words" >&2; return 1; }
        phase "waiting for another installation of packages to end"
        sleep 5
    done
}
apt_install() {
    patiently dpkg --configure -a
    patiently apt-get -qq -o Acquire::Retries=3 update
    apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \\
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \\
        install --no-install-recommends "$@" 9>&-
}
"""

# Takes the bytes on stdin to where they belong, whole or not at all, and says if that changed it.
_PUT = (
    'set -eu; umask 022; mkdir -p "$(dirname "$1")"; umask 077; t=$(mktemp "$1.XXXXXX"); '
    'trap \'rm -f "$t"\' EXIT; cat >"$t"; '
    'test "$(stat -c %s "$t")" = "$4" || { echo "The file arrived in part." >&2; exit 74; }; '
    'chown "$2" "$t"; chmod "$3" "$t"; '
    'if cmp -s "$t" "$1"; then echo same; else echo changed; fi; mv -fT "$t" "$1"; trap - EXIT'
)


class ProvisionError(CloudJHubError):
    """A machine could not be set up. ``log_tail``: the last lines of what ran there."""

    remedy = "Run the same command again: it goes on where it stopped."

    def __init__(self, message: str, remedy: str | None = None, *, log_tail: str = ""):
        super().__init__(message, remedy)
        self.log_tail = log_tail


@dataclass(frozen=True)
class Shell:
    """A session with root's rights, and somebody who is told what happens."""

    session: Session
    say: Say

    def script(
        self,
        name: str,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        timeout_seconds: float = SCRIPT_SECONDS,
    ) -> dict[str, Any]:
        """Run files/NAME.sh with arguments that are no secrets; returns what it answers.

        ``variables`` are exported to it. Raises ProvisionError with its last words.
        """
        output = self._run(name, arguments, variables or {}, timeout_seconds)
        return answer_of(output)

    def examine(self, name: str, *arguments: str, timeout_seconds: float) -> Output:
        """Run files/NAME.sh and return all it prints, quietly."""
        return replace(self, say=nobody)._run(name, arguments, {}, timeout_seconds)

    def _run(
        self,
        name: str,
        arguments: tuple[str, ...],
        variables: Mapping[str, str],
        timeout_seconds: float,
    ) -> Output:
        words = " ".join(map(shlex.quote, arguments))
        output = self.session.run(
            f"sudo -n bash -s -- {words}",
            stdin=script_text(name, variables).encode(),
            timeout_seconds=timeout_seconds,
            on_line=self._heard,
        )
        if output.exit_code != 0:
            raise _failed(name, output)
        return output

    def put(
        self, path: str, content: bytes | str, *, mode: str = "0644", owner: str = "root:root"
    ) -> bool:
        """Put a file there, whole or not at all; True if it is another than before.

        The content travels on stdin, and nobody else can read it while it is written.
        """
        data = content.encode() if isinstance(content, str) else content
        words = " ".join(map(shlex.quote, (path, owner, mode, str(len(data)))))
        output = self.session.run(
            f"sudo -n sh -c {shlex.quote(_PUT)} sh {words}",
            stdin=data,
            timeout_seconds=PUT_SECONDS,
        )
        if output.exit_code != 0:
            raise ProvisionError(
                f"{path} could not be written on the machine.", log_tail=output.text[-2000:]
            )
        return output.text.split()[-1] == "changed"

    def get(self, path: str) -> str | None:
        """The text of a file there; None where there is none."""
        quoted = shlex.quote(path)
        output = self.session.run(
            f"sudo -n sh -c {shlex.quote(f'test -e {quoted} || exit 3; cat {quoted}')}",
            timeout_seconds=PUT_SECONDS,
        )
        if output.exit_code == 3:
            return None
        if output.exit_code != 0:
            raise ProvisionError(f"{path} cannot be read.", log_tail=output.text[-2000:])
        return output.text

    def _heard(self, line: str) -> None:
        if line.startswith(PHASE):
            self.say(line.removeprefix(PHASE))
        elif not line.startswith(ANSWER):
            self.say(f"  {line}")


def nobody(line: str) -> None:
    """For who wants to hear nothing."""


def script_text(name: str, variables: Mapping[str, str]) -> str:
    """What bash is given for files/NAME.sh: one function, called at the end of the text."""
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
    return f'main() {{\n{_COMMON}{exports}{read_file(f"{name}.sh")}\n}}\nmain "$@" </dev/null\n'


def read_file(name: str) -> str:
    """The text of one of files/."""
    return (resources.files("cloudjhub.deploy.provision") / "files" / name).read_text("utf-8")


def answer_of(output: Output) -> dict[str, Any]:
    """The last answer among what a script printed; {} if it gave none."""
    for line in reversed(output.text.splitlines()):
        if line.startswith(ANSWER):
            return json.loads(line.removeprefix(ANSWER))
    return {}


def distribution_of(shell: Shell) -> Distribution:
    """What the machine runs. ProvisionError if it is none of those that are known."""
    text = shell.get("/etc/os-release") or ""
    found = of_os_release(text)
    if found is None:
        title = next((li for li in text.splitlines() if li.startswith("PRETTY_NAME=")), "unknown")
        raise ProvisionError(
            f"The machine runs {title.removeprefix('PRETTY_NAME=')}; cloudJHub knows "
            f"{known_titles()}.",
            "Launch from the AMI of one of these.",
        )
    return found


def digest(*parts: str | bytes) -> str:
    """A short name for content, to tell whether something has to be done again."""
    whole = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(whole).hexdigest()[:16]


def _failed(name: str, output: Output) -> ProvisionError:
    tail = "\n".join(output.text.splitlines()[-TAIL_LINES:])
    if "a password is required" in output.text or "may not run sudo" in output.text:
        return ProvisionError(
            "The login account of the machine may not use sudo without a password.",
            "Launch from the AMI of a distribution, or let its account use sudo.",
            log_tail=tail,
        )
    words = next((line for line in reversed(tail.splitlines()) if line.strip()), "no output")
    return ProvisionError(
        f"The step {name} failed on the machine (exit code {output.exit_code}): {words.strip()}",
        log_tail=tail,
    )

"""``python -m cloudjhub.local``: the local EC2 alone, until it is told to end.

Exit codes: 0 ended as asked, 1 it could not run, 2 wrong arguments.
"""

import argparse
import logging
import os
import re
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from cloudjhub.local.settings import LocalEC2Error, LocalSettings

DEFAULT_STATE = "cloudjhub-local"
MACHINES = {
    "userns": "an sshd each in namespaces of its own (accounts, processes, /home, /dev)",
    "plain": "an sshd each, run as this account; this computer forbids user namespaces or you "
    "asked for it",
    "booted": "Debian with systemd each, on a disk and in a network of its own",
    "standin": "one process answers for all of them; nothing runs there",
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        _serve(options, ended)
    except LocalEC2Error as error:
        print(f"cloudjhub.local: {error.advice}", file=sys.stderr)
        return 1
    return 0


def _serve(options: argparse.Namespace, ended: threading.Event) -> None:
    # Loads moto, which takes a second: not for --help or a wrong argument.
    from cloudjhub.local.service import LocalEC2

    with LocalEC2(options.state, _settings(options), options.port) as ec2:
        config = ec2.seed()
        environment = ec2.environment()
        endpoint = environment.pop("AWS_ENDPOINT_URL")
        keys = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        print(f"EC2 of this computer: {endpoint} (state in {ec2.state_dir})")
        print(f"machines ({ec2.variant}): {MACHINES[ec2.variant]}")
        if command := ec2.launch_command(config):
            print(f"Launch a cluster there, from the checkout:\n{shlex.join(command)}")
        print("Point boto3 or the aws command at it:")
        print(f"export AWS_ENDPOINT_URL={endpoint}")
        print(f"export {keys}", flush=True)
        while not ended.wait(1.0):
            pass
        print("Ending; disks and volumes stay.", flush=True)


def _settings(options: argparse.Namespace) -> LocalSettings:
    given = {
        "region": options.region,
        "variant": options.variant,
        "boot_seconds": options.boot_seconds,
        "pending_seconds": options.pending_seconds,
        "stopping_seconds": options.stopping_seconds,
        "throttle": options.throttle,
        "vcpu_quota": options.vcpu_quota,
        "ssh_port": options.ssh_port,
    }
    return LocalSettings(**{name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = PlainParser(prog="python -m cloudjhub.local", description="An EC2 on this computer.")
    add = parser.add_argument
    add(
        "--port",
        type=partial(port, lowest=0),
        default=0,
        help="of the API on 127.0.0.1 (default: a free one)",
    )
    # A string, so that the folder is looked at in this case too.
    add("--state", type=state_folder, default=DEFAULT_STATE, help="folder that keeps everything")
    add("--region", type=_region, help="the only region there is (default: us-east-1)")
    add(
        "--variant",
        choices=("auto", "userns", "plain", "booted", "standin"),
        help="kind of machines (default: auto; booted needs root)",
    )
    add("--pending-seconds", type=seconds, help="from launch to running (default: 1)")
    add("--boot-seconds", type=seconds, help="from running to login (default: 1)")
    add("--stopping-seconds", type=seconds, help="from stop to stopped (default: 1)")
    add("--throttle", action="store_true", help="refuse calls beyond EC2's documented rates")
    add("--vcpu-quota", type=_vcpus, help="vCPUs the account may use (default: any number)")
    add("--ssh-port", type=port, help="where machines' sshd listens (default: 2222)")
    return parser


# Arguments, also the demo's: standard library only, as they are read before anything is installed


class PlainParser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with the arguments; exit code 2."""

    def error(self, message: str) -> NoReturn:
        hint = "" if message.endswith(".") else "; --help says what there is."
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}{hint}\n")


def port(text: str, *, lowest: int = 1) -> int:
    """A port that this account may listen on; somebody else may be doing so."""
    number = _whole(text)
    if not lowest <= number <= 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port; name a number from {lowest} to 65535."
        )
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", number))
        except PermissionError:
            raise argparse.ArgumentTypeError(
                f"{text} is closed to this account; name a number from 1024 to 65535."
            ) from None
        except OSError:
            pass
    return number


def seconds(text: str, *, most: int = 3600) -> float:
    """A number of seconds, fractions included."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds; name one from 0 to {most}."
        )
    return number


def state_folder(text: str) -> Path:
    """A folder that is ours already, or that can be made; it is not made here."""
    path = Path(text).absolute()
    try:
        there = next(place for place in (path, *path.parents) if _exists(place))
        if not there.is_dir():
            raise argparse.ArgumentTypeError(f"{there} is not a folder; name one.")
        if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
            raise argparse.ArgumentTypeError(
                f"{there} cannot be written by this account; name another folder."
            )
        if there == path and any(path.iterdir()) and not (path / "lock").exists():
            # Somebody's home, or /tmp: it would be closed to others.
            raise argparse.ArgumentTypeError(
                f"{path} holds other things; name a new or an empty folder."
            )
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be used ({error.strerror}); name another folder."
        ) from error
    return path


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a region; name one such as us-east-1.")
    return text


def _vcpus(text: str) -> int:
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of vCPUs; name one from 0 to 99999."
        )
    return number


def _whole(text: str) -> int:
    """The number that the digits say; -1 for anything else."""
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) else -1


if __name__ == "__main__":
    sys.exit(main())

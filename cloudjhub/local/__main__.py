"""``python -m cloudjhub.local``: the local EC2 alone, until it is told to end.

Exit codes: 0 ended as asked, 1 it could not run, 2 wrong arguments.
"""

import argparse
import logging
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from cloudjhub.local.settings import LocalEC2Error, LocalSettings

DEFAULT_STATE = Path("cloudjhub-local")
MACHINES = {
    "userns": "an sshd each in namespaces of its own (accounts, processes, /home, /dev)",
    "plain": "an sshd each, run as this account; this computer forbids user namespaces or you "
    "asked for it",
    "standin": "none: nobody can log in",
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
        ec2.seed()
        environment = ec2.environment()
        endpoint = environment.pop("AWS_ENDPOINT_URL")
        keys = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        print(f"EC2 of this computer: {endpoint} (state in {ec2.state_dir})")
        print(f"machines ({ec2.variant}): {MACHINES[ec2.variant]}")
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
    parser = argparse.ArgumentParser(
        prog="python -m cloudjhub.local", description="An EC2 on this computer."
    )
    add = parser.add_argument
    add("--port", type=_port, default=0, help="of the API on 127.0.0.1 (default: a free one)")
    add("--state", type=Path, default=DEFAULT_STATE, help="folder that keeps everything")
    add("--region", help="the only region there is (default: us-east-1)")
    add(
        "--variant",
        choices=("auto", "userns", "plain", "standin"),
        help="kind of machines (default: auto)",
    )
    add("--pending-seconds", type=_seconds, help="from launch to running (default: 1)")
    add("--boot-seconds", type=_seconds, help="from running to login (default: 1)")
    add("--stopping-seconds", type=_seconds, help="from stop to stopped (default: 1)")
    add("--throttle", action="store_true", help="refuse calls beyond EC2's documented rates")
    add("--vcpu-quota", type=int, help="vCPUs the account may use (default: any number)")
    add("--ssh-port", type=_port, help="where machines' sshd listens (default: 2222)")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 3600")
    return seconds


if __name__ == "__main__":
    sys.exit(main())

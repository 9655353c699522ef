"""Build a cluster, or go on with a launch that was interrupted.

Everything is checked first, and nothing is made where a check finds an error (exit code 2). What
is made carries the cluster's tag, so that the same command, run again after any interruption,
continues. Exit code 1: a step failed; 130: it was interrupted.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from cloudjhub.account.clients import Clients
from cloudjhub.deploy import closing, login_names, plan, print_policy, sources
from cloudjhub.deploy.checks import everything
from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.desk import DONE, FAILED, INTERRUPTED, REFUSED, nobody_reads
from cloudjhub.deploy.findings import Finding, Refused, errors_among
from cloudjhub.deploy.progress import Progress
from cloudjhub.deploy.steps import health, manager, role, security_groups, worker_image
from cloudjhub.deploy.steps.site import Site
from cloudjhub.errors import CloudJHubError


@dataclass(frozen=True)
class Step:
    """Makes one thing, or finds it made. Where ``needed`` says no, it is passed over."""

    name: str
    usual_seconds: float
    do: Callable[[Site], None]
    needed: Callable[[Site], bool] | None = None


STEPS = (
    Step("public address", 2, manager.ensure_address),
    Step("security groups", 5, security_groups.ensure),
    Step("manager's role", 5, role.ensure),
    Step("builder", 30, worker_image.ensure_builder, worker_image.builder_needed),
    Step("worker AMI", 480, worker_image.ensure),
    Step("end of the builder", 2, worker_image.end_builders),
    Step("manager's machine", 30, manager.ensure_machine),
    Step("manager's software", 240, manager.set_up),
    Step("key of users' machines", 2, manager.ensure_worker_key),
    Step("health of the hub", 10, health.check),
)


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """The verbs launch and check; gives the exit code."""
    options = _parser(prog).parse_args(arguments)
    try:
        if options.print_policy:
            print_policy.run(options)
            return DONE
        settings = sources.read(options)
        world = World(settings, Clients(settings.access))
        return _act(options, world)
    except Refused as refused:
        _print_findings(refused.findings)
        return REFUSED
    except CloudJHubError as error:
        print(f"error: {error.advice}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        # The steps answer it themselves; before them, everything is only looked at.
        print("Interrupted. Nothing was created or changed.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        nobody_reads()
        return FAILED


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = sources.Parser(prog=prog, description=__doc__, epilog=_EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument(
        "--check", action="store_true", help="only check, print what was checked, and end"
    )
    alone.add_argument(
        "--dry-run",
        "--dry_run",
        action="store_true",
        help="check, print what would be made and what it costs, and end",
    )
    alone.add_argument(
        "--print-policy",
        "--print_policy",
        action="store_true",
        help="print the IAM policy that launching CLUSTER_NAME takes, and end",
    )
    sources.add_arguments(parser)
    return parser


_EPILOG = """\
Every setting can also be given as CLOUDJHUB_NAME in the environment, in
launch_cluster/secure.py or in instance_config.json; what comes first in this
sentence wins, and a flag wins over all."""


def _act(options: argparse.Namespace, world: World) -> int:
    findings = _check(world, verbose=options.check)
    if errors_among(findings):
        return REFUSED
    if options.check:
        print("Nothing keeps this cluster from being launched.")
        return DONE
    if options.dry_run:
        zones = {subnet.id: subnet.zone for subnet in world.privates}
        print("\n".join(plan.lines(world.settings, zones)))
        return DONE
    return launch(world)


def _check(world: World, *, verbose: bool) -> list[Finding]:
    """Run every check; findings are printed together at the end."""
    findings: list[Finding] = []
    for check, found in everything.look(world):
        findings += found
        if verbose:
            print(f"{_judgement(found):>7}  {check.title}", flush=True)
    _print_findings(findings)
    return findings


def _judgement(found: list[Finding]) -> str:
    if errors_among(found):
        return "ERROR"
    return "note" if found else "ok"


def _print_findings(findings: Sequence[Finding]) -> None:
    errors = errors_among(findings)
    for finding in findings:
        if finding.level == "note":
            print(f"note: {finding}")
    for finding in errors:
        print(f"error: {finding}", file=sys.stderr)
    if errors:
        print("Nothing was created or changed.", file=sys.stderr)


def launch(world: World) -> int:
    """Every step in turn; then the address, the logins and the costs."""
    settings = login_names.filled_in(world.settings, world.base_image, world.custom_image)
    log_path = Path.cwd() / f"launch-{settings.cluster_name}.log"
    with _opened(log_path) as log, _stoppable():
        progress = Progress(sys.stdout, log=log)
        site = Site(
            settings=settings,
            clients=world.clients,
            identity=world.identity,
            vpc_id=world.vpc_id,
            say=progress.say,
        )
        try:
            run(site, progress)
            print("\n".join(closing.words(site)), flush=True)
            manager.mark_launched(site)
        except (CloudJHubError, OSError, KeyboardInterrupt) as error:
            return _given_up(site, error, log_path if log else None)
        except Exception as error:  # a defect of ours: a machine would go on costing, too
            _given_up(site, error, log_path if log else None)
            raise
    return DONE


def _given_up(site: Site, error: BaseException, log_path: Path | None) -> int:
    """End what costs and is of no use, say what there is; gives the exit code."""
    _end_builders(site)
    print("\n".join(closing.interrupted(site, error)), file=sys.stderr)
    if log_path:
        print(f"All that the machines said is in {log_path}.", file=sys.stderr)
    if isinstance(error, BrokenPipeError):
        nobody_reads()
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED


@contextmanager
def _opened(path: Path) -> Iterator[TextIO | None]:
    """The log of launches, for its owner only; None where it cannot be written, or is a link."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        number = os.open(path, flags, 0o600)
        os.fchmod(number, 0o600)
    except OSError:
        yield None
        return
    with os.fdopen(number, "w", encoding="utf-8") as log:
        yield log


def run(site: Site, progress: Progress) -> None:
    """The steps. Each prints "done: NAME" when it is."""
    for step in STEPS:
        with progress.step(step.name, step.usual_seconds):
            if step.needed is None or step.needed(site):
                step.do(site)


def _end_builders(site: Site) -> None:
    """Also after a failure; what cannot be ended now is found by its tag next time."""
    try:
        image = site.worker_image()
        if image is None or image.state != "pending":
            worker_image.end_builders(site)
    except (CloudJHubError, KeyboardInterrupt) as error:
        print(f"note: a builder may still run: {error}", file=sys.stderr)


@contextmanager
def _stoppable() -> Iterator[None]:
    """A terminal that closes, or a polite kill, is answered like Ctrl-C."""
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt

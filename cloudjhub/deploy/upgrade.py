"""``cloudjhub upgrade``: new software on the manager, or a new AMI for users' machines."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloudjhub import __version__
from cloudjhub.account import images
from cloudjhub.account.inventory import Inventory, MachineFound
from cloudjhub.deploy import sources, upgrade_reach, upgrade_steps
from cloudjhub.deploy.desk import (
    DONE,
    FAILED,
    Desk,
    agreed,
    complain,
    counted,
    desk,
    ended,
    known,
    say,
    unknown,
)
from cloudjhub.deploy.findings import Finding, Refused
from cloudjhub.deploy.provision import change_https
from cloudjhub.deploy.provision import upgrade as provision
from cloudjhub.deploy.provision.https import public_url
from cloudjhub.deploy.settings import Reach
from cloudjhub.deploy.upgrade_steps import Wanted
from cloudjhub.remote import Session

DESCRIPTION = """Gives a running cluster this checkout's cloudJHub (if nothing else is asked for),
another AMI for users' machines (one that you name, or one that is made anew), another way for
browsers (--domain and --email, --certificate_file and --certificate_key_file, --self_signed, or
--plain_http), or another network that may reach its port 22 (--ssh_from). The hub restarts
in some seconds; servers that run are not disturbed. Users' machines take the new AMI when they
are next started, and their homes come along. It shows what would change and whom it concerns, and
asks. Exit codes: 0 done or declined, 1 it failed (it says in which state everything is), 2 wrong
arguments."""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The verb's arguments."""
    made = sources.Parser(prog=prog, description=DESCRIPTION)
    sources.add_arguments(made, Reach)
    made.add_argument("--yes", action="store_true", help="do it without asking")
    made.add_argument(
        "--software",
        action="store_true",
        help="install this checkout's cloudJHub; it is the default if nothing else is asked for",
    )
    made.add_argument(
        "--self-signed",
        "--self_signed",
        action="store_true",
        help="HTTPS with a certificate that the manager signs itself, of which browsers warn",
    )
    ami = made.add_mutually_exclusive_group()
    ami.add_argument("--worker-ami", "--worker_ami", metavar="AMI", help="AMI of users' machines")
    ami.add_argument(
        "--rebuild-worker",
        "--rebuild_worker",
        action="store_true",
        help="make a new worker AMI, with this checkout's versions of JupyterHub and JupyterLab",
    )
    made.add_argument(
        "--worker-requirements",
        "--worker_requirements",
        dest="WORKER_REQUIREMENTS",
        metavar="FILE",
        help="with --rebuild-worker: packages for the class, in pip's format",
    )
    return made


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """The verb; gives its exit code."""
    options = parser(prog).parse_args(arguments)
    return ended(lambda: _upgrade(options, prog))


def wanted_of(options: argparse.Namespace, account: Reach | None = None) -> Wanted:
    """What is asked for. Raises Refused."""
    if options.WORKER_REQUIREMENTS and not options.rebuild_worker:
        remedy = "Add --rebuild-worker: packages are part of the AMI."
        raise Refused([Finding("is of no use alone.", "--worker-requirements", remedy)])
    https = upgrade_reach.https_asked(options, account) if account else None
    other = options.worker_ami or options.rebuild_worker or https or options.SSH_FROM
    return Wanted(
        software=options.software or not other,
        worker_ami=options.worker_ami or "",
        rebuild=options.rebuild_worker,
        https=https,
    )


def _upgrade(options: argparse.Namespace, prog: str | None) -> int:
    account = sources.read(options, Reach)
    wanted = wanted_of(options, account)
    at = desk(account, prog, with_roles=True)
    found = known(at)
    if found is None:
        return unknown(at)
    manager = found.manager
    if manager is None or manager.state != "running":
        state = f"is {manager.state}" if manager else "is gone, or was never made"
        complain(f"The manager of cluster {at.cluster} {state}; it must run to be upgraded.")
        return FAILED
    if wanted.https is not None:
        upgrade_reach.check_name(wanted.https, manager.public_ip or "")
    if options.SSH_FROM and not upgrade_reach.admit_operator(at, account, yes=options.yes):
        say("Nothing was changed.")
        return DONE
    if options.SSH_FROM and wanted == Wanted(software=False):
        return DONE
    image = images.image(at.clients.ec2, manager.image_id)
    with upgrade_steps.manager_session(at, account, manager, image) as session:
        now = look(at, session, found, wanted, options)
        say("\n".join(now.words()))
        if not now.changes:
            return DONE
        if not options.yes and not agreed("\nType yes to do it:", "yes"):
            say("Nothing was changed.")
            return DONE
        return upgrade_steps.act(at, options, manager, session, now.server_config, wanted)


_LOOKED_AT = (
    "  Of it, only state, size and architecture were looked at, not whether it has the account and "
    "the programs."
)


@dataclass(frozen=True)
class Before:
    """How things are before anything is changed."""

    found: Inventory
    wanted: Wanted
    version: str
    server_config: dict[str, Any]
    hub_config: provision.HubConfig
    postgresql: bool = False
    #: of a new AMI, in pip's format; None where nobody has noted them
    packages: str | None = None
    #: why machines of that AMI would not hibernate although they are to
    awake: tuple[Finding, ...] = ()
    url: str = ""
    new_url: str = ""
    github: bool = False

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        wanted = self.wanted
        return wanted.software or wanted.rebuild or self._another_ami or wanted.https is not None

    @property
    def _another_ami(self) -> bool:
        return self.wanted.worker_ami not in ("", self.server_config.get("WORKER_AMI"))

    def words(self) -> list[str]:
        """What would change, and for whom."""
        lines = [f"Cluster {self.found.cluster}:"]
        if self.wanted.software:
            lines += self._software()
        if self.wanted.worker_ami or self.wanted.rebuild:
            lines += self._ami()
        if self.wanted.https is not None:
            lines += upgrade_reach.https_words(
                self.wanted.https, self.url, self.new_url, github=self.github
            )
        return lines

    def _software(self) -> list[str]:
        running = sum(machine.state == "running" for machine in self.found.workers)
        lines = [
            f"- cloudJHub {self.version} on the manager becomes this checkout's {__version__}. "
            f"The hub restarts; {counted(running, 'machine')} of users and their servers run on.",
            "  What else the launch wrote stays: jupyterhub_config.d, Caddy, Node.js, the proxy.",
        ]
        if lacking := provision.keys_it_lacks(self.server_config):
            keys = ", ".join(lacking)
            lines.append(f"  server_config.json gets the keys it lacks, with defaults: {keys}.")
        if self.postgresql:
            lines.append(
                "  The hub's database is PostgreSQL, which is not put back if the new version "
                "changes its schema and then fails: make a copy before (pg_dump)."
            )
        if self.hub_config == "older":
            lines.append("  jupyterhub_config.py, which nobody has changed there, becomes new too.")
        if self.hub_config == "own":
            lines.append(
                "  jupyterhub_config.py on the manager differs from this checkout's and is left "
                "as it is; compare the two. Without begin_with_hub() a POOL waits for a login."
            )
        return lines

    def _ami(self) -> list[str]:
        old = self.server_config.get("WORKER_AMI", "none")
        if not self.wanted.rebuild and not self._another_ami:
            return [f"- The worker AMI is {old} already."]
        new = self.wanted.worker_ami or "one that is made now, on a machine that then ends"
        what = self._packages() if self.wanted.rebuild else _LOOKED_AT
        awake = [f"  note: {each.where}: {each.what}" for each in self.awake]
        return [f"- The worker AMI {old} becomes {new}.", what, *awake, *self._machines()]

    def _packages(self) -> str:
        """Their names; an address may hold a password, which is not for the screen."""
        if self.packages is None:
            return (
                "  The manager has no note of the class's packages: what WORKER_REQUIREMENTS says."
            )
        lines = [line.strip() for line in self.packages.splitlines()]
        named = [line for line in lines if line and line[0] not in "#-" and "://" not in line]
        others = sum(line.startswith("-") or "://" in line for line in lines)
        more = [counted(others, "other line")] if others else []
        return f"  The class's packages: {', '.join([*named, *more]) or 'none'}."

    def _machines(self) -> list[str]:
        machines = [
            machine
            for machine in self.found.workers
            if machine.owner and machine.image_id != self.wanted.worker_ami
        ]
        if self.server_config.get("UPGRADE_MACHINES") == "never":
            return [f"  UPGRADE_MACHINES is never: {counted(len(machines), 'machine')} stay so."]
        fixed = [machine for machine in machines if not self._movable(machine)]
        moving = [machine for machine in machines if self._movable(machine)]
        on = sum(machine.state in ("pending", "running") for machine in moving)
        lines = [
            f"  {counted(len(moving), 'user')} get another machine with their files at their "
            f"next start; {on} of them work just now and are not disturbed. What lies outside "
            "their homes is lost then."
        ]
        if fixed:
            who = ", ".join(sorted(machine.owner for machine in fixed))
            lines.append(f"  These stay as they are, with their files on the system disk: {who}.")
        return lines

    def _movable(self, machine: MachineFound) -> bool:
        has_homes = self.server_config.get("USER_HOME_EBS_SIZE", 1) != 0
        return has_homes and machine.home_volume_id is not None


def look(
    at: Desk, session: Session, found: Inventory, wanted: Wanted, options: argparse.Namespace
) -> Before:
    """Read everything and check it. Raises Refused for an AMI that cannot be used."""
    config = provision.server_config(session)
    if wanted.worker_ami:
        _check_ami(at, wanted.worker_ami, config)
    address = found.manager.public_ip or "" if found.manager else ""
    return Before(
        found=found,
        wanted=wanted if not wanted.rebuild else replace(wanted, worker_ami=""),
        version=provision.installed_version(session),
        server_config=config,
        hub_config=provision.hub_config(session) if wanted.software else "current",
        postgresql=wanted.software and provision.has_postgresql(session),
        awake=tuple(upgrade_steps.awake(at, found, wanted, config)),
        packages=upgrade_steps.packages_text(options, session) if wanted.rebuild else None,
        url=change_https.url_now(session) if wanted.https else "",
        new_url=public_url(wanted.https, address) if wanted.https else "",
        github=wanted.https is not None and change_https.is_github(session),
    )


def _check_ami(at: Desk, image_id: str, config: dict[str, Any]) -> None:
    findings = []
    image = images.image(at.clients.ec2, image_id)
    if image is None:
        what = "does not exist in this region, or this account may not use it."
        findings.append(Finding(what, image_id, "Name another with --worker-ami."))
    elif image.state != "available":
        what = f"is {image.state}."
        findings.append(Finding(what, image_id, "Wait until it is available, or name another."))
    elif image.root_gib > config.get("WORKER_EBS_SIZE", 8):
        what = f"has a system disk of {image.root_gib} GiB, more than WORKER_EBS_SIZE."
        remedy = "Raise WORKER_EBS_SIZE in server_config.json on the manager first."
        findings.append(Finding(what, image_id, remedy))
    findings += _architecture(at, image, config) if image else []
    if findings:
        raise Refused(findings)


def _architecture(at: Desk, image: images.MachineImage, config: dict[str, Any]) -> list[Finding]:
    """An AMI of another architecture than the machines' type cannot boot on it."""
    former = images.image(at.clients.ec2, config.get("WORKER_AMI", ""))
    if former is None or not image.architecture or former.architecture == image.architecture:
        return []
    what = f"is for {image.architecture}, the machines are {former.architecture}."
    remedy = "Name one of the same architecture, or change WORKER_INSTANCE_TYPE first."
    return [Finding(what, image.id, remedy)]

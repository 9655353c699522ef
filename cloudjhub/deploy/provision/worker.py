"""The worker image: a builder machine is set up and cleaned; a custom one is looked at."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cloudjhub.deploy.distributions import Distribution
from cloudjhub.deploy.findings import Finding, note
from cloudjhub.deploy.provision.shell import (
    ProvisionError,
    Say,
    Shell,
    distribution_of,
    nobody,
)
from cloudjhub.deploy.provision.versions import JUPYTERHUB_VERSION, JUPYTERLAB
from cloudjhub.remote import Session
from cloudjhub.remote_values import Output
from cloudjhub.worker.machine import PROGRAM_FOLDERS

# Says what is installed here, for `check` and `upgrade`; written last, so an interrupted
# installation has none.
MARKER_PATH = "/opt/cloudjhub/cloudjhub.json"
MOTD_PATH = "/etc/motd"
_FORBIDDEN_GROUPS = frozenset({"root", "sudo", "adm", "admin", "docker", "lxd", "wheel", "disk"})
EXAMINE_SECONDS = 120.0


@dataclass(frozen=True)
class WorkerPlan:
    """What a student's machine is to have.

    ``requirements`` is the text of a pip requirements file, for the class's own packages.
    ``hibernates``: what the distribution has for it, and a kernel that wakes up where it lay.
    """

    notebook_username: str = "jupyter"
    requirements: str = ""
    hibernates: bool = False


@dataclass(frozen=True)
class WorkerFacts:
    """What a builder has after it was set up; versions."""

    jupyterhub: str
    jupyterlab: str
    python: str
    account: str
    distribution: str


def provision_worker(session: Session, plan: WorkerPlan, say: Say = nobody) -> WorkerFacts:
    """Make the machine one that users' machines can be copied from. Raises ProvisionError."""
    shell = Shell(session, say)
    say("waiting for the machine's first boot to finish")
    shell.script("wait_for_boot")
    distribution = distribution_of(shell)
    say(f"installing JupyterLab and JupyterHub {JUPYTERHUB_VERSION} on {distribution.title}")
    answer = shell.script(
        "install_worker",
        plan.notebook_username,
        " ".join([*distribution.worker_packages, *_sleepers(distribution, plan)]),
        JUPYTERHUB_VERSION,
        JUPYTERLAB,
        variables={
            "REQUIREMENTS": plan.requirements,
            "HIBERNATES": "yes" if _sleepers(distribution, plan) else "",
        },
    )
    facts = WorkerFacts(**answer, distribution=distribution.key)
    shell.put(MOTD_PATH, motd(facts, distribution))
    shell.put(MARKER_PATH, json.dumps(asdict(facts), indent=2) + "\n")
    return facts


def _sleepers(distribution: Distribution, plan: WorkerPlan) -> tuple[str, ...]:
    return distribution.hibernation_packages if plan.hibernates else ()


def clean_for_imaging(session: Session, say: Say = nobody) -> None:
    """The last thing before the image is made: nobody can log in to this machine afterwards."""
    say("removing keys, ids, logs and caches")
    Shell(session, say).script("clean_for_imaging")


def motd(facts: WorkerFacts, distribution: Distribution) -> str:
    """What whoever logs in sees."""
    return (
        f"\nA user's machine of a cloudJHub cluster: JupyterLab {facts.jupyterlab}, JupyterHub "
        f"{facts.jupyterhub}, {distribution.title}.\nNotebooks run as {facts.account}; "
        "the hub starts and stops them.\n\n"
    )


def check_worker(session: Session, plan: WorkerPlan) -> list[Finding]:
    """What a machine of a custom worker AMI lacks; the machine is not changed."""
    shell = Shell(session, nobody)
    try:
        output = shell.examine(
            "examine_worker",
            plan.notebook_username,
            ":".join(PROGRAM_FOLDERS),
            timeout_seconds=EXAMINE_SECONDS,
        )
    except ProvisionError as error:
        return [Finding(error.message, "CUSTOM_WORKER_AMI", error.remedy)]
    return findings_of(facts_of(output), plan)


def facts_of(output: Output) -> dict[str, str]:
    """What examine_worker.sh saw, by name."""
    lines = [line for line in output.text.splitlines() if line.startswith("fact ")]
    return dict(line.removeprefix("fact ").split("=", 1) for line in lines)


def findings_of(facts: Mapping[str, str], plan: WorkerPlan) -> list[Finding]:
    """The facts of a machine, judged: errors keep users' servers from starting, notes do not."""
    seen = {name: facts.get(name, "") for name in _NEEDED} | dict(facts)
    missing = [
        Finding(what, "CUSTOM_WORKER_AMI", remedy)
        for name, (what, remedy) in _NEEDED.items()
        if not seen[name]
    ]
    if seen["systemd"] and seen["systemd"] in ("offline", "unknown"):
        missing.append(
            Finding("systemd is not in charge of it.", "CUSTOM_WORKER_AMI", _USE_SYSTEMD)
        )
    return [
        *missing,
        *_account_findings(seen, plan),
        *_version_findings(seen),
        *_hibernation_findings(seen, plan),
    ]


_USE_SYSTEMD = "Use an AMI that boots with systemd."
_NEEDED = {
    "python3": ("It lacks python3.", "Install it in the image."),
    "systemd": ("It lacks systemd.", _USE_SYSTEMD),
    "cloud_init": (
        "It lacks cloud-init, so no machine made from it would admit the hub's key.",
        "Install cloud-init in the image.",
    ),
    "mkfs": (
        "It lacks mkfs.ext4, so homes cannot be formatted.",
        "Install e2fsprogs in the image.",
    ),
    "singleuser": (
        f"jupyterhub-singleuser is neither on PATH nor in {', '.join(PROGRAM_FOLDERS[:5])}.",
        f"Install jupyterhub=={JUPYTERHUB_VERSION} and jupyterlab in /opt/cloudjhub.",
    ),
}


def _account_findings(seen: Mapping[str, str], plan: WorkerPlan) -> list[Finding]:
    name = plan.notebook_username
    if not seen.get("account"):
        remedy = f"Make it in the image (useradd --create-home {name}), or set NOTEBOOK_USERNAME."
        return [Finding(f"It has no account {name}.", "NOTEBOOK_USERNAME", remedy)]
    found = []
    groups = sorted(_FORBIDDEN_GROUPS.intersection(seen.get("groups", "").split()))
    if seen.get("may_sudo") == "yes" or groups:
        how = f"is in the group {groups[0]}" if groups else "may use sudo"
        remedy = "Take these rights away: notebooks would run with root's."
        found.append(Finding(f"The account {name} {how}.", "NOTEBOOK_USERNAME", remedy))
    if seen.get("home_owner") != name:
        found.append(
            Finding(
                f"The account {name} does not own its home.",
                "NOTEBOOK_USERNAME",
                f"Run chown {name}: on its home in the image.",
            )
        )
    if seen.get("password") == "P":
        remedy = f"Lock it in the image: passwd --lock {name}."
        found.append(note(f"The account {name} has a password.", "NOTEBOOK_USERNAME", remedy))
    return found


def _version_findings(seen: Mapping[str, str]) -> list[Finding]:
    if not seen.get("singleuser"):
        return []
    remedy = f"Install jupyterhub=={JUPYTERHUB_VERSION} in the image."
    version = re.match(r"(\d+)\.(\d+)", seen.get("jupyterhub", ""))
    if version is None:
        what = f"{seen['singleuser']} does not run there."
        return [Finding(what, "CUSTOM_WORKER_AMI", remedy)]
    found = []
    wanted = JUPYTERHUB_VERSION.split(".")
    what = f"It has JupyterHub {seen['jupyterhub']}, the hub is of {JUPYTERHUB_VERSION}."
    if version[1] != wanted[0]:
        found.append(Finding(what, "CUSTOM_WORKER_AMI", remedy))
    elif version[2] != wanted[1]:
        found.append(note(what, "CUSTOM_WORKER_AMI", remedy))
    if not seen.get("jupyterlab"):
        what = "It has no JupyterLab beside jupyterhub-singleuser."
        found.append(note(what, "CUSTOM_WORKER_AMI", "Install jupyterlab in the image."))
    return found


def _hibernation_findings(seen: Mapping[str, str], plan: WorkerPlan) -> list[Finding]:
    """One of another name may be there, or an AMI with a set-up of its own."""
    if not plan.hibernates or seen.get("hibernation"):
        return []
    what = "It has no hibinit-agent, so its machines may not write their memory to the disk."
    return [note(what, "IDLE_ACTION", "Install ec2-hibinit-agent in the image.")]

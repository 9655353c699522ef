"""All machines, by instance id, and which kind of them this computer can have."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from cloudjhub.local.machines import userns
from cloudjhub.local.machines.base import Machine, MachineSpec
from cloudjhub.local.machines.booted import base_image
from cloudjhub.local.machines.booted.disks import Disks
from cloudjhub.local.machines.booted.kind import check_host
from cloudjhub.local.machines.booted.machine import CONTROL_ACCOUNT, BootedHost, BootedMachine
from cloudjhub.local.machines.loopback import Host, find_sshd, own_account
from cloudjhub.local.machines.plain import PlainMachine
from cloudjhub.local.machines.standin import CONTROL_ACCOUNT as STANDIN_ACCOUNT
from cloudjhub.local.machines.standin import StandInMachine
from cloudjhub.local.machines.standins.control import StandIns
from cloudjhub.local.machines.userns import UserNamespaceMachine
from cloudjhub.local.settings import LocalEC2Error, LocalSettings


@dataclass(frozen=True)
class Kind:
    """A kind of machine: its name, who logs in, who runs notebooks, how one is made.

    ``booted`` is what machines that boot have together, ``standins`` what stand-ins have; None
    for the other kinds.
    """

    variant: str
    control_account: str
    notebook_account: str
    make: Callable[[MachineSpec], Machine]
    booted: BootedHost | None = None
    standins: StandIns | None = None


class Machines:
    """``get(instance_id)`` and little else; machines are made when first asked for."""

    def __init__(self, kind: Kind, spec_of: Callable[[str], MachineSpec]):
        self.kind = kind
        self._spec_of = spec_of
        self._machines: dict[str, Machine] = {}

    def get(self, instance_id: str) -> Machine:
        """Raises KeyError for an instance that does not exist (any more)."""
        machine = self._machines.get(instance_id)
        if machine is None:
            # setdefault: of two threads that make it, both get the same one.
            machine = self.kind.make(self._spec_of(instance_id))
            machine = self._machines.setdefault(instance_id, machine)
        return machine

    def forget(self, instance_id: str) -> None:
        self._machines.pop(instance_id, None)

    def on(self) -> list[tuple[str, Machine]]:
        """Machines that are powered on, alive or not."""
        return [(key, machine) for key, machine in list(self._machines.items()) if machine.is_on()]


def choose_kind(settings: LocalSettings, state_dir: Path) -> Kind:
    """The kind ``settings.variant`` names. Raises LocalEC2Error where it cannot be had."""
    variant = settings.variant
    if variant == "standin":
        return _stand_in(settings, state_dir)
    if variant == "booted":
        return _booted(state_dir)
    if variant == "auto":
        variant = "userns" if userns.allowed_here() else "plain"
    elif variant == "userns" and not userns.allowed_here():
        raise LocalEC2Error(
            "This computer does not let this account make user namespaces.",
            "Use --variant plain, or allow them (Ubuntu 24.04: "
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0).",
        )
    host = Host(
        state_dir=state_dir,
        shims=install_shims(state_dir),
        sshd=find_sshd(),
        ssh_port=settings.ssh_port,
        python_folder=str(Path(sys.executable).parent),
    )
    if variant == "userns":
        return Kind("userns", "ubuntu", "jupyter", lambda spec: UserNamespaceMachine(spec, host))
    account = own_account()
    return Kind("plain", account, account, lambda spec: PlainMachine(spec, host))


def _stand_in(settings: LocalSettings, state_dir: Path) -> Kind:
    host = StandIns(state_dir, settings.ssh_port)
    return Kind(
        "standin",
        STANDIN_ACCOUNT,
        "jupyter",
        lambda spec: StandInMachine(spec, host),
        standins=host,
    )


def _booted(state_dir: Path) -> Kind:
    check_host()
    base_image.ensure()
    host = BootedHost(state_dir, Disks(state_dir))
    # Images that are to run notebooks have the second account; the base image does not.
    return Kind("booted", CONTROL_ACCOUNT, "jupyter", lambda spec: BootedMachine(spec, host), host)


def install_shims(state_dir: Path) -> Path:
    """Copies the commands that stand in for root's to where machines find them."""
    target = state_dir / "shims"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    for shim in resources.files("cloudjhub.local.machines").joinpath("shims").iterdir():
        copy = target / shim.name
        copy.write_bytes(shim.read_bytes())
        copy.chmod(0o700)
    return target

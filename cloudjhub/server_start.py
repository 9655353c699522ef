"""One start of one single-user server: from a login to a notebook that answers."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cloudjhub import notebook, progress, relocation, remains, remote, renewal
from cloudjhub.cluster import Cluster
from cloudjhub.config import ClusterConfig
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import (
    HostKeyChanged,
    LoginRefused,
    MachineNotAnswering,
)
from cloudjhub.fleet import Fleet
from cloudjhub.home import home_volume_of
from cloudjhub.launch_spec import LaunchSpec, launch_kinds, types_to_start
from cloudjhub.machine import Machine
from cloudjhub.machine_plan import Patience, Plan
from cloudjhub.naming import HOST_KEY_TAG, Owner, has_owner
from cloudjhub.notebook_start import Expected, NotebookStart, Sleeper
from cloudjhub.ownership import make_mine
from cloudjhub.probe import Turns, sshd_answers
from cloudjhub.progress import StartReport

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_LOGIN_SECONDS = 5.0  # on a machine that was up before; sshd may turn callers away for a moment


@dataclass(frozen=True)
class Known:
    """What the hub's state says of the server's machine; None where it says nothing."""

    instance_id: str | None = None
    host_key: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What to run: command and environment as JupyterHub gives them once the address is known."""

    owner: Owner
    instance_type: str | None
    command: tuple[str, ...]
    environment: Callable[[str], Mapping[str, str]]  # private address -> environment
    health_path: str
    notebook_seconds: float
    move_home: bool = False  # the user or an admin agreed to have it moved
    sleeper: Sleeper | None = None
    watch: notebook.Watch | None = None  # over the machine, for when no hub looks after it


@dataclass(frozen=True)
class Running:
    """Where the server runs."""

    instance: Instance
    host_key: str
    port: int
    woke: bool = False  # it is the server that was hibernated


class ServerStart:
    """The steps of one start. Nothing of it is shared with another start but the cluster."""

    def __init__(
        self, cluster: Cluster, wanted: Wanted, report: StartReport, *, patience: Patience
    ):
        self._cluster = cluster
        self._wanted = wanted
        self._report = report
        self._patience = patience

    async def run(self, known: Known, commit: Callable[[Instance, str], None]) -> Running:
        """Go all the way. ``commit`` is called once the machine is the owner's, with its host key.

        Raises CloudJHubError. If it is cancelled, a machine that was not given yet is a spare.
        """
        config = self._cluster.config()
        fleet = await self._cluster.fleet()
        owner = self._wanted.owner
        plan = Plan(
            owner,
            lambda: self._kinds(config, fleet),
            self._patience,
            types=lambda present: types_to_start(config, present),
            outdated=lambda old: renewal.is_outdated(fleet, config, owner, old),
            moving=relocation.Terms(config.move_homes, self._wanted.move_home),
        )
        hearing = self._cluster.hearing
        machine = Machine(
            fleet, plan, self._report, _answers(config, self._cluster.questions), hearing=hearing
        )
        try:
            instance, session = await self._let_in(config, machine, known)
            try:
                home = await renewal.succeed(fleet, config, owner, machine.replaces, machine.move)
                instance = await make_mine(
                    fleet,
                    owner,
                    instance,
                    fingerprint=session.fingerprint,
                    born_with_home=machine.born_with_home,
                )
                commit(instance, session.fingerprint)
                running = await self._serve(config, fleet, instance, session, must_be=home)
                await renewal.end_replaced(fleet, owner)
                await remains.tidy_if_due(fleet, owner)
                return running
            finally:
                # In a thread: closing waits for the connection's own thread.
                self._cluster.ssh_threads.submit(session.close)
        finally:
            machine.release()

    async def _kinds(self, config: ClusterConfig, fleet: Fleet) -> tuple[LaunchSpec, ...]:
        image = await fleet.image(config.worker_ami)
        zones = await fleet.zones(config.subnet_ids)
        return launch_kinds(config, image, zones, instance_type=self._wanted.instance_type)

    async def _let_in(
        self, config: ClusterConfig, machine: Machine, known: Known
    ) -> tuple[Instance, remote.Session]:
        """A machine that answers and admits us. A new version that does not is given up."""
        upkeep = await self._cluster.upkeep()
        if known.instance_id:
            # A stop of before that EC2 did not hear must not meet the start that begins.
            upkeep.wanted(known.instance_id)
        instance = await machine.answering(known.instance_id)
        while True:
            upkeep.wanted(instance.id)
            try:
                booting = machine.just_booted
                return instance, await self._connect(config, instance, known, booting=booting)
            except (MachineNotAnswering, LoginRefused) as error:
                if machine.replaces is None:
                    raise
                instance = await machine.back_to_old(error)

    async def _connect(
        self, config: ClusterConfig, instance: Instance, known: Known, *, booting: bool
    ) -> remote.Session:
        """Log in. A machine that boots speaks before it lets anyone in (pam_nologin, keys that
        cloud-init has yet to write), so a refusal counts only after a while."""
        pinned = _pinned(instance, known) or self._cluster.spare_host_key(instance.id)
        target = remote.Target(
            host=instance.private_ip or "",
            port=config.worker_ssh_port,
            username=config.worker_username,
            key_file=config.worker_key_file,
        )
        patience = self._patience.login_seconds if booting else _LOGIN_SECONDS
        deadline: float | None = None  # the time until it is this login's turn does not count
        passing = (MachineNotAnswering, LoginRefused) if booting else MachineNotAnswering
        pause = 0.2
        while True:
            try:
                async with self._cluster.letting_in.turn(self._report):
                    deadline = deadline or time.monotonic() + patience
                    return await self._connected(target, pinned)
            except HostKeyChanged:
                log.error("%s of %s shows a changed host key", instance.id, self._wanted.owner)
                if not has_owner(instance.tags):
                    (await self._cluster.fleet()).spares.condemn(instance.id)
                raise
            except passing as error:
                if deadline is None or time.monotonic() + pause > deadline:
                    raise
                log.info("Login to %s again: %s", instance.id, error)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    async def _connected(self, target: remote.Target, pinned: str | None) -> remote.Session:
        loop = asyncio.get_running_loop()
        attempt = loop.run_in_executor(
            self._cluster.ssh_threads,
            lambda: remote.connect(target, fingerprint=pinned, timeout_seconds=_CONNECT_SECONDS),
        )
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            attempt.add_done_callback(_close_unwanted)
            raise

    async def _serve(
        self,
        config: ClusterConfig,
        fleet: Fleet,
        instance: Instance,
        session: remote.Session,
        *,
        must_be: str | None,
    ) -> Running:
        """Connect the home and start the notebook. ``must_be``: no other home will do."""
        owner = self._wanted.owner
        home = await home_volume_of(fleet, instance, owner, self._report, must_be)
        if must_be not in (None, home):
            raise MachineNotAnswering(f"Your files ({must_be}) did not come to {instance.id}.")
        plan = notebook.NotebookPlan(
            command=self._wanted.command,
            environment=self._wanted.environment(instance.private_ip or ""),
            account=config.notebook_username,
            port=config.notebook_port,
            home_volume_id=home,
            watch=self._wanted.watch,
        )
        wanted = self._wanted
        expected = Expected(owner, wanted.health_path, wanted.notebook_seconds, wanted.sleeper)
        with self._report.phase(progress.NOTEBOOK):
            begun = NotebookStart(self._cluster, instance, session, expected)
            woke = await begun.run(plan, self._report)
        return Running(instance, session.fingerprint, plan.port, woke)


def _pinned(instance: Instance, known: Known) -> str | None:
    """The fingerprint to insist on; None at the first contact.

    The tag decides, so that an operator can allow a new key by removing it; the hub's state only
    speaks where the machine lost all its tags.
    """
    if has_owner(instance.tags):
        return instance.tags.get(HOST_KEY_TAG)
    return known.host_key if known.instance_id == instance.id else None


def _answers(config: ClusterConfig, questions: Turns) -> Callable[[Instance], Awaitable[bool]]:
    async def answers(instance: Instance) -> bool:
        await questions.turn()
        return await sshd_answers(instance.private_ip or "", config.worker_ssh_port)

    return answers


def _close_unwanted(attempt: "asyncio.Future[remote.Session]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        threading.Thread(target=attempt.result().close, daemon=True).start()

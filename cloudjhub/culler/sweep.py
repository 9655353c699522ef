"""The sweep: machines that run without a server are stopped, what nobody owns is listed or removed.

EC2 is compared with the hub, and whatever could not be read whole is left as it is. What follows
from it is decided in ``strays`` and ``leftovers``, which are pure; machines are stopped by the hub
itself (``hub_machines``), which alone knows who is starting a server at that moment.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from pydantic import ValidationError

from cloudjhub.config import ClusterConfig
from cloudjhub.culler.cloud import Cloud
from cloudjhub.culler.findings import DONE, PLANNED, Deed, Finding, SweepReport
from cloudjhub.culler.leftovers import Leftover, leftovers
from cloudjhub.culler.strays import (
    HubKnows,
    InUse,
    Sightings,
    grace_of,
    is_doubtful,
    judged,
    sighting,
    sleepers,
    strays,
)
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError
from cloudjhub.naming import tag_value

log = logging.getLogger(__name__)

#: one call of the hub's REST API: method, path, body; status and JSON. OSError: no answer.
Ask = Callable[[str, str, Mapping[str, Any] | None], Awaitable[tuple[int, Any]]]

_PATH = "/cloudjhub/machines"
_LEFTOVERS_EVERY_SECONDS = 3600.0
_WAKE_AGAIN_SECONDS = 3600.0  # where EC2 would not; others come first meanwhile
_WOKEN_SECONDS = 3600.0  # after that it is a machine without a server, as any other
_DEEDS_KEPT = 50
_STOPS_AT_ONCE = 100  # requests to the hub, which makes few calls of them


class Unreadable(Exception):
    """The hub did not say all that a sweep must know."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(timezone.utc)


class Sweeper:
    """Remembers from round to round what it saw, for how long."""

    def __init__(
        self,
        *,
        config: Callable[[], ClusterConfig],
        ask: Ask,
        cloud: Callable[[ClusterConfig], Cloud] = Cloud,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ):
        self._config = config
        self._ask = ask
        self._make_cloud = cloud
        self._clock = clock
        self._now = now
        self._cloud: Cloud | None = None
        self._strays = Sightings()
        self._leftovers = Sightings(longest_seconds=2 * _LEFTOVERS_EVERY_SECONDS)
        self._woken: dict[str, float] = {}
        self._not_woken: dict[str, float] = {}  # when EC2 refused
        self._said: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._report = SweepReport(now())

    async def round(self, *, dry: bool = False) -> SweepReport:
        """One look at everything and what follows from it; ``dry``: what would follow."""
        report = replace(self._report, at=self._now(), unreadable="", machines=())
        try:
            report = await self._with_machines(report, dry)
            self._complaints.pop("machines", None)
        except Exception as error:
            self._strays.interrupted()
            report = replace(report, unreadable=self._complain("machines", error))
        if dry or self._leftovers_are_due(report):
            report = replace(report, leftovers=(), leftovers_unreadable="")
            try:
                report = await self._with_leftovers(report, dry)
                self._complaints.pop("leftovers", None)
            except Exception as error:
                self._leftovers.interrupted()
                unreadable = self._complain("leftovers", error)
                report = replace(report, leftovers_unreadable=unreadable)
        self._tell(report.findings)
        self._report = _with_deeds(report)
        return self._report

    async def _clients(self, config: ClusterConfig) -> Cloud:
        if self._cloud is None:
            # In a thread: loading EC2's service description takes a tenth of a second.
            self._cloud = await asyncio.to_thread(self._make_cloud, config)
        return self._cloud

    # -- machines

    async def _with_machines(self, report: SweepReport, dry: bool) -> SweepReport:
        """Raises what made it impossible to read everything."""
        config = self._config()
        cloud = await self._clients(config)
        # The hub after EC2: who began to start meanwhile is seen by it.
        machines = await asyncio.to_thread(cloud.machines)
        known = await self._hub_knows()
        found = self._decided(machines, known, config, cloud.cluster)
        if not dry:
            found = await self._done(found, lambda each: self._do(each, cloud), _STOPS_AT_ONCE)
        return replace(report, mode=config.sweep, machines=tuple(found))

    def _decided(
        self, machines: Sequence[Instance], known: HubKnows, config: ClusterConfig, cluster: str
    ) -> list[Finding]:
        in_use = InUse(known.servers)
        running = strays(machines, in_use, cluster)
        seconds = self._strays.look(map(sighting, running), self._clock())
        doubtful = is_doubtful(running, machines, cluster)
        quiet = config.never_idle(self._now())
        found = []
        for machine in running:
            woken = self._was_woken(machine)
            grace = grace_of(machine, config, known.limits, woken=woken, doubtful=doubtful)
            seen = seconds[sighting(machine)]
            found.append(judged(machine, seen, config, grace, quiet=quiet and not woken))
        refused = self._lately_refused()
        return found + sleepers(machines, in_use, config, cluster, self._now(), refused=refused)

    def _was_woken(self, machine: Instance) -> bool:
        at = self._woken.get(machine.id)
        return at is not None and self._clock() - at < _WOKEN_SECONDS

    def _lately_refused(self) -> Collection[str]:
        since = self._clock() - _WAKE_AGAIN_SECONDS
        self._not_woken = {id: at for id, at in self._not_woken.items() if at > since}
        return self._not_woken

    async def _hub_knows(self, query: str = "") -> HubKnows:
        status, body = await self._ask("GET", _PATH + query, None)
        if status != 200:
            raise Unreadable(f"The hub answered {status} when it was asked for its servers.")
        try:
            return HubKnows.model_validate(body)
        except ValidationError as error:
            raise Unreadable("The hub's answer is not to be understood.") from error

    async def _do(self, finding: Finding, cloud: Cloud) -> str:
        if finding.step == "wake":
            return await self._wake(finding.id, cloud)
        body = {"hibernate": finding.step == "hibernate", "reason": finding.why}
        status, answer = await self._ask("POST", f"{_PATH}/{finding.id}/stop", body)
        if status in (200, 202, 204):
            return DONE
        said = answer.get("message", "") if isinstance(answer, dict) else ""
        return said or f"The hub answered {status}."

    async def _wake(self, instance_id: str, cloud: Cloud) -> str:
        try:
            await asyncio.to_thread(cloud.wake, instance_id)
        except CloudJHubError:
            self._not_woken[instance_id] = self._clock()
            raise
        self._woken[instance_id] = self._clock()
        return DONE

    # -- volumes, snapshots, addresses

    def _leftovers_are_due(self, report: SweepReport) -> bool:
        if report.leftovers_at is None:
            return True
        age = (report.at - report.leftovers_at).total_seconds()
        return age >= _LEFTOVERS_EVERY_SECONDS

    async def _with_leftovers(self, report: SweepReport, dry: bool) -> SweepReport:
        """Raises what made it impossible to read everything."""
        config = self._config()
        cloud = await self._clients(config)
        inventory = await asyncio.to_thread(cloud.inventory)
        users = await self._users()
        found = leftovers(
            inventory, users.__contains__, spare_seconds=config.spare_seconds, now=report.at
        )
        things = {each.thing.id: each.thing for each in found}
        seconds = self._leftovers.look(things, self._clock())
        findings = [_listed(each, seconds[each.thing.id], config) for each in found]
        if not dry:
            # One after another: EC2 takes few of these a second, and none of it is urgent.
            findings = await self._done(
                findings, lambda each: asyncio.to_thread(_removed, cloud, things[each.id]), 1
            )
        return replace(report, mode=config.sweep, leftovers=tuple(findings), leftovers_at=report.at)

    async def _users(self) -> set[str]:
        """Everybody whom the hub knows, as values of a tag."""
        known = await self._hub_knows("?users=1")
        if known.users is None:
            raise Unreadable("The hub did not name its users.")
        return {tag_value(name) for name in known.users}

    # -- doing and saying

    async def _done(
        self,
        findings: Iterable[Finding],
        do: Callable[[Finding], Awaitable[str]],
        at_once: int,
    ) -> list[Finding]:
        """All of it, so many at once; each finding with what came of it."""
        gate = asyncio.Semaphore(at_once)
        return list(await asyncio.gather(*(self._tried(each, do, gate) for each in findings)))

    async def _tried(
        self,
        finding: Finding,
        do: Callable[[Finding], Awaitable[str]],
        gate: asyncio.Semaphore,
    ) -> Finding:
        if finding.outcome != PLANNED:
            return finding
        try:
            async with gate:
                outcome = await do(finding)
        except (CloudJHubError, OSError) as error:
            outcome = str(error) or type(error).__name__
        except Exception as error:
            log.exception("The sweep failed at %s", finding.id)
            outcome = type(error).__name__
        return replace(finding, outcome=outcome)

    def _tell(self, findings: Sequence[Finding]) -> None:
        """In the log: each thing once as it is, and what was done whenever it was."""
        for finding in findings:
            if finding.outcome == DONE:
                log.warning("Sweep: %s", finding)
            elif str(finding) not in self._said:
                log.info("Sweep: %s", finding)
        self._said = {str(finding) for finding in findings}

    def _complain(self, part: str, error: Exception) -> str:
        """Why it could not be read; in the log once, until it is another reason or over."""
        if isinstance(error, (CloudJHubError, Unreadable, OSError)):
            text = str(error) or type(error).__name__
        else:
            log.exception("The sweep failed and goes on in its next round")
            text = type(error).__name__
        if self._complaints.get(part) != text:
            log.warning("No sweep of %s: %s", part, text)
            self._complaints[part] = text
        return text


def _with_deeds(report: SweepReport) -> SweepReport:
    """With what was done in this round before what was done earlier."""
    found = report.machines
    if report.leftovers_at == report.at:
        found += report.leftovers
    new = tuple(Deed(report.at, each) for each in found if each.outcome not in ("", PLANNED))
    return replace(report, deeds=(new + report.deeds)[:_DEEDS_KEPT])


def _listed(leftover: Leftover, seconds: float, config: ClusterConfig) -> Finding:
    """Removed only where that was asked for, and in the second look that shows it."""
    thing = leftover.thing
    finding = Finding(leftover.kind, thing.id, thing.owner, leftover.why, seconds=seconds)
    if config.sweep != "remove" or not leftover.removable:
        return finding
    if seconds <= 0:
        return replace(finding, why=f"{finding.why}; removed if it is still so in an hour")
    return replace(finding, step="remove", outcome=PLANNED)


def _removed(cloud: Cloud, thing: Any) -> str:
    cloud.remove(thing)
    return DONE

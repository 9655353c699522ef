"""Which machine each server has, and the stop of a machine that no server has: part of the hub.

Beside JupyterHub's own REST API, as hub_api is. The sweep asks here since only the hub's process
knows who is starting a server at this very moment.
"""

import json
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from pydantic import BaseModel, Field, ValidationError
from tornado import web

from cloudjhub.cluster import Cluster
from cloudjhub.culler.policy import terms_of
from cloudjhub.culler.strays import HubKnows, InUse, Server, is_sweepable
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError
from cloudjhub.fleet import Fleet
from cloudjhub.naming import tag_value


class MachineStop(BaseModel):
    """Body of a stop."""

    hibernate: bool = False
    reason: str = Field(default="no server needs it", max_length=500)


class _MachinesHandler(APIHandler):
    def _servers(self) -> list[Server]:
        """Every server that is ready or pending: these are all in memory (user.py, UserDict)."""
        return [
            _server(spawner)
            for user in list(self.users.values())
            for spawner in list(user.spawners.values())
            if spawner.active
        ]

    def _cluster(self) -> Cluster:
        # A spawner without a user, for its traits: as hub_start makes one.
        return self.settings["spawner_class"](parent=self.app).cluster

    async def _fleet(self) -> Fleet:
        try:
            return await self._cluster().fleet()
        except CloudJHubError as error:
            raise web.HTTPError(503, error.advice) from error


class MachinesHandler(_MachinesHandler):
    """Which machine each server has."""

    @needs_scope("list:users")
    @needs_scope("read:servers")
    def get(self) -> None:
        """``HubKnows`` in JSON, of one moment. With ``?users`` every user's name as well."""
        users = None
        if self.get_argument("users", None) is not None:
            users = [name for (name,) in self.db.query(orm.User.name)]
        limits = self._limits()
        self.write(HubKnows(servers=self._servers(), users=users, limits=limits).model_dump_json())

    def _limits(self) -> dict[str, int]:
        """Of the users whose limit is not everybody's."""
        try:
            config = self._cluster().config()
        except CloudJHubError as error:
            raise web.HTTPError(503, error.advice) from error
        groups: dict[str, list[str]] = {user: [] for user in config.idle_timeout_of_user}
        named = orm.Group.name.in_(config.idle_timeout_of_group)
        for group in self.db.query(orm.Group).filter(named):
            for user in group.users:
                groups.setdefault(user.name, []).append(group.name)
        return {
            tag_value(user): terms_of(config, user, theirs).timeout_seconds
            for user, theirs in groups.items()
        }


class MachineStopHandler(_MachinesHandler):
    """Stop or hibernate a machine that runs without a server."""

    @needs_scope("delete:servers")
    async def post(self, instance_id: str) -> None:
        """204 when EC2 has accepted it or it is off; 409 where somebody has or gets it."""
        asked = self._asked()
        fleet = await self._fleet()
        try:
            await fleet.view.refreshed()
            machine = fleet.view.get(instance_id)
            if machine is None:
                raise web.HTTPError(404, "No such machine")
            if machine.state in ("pending", "running"):
                await self._stop(fleet, machine, asked)
        except CloudJHubError as error:
            raise web.HTTPError(503, str(error)) from error
        self.set_header("Content-Type", "text/plain")
        self.set_status(204)

    def _asked(self) -> MachineStop:
        try:
            return MachineStop.model_validate(self.get_json_body() or {})
        except ValidationError as error:
            raise web.HTTPError(400, json.dumps(error.errors(include_url=False))) from error

    async def _stop(self, fleet: Fleet, machine: Instance, asked: MachineStop) -> None:
        """Between the look at who has it and the mark that it stops nothing else can run."""
        refusal = kept_by(fleet, machine, self._servers())
        if refusal:
            raise web.HTTPError(409, refusal)
        self.log.warning("%s is stopped by the sweep: %s", machine.id, asked.reason)
        # Whoever starts it now sees it as they will when EC2 has answered, and waits.
        fleet.view.tell_states({machine.id: "stopping"})
        await fleet.stop(machine.id, hibernate=asked.hibernate)


def kept_by(fleet: Fleet, machine: Instance, servers: list[Server]) -> str:
    """Why the machine is not to be stopped at this moment; "" where nobody has or gets it."""
    if not is_sweepable(machine, fleet.cluster):
        return "It is nobody's; what becomes of it is the pool's affair."
    begins = machine.state == "pending" or fleet.is_being_started(machine.id)
    if begins or not fleet.spares.unclaimed({machine.id}):
        return "It is being started, or removed."
    if InUse(servers).holds(machine):
        return "A server has it, or is about to."
    return ""


def _server(spawner: Any) -> Server:
    return Server(
        user=spawner.user.name,
        server=spawner.name,
        instance_id=spawner.get_state().get("instance_id"),
        pending=spawner.pending or None,
    )


#: for JupyterHub.extra_handlers
HANDLERS = [
    (r"/api/cloudjhub/machines", MachinesHandler),
    (r"/api/cloudjhub/machines/([^/]+)/stop", MachineStopHandler),
]

"""InstanceSpawner: a single-user server on an EC2 machine of the user's own.

Traits and glue; the work is in server_start, machine and fleet. Why the odd corners are as they
are stands beside them, with the place in JupyterHub 6.1 that demands it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from jupyterhub import orm
from jupyterhub.spawner import Spawner, SpawnException
from jupyterhub.utils import url_path_join

from cloudjhub import machine_end, options
from cloudjhub.deadlines import timeout
from cloudjhub.ec2_values import Instance
from cloudjhub.errors import CloudJHubError, ConfigError
from cloudjhub.fleet import Fleet
from cloudjhub.idle_config import IdleAction
from cloudjhub.idle_terms import watch_over, with_idle
from cloudjhub.naming import Owner, owner_tags, tag_value
from cloudjhub.notebook_poll import NotebookPoll
from cloudjhub.notebook_start import Sleeper
from cloudjhub.ownership import anything_of
from cloudjhub.progress import StartReport
from cloudjhub.questions import Questions
from cloudjhub.server_start import Known, Running, ServerStart, Wanted
from cloudjhub.server_stop import ServerStop
from cloudjhub.server_tokens import ServerTokens
from cloudjhub.spawner_traits import InstanceSpawnerTraits, speak_through
from cloudjhub.start_failure import for_people
from cloudjhub.states import STATES


class InstanceSpawner(InstanceSpawnerTraits, Spawner):
    """Starts each user's server on an EC2 instance of their own and stops it with the server."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        speak_through(self.log)
        self._instance_id: str | None = None
        self._host_key: str | None = None
        self._tokens = ServerTokens(self)
        self._private_ip: str = ""
        self._server_port: int | None = None
        self._took: dict[str, float] = {}  # the last start's phases, seconds
        self._start_under_way = False
        self._report: StartReport | None = None
        self._notebook = NotebookPoll()
        self.questions = Questions()
        #: what the next stop does; one that nobody asked otherwise for is plain
        self.next_stop: IdleAction = "stop"

    @property
    def owner(self) -> Owner:
        """Whose machine this server runs on: every named server has one of its own."""
        return Owner(self.user.name, self.name)

    # -- state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what an earlier hub process wrote."""
        super().load_state(state)
        self._instance_id = state.get("instance_id")
        self._host_key = state.get("host_key")
        self._tokens.load(state)
        self.questions.load(state)
        self._private_ip = state.get("private_ip", "")
        self._server_port = state.get("port")
        self._took = state.get("took", {})
        self.cluster.times.add_earlier(self._took)

    def get_state(self) -> dict[str, Any]:
        """Ids and the public host key; admins may read this over REST, so nothing secret."""
        state = super().get_state()
        state.update(
            instance_id=self._instance_id,
            host_key=self._host_key,
            **self._tokens.state(),
            **self.questions.state(),
            private_ip=self._private_ip,
            port=self._server_port,
            took=self._took,
        )
        return {key: value for key, value in state.items() if value}

    def clear_state(self) -> None:
        """Forget the server, not the machine: JupyterHub calls this before each start too."""
        self._tokens.ended()
        self.next_stop = "stop"  # a server that died is not stopped, and so did not take it
        super().clear_state()
        self._notebook.begin()
        self.questions.begin()

    def _commit(self, instance: Instance, host_key: str) -> None:
        """Write the state in the middle of a start, so that a hub that dies now finds back.

        JupyterHub itself writes it only after start() (user.py, spawn).
        """
        self._instance_id = instance.id
        self._host_key = host_key
        self._private_ip = instance.private_ip or ""
        self._tokens.made()
        self._write_state()

    def was_asked(self, token: orm.APIToken | None) -> None:
        """Somebody asks what holds for this server. It is noted if that is the server itself."""
        if self._tokens.is_current(token) and self.questions.heard():
            self._write_state()

    def _write_state(self) -> None:
        self.orm_spawner.state = self.get_state()
        self.user.db.commit()

    async def get_url(self) -> str:
        """The address from the state, where the hub died before it wrote the server's own."""
        if not self._private_ip or not self._server_port or not self.server:
            return await super().get_url()
        return f"http://{self._private_ip}:{self._server_port}{self.server.base_url}"

    # -- start

    async def start(self) -> str:
        """Find, make or wake the user's machine and start the server there; gives its URL."""
        self._start_under_way = True
        self._report = StartReport(self.cluster.times)
        try:
            async with timeout(self.start_timeout * 0.95):
                running = await self._start()
        except asyncio.TimeoutError as error:
            raise self._for_people(self._report.too_late(self.start_timeout * 0.95)) from error
        except CloudJHubError as error:
            raise self._for_people(error) from error
        except Exception as error:
            self.log.exception("The start of the server of %s failed unexpectedly", self.owner)
            raise self._for_people(CloudJHubError("Your server could not be started.")) from error
        # A start that fails or is cancelled stays "under way": only if poll() answers None will
        # JupyterHub call stop() (user.py, stop), and nobody shall pay for a machine without a user.
        # A cancelled one must also end at once (apihandlers/users.py waits only 1 s).
        self._start_under_way = False
        self._took = self._report.took
        return f"http://{running.instance.private_ip}:{running.port}"

    async def _start(self) -> Running:
        asked = self._options_of_this_start()  # first, as what follows may fail
        if self.internal_ssl:
            raise ConfigError(
                ["JupyterHub.internal_ssl: certificates do not reach the machines yet; set it off."]
            )
        config = self.cluster.config()
        self._server_port = config.notebook_port
        chosen = options.checked(asked, config)
        if self.will_resume:
            self._tokens.expects_sleeper()
            self._write_state()
        wanted = Wanted(
            owner=self.owner,
            instance_type=chosen.instance_type,
            move_home=chosen.move_home,
            command=(*self.cmd, *self.get_args()),
            environment=self._environment,
            health_path=self._health_path(),
            notebook_seconds=self.notebook_timeout_seconds,
            sleeper=self._sleeper() if self.will_resume else None,
            watch=watch_over(config, self.user.name, [group.name for group in self.user.groups]),
        )
        assert self._report is not None
        start = ServerStart(self.cluster, wanted, self._report, patience=self.patience)
        running = await start.run(Known(self._instance_id, self._host_key), self._commit)
        if running.woke:
            self._tokens.woke()
        return running

    @property
    def will_resume(self) -> bool:
        """Whether the server's process is hibernated, so that JupyterHub keeps what it needs."""
        return self._tokens.is_asleep

    def _sleeper(self) -> Sleeper:
        return Sleeper(has_token=self._tokens.is_of_sleeper, is_lost=self._lose_sleeper)

    def _lose_sleeper(self) -> None:
        self._tokens.replaced()
        self._write_state()

    def _environment(self, private_ip: str) -> dict[str, str]:
        # JUPYTERHUB_SERVICE_URL, where the server listens, comes from these two.
        self.ip, self.port = private_ip, self._server_port or 0
        environment = {key: str(value) for key, value in self.get_env().items()}
        return with_idle(environment, self.user.escaped_name, self.name)

    def _health_path(self) -> str:
        return url_path_join(self.server.base_url if self.server else "/", "api")

    def _for_people(self, error: CloudJHubError) -> SpawnException:
        page = url_path_join(self.hub.base_url, "spawn", self.user.escaped_name, self.name)
        return for_people(error, self.owner, page=page, asked=self.user_options)

    def _options_of_this_start(self) -> dict[str, Any]:
        """What was asked for, unchecked. Agreeing to a move is not kept for later starts."""
        asked, kept = self.user_options, options.for_later(self.user_options)
        if kept != asked:
            self.user_options = self.orm_spawner.user_options = kept
            self.user.db.commit()
        return asked

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What has happened and what happens, from the beginning, for each page that asks."""
        if self._report is not None:
            async for event in self._report.events():
                yield event

    # -- poll

    async def poll(self) -> int | None:
        """None while the server runs or nobody can say; 0 when its machine is off or gone,
        1 when the machine is up and the server is dead or has been silent for long.

        Never raises: JupyterHub takes an error here for "not running" (app.py, check_spawner).
        Never stops anything.
        """
        if self._start_under_way:
            return None
        if self._instance_id is None:
            return 0
        try:
            fleet = await self.cluster.fleet()
            machine = await self._as_last_known(fleet)
        except Exception:
            self.log.exception(
                "Cannot tell how the server of %s is; it counts as before", self.owner
            )
            return None
        if machine is None:
            return None if fleet.view.age_seconds == float("inf") else 0
        if not STATES[machine.state].up:
            if machine.hibernated:  # by a hub whose database is lost, or behind its back
                self._tokens.falls_asleep()
            return 0
        return await self._poll_notebook(machine)

    async def _as_last_known(self, fleet: Fleet) -> Instance | None:
        if fleet.view.age_seconds == float("inf"):
            await fleet.view.refreshed()
        assert self._instance_id is not None
        return fleet.view.get(self._instance_id)

    async def _poll_notebook(self, machine: Instance) -> int | None:
        if self.server is None or not machine.private_ip or not self._server_port:
            return None
        dead = await self._notebook.is_dead(
            self.cluster,
            self.owner,
            machine,
            port=self._server_port,
            health_path=self._health_path(),
        )
        return 1 if dead else None

    # -- stop

    async def stop(self, now: bool = False) -> None:
        """Have EC2 stop the machine. Returns when EC2 has accepted it; a new start waits itself.

        It is hibernated if ``next_stop`` says so and it can. Errors are logged, not raised:
        JupyterHub would show "stopped" all the same and say nothing (handlers/base.py,
        stop_single_user). What failed is done later by the fleet.
        """
        asked, self.next_stop = self.next_stop, "stop"
        self._start_under_way = False
        self.cluster.hearing.forget(self.owner)
        await ServerStop(
            self.cluster,
            self.owner,
            self._instance_id,
            patience_seconds=self.boot_timeout_seconds,
            hibernate=asked == "hibernate",
            sleeps=self._note_sleep,
            knows=self._is_user,
        ).run()

    def _is_user(self, tag: str) -> bool:
        names = self.user.db.query(orm.User.name)
        return any(tag_value(name) == tag for (name,) in names)

    def _note_sleep(self, asleep: bool) -> None:
        if asleep:
            self._tokens.falls_asleep()
            self._write_state()
        else:
            self._tokens.forget_asleep()

    async def has_files(self) -> bool:
        """Whether the user has a machine or a home; also if EC2 cannot be asked."""
        try:
            return await anything_of(await self.cluster.fleet(), self.user.name)
        except CloudJHubError as error:
            self.log.error("Cannot tell whether %s has files: %s", self.user.name, error)
            return True

    # -- for ever

    async def delete_forever(self) -> None:
        """The user or the named server was deleted: machine and home go if the operator said so.

        With ON_USER_DELETE "keep" the machine is stopped and everything stays, with its tags.
        """
        self._tokens.forget_asleep()
        fleet = await self.cluster.fleet()
        await fleet.view.refreshed()
        if self.cluster.config().on_user_delete == "keep":
            await self.stop()
            return
        await machine_end.remove_for_ever(fleet, self.owner)

    async def rename(self, old_name: str, new_name: str) -> None:
        """A named server gets another name: machine and home follow by their tags."""
        fleet = await self.cluster.fleet()
        await fleet.view.refreshed()
        old, new = Owner(self.user.name, old_name), Owner(self.user.name, new_name)
        ids = [machine.id for machine in fleet.owned_by(old)]
        ids += [volume.id for volume in await fleet.volumes_of(old)]
        if ids:
            await fleet.tag(ids, owner_tags(new))

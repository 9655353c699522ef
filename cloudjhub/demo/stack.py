"""The whole system on this computer: local EC2, proxy and hub, as one thing to start and stop."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from cloudjhub.demo import hub_files
from cloudjhub.demo.child import Program
from cloudjhub.demo.folder import (
    ADMIN,
    USERS,
    DemoError,
    DemoFolder,
    Secrets,
    is_free,
    write_private,
)
from cloudjhub.demo.hub_files import HubPlan
from cloudjhub.demo.processes import Process, descendants
from cloudjhub.demo.service import Service
from cloudjhub.local import LocalEC2, LocalSettings
from cloudjhub.local.settings import Variant

# What the machines of each variant are, after "machines".
MACHINES = {
    "userns": "have namespaces of their own",
    "plain": "are plain processes of this account",
    "booted": "boot Debian on disks and in a network of their own",
    "standin": "are one process that answers for all of them",
}


@dataclass(frozen=True)
class DemoSettings:
    """What can be chosen about a demo.

    ``local`` sets up its EC2, ``more_config`` is Python for the hub's configuration, loaded last.
    ``paces_of_aws``: the hub asks EC2 and servers as seldom as it does there.
    """

    folder: Path
    port: int = 8000
    users: tuple[str, ...] = USERS
    local: LocalSettings = field(default_factory=LocalSettings)
    more_config: str = ""
    more_server_config: dict[str, Any] = field(default_factory=dict)
    paces_of_aws: bool = False


def local_settings(start_seconds: float, variant: Variant = "auto") -> LocalSettings:
    """A local EC2 whose machines take about that long from the call to the login.

    Machines that boot take their own time for it.
    """
    if variant == "booted":
        return LocalSettings(variant=variant, pending_seconds=start_seconds / 3, boot_seconds=0.0)
    return LocalSettings(
        variant=variant, pending_seconds=start_seconds / 3, boot_seconds=start_seconds * 2 / 3
    )


class Demo:
    """One running demo, an async context manager. What it started ends with it, also on errors.

    The folder keeps the hub's database and the machines' disks for the next time.
    """

    plan: HubPlan
    secrets: Secrets
    ec2: LocalEC2
    proxy: Service
    hub: Service
    server_config: dict[str, Any]

    def __init__(self, settings: DemoSettings, *, say: Callable[[str], None] = lambda text: None):
        self.settings = settings
        self.folder = DemoFolder(settings.folder)
        self._say = say
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> "Demo":
        self.folder.claim()
        self._exits.callback(self.folder.release)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End everything, the last started first. Can be repeated."""
        await asyncio.shield(self._exits.aclose())

    @property
    def url(self) -> str:
        """Where people go."""
        return self.plan.url

    def password(self, user: str) -> str:
        """What the user types on the login page."""
        return self.secrets.admin_password if user == ADMIN else self.secrets.user_password

    def processes(self) -> list[Process]:
        """Every process that the demo started and that runs now, those of machines included."""
        found = {process.pid: process for process in descendants(os.getpid())}
        for _, machine in self.ec2.machines.on():
            # A notebook server that left its session need not be a descendant any more.
            found |= {pid: process for pid in machine.pids() if (process := Process.of(pid))}
        return list(found.values())

    async def failure(self) -> None:
        """Wait until a part cannot be kept alive; raises why."""
        failures = [service.failure for service in (self.hub, self.proxy)]
        await asyncio.wait([f for f in failures if f], return_when=asyncio.FIRST_COMPLETED)
        for future in failures:
            if future is not None and future.done():
                future.result()

    # How it comes up --------------------------------------------------------------------------

    async def _start(self) -> None:
        if self.settings.port and not is_free(self.settings.port):
            raise DemoError(f"Port {self.settings.port} is in use; name another with --port.")
        self.secrets = self.folder.secrets()
        ports = self.folder.ports("ec2", "hub", "proxy-api", "public")
        self.plan = HubPlan(
            folder=self.folder,
            public_port=self.settings.port or ports["public"],
            hub_port=ports["hub"],
            proxy_api_port=ports["proxy-api"],
            users=self.settings.users,
            paces_of_aws=self.settings.paces_of_aws,
        )
        await self._step(self._start_ec2(ports["ec2"]))
        await self._step(self._start_proxy())
        await self._step(self._start_hub())

    async def _step(self, work: Coroutine[Any, Any, str]) -> None:
        began = time.monotonic()
        done = await work
        self._say(f"{done} ({time.monotonic() - began:.1f} s)")

    async def _start_ec2(self, port: int) -> str:
        self.ec2 = LocalEC2(self.folder / "ec2", self.settings.local, port=port)
        self._exits.push_async_callback(asyncio.to_thread, self.ec2.stop)
        await _to_the_end(self.ec2.start)
        seeded = await _to_the_end(self.ec2.seed)
        config = {
            "CLUSTER_NAME": "demo",
            "WORKER_INSTANCE_TYPE": "t3.medium",
            "WORKER_EBS_SIZE": 8,
            "USER_HOME_EBS_SIZE": 1,
            "JUPYTER_NOTEBOOK_TIMEOUT": 3600,
            "SERVER_OWNER": "demo",
            **seeded,
            **await self._prepare_machines(seeded),
            **self.settings.more_server_config,
        }
        self.folder.write("server_config.json", config)
        self.server_config = config
        return f"The local EC2 runs; machines {MACHINES[self.ec2.variant]}"

    async def _prepare_machines(self, seeded: dict[str, Any]) -> dict[str, Any]:
        """What differs where machines boot: they need an image with Jupyter on it."""
        if self.ec2.variant != "booted":
            return {}
        # Needs what the operator's side needs; the other kinds of machines do without.
        from cloudjhub.demo import worker_image

        # Machines ask the hub who somebody is.
        self.ec2.admit(self.plan.hub_port)
        self.plan = replace(self.plan, hub_address=self.ec2.host_address)
        work = partial(worker_image.ensure, self.ec2, seeded, self._say)
        return {"WORKER_AMI": await _to_the_end(work)}

    async def _start_proxy(self) -> str:
        token = {"CONFIGPROXY_AUTH_TOKEN": self.secrets.proxy_token}
        program = self._program(
            "proxy",
            hub_files.proxy_command(self.plan),
            {**hub_files.clean_environment(os.environ), **token},
        )
        # Any answer will do: without a hub behind it the public side has only errors to show.
        api = f"http://127.0.0.1:{self.plan.proxy_api_port}/api/routes"
        self.proxy = Service(program, api, changed=self._write_summary)
        self._exits.push_async_callback(self.proxy.stop)
        await self.proxy.start()
        return "The proxy runs"

    async def _start_hub(self) -> str:
        extras = self.folder / "jupyterhub_config.d"
        extras.mkdir(mode=0o700, exist_ok=True)
        write_private(extras / "demo.py", hub_files.hub_config(self.plan, self.secrets))
        write_private(extras / "more.py", self.settings.more_config)
        program = self._program(
            "hub",
            hub_files.hub_command(),
            hub_files.hub_environment(self.plan, self.secrets),
        )
        self.hub = Service(program, f"{self.plan.hub_url}/hub/api", changed=self._write_summary)
        self._exits.push_async_callback(self.hub.stop)
        await self.hub.start(deadline_seconds=120)
        return "JupyterHub runs"

    def _program(self, name: str, command: list[str], environment: dict[str, str]) -> Program:
        return Program(
            name=name,
            command=command,
            environment=environment,
            folder=self.folder.path,
            log=self.folder / ("jupyterhub.log" if name == "hub" else f"{name}.log"),
        )

    def _write_summary(self) -> None:
        """demo.json: what a script needs to use the demo. Holds passwords, so mode 0600."""
        parts = {"hub": getattr(self, "hub", None), "proxy": self.proxy}
        pids = {name: service.pid if service else None for name, service in parts.items()}
        self.folder.write(
            "demo.json",
            {
                "url": self.url,
                "ec2_endpoint": self.ec2.endpoint_url,
                "machines": self.ec2.variant,
                "logins": {user: self.password(user) for user in (ADMIN, *self.settings.users)},
                "admin_api_token": self.secrets.api_token,
                "server_config": str(self.folder / "server_config.json"),
                "pids": {"demo": os.getpid(), **pids},
            },
        )


async def _to_the_end(work: Callable[[], Any]) -> Any:
    """Blocking work that is never abandoned half-way: what it began must be there to be ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise

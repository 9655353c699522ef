"""What begins with the hub and not with the first login: looking after the machines.

JupyterHub has no hook for its own start, but it reads its configuration inside its event loop
(app.py, launch_instance_async), so what jupyterhub_config.py begins there goes on beside it.
"""

import asyncio
import gc
import logging
from typing import Any

from jupyterhub.app import JupyterHub

from cloudjhub.errors import CloudJHubError

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 30.0
_tasks: set["asyncio.Task[None]"] = set()


def begin_with_hub() -> None:
    """For jupyterhub_config.py: as soon as the hub listens, its machines are looked after.

    A pool is filled then, though nobody logs in. Does nothing where the configuration is only
    read, as ``jupyterhub token`` does.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    task = loop.create_task(_begin(), name="cloudjhub-start")
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _begin() -> None:
    hub = JupyterHub.instance() if JupyterHub.initialized() else None
    # Set when everything runs (app.py, start). A hub that cannot get its port, since another has
    # it, ends before; two must not look after the same machines.
    started = getattr(hub, "_start_future", None)
    if hub is None or hub.subapp is not None or started is None:
        return
    await asyncio.shield(started)
    # What a hub is made of lives as long as the hub. Left to the garbage collector, going over all
    # of it kept the event loop for up to half a second at a time while 300 users logged in.
    gc.freeze()
    await _look_after_machines(hub)


async def _look_after_machines(hub: Any) -> None:
    """Have the fleet made; again for as long as that fails, as where server_config.json is bad."""
    if not hasattr(hub.spawner_class, "cluster"):
        log.error("The hub's spawner is not InstanceSpawner; machines wait for the first login")
        return
    spawner = hub.spawner_class(parent=hub)
    complaint = ""
    while True:
        try:
            await spawner.cluster.fleet()
            return
        except CloudJHubError as error:
            if str(error) != complaint:
                log.error("Machines are not looked after yet: %s", error)
            complaint = str(error)
        except Exception:
            log.exception("Machines are not looked after yet")
        await asyncio.sleep(_AGAIN_SECONDS)

"""LocalEC2: starts the parts in order and ends them in order."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cloudjhub.local import network, persistence, seeding
from cloudjhub.local.authorization import AuthorizedCall
from cloudjhub.local.engine import Engine
from cloudjhub.local.faults import Faults
from cloudjhub.local.machines.booted import base_image, kept_images, reaper
from cloudjhub.local.machines.fleet import Machines, choose_kind
from cloudjhub.local.server import Server
from cloudjhub.local.settings import LocalEC2Error, LocalSettings
from cloudjhub.local.vpc import Network
from cloudjhub.local.vpc.serving import Serving


class LocalEC2:
    """An EC2 on this computer, kept in ``state_dir``.

    ``port`` 0 takes any free one. Making the object starts nothing; :meth:`start` and
    :meth:`stop` do, as does using it as a context manager. After :meth:`stop` it can be started
    again. Everything that can go wrong on this computer is a LocalEC2Error.
    """

    def __init__(self, state_dir: Path, settings: LocalSettings | None = None, port: int = 0):
        self.state_dir = Path(state_dir).resolve()
        self.settings = settings or LocalSettings()
        self._port = port
        self._engine: Engine | None = None
        self._servers: list[Server] = []
        self._network: Network | None = None
        self._lock: IO[str] | None = None
        self._claim: network.NetworkClaim | None = None
        self._reaper: subprocess.Popen[bytes] | None = None

    # -- starting and stopping -----------------------------------------------------------------

    def start(self) -> None:
        """Returns when the API answers. Instances that ran last time are ``stopped``."""
        if self._engine is not None:
            return
        self._lock = persistence.lock_folder(self.state_dir)
        try:
            self._start_parts()
        except BaseException:
            self.stop()
            raise

    def _start_parts(self) -> None:
        (self.state_dir / "machines").mkdir(mode=0o700, exist_ok=True)
        (self.state_dir / "volumes").mkdir(mode=0o700, exist_ok=True)
        # What a predecessor that was killed may have left.
        reaper.end_all(self.state_dir)
        kind = choose_kind(self.settings, self.state_dir)
        engine = Engine(self.state_dir, self.settings, kind)
        number = engine.backend.seeded.get("network")
        if kind.variant == "booted":
            self._open_network(engine, int(number) if number else None)
        elif number:
            self._claim = network.reclaim(int(number), self.settings.ssh_port)
        self._listen(engine)
        self._reaper = self._start_reaper()
        self._engine = engine
        engine.start()
        for server in self._servers:
            server.start()

    def _open_network(self, engine: Engine, number: int | None) -> None:
        """The VPC is claimed before it is seeded: the API has an address in it."""
        self._network = Network(self.state_dir, number)
        self._network.open()
        engine.backend.seeded["network"] = str(self._network.number)
        engine.backend.public_range = self._network.addresses.public
        engine.network = Serving(engine, self._network)
        if engine.machines.kind.booted:
            engine.machines.kind.booted.network = self._network

    def _listen(self, engine: Engine) -> None:
        """On loopback, and where machines that boot can ask as well."""
        self._servers = [Server(engine, self._port)]
        if self._network:
            port = self._servers[0].port
            self._servers.append(Server(engine, port, self._network.host_address))
            self._network.admit(port)

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        """A process that outlives ours, should ours be killed, and then ends the machines."""
        package = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-m", reaper.__name__, str(self.state_dir)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env={"PYTHONPATH": str(package)},
            cwd="/",
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ends every process it started. Disks, volumes and what EC2 knows stay."""
        with ExitStack() as rest:
            # What goes wrong with one part keeps no other from its end; the last listed goes first.
            for part in (self._lock, self._network, self._claim):
                if part:
                    rest.callback(part.close)
            rest.callback(self._end_reaper)
            if self._engine:
                rest.callback(self._engine.close)
            for server in self._servers:
                rest.callback(server.stop)
            self._servers = []
            self._engine = self._claim = self._network = self._lock = None

    def _end_reaper(self) -> None:
        if self._reaper and self._reaper.stdin:
            self._reaper.stdin.close()
            self._reaper.wait()
        self._reaper = None

    def __enter__(self) -> "LocalEC2":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- what it offers ------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """Raises LocalEC2Error unless started."""
        if self._engine is None:
            raise LocalEC2Error("The local EC2 is not started.")
        return self._engine

    @property
    def endpoint_url(self) -> str:
        """On loopback; with machines that boot, at an address that they and this host reach."""
        if not self._servers:
            raise LocalEC2Error("The local EC2 is not started.")
        return f"http://{self.host_address}:{self._servers[0].port}"

    @property
    def host_address(self) -> str:
        """Where machines find this computer."""
        return self._network.host_address if self._network else "127.0.0.1"

    @property
    def variant(self) -> str:
        """Which machines these are: userns, plain, booted or standin."""
        return self.engine.machines.kind.variant

    @property
    def faults(self) -> Faults:
        return self.engine.faults

    @property
    def machines(self) -> Machines:
        """``machines.get(instance_id)``: see :class:`cloudjhub.local.machines.base.Machine`."""
        return self.engine.machines

    def servers(self) -> list[dict[str, Any]]:
        """Every stand-in that ever was on and is not terminated: whose server runs there now.

        See :class:`cloudjhub.local.machines.standins.records.Record` for the keys. Raises
        LocalEC2Error with machines of another kind, which have to be asked themselves.
        """
        standins = self.engine.machines.kind.standins
        if standins is None:
            raise LocalEC2Error(f"Machines of the kind {self.variant} keep no record of servers.")
        return standins.order("records")

    def authorized_calls(self) -> list[AuthorizedCall]:
        """Who asked for what, on which resources, and whether IAM allowed it; oldest first."""
        return self.engine.authorization.calls()

    def calls(self) -> dict[str, dict[str, int]]:
        """Action -> ``{"ok": n, "throttled": n, "error": n}`` since the start or the reset."""
        return self.engine.calls.counts()

    def reset_calls(self) -> None:
        self.engine.calls.reset()
        self.engine.authorization.reset()

    def seed(self) -> dict[str, Any]:
        """Makes VPC, subnets, security group, key pair and image, or finds them again.

        Returns the keys of server_config.json that name them. The private key is in a file of
        the state folder that only its owner can read.
        """
        engine = self.engine
        if self._network is None and self._claim is None:
            self._claim = network.claim_free(self.settings.ssh_port)
            engine.backend.seeded["network"] = str(self._claim.number)
        ids = seeding.seed(engine, (self._network or self._claim).cidr)
        return seeding.server_config(engine, ids, self.endpoint_url)

    def prepared_image(self, name: str, make: Callable[[], str]) -> str:
        """The id of an image that takes long to make: made at the first call on this computer.

        ``make()`` returns the id of an available image of that name. It is kept outside the state
        folder, where other local EC2s find it; one at a time makes it.
        """
        images = self.engine.images
        if image := images.named(name):
            return image.id
        with base_image.locked(kept_images.lock_path(name)):
            if not kept_images.folder(name).exists():
                image_id = make()
                images.keep(self.engine.backend.amis[image_id])
                return image_id
        return images.adopt(name, "Kept on this computer").id

    def admit(self, port: int) -> None:
        """Lets machines that boot reach a TCP port of this computer, at :attr:`host_address`."""
        if self._network:
            self._network.admit(port)

    def launch_command(self, config: dict[str, Any]) -> list[str]:
        """Launches a cluster on what :meth:`seed` made; empty where machines do not boot."""
        return seeding.launch_command(self.engine, config) if self._network else []

    def environment(self) -> dict[str, str]:
        """What points boto3 or the aws command here. The keys open nothing anywhere."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self.settings.region,
        }

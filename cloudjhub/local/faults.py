"""Trouble on order. The same as Python methods here and over HTTP under ``/_local/faults``."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cloudjhub.local.buckets import Buckets, Rate
from cloudjhub.local.moto_layer.refusals import Refusal
from cloudjhub.local.stages import Stage

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

Silence = Literal["close", "reset", "silent"]
SILENCES = ("close", "reset", "silent")


@dataclass
class Order:
    """The next ``times`` calls of an action are refused like this."""

    code: str
    message: str
    status: int
    times: int


class Faults:
    """Every method can be called at any time, from any thread; ``clear()`` ends them all.

    Instances terminated behind someone's back need no fault: call the API.
    """

    def __init__(self, engine: "Engine"):
        self._engine = engine
        self._lock = threading.RLock()
        self.lag_seconds = 0.0
        self.profile_lag_seconds = 0.0
        #: id of an address or a security group -> Unix time until which no listing shows it
        self._unlisted: dict[str, float] = {}
        self.silence: Silence | None = None
        self._hung: dict[str, bool] = {}
        self._dying: set[str] = set()
        self._orders: dict[str, Order] = {}
        #: action -> (instance id that the call must name or "", what is done before it)
        self._surprises: dict[str, tuple[str, Callable[[], None]]] = {}
        self._losses: dict[str, int] = {}
        self._buckets = Buckets() if engine.settings.throttle else None

    # -- orders --------------------------------------------------------------------------------

    def slow(self, stage: Stage, seconds: float) -> None:
        """A stage that begins from now on takes this long instead of what the settings say."""
        self._engine.stages.slow(stage, seconds)

    def hold(self, stage: Stage) -> None:
        """Whatever is in this stage, or comes into it, stays there until it is let go."""
        self._engine.stages.hold(stage)

    def let_go(self, stage: Stage) -> None:
        """A stage that was held ends as usual again, at once if its time has passed."""
        self._engine.stages.let_go(stage)

    def lag(self, seconds: float) -> None:
        """Instances launched from now on are unknown to the API for this long; 0: all are known.

        Addresses and security groups are made and used as ever, but no listing shows them.
        """
        with self._engine.lock:
            self.lag_seconds = float(seconds)
            if not self.lag_seconds:
                self._unlisted.clear()
                self._engine.backend.show_all()

    def profile_lag(self, seconds: float) -> None:
        """EC2 does not know instance profiles made from now on for this long; 0: it knows all."""
        with self._engine.lock:
            self.profile_lag_seconds = float(seconds)
            if not self.profile_lag_seconds:
                self._engine.backend.iam.unknown_until.clear()

    def hang(self, instance_id: str, heals: bool = True) -> None:
        """The machine stops doing anything: its port accepts and says nothing.

        ``heals``: whether it is well after the next stop and start, or after a reboot.
        """
        with self._lock:
            self._hung[instance_id] = bool(heals)
        self._freeze(instance_id)

    def release(self, instance_id: str) -> None:
        """A machine that hangs goes on."""
        with self._lock:
            self._hung.pop(instance_id, None)
        self._engine.set_impaired(instance_id, False)
        machine = self._engine.machine(instance_id)
        with machine.lock:
            machine.thaw()

    def die(self, instance_id: str, terminated: bool = False) -> None:
        """Kills the machine; EC2 notices and calls the instance stopped, or terminated."""
        with self._lock:
            if terminated:
                self._dying.add(instance_id)
        machine = self._engine.machine(instance_id)
        with machine.lock:
            machine.crash()

    def unreachable(self, mode: Silence = "close") -> None:
        """No EC2 call is answered: closed, reset, or kept waiting for ever ("silent")."""
        if mode not in SILENCES:
            raise ValueError(f"mode must be one of {', '.join(SILENCES)}: {mode}")
        self.silence = mode

    def throttle(self, on: bool = True, rates: dict[str, Any] | None = None) -> None:
        """EC2's request limits, with full buckets. ``rates``: action -> [burst, per second]."""
        own = {action: Rate(*map(float, rate)) for action, rate in (rates or {}).items()}
        self._buckets = Buckets(own) if on else None

    def capacity(self, instance_type: str, zone: str, slots: int | None = 0) -> None:
        """EC2 has this many instances of the type in the zone, used ones included; None: any."""
        limits = self._engine.capacity
        with self._engine.lock:
            limits.slots.pop((instance_type, zone), None)
            if slots is not None:
                limits.slots[(instance_type, zone)] = int(slots)

    def vcpu_quota(self, vcpus: int | None = None) -> None:
        """The account may use this many vCPUs; None: any number."""
        with self._engine.lock:
            self._engine.capacity.vcpu_quota = vcpus

    def address_quota(self, addresses: int | None = None) -> None:
        """The account may have this many Elastic IPs; None: any number."""
        with self._engine.lock:
            self._engine.capacity.address_quota = addresses

    def refuse(
        self,
        action: str,
        code: str = "InternalError",
        message: str = "On order",
        *,
        status: int = 500,
        times: int = 1,
    ) -> None:
        """The next calls of an action get this error."""
        with self._lock:
            self._orders[action] = Order(code, message, int(status), int(times))

    def lose(self, action: str, times: int = 1) -> None:
        """The next calls of an action are carried out, and nobody gets their answers."""
        with self._lock:
            self._losses[action] = int(times)

    def surprise(self, action: str, work: Callable[[], None], *, naming: str = "") -> None:
        """``work()`` is done right before the next call of an action is answered; Python only.

        So what that call relies on has changed since its caller looked. It is called in another
        thread, and may make calls of its own. ``naming``: an instance's id that the call must
        name; others pass.
        """
        with self._lock:
            self._surprises[action] = (naming, work)

    # -- their end -----------------------------------------------------------------------------

    def clear(self) -> None:
        """Ends every fault; limits are as the settings say again."""
        for instance_id in list(self._hung):
            self.release(instance_id)
        self.lag(0)
        self.profile_lag(0)
        self._engine.stages.clear()
        settings = self._engine.settings
        with self._lock:
            self.silence = None
            self._dying.clear()
            self._orders.clear()
            self._surprises.clear()
            self._losses.clear()
            self._buckets = Buckets() if settings.throttle else None
        with self._engine.lock:
            self._engine.capacity.slots = dict(settings.capacity)
            self._engine.capacity.vcpu_quota = settings.vcpu_quota
            self._engine.capacity.address_quota = None

    def as_dict(self) -> dict[str, Any]:
        """What is ordered now, as JSON knows it."""
        limits = self._engine.capacity
        return {
            **self._engine.stages.as_dict(),
            "lag": self.lag_seconds,
            "profile_lag": self.profile_lag_seconds,
            "hang": dict(self._hung),
            "unreachable": self.silence,
            "throttle": self._buckets is not None,
            "capacity": [[*kind, slots] for kind, slots in list(limits.slots.items())],
            "vcpu_quota": limits.vcpu_quota,
            "address_quota": limits.address_quota,
            "refuse": {action: vars(order) for action, order in list(self._orders.items())},
            "lose": dict(self._losses),
        }

    # -- what the rest of the local EC2 asks ---------------------------------------------------

    def made(self, resource_id: str) -> None:
        """An address or a security group, which listings show after the lag."""
        if self.lag_seconds:
            self._unlisted[resource_id] = time.time() + self.lag_seconds

    def is_listed(self, resource_id: str) -> bool:
        return self._unlisted.get(resource_id, 0.0) <= time.time()

    def before(self, action: str, instance_ids: Collection[str] = ()) -> None:
        """Refuses a call, which names those instances, if that was ordered."""
        with self._lock:
            naming, surprise = self._surprises.get(action, ("", None))
            if surprise and naming and naming not in instance_ids:
                surprise = None
            elif surprise:
                del self._surprises[action]
        if surprise:
            surprise()
        with self._lock:
            order = self._orders.get(action)
            if order is None:
                return
            order.times -= 1
            if order.times <= 0:
                del self._orders[action]
        raise Refusal(order.code, order.message, status=order.status)

    def loses(self, action: str) -> bool:
        """Whether the answer of a call that was carried out is lost."""
        with self._lock:
            left = self._losses.pop(action, 0)
            if left > 1:
                self._losses[action] = left - 1
        return left > 0

    def admit(self, action: str, *, narrowed: bool, instances: int) -> bool:
        buckets = self._buckets
        return buckets is None or buckets.take(action, narrowed=narrowed, instances=instances)

    def booted(self, instance_id: str) -> None:
        """A machine came up: those that do not heal hang again."""
        with self._lock:
            heals = self._hung.get(instance_id)
            if heals:
                del self._hung[instance_id]
        if heals is False:
            self._freeze(instance_id)
        elif heals:
            self._engine.set_impaired(instance_id, False)

    def dies_for_good(self, instance_id: str) -> bool:
        with self._lock:
            found = instance_id in self._dying
            self._dying.discard(instance_id)
        return found

    def _freeze(self, instance_id: str) -> None:
        machine = self._engine.machine(instance_id)
        with machine.lock:
            machine.freeze()
        self._engine.set_impaired(instance_id, True)

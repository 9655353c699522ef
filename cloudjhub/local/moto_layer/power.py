"""Start, Stop, Terminate, Reboot: who may when, all of them or none."""

from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from cloudjhub.local.moto_layer import refusals
from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.models import STATE_CODES, LocalInstance
from cloudjhub.local.moto_layer.refusals import Refusal


class PowerCalls(LocalCalls):
    """Each checks every instance before it touches one."""

    def start_instances(self) -> ActionResult:
        instances = self._named_instances()
        for instance in instances:
            if instance.state not in ("stopped", "pending", "running"):
                raise refusals.wrong_state(instance.id, "started")
        starting = [i for i in instances if i.state == "stopped"]
        self.engine.capacity.check_start(starting)
        self.error_on_dryrun()
        before = _states(instances)
        self.engine.lifecycle.start(starting)
        return ActionResult({"StartingInstances": _changes(instances, before)})

    def stop_instances(self) -> ActionResult:
        instances = self._named_instances()
        hibernate = bool(self._get_bool_param("Hibernate", False))
        for instance in instances:
            if instance.state not in ("running", "stopping", "stopped"):
                raise refusals.wrong_state(instance.id, "stopped")
            if hibernate:
                self._check_may_hibernate(instance)
            if instance.disable_api_stop is True:
                raise _protected(instance.id, "disableApiStop")
        self.error_on_dryrun()
        before = _states(instances)
        running = [i for i in instances if i.state == "running"]
        self.engine.lifecycle.stop(running, hibernate=hibernate)
        return ActionResult({"StoppingInstances": _changes(instances, before)})

    def _check_may_hibernate(self, instance: LocalInstance) -> None:
        if not instance.hibernation_configured:
            raise refusals.hibernation(
                "The instance can't be hibernated because it was not configured at launch for "
                f"hibernation: {instance.id}"
            )
        if instance.state == "running" and self.engine.lifecycle.is_young(instance):
            raise refusals.too_young(instance.id)

    def terminate_instances(self) -> ActionResult:
        instances = self._named_instances()
        for instance in instances:
            if instance.disable_api_termination is True:
                raise _protected(instance.id, "disableApiTermination")
        self.error_on_dryrun()
        before = _states(instances)
        alive = [i for i in instances if i.state not in ("shutting-down", "terminated")]
        self.engine.lifecycle.terminate(alive)
        return ActionResult({"TerminatingInstances": _changes(instances, before)})

    def reboot_instances(self) -> ActionResult:
        instances = self._named_instances()
        for instance in instances:
            if instance.state != "running":
                raise refusals.wrong_state(instance.id, "rebooted")
        self.error_on_dryrun()
        self.engine.lifecycle.reboot(instances)
        return EmptyResult()

    def _named_instances(self) -> list[LocalInstance]:
        instance_ids = self.param("InstanceIds", [])
        if not instance_ids:
            raise refusals.missing("InstanceId")
        return self.ec2_backend.known_instances(instance_ids)


def _states(instances: list[LocalInstance]) -> dict[str, str]:
    return {instance.id: instance.state for instance in instances}


def _changes(instances: list[LocalInstance], before: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "InstanceId": instance.id,
            "CurrentState": {"Code": instance.state_code, "Name": instance.state},
            "PreviousState": {
                "Code": STATE_CODES[before[instance.id]],
                "Name": before[instance.id],
            },
        }
        for instance in instances
    ]


def _protected(instance_id: str, attribute: str) -> Refusal:
    return Refusal(
        "OperationNotPermitted",
        f"The instance '{instance_id}' may not be changed so. Modify its '{attribute}' instance "
        "attribute and try again.",
    )

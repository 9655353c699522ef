"""DescribeInstances, DescribeVolumes, DescribeInstanceStatus: filters and pages as EC2 has them."""

import base64
import copy
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.models.instances import Reservation

from cloudjhub.local.moto_layer import refusals, rendering
from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.filters import INSTANCE_FILTERS, VOLUME_FILTERS, select
from cloudjhub.local.moto_layer.models import LocalInstance, LocalVolume

#: EC2 takes MaxResults from 5 to 1000 (DescribeInstances) and to 1000 for the others here.
FEWEST_RESULTS = 5
MOST_RESULTS = 1000


class ListingCalls(LocalCalls):
    """Pages count instances, not reservations (moto counts reservations)."""

    def describe_instances(self) -> str:
        self.error_on_dryrun()
        chosen = self._chosen_instances()
        page, next_token = self._page(chosen)
        reservations = [self._inside(group) for group in self._grouped(page)]
        items = "".join(f"<item>{inside}</item>" for inside in reservations)
        whole = f"<reservationSet>{items}</reservationSet>" if items else "<reservationSet/>"
        return rendering.document("DescribeInstances", whole, next_token)

    def _inside(self, reservation: Reservation) -> str:
        def write(instance: LocalInstance) -> str:
            alone = copy.copy(reservation)
            alone.instances = [instance]
            return self.serialized(ActionResult({"Reservations": [alone]}))[2]

        return self.engine.pieces.reservation(reservation.instances, write)

    def describe_instance_status(self) -> ActionResult:
        self.error_on_dryrun()
        chosen = self._chosen_instances()
        if not self._get_bool_param("IncludeAllInstances", False):
            chosen = [instance for instance in chosen if instance.state == "running"]
        page, next_token = self._page(chosen)
        return ActionResult({"InstanceStatuses": page, "NextToken": next_token})

    def describe_volumes(self) -> str:
        self.error_on_dryrun()
        ids = self.param("VolumeIds", [])
        if ids and self.param("MaxResults"):
            raise refusals.combination("VolumeIds cannot be used with MaxResults")
        backend = self.ec2_backend
        volumes = [backend.get_volume(i) for i in dict.fromkeys(ids)] or list(
            backend.volumes.values()
        )
        page, next_token = self._page(
            select(volumes, self._filters_from_querystring(), VOLUME_FILTERS)
        )
        items = "".join(self.engine.pieces.volume(volume, self._write_volume) for volume in page)
        whole = f"<volumeSet>{items}</volumeSet>" if items else "<volumeSet/>"
        return rendering.document("DescribeVolumes", whole, next_token)

    def _write_volume(self, volume: LocalVolume) -> str:
        return self.serialized(ActionResult({"Volumes": [volume]}))[2]

    def get_console_output(self) -> ActionResult:
        instance = self.ec2_backend.get_instance(self.param("InstanceId"))
        self.error_on_dryrun()
        output = self.engine.console(instance.id)
        return ActionResult(
            {
                "InstanceId": instance.id,
                "Timestamp": utcnow(),
                "Output": Base64EncodedString.from_raw_string(output),
            }
        )

    # -- parts ---------------------------------------------------------------------------------

    def _chosen_instances(self) -> list[LocalInstance]:
        ids = self.param("InstanceIds", [])
        if ids and self.param("MaxResults"):
            raise refusals.combination(
                "The parameter instancesSet cannot be used with the parameter maxResults"
            )
        backend = self.ec2_backend
        instances = backend.known_instances(ids) if ids else backend.listed_instances()
        return select(instances, self._filters_from_querystring(), INSTANCE_FILTERS)

    def _page(self, found: list[Any]) -> tuple[list[Any], str | None]:
        """One page and the token of the next. Without MaxResults there is but one."""
        most = self.param("MaxResults")
        if most is None and not self.param("NextToken"):
            return found, None
        most = MOST_RESULTS if most is None else int(most)
        if not FEWEST_RESULTS <= most <= MOST_RESULTS:
            raise refusals.invalid("maxResults", most)
        start = _position(found, self.param("NextToken"))
        page = found[start : start + most]
        more = len(found) > start + most
        return page, _token(page[-1].id) if more else None

    def _grouped(self, instances: list[LocalInstance]) -> list[Reservation]:
        """Reservations holding only these instances."""
        wanted = {instance.id for instance in instances}
        groups = []
        for reservation in list(self.ec2_backend.reservations.values()):
            members = [i for i in reservation.instances if i.id in wanted]
            if members:
                shown = copy.copy(reservation)
                shown.instances = members
                groups.append(shown)
        return groups


def _token(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode()


def _position(found: list[Any], token: str | None) -> int:
    """Where the next page starts. Something that vanished since is no error."""
    if not token:
        return 0
    try:
        last = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise refusals.invalid("nextToken", token) from None
    if not last.startswith(("i-", "vol-")):
        raise refusals.invalid("nextToken", token)
    return next((n + 1 for n, resource in enumerate(found) if resource.id == last), len(found))

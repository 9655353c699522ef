"""What never changes once EC2 has said it: an AMI that is available, the zone of a subnet."""

import logging
import time
from collections.abc import Sequence

from cloudjhub.ec2 import EC2
from cloudjhub.ec2_values import Image
from cloudjhub.errors import NotPermitted
from cloudjhub.fleet.calls import Calls
from cloudjhub.fleet.shared_read import SharedRead

log = logging.getLogger(__name__)

_NOT_PERMITTED_SECONDS = 300.0  # how long a policy is taken to be as it was


class Facts:
    """Each is asked for until it is known; who asks at the same time shares the call."""

    def __init__(self, ec2: EC2, calls: Calls):
        self._ec2 = ec2
        self._calls = calls
        self._images: dict[str, Image] = {}
        self._image_reads: dict[str, SharedRead[Image]] = {}
        self._zones: dict[str, str] = {}
        self._zone_reads: dict[tuple[str, ...], SharedRead[dict[str, str]]] = {}
        self._not_permitted_until = 0.0

    async def image(self, image_id: str) -> Image:
        """One AMI; asked for until it is available."""
        if image_id not in self._images:
            reads = self._image_reads.setdefault(
                image_id,
                SharedRead(lambda: self._calls.once("DescribeImages", self._ec2.image, image_id)),
            )
            image = await reads.get()
            if image.state != "available":
                return image
            self._images[image_id] = image
        return self._images[image_id]

    async def zones(self, subnet_ids: Sequence[str]) -> dict[str, str]:
        """Availability zone of each subnet, as far as EC2 tells."""
        wanted = tuple(subnet_ids)
        known = self._zones.keys() >= set(wanted)
        if not known and time.monotonic() >= self._not_permitted_until:
            reads = self._zone_reads.setdefault(
                wanted,
                SharedRead(lambda: self._calls.once("DescribeSubnets", self._ec2.zones, wanted)),
            )
            try:
                self._zones.update(await reads.get())
            except NotPermitted as error:
                self._not_permitted_until = time.monotonic() + _NOT_PERMITTED_SECONDS
                log.error("The zones of the subnets stay unknown: %s", error)
        return {each: self._zones[each] for each in wanted if each in self._zones}

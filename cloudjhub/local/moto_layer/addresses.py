"""Elastic IPs, where moto answers otherwise than EC2."""

from moto.core.responses import ActionResult

from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.refusals import Refusal


class AddressCalls(LocalCalls):
    """What is listed late on order, moves without being asked twice, and has a quota."""

    def allocate_address(self) -> ActionResult:
        quota = self.engine.capacity.address_quota
        if quota is not None and len(self.ec2_backend.addresses) >= quota:
            raise Refusal(
                "AddressLimitExceeded", "The maximum number of addresses has been reached."
            )
        answer = super().allocate_address()
        self.engine.faults.made(answer.result["AllocationId"])
        return answer

    def describe_addresses(self) -> ActionResult:
        answer = super().describe_addresses()
        is_listed = self.engine.faults.is_listed
        found = [each for each in answer.result["Addresses"] if is_listed(each.allocation_id)]
        return ActionResult({"Addresses": found})

    def associate_address(self) -> ActionResult:
        """In a VPC an address moves to whom it is given; only ``false`` forbids that.

        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html
        """
        if self.param("AllowReassociation") is None:
            self.params["AllowReassociation"] = True
        return super().associate_address()

    def release_address(self) -> ActionResult:
        """One that is somebody's has to be taken away first.

        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReleaseAddress.html
        """
        allocation, public = self.param("AllocationId"), self.param("PublicIp")
        for address in self.ec2_backend.addresses:
            named = address.allocation_id == allocation or address.public_ip == public
            if named and address.association_id:
                raise Refusal(
                    "InvalidIPAddress.InUse", f"The address {address.public_ip} is in use."
                )
        return super().release_address()

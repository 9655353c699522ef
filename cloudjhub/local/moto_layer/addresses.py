"""Elastic IPs, where moto answers otherwise than EC2."""

from moto.core.responses import ActionResult

from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.refusals import Refusal


class AddressCalls(LocalCalls):
    """AssociateAddress and ReleaseAddress."""

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

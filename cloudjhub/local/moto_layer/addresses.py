"""Elastic IPs, where moto answers otherwise than EC2."""

from moto.core.responses import ActionResult

from cloudjhub.local.moto_layer.base import LocalCalls


class AddressCalls(LocalCalls):
    """AssociateAddress."""

    def associate_address(self) -> ActionResult:
        """In a VPC an address moves to whom it is given; only ``false`` forbids that.

        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html
        """
        if self.param("AllowReassociation") is None:
            self.params["AllowReassociation"] = True
        return super().associate_address()

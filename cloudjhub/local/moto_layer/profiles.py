"""Instance profiles of instances: at the launch and later."""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import IncorrectStateIamProfileAssociationError
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociation
from moto.ec2.utils import random_iam_instance_profile_association_id
from moto.iam.models import InstanceProfile

from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.models import LocalInstance


class ProfileCalls(LocalCalls):
    """moto looks profiles up in the IAM of the whole process, and gives them to one instance."""

    def _asked_profile(self) -> InstanceProfile | None:
        """The profile a launch names. Refuses one that EC2 does not know."""
        asked = self.param("IamInstanceProfile.Arn") or self.param("IamInstanceProfile.Name")
        return self.ec2_backend.iam.profile_for_launch(asked) if asked else None

    def _give_profile(
        self, instances: list[LocalInstance], profile: InstanceProfile | None
    ) -> None:
        for instance in instances if profile else []:
            associate(instance, profile)

    def associate_iam_instance_profile(self) -> ActionResult:
        instance = self.ec2_backend.get_instance(self.param("InstanceId"))
        profile = self._asked_profile()
        self.error_on_dryrun()
        return ActionResult({"IamInstanceProfileAssociation": associate(instance, profile)})

    def replace_iam_instance_profile_association(self) -> ActionResult:
        profile = self._asked_profile()
        old = self.ec2_backend.disassociate_iam_instance_profile(self.param("AssociationId"))
        return ActionResult({"IamInstanceProfileAssociation": associate(old.instance, profile)})


def associate(instance: LocalInstance, profile: Any) -> IamInstanceProfileAssociation:
    """Gives an instance its profile. Refused where it has one."""
    backend = instance.ec2_backend
    associations = backend.iam_instance_profile_associations
    if instance.id in associations:
        raise IncorrectStateIamProfileAssociationError(instance.id)
    made = IamInstanceProfileAssociation(
        backend, random_iam_instance_profile_association_id(), instance, profile
    )
    associations[instance.id] = made
    instance.iam_instance_profile = {"Arn": profile.arn, "Id": profile.id}
    return made

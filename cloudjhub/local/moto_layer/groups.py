"""Security groups and key pairs, where moto answers otherwise than EC2."""

import re
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.security_groups import SecurityGroup

from cloudjhub.local.moto_layer.base import LocalCalls
from cloudjhub.local.moto_layer.refusals import Refusal

#: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
_TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")


class GroupCalls(LocalCalls):
    """A group that is used stays; key pairs have ids as well as names."""

    def create_security_group(self) -> ActionResult:
        for parameter, name in (("GroupName", "groupName"), ("Description", "GroupDescription")):
            value = self.param(parameter, "")
            if not _TEXT.fullmatch(value):
                raise Refusal(
                    "InvalidParameterValue",
                    f"Value ({value}) for parameter {name} is invalid. Character sets beyond "
                    "ASCII are not supported.",
                )
        if self.param("GroupName", "").startswith("sg-"):
            raise Refusal(
                "InvalidParameterValue", "Invalid value for groupName. It may not begin with sg-."
            )
        answer = super().create_security_group()
        self.engine.faults.made(answer.result["GroupId"])
        return answer

    def delete_security_group(self) -> ActionResult:
        group = self._group(self.param("GroupId") or self.param("GroupName"))
        if group.name == "default":
            raise Refusal(
                "CannotDelete",
                f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
            )
        self.error_on_dryrun()
        if self._is_used(group):
            raise Refusal("DependencyViolation", f"resource {group.id} has a dependent object")
        self.ec2_backend.delete_security_group(group_id=group.id)
        return ActionResult({"Return": True, "GroupId": group.id})

    def describe_security_groups(self) -> ActionResult:
        for name in [*self.param("GroupIds", []), *self.param("GroupNames", [])]:
            self._group(name)
        answer = super().describe_security_groups()
        is_listed = self.engine.faults.is_listed
        found = [each for each in answer.result["SecurityGroups"] if is_listed(each.id)]
        return ActionResult({"SecurityGroups": found})

    def _group(self, name: str) -> SecurityGroup:
        group = self.ec2_backend.get_security_group_by_name_or_id(name)
        if group is None:
            raise Refusal("InvalidGroup.NotFound", f"The security group '{name}' does not exist")
        return group

    def _is_used(self, group: SecurityGroup) -> bool:
        """By a network interface, also of a stopped machine, or by another group's rule."""
        if any(group in nic.group_set for nic in self.ec2_backend.enis.values()):
            return True
        others = [g for vpc in self.ec2_backend.groups.values() for g in vpc.values()]
        rules = [
            rule
            for other in others
            if other is not group
            for rule in [*other.ingress_rules, *other.egress_rules]
        ]
        return any(rule.source_group.get("GroupId") == group.id for rule in rules)

    # -- key pairs

    def describe_key_pairs(self) -> ActionResult:
        pairs = [self._key_pair(i) for i in self.param("KeyPairIds", [])]
        for name in self.param("KeyNames", []):
            if name not in self.ec2_backend.key_pairs:
                raise _no_key_pair(f"The key pair '{name}' does not exist")
        self.params["KeyNames"] = [*self.param("KeyNames", []), *(p.key_name for p in pairs)]
        return super().describe_key_pairs()

    def delete_key_pair(self) -> ActionResult:
        """Of a name that is nobody's EC2 says: deleted."""
        if key_pair_id := self.param("KeyPairId"):
            self.params["KeyName"] = self._key_pair(key_pair_id).key_name
        return super().delete_key_pair()

    def _key_pair(self, key_pair_id: str) -> Any:
        for pair in self.ec2_backend.key_pairs.values():
            if pair.id == key_pair_id:
                return pair
        raise _no_key_pair(f"The key pair ID '{key_pair_id}' does not exist")


def _no_key_pair(message: str) -> Refusal:
    return Refusal("InvalidKeyPair.NotFound", message)

"""IAM, STS and Service Quotas beside EC2, with what a launch and its tests need of them."""

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.iam.exceptions import LimitExceededException, NotFoundException
from moto.iam.models import IAMBackend, InstanceProfile, Role
from moto.iam.responses import IamResponse
from moto.servicequotas.responses import ServiceQuotasResponse
from moto.sts.responses import TokenResponse

from cloudjhub.local.identity import access_key_of
from cloudjhub.local.moto_layer.refusals import Refusal
from cloudjhub.policy.documents import INLINE_ROLE_LIMIT, MANAGED_LIMIT
from cloudjhub.policy.evaluate import Decision, Request

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

#: characters of a user's inline policy, white space apart
USER_POLICY_LIMIT = 2_048
#: where the account has no limit of its own, it says so many vCPUs
UNLIMITED_VCPUS = 4096.0
STANDARD_VCPUS = "L-1216C47A"
UNLIMITED_ADDRESSES = 1000.0
ELASTIC_IPS = "L-0263D0A3"
#: quota of EC2 -> its name and what AWS gives a new account
EC2_QUOTAS = {
    STANDARD_VCPUS: ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5.0),
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5.0),
    "L-DB2E81BA": ("Running On-Demand G and VT instances", 0.0),
    ELASTIC_IPS: ("EC2-VPC Elastic IPs", 5.0),
}


class LocalIam(IAMBackend):
    """One account's IAM, kept with the local EC2 it belongs to."""

    def __init__(self, account_id: str):
        super().__init__("aws", account_id)
        #: instance profile -> Unix time until which EC2 does not know it yet
        self.unknown_until: dict[str, float] = {}

    def put_role_policy(self, role_name: str, policy_name: str, policy_json: str) -> None:
        _check_size(policy_json, INLINE_ROLE_LIMIT, f"role {role_name}")
        super().put_role_policy(role_name, policy_name, policy_json)

    def put_user_policy(self, user_name: str, policy_name: str, policy_json: str) -> None:
        _check_size(policy_json, USER_POLICY_LIMIT, f"user {user_name}")
        super().put_user_policy(user_name, policy_name, policy_json)

    def create_policy(
        self, description: str, path: str, policy_document: str, policy_name: str, tags: Any
    ) -> Any:
        _check_size(policy_document, MANAGED_LIMIT, f"policy {policy_name}")
        return super().create_policy(description, path, policy_document, policy_name, tags)

    def profile(self, name_or_arn: str) -> InstanceProfile | None:
        """An instance profile, whether EC2 knows it yet or not."""
        for profile in self.instance_profiles.values():
            if name_or_arn in (profile.name, profile.arn):
                return profile
        return None

    def profile_for_launch(self, name_or_arn: str) -> InstanceProfile:
        """Refused as EC2 does where it does not know the profile (yet)."""
        profile = self.profile(name_or_arn)
        if profile is None or self.unknown_until.get(profile.name, 0.0) > time.time():
            kind = "arn" if name_or_arn.startswith("arn:") else "name"
            raise Refusal(
                "InvalidParameterValue",
                f"Value ({name_or_arn}) for parameter iamInstanceProfile.{kind} is invalid. "
                f"Invalid IAM Instance Profile {'ARN' if kind == 'arn' else 'name'}",
            )
        return profile

    def role_named(self, name: str) -> Role | None:
        """A role; None where there is none of that name."""
        try:
            return self.get_role(name)
        except NotFoundException:
            return None

    def user_of_key(self, access_key_id: str) -> Any | None:
        """The user whose access key this is."""
        key = self.access_keys.get(access_key_id)
        active = key is not None and key.status == "Active"
        return self.get_user_from_access_key_id(access_key_id) if active else None


def _check_size(policy: str, limit: int, whose: str) -> None:
    if len("".join(policy.split())) > limit:
        raise LimitExceededException(f"Maximum policy size of {limit} bytes exceeded for {whose}")


class IamCalls(IamResponse):
    """One request to IAM."""

    engine: "Engine"

    @property
    def backend(self) -> LocalIam:
        return self.engine.backend.iam

    def create_instance_profile(self) -> ActionResult:
        result = super().create_instance_profile()
        lag = self.engine.faults.profile_lag_seconds
        name = self._get_param("InstanceProfileName")
        self.backend.unknown_until[name] = time.time() + lag
        return result

    def simulate_principal_policy(self) -> ActionResult:
        """Every action on every resource; context keys are those that are given."""
        context = {
            entry["ContextKeyName"]: _values(entry)
            for entry in self._get_param("ContextEntries", [])
        }
        requests = [
            Request(action, resource, context)
            for action in self._get_param("ActionNames")
            for resource in self._get_param("ResourceArns", ["*"])
        ]
        arn = self._get_param("PolicySourceArn")
        decisions = self.engine.authorization.simulate(arn, requests)
        return ActionResult({"EvaluationResults": list(map(_result, decisions))})


def _values(entry: dict[str, Any]) -> str | tuple[str, ...]:
    values = [str(value) for value in entry.get("ContextKeyValues", [])]
    return tuple(values) if entry["ContextKeyType"].endswith("List") else values[0]


def _result(decision: Decision) -> dict[str, Any]:
    said = {"explicit": "explicitDeny", "implicit": "implicitDeny", "boundary": "implicitDeny"}
    return {
        "EvalActionName": decision.request.action,
        "EvalResourceName": decision.request.resource,
        "EvalDecision": said.get(decision.reason, "allowed"),
        "MatchedStatements": [],
        "MissingContextValues": [],
    }


class StsCalls(TokenResponse):
    """One request to STS: who asks, and what an encoded refusal says."""

    engine: "Engine"

    def get_caller_identity(self) -> ActionResult:
        principal = self.engine.authorization.principal(
            access_key_of(self.headers["Authorization"])
        )
        account = self.engine.backend.account_id
        return ActionResult({"UserId": principal.user_id, "Account": account, "Arn": principal.arn})

    def decode_authorization_message(self) -> ActionResult:
        try:
            decoded = base64.urlsafe_b64decode(self._get_param("EncodedMessage")).decode()
            json.loads(decoded)
        except ValueError:
            raise Refusal("InvalidAuthorizationMessageException", "Message is not valid") from None
        return ActionResult({"DecodedMessage": decoded})


class QuotaCalls(ServiceQuotasResponse):
    """One request to Service Quotas; moto knows those of VPC only."""

    engine: "Engine"

    def get_service_quota(self) -> str:
        quota = self._ec2_quota()
        if quota and quota["QuotaCode"] == STANDARD_VCPUS:
            limit = self.engine.capacity.vcpu_quota
            quota["Value"] = UNLIMITED_VCPUS if limit is None else float(limit)
        if quota and quota["QuotaCode"] == ELASTIC_IPS:
            limit = self.engine.capacity.address_quota
            quota["Value"] = UNLIMITED_ADDRESSES if limit is None else float(limit)
        return json.dumps({"Quota": quota}) if quota else super().get_service_quota()

    def get_aws_default_service_quota(self) -> str:
        quota = self._ec2_quota()
        return json.dumps({"Quota": quota}) if quota else super().get_service_quota()

    def _ec2_quota(self) -> dict[str, Any] | None:
        asked = json.loads(self.body)
        if asked.get("ServiceCode") != "ec2" or asked.get("QuotaCode") not in EC2_QUOTAS:
            return None
        code = asked["QuotaCode"]
        name, value = EC2_QUOTAS[code]
        where = f"{self.engine.settings.region}:{self.engine.backend.account_id}"
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{where}:ec2/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

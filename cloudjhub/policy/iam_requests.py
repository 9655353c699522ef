"""The requests that AWS authorizes for calls of IAM, STS and Service Quotas. Pure.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_servicequotas.html
"""

from dataclasses import replace

from cloudjhub.policy.evaluate import Request
from cloudjhub.policy.requests import Call, Known, UnknownCall, request_tags, resource_tags

_PARAMETERS = {
    "role": "RoleName",
    "instance-profile": "InstanceProfileName",
    "user": "UserName",
    "policy": "PolicyName",
}

_ROLE = """AttachRolePolicy CreateRole DeleteRole DeleteRolePolicy DetachRolePolicy GetRole
GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags
PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole"""
_PROFILE = """AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile
GetInstanceProfile RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile"""
_POLICY = "CreatePolicy DeletePolicy GetPolicy GetPolicyVersion ListPolicyVersions"
_USER = """AttachUserPolicy CreateAccessKey CreateUser DeleteAccessKey DeleteUser DeleteUserPolicy
DetachUserPolicy GetUser GetUserPolicy ListAccessKeys ListUserPolicies PutUserPolicy"""

#: action -> kind of the one resource that it is on
IAM: dict[str, str] = {
    action: kind
    for kind, names in (
        ("role", _ROLE),
        ("instance-profile", _PROFILE),
        ("user", _USER),
        ("policy", _POLICY),
    )
    for action in names.split()
}
#: actions that know no resource
IAM_EVERYWHERE = {"GetAccountSummary", "ListInstanceProfiles", "ListRoles", "ListUsers"}


def iam(call: Call) -> list[Request]:
    """Everything AWS authorizes for one call of IAM. Raises UnknownCall."""
    if call.action in IAM_EVERYWHERE:
        return [call.request()]
    if call.action == "SimulatePrincipalPolicy":
        return [call.request(call.one("PolicySourceArn"))]
    if call.action not in IAM:
        raise UnknownCall(f"What AWS authorizes for iam:{call.action} is not known here.")
    kind = IAM[call.action]
    if arn := call.one("PolicyArn") if kind == "policy" else None:
        return [call.request(arn)]
    name = call.one(_PARAMETERS[kind]) or call.caller.get("aws:username", "")
    found = [_on(call, kind, str(name))]
    if call.action.startswith("Create") and call.listed("Tags"):
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html
        tagging = f"iam:{call.action.replace('Create', 'Tag')}"
        found.append(replace(found[0], action=tagging))
    if call.action == "AddRoleToInstanceProfile":
        role = call.lookup.find("role", call.one("RoleName")) or Known(call.one("RoleName"))
        passed = {
            "iam:PassedToService": call.place.ec2_service,
            "iam:AssociatedResourceArn": f"arn:{call.place.partition}:ec2:*:"
            f"{call.place.account}:instance/*",
        }
        arn = call.place.iam("role", role.name)
        found.append(call.request(arn, passed, action="iam:PassRole"))
    return found


def _on(call: Call, kind: str, name: str) -> Request:
    known = call.lookup.find(kind, name)
    if known is None:
        path = call.one("Path", "/").strip("/")
        known = Known(f"{path}/{name}" if path else name)
    tags = {tag["Key"]: tag.get("Value", "") for tag in call.listed("Tags")}
    keys = request_tags(tags)
    if untagged := call.listed("TagKeys"):
        keys["aws:TagKeys"] = tuple(untagged)
    if boundary := call.one("PermissionsBoundary"):
        keys["iam:PermissionsBoundary"] = boundary
    arn = call.place.iam(kind, known.name)
    return call.request(arn, resource_tags(known.tags, service="iam"), keys)


def sts(call: Call) -> list[Request]:
    """Who one is may be asked by anybody, whatever the policies say. Raises UnknownCall."""
    if call.action == "GetCallerIdentity":
        return []
    if call.action == "DecodeAuthorizationMessage":
        return [call.request()]
    raise UnknownCall(f"What AWS authorizes for sts:{call.action} is not known here.")


def service_quotas(call: Call) -> list[Request]:
    """Raises UnknownCall."""
    service, quota = call.one("ServiceCode", ""), call.one("QuotaCode", "")
    if call.action == "GetServiceQuota":
        place = call.place
        where = f"arn:{place.partition}:servicequotas:{place.region}:{place.account}"
        return [call.request(f"{where}:{service}/{quota}", {"servicequotas:service": service})]
    if call.action in ("GetAWSDefaultServiceQuota", "ListServiceQuotas"):
        return [call.request()]
    raise UnknownCall(f"What AWS authorizes for servicequotas:{call.action} is not known here.")

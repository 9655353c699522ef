"""Who may do what in the local AWS: users, roles of instances, root; and how it says no."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from local.clouds import Cloud, code_of, wait_for
from local.identities import ACCOUNT, allow, client, make_role, role_key, user_with

from cloudjhub.policy import documents
from cloudjhub.policy.documents import Place

TEAM = {"aws:ResourceTag/team": "blue"}


def said(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Message"]


def test_the_key_local_is_root(idle_cloud: Cloud):
    identity = client(idle_cloud, "sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert client(idle_cloud, "ec2").describe_instances()["Reservations"] == []


def test_keys_that_are_nobodys(idle_cloud: Cloud):
    nobody = "nobodys-key"
    assert code_of(client(idle_cloud, "ec2", nobody).describe_instances) == ("AuthFailure", 401)
    for service, call in (("sts", "get_caller_identity"), ("iam", "list_roles")):
        code = code_of(getattr(client(idle_cloud, service, nobody), call))
        assert code == ("InvalidClientTokenId", 403)


def test_a_user_without_a_policy_may_only_ask_who_they_are(idle_cloud: Cloud):
    key = user_with(idle_cloud)
    arn = client(idle_cloud, "sts", key).get_caller_identity()["Arn"]
    assert arn.startswith(f"arn:aws:iam::{ACCOUNT}:user/user-")
    ec2, iam = client(idle_cloud, "ec2", key), client(idle_cloud, "iam", key)
    assert code_of(ec2.describe_instances) == ("UnauthorizedOperation", 403)
    assert code_of(iam.list_roles) == ("AccessDenied", 403)
    quotas = client(idle_cloud, "service-quotas", key)
    refused = code_of(lambda: quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A"))
    assert refused == ("AccessDeniedException", 400)


def test_a_key_that_was_made_inactive_or_deleted_is_nobodys(idle_cloud: Cloud):
    key, iam = user_with(idle_cloud, allow("ec2:*")), client(idle_cloud, "iam")
    user = client(idle_cloud, "sts", key).get_caller_identity()["Arn"].rpartition("/")[2]
    ec2 = client(idle_cloud, "ec2", key)
    ec2.describe_instances()
    iam.update_access_key(UserName=user, AccessKeyId=key, Status="Inactive")
    assert code_of(ec2.describe_instances) == ("AuthFailure", 401)
    iam.delete_access_key(UserName=user, AccessKeyId=key)
    assert code_of(ec2.describe_instances) == ("AuthFailure", 401)


def test_a_refusal_reads_as_awss_and_can_be_decoded(idle_cloud: Cloud):
    key = user_with(idle_cloud, allow("sts:DecodeAuthorizationMessage"))
    group = idle_cloud.config["WORKER_SECURITY_GROUPS"][0]
    text = said(lambda: client(idle_cloud, "ec2", key).delete_security_group(GroupId=group))
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/{group}"
    assert text.startswith("You are not authorized to perform this operation. User: arn:aws:iam::")
    assert f"is not authorized to perform: ec2:DeleteSecurityGroup on resource: {arn}" in text
    assert "because no identity-based policy allows the ec2:DeleteSecurityGroup action" in text
    encoded = text.rpartition("Encoded authorization failure message: ")[2]
    sts = client(idle_cloud, "sts", key)
    decoded = json.loads(sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    assert decoded["allowed"] is False and decoded["explicitDeny"] is False
    assert decoded["context"]["resource"] == arn
    broken = code_of(lambda: sts.decode_authorization_message(EncodedMessage="%%"))
    assert broken == ("InvalidAuthorizationMessageException", 400)


def test_an_explicit_deny_says_so(idle_cloud: Cloud):
    deny = allow("ec2:Describe*")
    deny["Statement"][0]["Effect"] = "Deny"
    key = user_with(idle_cloud, allow("ec2:*"), deny)
    text = said(client(idle_cloud, "ec2", key).describe_volumes)
    assert "ec2:DescribeVolumes with an explicit deny in an identity-based policy" in text


def test_inline_attached_and_group_policies_count(idle_cloud: Cloud):
    key, iam = user_with(idle_cloud, allow("ec2:DescribeVpcs")), client(idle_cloud, "iam")
    user = client(idle_cloud, "sts", key).get_caller_identity()["Arn"].rpartition("/")[2]
    inline = json.dumps(allow("ec2:DescribeSubnets"))
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=inline)
    iam.create_group(GroupName="staff")
    grouped = json.dumps(allow("ec2:DescribeVolumes"))
    iam.put_group_policy(GroupName="staff", PolicyName="p", PolicyDocument=grouped)
    iam.add_user_to_group(GroupName="staff", UserName=user)
    ec2 = client(idle_cloud, "ec2", key)
    assert ec2.describe_vpcs() and ec2.describe_subnets() and ec2.describe_volumes()
    iam.delete_user_policy(UserName=user, PolicyName="p")
    assert code_of(ec2.describe_subnets) == ("UnauthorizedOperation", 403)


def test_a_dry_run_says_whether_one_may(idle_cloud: Cloud):
    may = client(idle_cloud, "ec2", user_with(idle_cloud, allow("ec2:*")))
    may_not = client(idle_cloud, "ec2", user_with(idle_cloud))
    for caller, answer in ((may, "DryRunOperation"), (may_not, "UnauthorizedOperation")):
        code, _ = code_of(
            lambda caller=caller: caller.create_volume(
                AvailabilityZone="us-east-1a", Size=1, DryRun=True
            )
        )
        assert code == answer
    assert idle_cloud.api.describe_volumes()["Volumes"] == []


def test_conditions_on_tags_decide_machine_by_machine(api_cloud: Cloud):
    key = user_with(api_cloud, allow("ec2:StopInstances", StringEquals=TEAM))
    tagged, untagged = api_cloud.launch(2)
    api_cloud.api.create_tags(Resources=[tagged], Tags=[{"Key": "team", "Value": "blue"}])
    for instance in (tagged, untagged):
        api_cloud.wait_state(instance, "running")
    ec2 = client(api_cloud, "ec2", key)
    assert "StoppingInstances" in ec2.stop_instances(InstanceIds=[tagged])
    for ids in ([untagged], [tagged, untagged]):
        refused = code_of(lambda ids=ids: ec2.stop_instances(InstanceIds=ids))
        assert refused == ("UnauthorizedOperation", 403)
    assert api_cloud.state(untagged) == "running"


def test_what_does_not_exist_has_no_tags(idle_cloud: Cloud):
    """As on AWS: https://github.com/aws/karpenter-provider-aws/issues/2100"""
    key = user_with(idle_cloud, allow("ec2:TerminateInstances", StringEquals=TEAM))
    gone = ["i-0123456789abcdef0"]
    ours = code_of(lambda: client(idle_cloud, "ec2", key).terminate_instances(InstanceIds=gone))
    assert ours == ("UnauthorizedOperation", 403)
    roots = code_of(lambda: idle_cloud.api.terminate_instances(InstanceIds=gone))
    assert roots == ("InvalidInstanceID.NotFound", 400)


def test_a_policy_that_is_not_understood_refuses_with_its_reason(idle_cloud: Cloud):
    key = user_with(idle_cloud, allow("ec2:*", BinaryEquals={"aws:username": "YW5u"}))
    ec2 = client(idle_cloud, "ec2", key)
    assert code_of(ec2.describe_vpcs) == ("UnsupportedOperation", 400)
    assert "BinaryEquals" in said(ec2.describe_vpcs)


def test_a_call_nobody_wrote_down_is_refused(idle_cloud: Cloud):
    ec2 = client(idle_cloud, "ec2", user_with(idle_cloud, allow("ec2:*")))
    code, _ = code_of(lambda: ec2.create_vpc(CidrBlock="127.65.0.0/16"))
    assert code == "UnsupportedOperation"


def test_roles_reach_what_their_policy_says_while_it_says_so(idle_cloud: Cloud):
    trust = documents.trust(Place("class", ACCOUNT, "us-east-1"))
    make_role(idle_cloud, "reader", trust, allow("ec2:DescribeVpcs"))
    key = role_key(idle_cloud, "i-0123456789abcdef0", "reader")
    arn = client(idle_cloud, "sts", key).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/i-0123456789abcdef0"
    ec2, iam = client(idle_cloud, "ec2", key), client(idle_cloud, "iam")
    assert ec2.describe_vpcs()
    assert "User: arn:aws:sts::" in said(ec2.describe_volumes)
    iam.put_role_policy(
        RoleName="reader",
        PolicyName="reader",
        PolicyDocument=json.dumps(allow("ec2:DescribeVolumes")),
    )
    assert ec2.describe_volumes()
    assert code_of(ec2.describe_vpcs) == ("UnauthorizedOperation", 403)
    iam.delete_role_policy(RoleName="reader", PolicyName="reader")
    assert code_of(ec2.describe_volumes) == ("UnauthorizedOperation", 403)


def test_a_role_reaches_no_further_than_its_boundary(idle_cloud: Cloud):
    iam = client(idle_cloud, "iam")
    trust = documents.trust(Place("class", ACCOUNT, "us-east-1"))
    make_role(idle_cloud, "bounded", trust, allow("ec2:*"))
    bound = iam.create_policy(PolicyName="b", PolicyDocument=json.dumps(allow("ec2:DescribeVpcs")))
    iam.put_role_permissions_boundary(
        RoleName="bounded", PermissionsBoundary=bound["Policy"]["Arn"]
    )
    ec2 = client(idle_cloud, "ec2", role_key(idle_cloud, "i-0123456789abcdef1", "bounded"))
    assert ec2.describe_vpcs()
    assert "no permissions boundary allows the ec2:DescribeVolumes" in said(ec2.describe_volumes)


def test_calls_are_kept_with_who_and_what(idle_cloud: Cloud):
    key = user_with(idle_cloud, allow("ec2:DescribeVpcs"))
    idle_cloud.ec2.reset_calls()
    ec2 = client(idle_cloud, "ec2", key)
    ec2.describe_vpcs()
    code_of(lambda: ec2.delete_volume(VolumeId="vol-0123456789abcdef0"))
    idle_cloud.api.describe_vpcs()
    listed, deleted, roots = idle_cloud.ec2.authorized_calls()
    assert (listed.action, listed.allowed, listed.resources) == ("DescribeVpcs", True, ["*"])
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:volume/vol-0123456789abcdef0"
    assert (deleted.action, deleted.allowed, deleted.resources) == ("DeleteVolume", False, [arn])
    assert deleted.principal == listed.principal != roots.principal
    assert roots.allowed and roots.resources == []


def test_what_iam_holds_is_there_after_a_restart(make_cloud: Callable[..., Cloud]):
    cloud = make_cloud()
    key = user_with(cloud, allow("ec2:DescribeVpcs"))
    cloud.ec2.stop()
    cloud.ec2.start()
    assert client(cloud, "ec2", key).describe_vpcs()


def test_each_local_ec2_has_an_iam_of_its_own(make_cloud: Callable[..., Cloud]):
    one, other = make_cloud(state="one"), make_cloud(state="other")
    key = user_with(one, allow("ec2:*"))
    assert client(one, "ec2", key).describe_vpcs()
    assert code_of(client(other, "ec2", key).describe_vpcs) == ("AuthFailure", 401)


def test_a_launch_with_a_role_takes_the_right_to_pass_it(api_cloud: Cloud):
    trust = documents.trust(Place("class", ACCOUNT, "us-east-1"))
    make_role(api_cloud, "hub", trust, allow("ec2:*"))
    request = {
        "ImageId": api_cloud.config["WORKER_AMI"],
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceType": "t3.small",
        "SubnetId": api_cloud.config["SUBNET_ID"],
        "IamInstanceProfile": {"Name": "hub"},
    }
    without = client(api_cloud, "ec2", user_with(api_cloud, allow("ec2:*")))
    assert "iam:PassRole on resource" in said(lambda: without.run_instances(**request))
    passing = allow("iam:PassRole", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    both = client(api_cloud, "ec2", user_with(api_cloud, allow("ec2:*"), passing))
    (made,) = both.run_instances(**request)["Instances"]
    assert made["IamInstanceProfile"]["Arn"].endswith(":instance-profile/hub")
    described = wait_for("the profile", lambda: api_cloud.instance(made["InstanceId"]))
    assert described["IamInstanceProfile"] == made["IamInstanceProfile"]

"""The metadata service as machines see it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import boto3
import pytest
from machines.peers import DOUBT_SECONDS, HOST, PATIENCE_SECONDS, Machine, Place, Vpc, local_ec2

from cloudjhub.local.vpc.addresses import METADATA

pytestmark = pytest.mark.slow

TOKEN = "X-aws-ec2-metadata-token"
LIFETIME = "X-aws-ec2-metadata-token-ttl-seconds"


@pytest.fixture(scope="module")
def vpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpc]:
    with local_ec2(tmp_path_factory.mktemp("metadata") / "state") as made:
        yield made


def call(
    place: Place,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    seconds: float = PATIENCE_SECONDS,
) -> HTTPResponse:
    """The answer; its text is in ``text``."""

    def ask() -> HTTPResponse:
        connection = HTTPConnection(METADATA, timeout=seconds)
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        response.text = response.read().decode()
        connection.close()
        return response

    return place.do(ask)


def token(place: Place, seconds: int = 60) -> dict[str, str]:
    answer = call(place, "/latest/api/token", {LIFETIME: str(seconds)}, "PUT")
    assert answer.status == 200
    assert answer.headers[LIFETIME] == str(seconds)
    return {TOKEN: answer.text}


def get(place: Place, path: str) -> str:
    answer = call(place, path, token(place))
    assert answer.status == 200, (path, answer.status)
    return answer.text


# -- tokens ----------------------------------------------------------------------------------------


def test_an_instance_may_insist_on_tokens(vpc: Vpc):
    insisting = vpc.machine(MetadataOptions={"HttpTokens": "required"})
    assert call(insisting, "/latest/meta-data/instance-id").status == 401
    assert get(insisting, "/latest/meta-data/instance-id") == insisting.id
    for wrong in ("", "nonsense", "AQAEAB" * 8):
        assert call(insisting, "/latest/meta-data/instance-id", {TOKEN: wrong}).status == 401


def test_an_instance_may_do_without(vpc: Vpc):
    machine = vpc.machine(MetadataOptions={"HttpTokens": "optional"})
    assert call(machine, "/latest/meta-data/instance-id").text == machine.id
    # But a wrong token is wrong all the same.
    assert call(machine, "/latest/meta-data/instance-id", {TOKEN: "nonsense"}).status == 401


def test_a_token_is_good_for_one_instance(vpc: Vpc):
    first, second = vpc.machines(2)
    held = token(first)
    assert call(first, "/latest/meta-data/instance-id", held).text == first.id
    assert call(second, "/latest/meta-data/instance-id", held).status == 401


@pytest.mark.parametrize("lifetime", ["0", "21601", "-1", "soon", ""])
def test_a_token_needs_a_lifetime(vpc: Vpc, lifetime: str):
    machine = vpc.machine()
    assert call(machine, "/latest/api/token", {LIFETIME: lifetime}, "PUT").status == 400
    assert call(machine, "/latest/api/token", None, "PUT").status == 400


def test_no_token_for_somebody_behind_a_proxy(vpc: Vpc):
    headers = {LIFETIME: "60", "X-Forwarded-For": "10.0.0.1"}
    assert call(vpc.machine(), "/latest/api/token", headers, "PUT").status == 403


def test_the_service_can_be_turned_off_and_on(vpc: Vpc):
    machine = vpc.machine(MetadataOptions={"HttpEndpoint": "disabled"})
    assert call(machine, "/latest/meta-data/").status == 403
    assert call(machine, "/latest/api/token", {LIFETIME: "60"}, "PUT").status == 403
    vpc.api.modify_instance_metadata_options(
        InstanceId=machine.id, HttpEndpoint="enabled", HttpTokens="required"
    )
    assert call(machine, "/latest/meta-data/").status == 401
    assert get(machine, "/latest/meta-data/instance-id") == machine.id


def test_an_answer_goes_no_further_than_the_hop_limit(vpc: Vpc):
    machine = vpc.machine(MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1})
    with container(machine) as inner:
        with pytest.raises(TimeoutError):
            call(inner, "/latest/api/token", {LIFETIME: "60"}, "PUT", seconds=DOUBT_SECONDS)
        # Only the token is held back: with one from the machine the rest can be read.
        path = "/latest/meta-data/instance-id"
        assert call(inner, path, token(machine)).text == machine.id
        vpc.api.modify_instance_metadata_options(InstanceId=machine.id, HttpPutResponseHopLimit=2)
        assert get(inner, path) == machine.id


class container:
    """Another network namespace behind the machine's, as a container has it."""

    def __init__(self, machine: Machine):
        self.outer, self.name = machine.namespace, f"{machine.namespace}-c"

    def __enter__(self) -> Place:
        for command in (
            f"netns add {self.name}",
            f"-n {self.outer} link add inner type veth peer name eth0 netns {self.name}",
            f"-n {self.outer} address add 172.31.255.1/30 dev inner",
            f"-n {self.outer} link set inner up",
            f"-n {self.name} address add 172.31.255.2/30 dev eth0",
            f"-n {self.name} link set eth0 up",
            f"-n {self.name} route add default via 172.31.255.1",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        rules = (
            "table ip container { chain out { type nat hook postrouting priority srcnat; "
            'oifname "host0" masquerade; }; }'
        )
        script = f"echo 1 > /proc/sys/net/ipv4/ip_forward; nft '{rules}'"
        subprocess.run(["ip", "netns", "exec", self.outer, "sh", "-c", script], check=True)
        return Place(self.name)

    def __exit__(self, *error: object) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


# -- what is told ----------------------------------------------------------------------------------


def test_an_instance_learns_what_ec2s_api_says_of_it(vpc: Vpc):
    group = vpc.group()
    machine = vpc.machine(group, public=True, KeyName=vpc.config["KEY_NAME"])
    listed = vpc.instance(machine.id)
    nic = listed["NetworkInterfaces"][0]
    expected = {
        "ami-id": listed["ImageId"],
        "hostname": listed["PrivateDnsName"],
        "instance-id": machine.id,
        "instance-type": listed["InstanceType"],
        "local-ipv4": listed["PrivateIpAddress"],
        "mac": nic["MacAddress"],
        "placement/availability-zone": listed["Placement"]["AvailabilityZone"],
        "placement/region": "us-east-1",
        "public-ipv4": listed["PublicIpAddress"],
        "public-keys/": f"0={vpc.config['KEY_NAME']}",
        f"network/interfaces/macs/{nic['MacAddress']}/subnet-id": listed["SubnetId"],
        f"network/interfaces/macs/{nic['MacAddress']}/security-group-ids": group,
        f"network/interfaces/macs/{nic['MacAddress']}/interface-id": nic["NetworkInterfaceId"],
    }
    found = {path: get(machine, f"/latest/meta-data/{path}") for path in expected}
    assert found == expected
    key = get(machine, "/latest/meta-data/public-keys/0/openssh-key")
    assert key.startswith("ssh-ed25519 ")
    document = json.loads(get(machine, "/latest/dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"]) == (machine.id, "us-east-1")


def test_every_path_that_is_listed_leads_somewhere(vpc: Vpc):
    machine = vpc.machine(
        public=True,
        KeyName=vpc.config["KEY_NAME"],
        MetadataOptions={"InstanceMetadataTags": "enabled"},
    )
    folders, texts = ["/latest/meta-data/"], {}
    while folders:
        folder = folders.pop()
        for name in get(machine, folder).splitlines():
            path = folder + name.partition("=")[0] + ("/" if "=" in name else "")
            if path.endswith("/"):
                folders.append(path)
            else:
                texts[path] = get(machine, path)
    assert len(texts) > 30
    assert call(machine, "/latest/meta-data/nothing", token(machine)).status == 404
    assert call(machine, "/1999-01-01/meta-data/", token(machine)).status == 404


def test_user_data_arrives_as_it_was_sent(vpc: Vpc):
    data = bytes(range(256))
    machine = vpc.machine(UserData=data)
    held = token(machine)

    def fetch() -> bytes:
        connection = HTTPConnection(METADATA, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/latest/user-data", headers=held)
        return connection.getresponse().read()

    assert machine.do(fetch) == data
    bare = vpc.machine()
    assert call(bare, "/latest/user-data", token(bare)).status == 404


def test_tags_are_told_only_where_that_is_allowed(vpc: Vpc):
    tags = [{"Key": "owner", "Value": "alice"}]
    machine = vpc.machine(TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    assert call(machine, "/latest/meta-data/tags/", token(machine)).status == 404
    vpc.api.modify_instance_metadata_options(InstanceId=machine.id, InstanceMetadataTags="enabled")
    assert get(machine, "/latest/meta-data/tags/instance/owner") == "alice"


def test_nobody_but_machines_is_told_anything(vpc: Vpc):
    vpc.machine()
    assert not HOST.reaches(METADATA, 80)


# -- roles -----------------------------------------------------------------------------------------

ASSUME = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture(scope="module")
def profile(vpc: Vpc) -> str:
    """The name of an instance profile, and of the role in it."""
    iam = boto3.client("iam", endpoint_url=vpc.ec2.endpoint_url, **access(vpc))
    name = "manager"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(ASSUME))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def access(vpc: Vpc) -> dict[str, str]:
    environment = vpc.ec2.environment()
    return {
        "region_name": environment["AWS_DEFAULT_REGION"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }


CHAIN = """
import boto3, json
credentials = boto3.Session().get_credentials()
frozen = credentials.get_frozen_credentials()
print(json.dumps([credentials.method, frozen.access_key, bool(frozen.token)]))
"""


def test_boto3_finds_the_roles_keys_by_its_usual_chain(vpc: Vpc, profile: str):
    machine = vpc.machine(
        IamInstanceProfile={"Name": profile}, MetadataOptions={"HttpTokens": "required"}
    )
    done = subprocess.run(
        ["ip", "netns", "exec", machine.namespace, sys.executable, "-c", CHAIN],
        env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    method, key, has_token = json.loads(done.stdout)
    assert (method, key[:4], has_token) == ("iam-role", "ASIA", True)
    assert vpc.ec2.engine.role_keys.owner_of(key) == (machine.id, profile)
    info = json.loads(get(machine, "/latest/meta-data/iam/info"))
    assert info["InstanceProfileArn"].endswith(f":instance-profile/{profile}")


def test_an_instance_without_a_role_has_no_keys(vpc: Vpc):
    machine = vpc.machine()
    assert call(machine, "/latest/meta-data/iam/", token(machine)).status == 404


def test_a_role_can_come_and_go_while_the_machine_runs(vpc: Vpc, profile: str):
    machine = vpc.machine()
    path = "/latest/meta-data/iam/security-credentials/"
    associated: dict[str, Any] = vpc.api.associate_iam_instance_profile(
        InstanceId=machine.id, IamInstanceProfile={"Name": profile}
    )["IamInstanceProfileAssociation"]
    assert get(machine, path) == profile
    key = json.loads(get(machine, path + profile))["AccessKeyId"]
    assert json.loads(get(machine, path + profile))["AccessKeyId"] == key
    vpc.api.disassociate_iam_instance_profile(AssociationId=associated["AssociationId"])
    assert call(machine, path, token(machine)).status == 404


def test_every_machine_of_a_launch_has_keys_of_its_own(vpc: Vpc, profile: str):
    machines = vpc.machines(2, IamInstanceProfile={"Name": profile})
    path = f"/latest/meta-data/iam/security-credentials/{profile}"
    keys = [json.loads(get(machine, path))["AccessKeyId"] for machine in machines]
    owners = [vpc.ec2.engine.role_keys.owner_of(key) for key in keys]
    assert owners == [(machine.id, profile) for machine in machines]

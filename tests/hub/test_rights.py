"""A hub that has its role's rights and no more, as on a manager in AWS."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import boto3
import pytest
import pytest_asyncio
from sites import BRISK, QUICK, USERS, Site

from cloudjhub.demo.child import Program
from cloudjhub.demo.stack import Demo, DemoSettings
from cloudjhub.ec2_values import tag_list
from cloudjhub.naming import MANAGER_ROLE, WORKER_ROLE, key_pair_name, resource_name, role_tags
from cloudjhub.policy import documents

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CLUSTER = "demo"
ROLE = resource_name(CLUSTER, MANAGER_ROLE)
PLACE = documents.Place(CLUSTER, "123456789012", "us-east-1")


class ManagersDemo(Demo):
    """A demo whose hub has the credentials of a manager's role, not those of root."""

    def _program(self, name: str, command: list[str], environment: Mapping[str, str]) -> Program:
        if name != "hub":
            return super()._program(name, command, environment)
        self._make_cluster()
        key = self.ec2.engine.role_keys.issue("i-0123456789abcdef0", ROLE)
        return super()._program(
            name, command, {**environment, "AWS_ACCESS_KEY_ID": key.access_key_id}
        )

    def _make_cluster(self) -> None:
        """What a launch leaves behind: tagged image and group, key pair, role."""
        config, ec2, iam = self.server_config, self._root("ec2"), self._root("iam")
        ids = [config["WORKER_AMI"], *config["WORKER_SECURITY_GROUPS"]]
        ec2.create_tags(Resources=ids, Tags=tag_list(role_tags(CLUSTER, WORKER_ROLE)))
        (pair,) = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
        ec2.import_key_pair(
            KeyName=key_pair_name(CLUSTER), PublicKeyMaterial=pair["PublicKey"].encode()
        )
        trust = json.dumps(documents.trust(PLACE))
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
        policy = json.dumps(documents.manager(PLACE, subnets=subnets))
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName=ROLE, PolicyName=ROLE, PolicyDocument=policy)

    def _root(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.ec2.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    settings = DemoSettings(
        folder=tmp_path_factory.mktemp("site"),
        port=0,
        users=USERS,
        local=QUICK,
        more_config=BRISK,
        more_server_config={"KEY_NAME": key_pair_name(CLUSTER)},
    )
    async with ManagersDemo(settings) as demo:
        running = Site(demo)
        try:
            yield running
        finally:
            await running.close()


def asked(site: Site) -> list:
    """What was asked for with the role's rights."""
    return [call for call in site.ec2.authorized_calls() if ROLE in call.principal]


async def test_a_students_whole_life_takes_no_further_rights(site: Site):
    student = await site.user("student01")
    await student.start_server()
    first = (await site.the_machine("student01"))["InstanceId"]
    await site.write_home(first, "thesis.txt", "chapter one")
    await student.stop_server()
    await site.machine_stopped("student01")
    await student.start_server()
    await student.stop_server()
    await site.machine_stopped("student01")

    # A machine that vanished is replaced, and the home moves to the new one.
    await asyncio.to_thread(site.boto().terminate_instances, InstanceIds=[first])
    await student.start_server()
    second = (await site.the_machine("student01"))["InstanceId"]
    assert second != first
    assert await site.read_home(second, "thesis.txt") == "chapter one"

    calls = asked(site)
    assert [(call.action, call.resources) for call in calls if not call.allowed] == []
    assert {call.action for call in calls} >= {
        *("DescribeInstances", "DescribeVolumes", "DescribeImages", "RunInstances"),
        *("StartInstances", "StopInstances", "CreateTags", "AttachVolume"),
    }


async def test_a_user_who_leaves_for_ever_takes_machine_and_home_along(site: Site):
    student = await site.user("student02")
    await student.start_server()
    await student.stop_server()
    await site.machine_stopped("student02")
    with site.config(ON_USER_DELETE="delete"):
        assert (await site.api("DELETE", "/users/student02"))[0] == 204

    async def gone() -> bool:
        return not await site.homes("student02") and not await site.machines("student02")

    await site.until("machine and home to be gone", gone)
    calls = asked(site)
    assert {"TerminateInstances", "DeleteVolume"} <= {call.action for call in calls if call.allowed}
    assert [(call.action, call.resources) for call in calls if not call.allowed] == []


async def test_another_type_and_a_home_that_moves_take_no_further_rights(site: Site):
    subnets = await asyncio.to_thread(site.boto().describe_subnets)
    here = site.ec2.settings.zone("a")
    first = site.demo.server_config["SUBNET_ID"]
    (vpc,) = [s["VpcId"] for s in subnets["Subnets"] if s["SubnetId"] == first]
    there = [
        s["SubnetId"]
        for s in subnets["Subnets"]
        if s["VpcId"] == vpc and s["AvailabilityZone"] != here
    ]
    types = ["t3.medium", "t3a.medium"]
    with site.config(WORKER_INSTANCE_TYPE=types, SUBNET_ID=[first, there[0]], MOVE_HOMES="always"):
        student = await site.user("student03")
        await student.start_server()
        old = (await site.the_machine("student03"))["InstanceId"]
        await site.write_home(old, "thesis.txt", "chapter one")
        await student.stop_server()
        await site.machine_stopped("student03")
        site.ec2.reset_calls()
        for each in types:
            site.ec2.faults.capacity(each, here, 0)
        await student.start_server()
        (machine,) = [m for m in await site.machines("student03") if m["InstanceId"] != old]
        assert machine["Placement"]["AvailabilityZone"] != here
        assert await site.read_home(machine["InstanceId"], "thesis.txt") == "chapter one"
    site.ec2.faults.clear()
    wanted = {
        *("ModifyInstanceAttribute", "CreateSnapshot", "DescribeSnapshots", "CreateVolume"),
        *("DetachVolume", "AttachVolume", "DeleteTags", "TerminateInstances", "DeleteSnapshot"),
    }
    await site.until(f"calls of {wanted}", lambda: wanted <= {call.action for call in asked(site)})
    assert [(call.action, call.resources) for call in asked(site) if not call.allowed] == []


async def test_machines_that_hibernate_and_those_that_cannot_take_no_further_rights(site: Site):
    site.ec2.reset_calls()
    able = {}
    for name, type_ in (("student04", "t3.medium"), ("student05", "g4dn.xlarge")):
        with site.config(IDLE_ACTION="hibernate", WORKER_INSTANCE_TYPE=type_):
            student = await site.user(name)
            await student.start_server()
            machine = await site.the_machine(name)
            able[machine["InstanceType"]] = machine["HibernationOptions"]["Configured"]
            await student.stop_server()
    assert able == {"t3.medium": True, "g4dn.xlarge": False}
    assert site.ec2.calls()["RunInstances"] == {"ok": 2, "throttled": 0, "error": 1}
    assert [(call.action, call.resources) for call in asked(site) if not call.allowed] == []

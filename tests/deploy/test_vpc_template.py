"""The CloudFormation template of the network: valid, and what the launch wants of a network."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cfnlint.decode import cfn_yaml
from moto.server import ThreadedMotoServer

TEMPLATE = Path(__file__).resolve().parents[2] / "launch_cluster/vpc.yaml"
REGION = "us-east-1"


@pytest.mark.slow
def test_the_linter_finds_nothing() -> None:
    lint = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", str(TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(service: str, endpoint: str):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


@pytest.mark.slow
def test_both_subnets_have_their_way_out(endpoint: str) -> None:
    stacks, ec2 = client("cloudformation", endpoint), client("ec2", endpoint)
    zone = {"ParameterKey": "AvailabilityZone", "ParameterValue": f"{REGION}b"}
    stacks.create_stack(StackName="network", TemplateBody=TEMPLATE.read_text(), Parameters=[zone])
    stack = stacks.describe_stacks(StackName="network")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    ids = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert ids.keys() == {"VpcId", "PrivateSubnetId", "PrivateSubnetIds", "PublicSubnetId"}
    assert ids["PrivateSubnetIds"] == ids["PrivateSubnetId"]

    subnets = {
        subnet["SubnetId"]: subnet
        for subnet in ec2.describe_subnets(
            SubnetIds=[ids["PrivateSubnetId"], ids["PublicSubnetId"]]
        )["Subnets"]
    }
    assert {subnet["AvailabilityZone"] for subnet in subnets.values()} == {f"{REGION}b"}
    assert {subnet["VpcId"] for subnet in subnets.values()} == {ids["VpcId"]}
    assert subnets[ids["PrivateSubnetId"]]["AvailableIpAddressCount"] > 4000

    made = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in stacks.describe_stack_resources(StackName="network")["StackResources"]
        if "LogicalResourceId" in resource  # moto lists what a condition leaves out, without it
    }
    assert default_route(ec2, made["PublicRoutes"])["GatewayId"].startswith("igw-")
    assert default_route(ec2, made["PrivateRoutes"])["NatGatewayId"].startswith("nat-")


@pytest.mark.slow
def test_a_second_zone_is_named_beside_the_first(endpoint: str) -> None:
    stacks, ec2 = client("cloudformation", endpoint), client("ec2", endpoint)
    zones = {"AvailabilityZone": f"{REGION}b", "SecondAvailabilityZone": f"{REGION}c"}
    said = [{"ParameterKey": key, "ParameterValue": zone} for key, zone in zones.items()]
    stacks.create_stack(StackName="two", TemplateBody=TEMPLATE.read_text(), Parameters=said)
    stack = stacks.describe_stacks(StackName="two")["Stacks"][0]
    ids = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    first, second = ids["PrivateSubnetIds"].split(",")
    assert first == ids["PrivateSubnetId"]
    described = ec2.describe_subnets(SubnetIds=[first, second])["Subnets"]
    where = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in described}
    assert where == {first: f"{REGION}b", second: f"{REGION}c"}


def default_route(ec2, table_id: str) -> dict[str, str]:
    (table,) = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
    (route,) = [
        route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]
    return route


def test_each_subnet_has_its_own_table() -> None:
    # Read from the template: moto's CloudFormation does not associate tables with subnets.
    resources = cfn_yaml.load(str(TEMPLATE))["Resources"].values()
    pairs = {
        resource["Properties"]["SubnetId"]["Ref"]: resource["Properties"]["RouteTableId"]["Ref"]
        for resource in resources
        if resource["Type"] == "AWS::EC2::SubnetRouteTableAssociation"
    }
    private = {"PrivateSubnet": "PrivateRoutes", "SecondPrivateSubnet": "PrivateRoutes"}
    assert pairs == {"PublicSubnet": "PublicRoutes"} | private

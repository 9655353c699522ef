"""An account as docs/install.md leaves it: a VPC that a cluster fits in, and a key pair."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from cloudjhub.account.clients import Clients
from cloudjhub.deploy.settings import Settings
from cloudjhub.deploy.sources import settings_from
from cloudjhub.local import LocalEC2
from cloudjhub.local.seeding import KEY_NAME

REGION = "us-east-1"


@dataclass
class Account:
    """A local EC2 with what an operator must have before a launch."""

    ec2: LocalEC2
    folder: Path
    config: dict[str, Any] = field(init=False)
    vpc: str = field(init=False)
    private: str = field(init=False)
    public: str = field(init=False)
    nat: str = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.ec2.seed()
        self.private = self.config["SUBNET_ID"]
        (subnet,) = self.api.describe_subnets(SubnetIds=[self.private])["Subnets"]
        self.vpc = subnet["VpcId"]
        self.public = self.another_subnet()
        gateway = self.api.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.api.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.route(self.public, GatewayId=gateway)
        address = self.api.allocate_address(Domain="vpc")["AllocationId"]
        made = self.api.create_nat_gateway(SubnetId=self.public, AllocationId=address)
        self.nat = made["NatGateway"]["NatGatewayId"]
        self.route(self.private, NatGatewayId=self.nat)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.ec2.endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    @cached_property
    def clients(self) -> Clients:
        """As the operator's commands ask; making these takes a second."""
        return Clients(self.settings().access)

    @cached_property
    def api(self) -> Any:
        return self.client("ec2")

    def another_subnet(self, prefix: int = 24) -> str:
        """A new subnet in the VPC, without a route table of its own."""
        taken = len(self.api.describe_subnets()["Subnets"])
        (vpc,) = self.api.describe_vpcs(VpcIds=[self.vpc])["Vpcs"]
        first, second = vpc["CidrBlock"].split(".")[:2]
        made = self.api.create_subnet(
            VpcId=self.vpc,
            CidrBlock=f"{first}.{second}.{100 + taken}.0/{prefix}",
            AvailabilityZone=f"{REGION}a",
        )
        return made["Subnet"]["SubnetId"]

    def route(self, subnet: str, **target: str) -> str:
        """Give the subnet a route table that leads everywhere through the target."""
        table = self.api.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.api.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
        self.api.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return table

    def forget_subnet(self, subnet: str) -> None:
        """Delete it again."""
        self.api.delete_subnet(SubnetId=subnet)

    def role_with(self, *statements: dict[str, Any]) -> str:
        """A new instance profile; its role has these statements and the same name."""
        iam = self.client("iam")
        name = f"role{len(iam.list_roles()['Roles'])}"
        trust = '{"Version": "2012-10-17", "Statement": []}'
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return name

    def arguments(self, **changes: str) -> list[str]:
        """A command line that nothing is wrong with; then ``changes``, by key."""
        places = {
            "CLUSTER_NAME": "class1",
            "BASE_AMI": self.config["WORKER_AMI"],
            "PRIVATE_SUBNET_ID": self.private,
            "PUBLIC_SUBNET_ID": self.public,
        }
        flags = {
            "EC2_ENDPOINT_URL": self.ec2.endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_KEY": "local",
            "KEY_NAME": KEY_NAME,
            # The image of machines that stand in for others tells no login by its name.
            "SERVER_USERNAME": "ubuntu",
            "KEY_PATH": self.config["WORKER_KEY_FILE"],
            "WORKER_USERNAME": "ubuntu",
            "SSH_FROM": "192.0.2.7/32",
        }
        for key, value in changes.items():
            (places if key in places else flags)[key] = value
        nothing = self.folder / "nothing"
        nothing.touch()
        spoken = [part for key, value in flags.items() for part in (f"--{key.lower()}", value)]
        return [*places.values(), *spoken, "--secure", str(nothing)]

    def settings(self, **changes: str) -> Settings:
        return settings_from(self.arguments(**changes))

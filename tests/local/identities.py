"""People and roles of a local account, and clients that call in their name."""

import itertools
import json
from typing import Any

import boto3
from botocore.config import Config
from local.clouds import Cloud

from cloudjhub.policy.documents import Place

ACCOUNT = "123456789012"
_numbers = itertools.count(1)


def place(cluster: str) -> Place:
    return Place(cluster, ACCOUNT, "us-east-1")


def client(cloud: Cloud, service: str, access_key_id: str = "local") -> Any:
    """A client that tries once."""
    return boto3.client(
        service,
        endpoint_url=cloud.ec2.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=access_key_id,
        aws_secret_access_key="not-checked",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60),
    )


def user_with(cloud: Cloud, *documents: dict[str, Any]) -> str:
    """The access key of a new user who has these policies, attached as managed ones."""
    iam, name = client(cloud, "iam"), f"user-{next(_numbers)}"
    iam.create_user(UserName=name)
    for number, document in enumerate(documents):
        policy = iam.create_policy(
            PolicyName=f"{name}-{number}", PolicyDocument=json.dumps(document)
        )
        iam.attach_user_policy(UserName=name, PolicyArn=policy["Policy"]["Arn"])
    return iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]


def allow(*actions: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    """A policy of one statement."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    if condition:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


def make_role(cloud: Cloud, name: str, trust: dict[str, Any], document: dict[str, Any]) -> None:
    """A role with an inline policy, in an instance profile of the same name."""
    iam = client(cloud, "iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(document))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def role_key(cloud: Cloud, instance_id: str, role: str) -> str:
    """The access key that the metadata service would give to an instance."""
    return cloud.ec2.engine.role_keys.issue(instance_id, role).access_key_id

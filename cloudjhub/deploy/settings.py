"""Everything an operator can set, checked whole, then frozen. Where it is read: ``sources``."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from cloudjhub.aws import Access
from cloudjhub.deploy.idleness import Idleness
from cloudjhub.deploy.supply import INSTANCE_TYPE, SUBNET_ID, Number, SubnetIds, Supply
from cloudjhub.naming import CLUSTER_NAME

_ACCOUNT_NAME = r"^([a-z_][a-z0-9_-]{0,31})?$"


def _filled_in(value: object) -> object:
    if isinstance(value, str) and "changeme" in value:
        raise ValueError("still has the example's value; fill in your own, or leave it empty")
    return value


def _web_address(value: str) -> str:
    try:
        valid = not value or bool(urlsplit(value).hostname)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("is no address such as https://ec2.us-east-1.amazonaws.com")
    return value


_Own = Annotated[str, BeforeValidator(_filled_in)]


class Account(BaseModel):
    """Which cluster, where, and as whom AWS is asked: all that the verbs after a launch need."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    cluster_name: str = Field(
        alias="CLUSTER_NAME",
        pattern=CLUSTER_NAME,
        description="name of the cluster: letters, digits, - and _, 46 at most",
    )
    region: str = Field(
        default="us-east-1",
        alias="REGION",
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="AWS region",
    )
    endpoint_url: Annotated[str, AfterValidator(_web_address)] = Field(
        default="",
        alias="EC2_ENDPOINT_URL",
        pattern=r"^(https?://.+)?$",
        description="address of AWS's API where it is not Amazon's own, such as a local EC2",
    )
    access_key_id: _Own = Field(
        default="",
        alias="AWS_ACCESS_KEY_ID",
        repr=False,
        description="access key; empty: boto3's usual chain (environment, ~/.aws, SSO, role)",
    )
    secret_key: _Own = Field(
        default="",
        alias="AWS_SECRET_KEY",
        repr=False,
        description="secret of the access key; other users of this computer can see flags, "
        "so prefer secure.py or the environment",
    )
    session_token: _Own = Field(
        default="",
        alias="AWS_SESSION_TOKEN",
        repr=False,
        description="session token, with temporary access keys only",
    )
    profile: str = Field(
        default="", alias="AWS_PROFILE", description="profile of ~/.aws/config to use"
    )

    @property
    def access(self) -> Access:
        """For ``cloudjhub.aws.Session``."""
        return Access(
            region=self.region,
            endpoint_url=self.endpoint_url or None,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_key,
            session_token=self.session_token,
            profile=self.profile,
        )


class ManagerLogin(Account):
    """Also how to log in to the manager: for verbs that change what runs there."""

    key_path: _Own = Field(
        default="",
        alias="KEY_PATH",
        description="file with the private half of KEY_NAME, mode 0600",
    )
    ignore_permissions: bool = Field(
        default=False,
        alias="IGNORE_PERMISSIONS",
        description="true: take the private key file whatever its mode is",
    )
    server_username: str = Field(
        default="",
        alias="SERVER_USERNAME",
        pattern=_ACCOUNT_NAME,
        description="login of BASE_AMI; empty: ubuntu on Ubuntu, admin on Debian",
    )


class Reach(ManagerLogin):
    """Also from where the manager is reached, and under which name: a launch or an upgrade says."""

    ssh_from: str = Field(
        default="",
        alias="SSH_FROM",
        pattern=r"^([0-9a-fA-F.:]+/\d{1,3})?$",
        description="network that may reach the manager's port 22, such as 192.0.2.7/32; "
        "empty: this computer's address",
    )
    domain: str = Field(
        default="",
        alias="DOMAIN",
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)+)?$",
        description="name of the hub, such as hub.example.edu; HTTPS then by Let's Encrypt",
    )
    email: str = Field(
        default="",
        alias="EMAIL",
        pattern=r"^([A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$",
        description="address that Let's Encrypt writes to",
    )
    certificate_file: str = Field(
        default="", alias="CERTIFICATE_FILE", description="certificate with its chain, PEM"
    )
    certificate_key_file: str = Field(
        default="", alias="CERTIFICATE_KEY_FILE", description="private key of CERTIFICATE_FILE, PEM"
    )
    plain_http: bool = Field(
        default=False,
        alias="PLAIN_HTTP",
        description="true: no HTTPS at all; passwords then cross the network readable",
    )


class Settings(Supply, Idleness, Reach):
    """What a launch works from. Sizes in GiB, times in seconds."""

    base_ami: str = Field(
        alias="BASE_AMI",
        pattern=r"^ami-[0-9a-f]{8,17}$",
        description="AMI of Ubuntu 22.04, Ubuntu 24.04 or Debian 12",
    )
    private_subnet_ids: SubnetIds = Field(
        alias="PRIVATE_SUBNET_ID",
        description="subnet of users' machines, behind a NAT gateway; several, in other zones, "
        "with commas between: new machines go into the first that has capacity",
    )
    public_subnet_id: str = Field(
        alias="PUBLIC_SUBNET_ID",
        pattern=SUBNET_ID,
        description="subnet of the manager, with an internet gateway",
    )
    vpc_id: Annotated[str, BeforeValidator(_filled_in)] = Field(
        default="",
        alias="VPC_ID",
        pattern=r"^(vpc-[0-9a-f]{8,17})?$",
        description="VPC of all subnets; empty: the one they lie in",
    )
    key_name: _Own = Field(
        default="", alias="KEY_NAME", description="EC2 key pair that the manager admits"
    )
    manager_iam_role: _Own = Field(
        default="",
        alias="MANAGER_IAM_ROLE",
        description="name or ARN of the manager's instance profile; empty: the launch makes one",
    )
    manager_instance_type: str = Field(
        default="t3.medium",
        alias="MANAGER_INSTANCE_TYPE",
        pattern=INSTANCE_TYPE,
        description="instance type of the manager",
    )
    manager_disk_gib: Number = Field(
        default=16,
        alias="MANAGER_EBS_SIZE",
        ge=1,
        le=16384,
        description="root disk of the manager, GiB",
    )
    root_disk_gib: Number = Field(
        default=8,
        alias="WORKER_EBS_SIZE",
        ge=1,
        le=16384,
        description="root disk of a user's machine, GiB; not smaller than the AMI's (8 for Ubuntu)",
    )
    home_disk_gib: Number = Field(
        default=4,
        alias="USER_HOME_EBS_SIZE",
        ge=0,
        le=16384,
        description="home volume of a user, GiB; 0: homes lie on the root disk",
    )
    custom_worker_ami: str = Field(
        default="",
        alias="CUSTOM_WORKER_AMI",
        pattern=r"^(ami-[0-9a-f]{8,17})?$",
        description="AMI of users' machines that is used as it is; empty: the launch makes one",
    )
    worker_requirements: str = Field(
        default="",
        alias="WORKER_REQUIREMENTS",
        description="file in pip's format: packages for the class, installed in the worker AMI; it "
        "stays there for root only, as it may hold a password of an index",
    )
    worker_username: str = Field(
        default="",
        alias="WORKER_USERNAME",
        pattern=_ACCOUNT_NAME,
        description="login of users' machines, for the hub; empty: as their distribution has it",
    )
    notebook_username: str = Field(
        default="jupyter",
        alias="NOTEBOOK_USERNAME",
        pattern=_ACCOUNT_NAME,
        description="account of users' machines that owns the home and runs notebooks",
    )
    server_owner: str = Field(
        default="",
        alias="SERVER_OWNER",
        max_length=256,
        description="who pays; written to the tag cloudjhub:paid-by",
    )
    class_size: Number = Field(
        default=0,
        alias="CLASS_SIZE",
        ge=0,
        description="students at once, for the checks of quota and addresses; 0: not said",
    )
    authenticator: Literal["native", "github", "own"] = Field(
        default="native",
        alias="AUTHENTICATOR",
        description="native (sign-up, let in by userlist or an admin), github, or own: "
        "HUB_CONFIG names one",
    )
    signup_word: str = Field(
        default="",
        alias="SIGNUP_WORD",
        pattern=r"^([A-Za-z0-9._-]{4,64})?$",
        repr=False,
        description="word with which listed students sign up; empty: the launch makes one; "
        "none: whoever is first takes a listed name",
    )
    hub_config: str = Field(
        default="",
        alias="HUB_CONFIG",
        description="file of your own for the hub's jupyterhub_config.d, read last",
    )
    github_client_id: str = Field(
        default="", alias="GITHUB_CLIENT_ID", description="of the GitHub OAuth app"
    )
    github_client_secret: str = Field(
        default="",
        alias="GITHUB_CLIENT_SECRET",
        repr=False,
        description="of the GitHub OAuth app; prefer secure.py or the environment",
    )
    github_organization: str = Field(
        default="",
        alias="GITHUB_ORGANIZATION",
        description="organization whose members may log in; empty: those in userlist only",
    )
    userlist: str = Field(
        default="",
        alias="USERLIST",
        description='file with one user a line: "name" or "name admin"',
    )
    db_url: str = Field(
        default="",
        alias="DB_URL",
        repr=False,
        description="database of the hub, postgresql://...; empty: SQLite on the manager",
    )

    @property
    def private_subnet_id(self) -> str:
        """Where new machines go if Amazon has room there."""
        return self.private_subnet_ids[0]

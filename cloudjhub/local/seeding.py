"""What a new account gets so that a cluster can be started in it at once."""

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudjhub.local.images import BOOTED_ROOT_DEVICE
from cloudjhub.local.machines.disk import write_private
from cloudjhub.local.settings import LocalEC2Error
from cloudjhub.local.vpc import seeding as vpc_seeding

if TYPE_CHECKING:
    from cloudjhub.local.engine import Engine

KEY_NAME = "cloudjhub-local"
IMAGE_NAME = "cloudjhub-local-worker"
#: as Debian names its own images
BOOTED_IMAGE_NAME = "debian-12-amd64-local"
GROUP_NAME = "cloudjhub-local-worker"
ZONES = ("a", "b")
#: 4091 machines in each
SUBNET_PREFIX = 20


def seed(engine: "Engine", cidr: str) -> dict[str, str]:
    """Makes what is missing of: VPC, a subnet per zone, group, key pair, image. Returns ids.

    Keys: ``vpc``, ``subnet-a``, ``subnet-b``, ``group``, ``image``, and for machines that boot
    those of :func:`cloudjhub.local.vpc.seeding.seed`. Raises LocalEC2Error where the region lacks
    a zone.
    """
    _check_zones(engine)
    backend, ids = engine.backend, engine.backend.seeded
    with engine.lock:
        if ids.get("vpc") not in backend.vpcs:
            ids["vpc"] = backend.create_vpc(cidr).id
        _seed_subnets(engine, cidr)
        if ids.get("group") not in backend.groups[ids["vpc"]]:
            group = backend.create_security_group(
                GROUP_NAME, "Workers of a local cluster", vpc_id=ids["vpc"]
            )
            ids["group"] = group.id
        if engine.network:
            vpc_seeding.seed(engine, cidr)
        if ids.get("image") not in backend.amis:
            ids["image"] = _seed_image(engine)
        _seed_key_pair(engine)
        engine.changed()
        return dict(ids)


def key_file(engine: "Engine") -> Path:
    return engine.state_dir / f"{KEY_NAME}.pem"


def server_config(engine: "Engine", ids: dict[str, str], endpoint_url: str) -> dict[str, Any]:
    """The keys of server_config.json that say where and what machines are."""
    kind = engine.machines.kind
    return {
        "REGION": engine.settings.region,
        "EC2_ENDPOINT_URL": endpoint_url,
        "WORKER_AMI": ids["image"],
        "SUBNET_ID": ids["subnet-a"],
        "WORKER_SECURITY_GROUPS": [ids["group"]],
        "KEY_NAME": KEY_NAME,
        "WORKER_KEY_FILE": str(key_file(engine)),
        "WORKER_USERNAME": kind.control_account,
        "NOTEBOOK_USERNAME": kind.notebook_account,
        "WORKER_SSH_PORT": 22 if kind.booted else engine.settings.ssh_port,
    }


def launch_command(engine: "Engine", config: dict[str, Any]) -> list[str]:
    """With ids and keys of this account; only for machines that boot."""
    ids = engine.backend.seeded
    flags = {
        "ec2_endpoint_url": config["EC2_ENDPOINT_URL"],
        "aws_access_key_id": "local",
        "aws_secret_key": "local",
        "region": config["REGION"],
        "vpc_id": ids["vpc"],
        "key_name": config["KEY_NAME"],
        "key_path": config["WORKER_KEY_FILE"],
        "server_username": config["WORKER_USERNAME"],
        "worker_username": config["WORKER_USERNAME"],
    }
    places = [ids["image"], ids["subnet-a"], ids["subnet-public"]]
    given = [part for name, value in flags.items() for part in (f"--{name}", value)]
    return ["./launch_cluster/launch.py", "trial", *places, *given]


def _check_zones(engine: "Engine") -> None:
    from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

    region = engine.settings.region
    known = {zone.name for zone in RegionsAndZonesBackend.zones.get(region, [])}
    if not {engine.settings.zone(letter) for letter in ZONES} <= known:
        raise LocalEC2Error(
            f"The local EC2 has no region {region} with the zones {' and '.join(ZONES)}.",
            "Name another, such as us-east-1.",
        )


def _seed_subnets(engine: "Engine", cidr: str) -> None:
    ids = engine.backend.seeded
    known = {subnet_id for subnets in engine.backend.subnets.values() for subnet_id in subnets}
    blocks = ipaddress.ip_network(cidr).subnets(new_prefix=SUBNET_PREFIX)
    for letter, block in zip(ZONES, blocks, strict=False):
        if ids.get(f"subnet-{letter}") not in known:
            subnet = engine.backend.create_subnet(
                ids["vpc"], str(block), availability_zone=engine.settings.zone(letter)
            )
            # moto's default would give every machine a public address.
            subnet.map_public_ip_on_launch = False
            ids[f"subnet-{letter}"] = subnet.id


def _seed_image(engine: "Engine") -> str:
    if not engine.machines.kind.booted:
        image = engine.backend.register_image(
            name=IMAGE_NAME, description="A machine of this computer"
        )
        return image.id
    image = engine.backend.register_image(
        name=BOOTED_IMAGE_NAME, description="Debian 12 (amd64), as a machine of this computer"
    )
    image.root_device_name = BOOTED_ROOT_DEVICE
    return image.id


def _seed_key_pair(engine: "Engine") -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = key_file(engine)
    if KEY_NAME in engine.backend.key_pairs and path.exists():
        return
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    write_private(path, private)
    engine.backend.delete_key_pair(KEY_NAME)
    engine.backend.import_key_pair(KEY_NAME, public, {})

"""An operator ends everybody's machines under a running hub; homes stay, or come back."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sites import BRISK, Site

from cloudjhub.ec2_values import tag_list, tags_from

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": BRISK}
SCRIPT = Path(__file__).resolve().parents[2] / "scripts/terminate_all_workers.py"


def run(site: Site, *arguments: str) -> str:
    """The script, as an operator runs it; what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "CLOUDJHUB_EC2_ENDPOINT_URL": site.ec2.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    name = site.demo.server_config["CLUSTER_NAME"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), name, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def at_work(site: Site, name: str) -> str:
    """A student with a file in their home and a running server; gives the machine's id."""
    student = await site.user(name)
    await student.start_server()
    machine = (await site.the_machine(name))["InstanceId"]
    await site.write_home(machine, "thesis.txt", f"of {name}")
    return machine


async def test_homes_that_stay_are_found_at_the_next_start(site: Site):
    names = ("student01", "student02")
    before = [await at_work(site, name) for name in names]
    said = await asyncio.to_thread(run, site, "--yes")
    assert "Kept: 2 homes" in said
    for name, machine in zip(names, before, strict=True):
        await site.no_server(name)
        await (await site.user(name)).start_server()
        now = (await site.the_machine(name))["InstanceId"]
        assert now != machine
        assert await site.read_home(now, "thesis.txt") == f"of {name}"


async def test_a_volume_made_of_a_snapshot_is_the_home_again(site: Site):
    """That it has the files is tried with machines that boot: these here keep no snapshots."""
    name = "student03"
    await at_work(site, name)
    await asyncio.to_thread(run, site, "--yes", "--homes", "snapshot")
    await site.no_server(name)
    assert not await site.homes(name)
    # As docs/operations.md says.
    ec2 = site.boto()
    found = ec2.describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:cloudjhub:user", "Values": [name]}]
    )
    (snapshot,) = found["Snapshots"]
    kept = ("cloudjhub:cluster", "cloudjhub:user", "cloudjhub:server")
    tags = {key: tags_from(snapshot)[key] for key in kept} | {"cloudjhub:role": "disk"}
    made = ec2.create_volume(
        SnapshotId=snapshot["SnapshotId"],
        AvailabilityZone="us-east-1a",
        VolumeType="gp3",
        Encrypted=True,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tag_list(tags)}],
    )
    await (await site.user(name)).start_server()
    assert [home["VolumeId"] for home in await site.homes(name)] == [made["VolumeId"]]

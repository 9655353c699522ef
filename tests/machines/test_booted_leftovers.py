"""A local EC2 that is killed leaves nothing running; started again, it has everything it had."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local.clouds import wait_for
from machines.clouds import HOME_DEVICE, need_root, running_cloud
from machines.remains import what_is_left

pytestmark = pytest.mark.slow

SUPERVISOR = """
import sys, time
from pathlib import Path
from machines.clouds import running_cloud
with running_cloud(Path(sys.argv[1])) as cloud:
    home = {"DeviceName": sys.argv[2], "Ebs": {"VolumeSize": 1, "DeleteOnTermination": False}}
    first, second = cloud.launch(2, BlockDeviceMappings=[home])
    cloud.wait_ssh(first), cloud.wait_ssh(second)
    image = cloud.made_image(first, "kept", NoReboot=True)
    cloud.inside(first, "mkfs.ext4 -q /dev/nvme1n1; mount /dev/nvme1n1 /mnt")
    cloud.inside(first, "echo home > /mnt/file; echo root > /var/lib/file; sync")
    cloud.ec2.engine.store.save()
    cloud.ec2.faults.hang(second)
    print(first, second, image, flush=True)
    time.sleep(600)
"""


def test_after_sigkill_nothing_runs_and_nothing_is_lost(tmp_path: Path):
    need_root()
    state = tmp_path / "state"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(state), HOME_DEVICE],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert supervisor.stdout is not None
        first, second, image = supervisor.stdout.readline().split()
        assert len(what_is_left(state)) > 4
    finally:
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
    wait_for(f"nothing left of {state}", lambda: not what_is_left(state), 60)

    with running_cloud(state) as cloud:
        assert cloud.state(first) == cloud.state(second) == "stopped"
        cloud.start(first)
        read = "mount /dev/nvme1n1 /mnt; cat /mnt/file /var/lib/file"
        assert cloud.inside(first, read).split() == ["home", "root"]
        assert cloud.image(image)["State"] == "available"
        child = cloud.booted(ImageId=image)
        cloud.inside(child, "test ! -e /var/lib/file")
    assert not what_is_left(state)

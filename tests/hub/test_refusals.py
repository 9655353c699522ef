"""What a student reads when no server can be had, what the log says, and that mending is enough.

Nothing here restarts the hub: after the cause is gone, the next attempt works.
"""

import asyncio
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sites import BRISK, HURRIED, running_site

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SITE = {"more_config": HURRIED}
REQUEST_ID = r"\[request (?!none)\S+\]"


@contextmanager
def refused_launch(site, code):
    """EC2's own answer to RunInstances: any number of times."""
    site.ec2.faults.refuse("RunInstances", code, "So EC2 says.", status=400, times=50)
    yield
    site.ec2.faults.clear()


@contextmanager
def no_capacity(site):
    """The zone has none left of the type."""
    for letter in "abc":
        zone = site.ec2.settings.zone(letter)
        site.ec2.faults.capacity(site.demo.server_config["WORKER_INSTANCE_TYPE"], zone, 0)
    yield
    site.ec2.faults.clear()
    site.let_pass(1000)  # so long nobody asks again
    site.let_pass(1000)  # what was refused is forgotten


@contextmanager
def quota_used_up(site):
    """The account may have no vCPU more, and nobody is to wait until somebody stops."""
    site.ec2.faults.vcpu_quota(0)
    with site.config(WHEN_FULL="refuse"):
        yield
    site.ec2.faults.clear()


REFUSALS = [
    pytest.param(
        no_capacity,
        "InsufficientInstanceCapacity",
        "Amazon has no t3.medium in zone us-east-1a just now. Try again in a few "
        "minutes, or ask your administrator for another machine type.",
        id="no-capacity",
    ),
    pytest.param(
        quota_used_up,
        "VcpuLimitExceeded",
        "The account's quota of vCPUs is used up. Your administrator can stop servers that nobody "
        "needs; whoever pays for the cluster can ask for a higher quota in the Service Quotas "
        "console of AWS. Then try again.",
        id="vcpu-quota",
    ),
    pytest.param(
        lambda site: refused_launch(site, "InsufficientFreeAddressesInSubnet"),
        "InsufficientFreeAddressesInSubnet",
        "The subnet SUBNET_ID has no free address left. Your administrator can name another subnet "
        "in SUBNET_ID of server_config.json, no restart is needed, or remove machines that nobody "
        "needs: stopped ones keep their address too.",
        id="subnet-full",
    ),
    pytest.param(
        lambda site: refused_launch(site, "UnauthorizedOperation"),
        "UnauthorizedOperation",
        "The hub is not allowed to do this in AWS. Ask your administrator to check the manager's "
        "credentials and its EC2 policy.",
        id="unauthorized",
    ),
    pytest.param(
        lambda site: site.config(WORKER_AMI="ami-0123456789abcdef0"),
        "InvalidAMIID.NotFound",
        "The AMI WORKER_AMI does not exist in this region.",
        id="wrong-ami",
    ),
    pytest.param(
        lambda site: site.config(SUBNET_ID="subnet-0123456789abcdef0"),
        "InvalidSubnetID.NotFound",
        "The subnet SUBNET_ID does not exist.",
        id="wrong-subnet",
    ),
    pytest.param(
        lambda site: site.config(KEY_NAME="nobodys"),
        "InvalidKeyPair.NotFound",
        "The key pair KEY_NAME does not exist.",
        id="wrong-key-pair",
    ),
]


@pytest.mark.parametrize(("trouble", "code", "sentence"), REFUSALS)
async def test_what_ec2_refuses_is_said_and_logged(no_faults, trouble, code, sentence):
    site, student = no_faults, await _next_student(no_faults)
    machines = len(await site.machines())
    with trouble(site):
        log = await _refused(site, student, sentence)
    assert re.search(rf"\b{re.escape(code)}: .*{REQUEST_ID}", log), log
    assert len(await site.machines()) == machines
    await student.start_server()


async def test_a_stopped_machine_that_finds_no_capacity_keeps_its_files(no_faults):
    site, student = no_faults, await _next_student(no_faults)
    machine = await _has_a_stopped_machine(site, student)
    with no_capacity(site):
        log = await _refused(site, student, "Amazon has no t3.medium in zone us-east-1a just now.")
    assert re.search(rf"StartInstances: InsufficientInstanceCapacity: .*{REQUEST_ID}", log), log
    await student.start_server()
    assert (await site.the_machine(student.name))["InstanceId"] == machine
    assert await site.read_home(machine, "thesis.txt") == "of mine"


async def test_an_ec2_that_cannot_be_reached_is_called_that(no_faults):
    site, student = no_faults, await _next_student(no_faults)
    site.ec2.faults.unreachable()
    sentence = "Amazon EC2 cannot be reached. Nothing is lost. Try again in a minute."
    log = await _refused(site, student, sentence)
    assert "no answer" in log
    site.ec2.faults.clear()
    await student.start_server()


async def test_a_missing_key_file_is_named(site):
    student = await _next_student(site)
    key = Path(site.demo.server_config["WORKER_KEY_FILE"])
    away = key.with_name("away.pem")
    key.rename(away)
    try:
        await _refused(
            site,
            student,
            f"The private key file {key} (WORKER_KEY_FILE) does not exist; copy the private key "
            "there.",
        )
    finally:
        away.rename(key)
    await student.start_server()


async def test_a_wrong_key_is_called_that(site):
    student = await _next_student(site)
    key = Path(site.demo.server_config["WORKER_KEY_FILE"])
    right = key.read_bytes()
    key.write_bytes(_some_private_key())
    sentence = "Ask your administrator to check WORKER_KEY_FILE and WORKER_USERNAME"
    try:
        mark = len(site.hub_log())
        refusing = asyncio.ensure_future(_refused(site, student, sentence))
        await _a_login_refused(site, mark)
        site.let_pass(1000)  # that a machine may take to let the hub in
        log = await refusing
    finally:
        key.write_bytes(right)
    assert "LoginRefused" in log and "does not accept the key" in log
    await student.start_server()


async def test_a_running_hub_goes_on_with_the_last_good_configuration(site):
    student = await _next_student(site)
    mark = len(site.hub_log())
    (site.demo.folder / "server_config.json").write_text('{"CLUSTER_NAME": ')
    try:
        await student.start_server()
    finally:
        site.rewrite_config()
    assert "server_config.json is broken; what it said before stays in force" in site.hub_log(mark)


async def test_a_hub_that_never_had_a_good_configuration_says_what_is_wrong(tmp_path):
    async with running_site(tmp_path / "site", more_config=BRISK) as site:
        file = site.demo.folder / "server_config.json"
        await site.demo.hub.stop()
        file.write_text('{"CLUSTER_NAME": ')
        await site.demo.hub.start(240)
        student = await site.user("student01")
        await _refused(site, student, f"{file}: is not valid JSON:")

        site.rewrite_config(SUBNETS="subnet-1", WORKER_KEY_FILE="/nowhere/key.pem")
        await _refused(site, student, "SUBNETS: no such key; did you mean SUBNET_ID?")
        missing = 'WORKER_KEY_FILE: "/nowhere/key.pem": there is no such file; put the private key'
        await _refused(site, student, missing)

        file.unlink()
        await _refused(site, student, f"{file}: there is no such file; launch writes it")
        site.rewrite_config()
        await student.start_server()


async def test_a_changed_host_key_is_refused_and_nothing_is_sent(no_faults):
    site, student = no_faults, await _next_student(no_faults)
    machine = await _has_a_stopped_machine(site, student)
    _change_host_key(site, machine)
    logins = _logins(site, machine)
    log = await _refused(site, student, "Nothing was sent to it. Ask your administrator")
    assert "HostKeyChanged" in log
    assert _logins(site, machine) == logins
    assert site.notebooks(machine) == {}

    # The second of the two remedies: replace the machine. The files are on their own volume.
    site.boto().terminate_instances(InstanceIds=[machine])
    await _gone(site, machine)
    await student.start_server()
    after = (await site.the_machine(student.name))["InstanceId"]
    assert after != machine
    assert await site.read_home(after, "thesis.txt") == "of mine"


async def test_an_intended_change_of_host_key_is_accepted_without_the_tag(no_faults):
    site, student = no_faults, await _next_student(no_faults)
    machine = await _has_a_stopped_machine(site, student)
    _change_host_key(site, machine)
    await _refused(site, student, "remove the machine's cloudjhub:host-key tag")
    # For two minutes a hub trusts the tags it wrote more than listings, which may lag. Another
    # process knows no more than the state and the tags.
    await site.demo.hub.crash()
    await site.hub_again()
    site.boto().delete_tags(Resources=[machine], Tags=[{"Key": "cloudjhub:host-key"}])
    await student.start_server()
    assert (await site.the_machine(student.name))["InstanceId"] == machine
    assert await site.read_home(machine, "thesis.txt") == "of mine"


async def test_throttled_logins_all_succeed(no_faults):
    site = no_faults
    students = [await _next_student(site) for _ in range(4)]
    tight = ("RunInstances", "DescribeVolumes", "CreateTags")
    # No second call at all, until one was refused.
    site.ec2.faults.throttle(rates={action: [1, 0] for action in tight})
    site.ec2.reset_calls()
    logins = asyncio.gather(*(student.start_server() for student in students))

    def throttled():
        return sum(counts["throttled"] for counts in site.ec2.calls().values())

    await site.until("a refused call", throttled)
    slow = {action: [1, 1] for action in tight}
    site.ec2.faults.throttle(rates={**slow, "DescribeInstances": [2, 1]})
    await logins
    site.ec2.faults.clear()
    machines = [(await site.the_machine(student.name))["InstanceId"] for student in students]
    assert len(set(machines)) == len(students)


_numbers = iter(range(1, 61))


async def _next_student(site):
    """Someone no other test knows."""
    return await site.user(f"student{next(_numbers):02d}")


async def _refused(site, student, sentence):
    """A start fails with the sentence on each page that tells of it; gives what was logged."""
    mark = len(site.hub_log())
    assert sentence in await site.failed_start(student.name)
    assert sentence in await student.failure_page()
    return site.hub_log(mark)


async def _has_a_stopped_machine(site, student):
    """The student's machine, stopped, with a file in the home."""
    await student.start_server()
    machine = (await site.the_machine(student.name))["InstanceId"]
    await site.write_home(machine, "thesis.txt", "of mine")
    await student.stop_server()
    await site.machine_stopped(student.name)
    return machine


def _change_host_key(site, instance_id):
    # The machine makes a new one when it boots without.
    (site.ec2.machines.get(instance_id).spec.folder / "host_key").unlink()


def _logins(site, instance_id):
    return site.ec2.machines.get(instance_id).console().count("Accepted publickey")


async def _gone(site, instance_id):
    async def gone():
        return instance_id not in {machine["InstanceId"] for machine in await site.machines()}

    await site.until("the machine to be gone", gone)


def _some_private_key():
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


async def test_a_machine_that_refuses_the_first_logins_of_its_boot_is_waited_for(no_faults):
    site, student = no_faults, await _next_student(no_faults)
    known = {machine["InstanceId"] for machine in await site.machines()}
    site.ec2.faults.hold("boot")
    starting = asyncio.ensure_future(student.start_server())

    async def launched():
        return {machine["InstanceId"] for machine in await site.machines()} - known

    (machine,) = await site.until("a machine", launched)
    spec = site.ec2.machines.get(machine).spec
    spec.folder.mkdir(mode=0o700)
    (spec.folder / "authorized_keys").write_text("")
    mark = len(site.hub_log())
    site.ec2.faults.let_go("boot")
    await _a_login_refused(site, mark)
    (spec.folder / "authorized_keys").write_text(f"{spec.authorized_key}\n")
    await starting


async def _a_login_refused(site, mark):
    await site.until("a refused login", lambda: "does not accept the key" in site.hub_log(mark))

"""The EC2 calls, over HTTP: moto where EC2 answers, a small server where it refuses."""

import threading
import time
import uuid
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import botocore.endpoint
import pytest
from moto.server import ThreadedMotoServer

from cloudjhub import ec2 as ec2_module
from cloudjhub.ec2 import EC2
from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    EC2Throttled,
    EC2Unreachable,
    NoCapacity,
    NotFound,
    NotPermitted,
)
from cloudjhub.launch_spec import run_arguments

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@pytest.fixture(scope="module")
def endpoint():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        server = ThreadedMotoServer("127.0.0.1", port=0)
        server.start()
        yield "http://{}:{}".format(*server.get_host_and_port())
        server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    """Ours and no others, wherever the tests run."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_MAX_ATTEMPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def admin(endpoint):
    """boto3 beside ours, for what the hub never does."""
    keys = {name.lower(): value for name, value in CREDENTIALS.items()}
    return boto3.session.Session(region_name=REGION, **keys).client("ec2", endpoint_url=endpoint)


@pytest.fixture(scope="module")
def subnet(admin):
    vpc = admin.create_vpc(CidrBlock="127.64.0.0/16")["Vpc"]["VpcId"]
    return admin.create_subnet(VpcId=vpc, CidrBlock="127.64.0.0/20")["Subnet"]["SubnetId"]


@pytest.fixture(scope="module")
def group(admin, subnet):
    vpc = admin.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    return admin.create_security_group(GroupName="workers", Description="w", VpcId=vpc)["GroupId"]


@pytest.fixture
def moto_spec(spec, subnet, group):
    return replace(spec, subnet_id=subnet, security_groups=(group,))


@pytest.fixture
def cloud(endpoint):
    """A cluster of this test's own in the shared moto."""
    return EC2(cluster=f"cluster-{uuid.uuid4().hex}", region=REGION, endpoint_url=endpoint)


def launch(cloud, spec, token="t"):
    (machine,) = cloud.run(
        run_arguments(replace(spec, cluster=cloud.cluster), count=1, client_token=token)
    )
    return machine


def listed(cloud, instance_id):
    (machine,) = (each for each in cloud.instances() if each.id == instance_id)
    return machine


# -- with an EC2 that answers


def test_a_launched_machine_is_listed_with_its_values(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    assert machine.state == "running"
    assert machine.private_ip.startswith("127.64.")
    assert machine.instance_type == "t3.medium"
    assert machine.launched_at.tzinfo is not None
    assert machine.tags["cloudjhub:cluster"] == cloud.cluster
    assert machine.tags["cloudjhub:role"] == "worker"
    assert machine.home_volume_id.startswith("vol-")


def test_what_belongs_to_others_is_not_listed(cloud, moto_spec, endpoint, admin):
    ours = launch(cloud, moto_spec)
    theirs = EC2(cluster=f"{cloud.cluster}-2", region=REGION, endpoint_url=endpoint)
    launch(theirs, moto_spec)
    admin.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    admin.run_instances(
        ImageId="ami-1",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": "cloudjhub:cluster", "Value": cloud.cluster},
                    {"Key": "cloudjhub:role", "Value": "manager"},
                ],
            }
        ],
    )
    assert [machine.id for machine in cloud.instances()] == [ours.id]
    assert {volume.attached_to for volume in cloud.volumes()} == {ours.id}


def test_every_page_of_a_long_listing_is_read(cloud, moto_spec, monkeypatch):
    monkeypatch.setattr(ec2_module, "_PAGE_SIZE", 5)  # the least that EC2 takes
    ids = {launch(cloud, moto_spec).id for _ in range(12)}
    asked = []
    cloud._read.meta.events.register(
        "before-call.ec2.DescribeInstances", lambda params, **_: asked.append(params["body"])
    )
    assert {machine.id for machine in cloud.instances()} == ids
    assert len(asked) == 3
    assert all(body["MaxResults"] == 5 and "Filter.1.Name" in body for body in asked)


def test_disks_are_listed_with_who_holds_them(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    disks = {volume.id: volume for volume in cloud.volumes()}
    home = disks[machine.home_volume_id]
    assert len(disks) == 2
    assert (home.state, home.attached_to, home.size_gib) == ("in-use", machine.id, 1)
    assert home.tags["cloudjhub:role"] == "disk"
    assert home.created_at.tzinfo is not None


def test_the_home_outlives_its_machine_and_can_be_deleted(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    assert cloud.terminate([machine.id]) == {machine.id: "shutting-down"}
    (home,) = cloud.volumes()
    assert (home.id, home.state, home.attached_to) == (machine.home_volume_id, "available", None)
    cloud.delete_volume(home.id)
    assert cloud.volumes() == []


def test_a_home_moves_from_machine_to_machine(cloud, moto_spec):
    old = listed(cloud, launch(cloud, moto_spec).id)
    new = launch(cloud, replace(moto_spec, home_gib=0))
    cloud.detach(old.home_volume_id, old.id, "/dev/sdf")
    cloud.attach(old.home_volume_id, new.id, "/dev/sdf")
    assert listed(cloud, new.id).home_volume_id == old.home_volume_id
    assert listed(cloud, old.id).home_volume_id is None


def test_a_machine_is_stopped_and_started(cloud, moto_spec):
    machine = launch(cloud, moto_spec)
    assert cloud.stop([machine.id]) == {machine.id: "stopping"}
    assert listed(cloud, machine.id).state == "stopped"
    assert cloud.start([machine.id]) == {machine.id: "pending"}
    assert cloud.stop([machine.id], force=True) == {machine.id: "stopping"}


def test_tags_are_written_on_machine_and_disk_in_one_call_and_removed(cloud, moto_spec):
    machine = listed(cloud, launch(cloud, moto_spec).id)
    cloud.tag([machine.id, machine.home_volume_id], {"a": "1", "b": ""})
    homes = [volume for volume in cloud.volumes() if volume.id == machine.home_volume_id]
    for tags in (listed(cloud, machine.id).tags, homes[0].tags):
        assert (tags["a"], tags["b"]) == ("1", "")
    cloud.untag([machine.id], ["a"])
    assert "a" not in listed(cloud, machine.id).tags


def test_an_image_is_found_with_its_root_disk(cloud, admin, moto_spec):
    machine = launch(cloud, moto_spec)
    image_id = admin.create_image(InstanceId=machine.id, Name="worker")["ImageId"]
    assert cloud.image(image_id).id == image_id


def test_an_image_that_does_not_exist_is_a_wrong_launch(cloud):
    with pytest.raises(BadLaunch, match="WORKER_AMI"):
        cloud.image("ami-0123456789abcdef0")


def test_a_console_log_is_text(cloud, moto_spec):
    assert isinstance(cloud.console_output(launch(cloud, moto_spec).id), str)


@pytest.mark.parametrize("verb", ["start", "stop", "terminate"])
def test_an_unknown_machine_is_not_found(cloud, verb):
    with pytest.raises(NotFound) as raised:
        getattr(cloud, verb)(["i-0123456789abcdef0"])
    assert raised.value.action == f"{verb.capitalize()}Instances"
    assert raised.value.code == "InvalidInstanceID.NotFound"
    assert raised.value.request_id


def test_a_subnet_that_does_not_exist_is_named(cloud, moto_spec):
    with pytest.raises(BadLaunch, match="SUBNET_ID"):
        launch(cloud, replace(moto_spec, subnet_id="subnet-00000000"))


# -- with an EC2 that refuses


class Refusing:
    """Answers every request with one error, or hangs up, and counts."""

    def __init__(self, status=503, code="RequestLimitExceeded", refusals=1000, hang_up=False):
        self.tokens: list[str] = []
        outer = self
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>Said so</Message></Error>"
            "</Errors><RequestID>req-7</RequestID></Response>"
        ).encode()
        empty = (
            b'<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            b"<requestId>r</requestId><reservationSet/></DescribeInstancesResponse>"
        )

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.tokens.append(sent)
                if hang_up:
                    self.close_connection = True
                    return
                refused = len(outer.tokens) <= refusals
                self.send_response(status if refused else 200)
                answer = body if refused else empty
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def asked(self):
        return len(self.tokens)

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def cloud(self):
        return EC2(cluster="class", region=REGION, endpoint_url=self.url)


class NoPauses:
    """The time module for botocore, without its pauses between attempts."""

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, seconds):
        pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(botocore.endpoint, "time", NoPauses())


def test_a_throttled_read_is_tried_again_a_few_times():
    with Refusing() as server, pytest.raises(EC2Throttled) as raised:
        server.cloud().instances()
    assert server.asked == ec2_module._READ_ATTEMPTS > 1
    assert (raised.value.action, raised.value.request_id) == ("DescribeInstances", "req-7")


def test_a_read_that_succeeds_in_the_end_tells_nothing_of_it():
    with Refusing(refusals=2) as server:
        assert server.cloud().instances() == []
    assert server.asked == 3


WRITES = [
    lambda cloud, spec: cloud.run(run_arguments(spec, count=2, client_token="t")),
    lambda cloud, spec: cloud.start(["i-1"]),
    lambda cloud, spec: cloud.stop(["i-1"]),
    lambda cloud, spec: cloud.terminate(["i-1"]),
    lambda cloud, spec: cloud.tag(["i-1"], {"a": "b"}),
    lambda cloud, spec: cloud.untag(["i-1"], ["a"]),
    lambda cloud, spec: cloud.attach("vol-1", "i-1", "/dev/sdf"),
    lambda cloud, spec: cloud.detach("vol-1", "i-1", "/dev/sdf"),
    lambda cloud, spec: cloud.delete_volume("vol-1"),
]


def test_no_write_is_tried_twice(spec):
    with Refusing() as server:
        cloud = server.cloud()
        for number, write in enumerate(WRITES, start=1):
            with pytest.raises(EC2Throttled):
                write(cloud, spec)
            assert server.asked == number


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (500, "InsufficientInstanceCapacity", NoCapacity),
        (403, "UnauthorizedOperation", NotPermitted),
        (401, "AuthFailure", NotPermitted),
        (400, "InvalidParameterValue", BadLaunch),
        (400, "Whatever", EC2Error),
    ],
)
def test_a_refused_launch_has_the_error_of_its_code(spec, status, code, error):
    with Refusing(status, code) as server, pytest.raises(EC2Error) as raised:
        server.cloud().run(run_arguments(spec, count=1, client_token="t"))
    assert type(raised.value) is error
    assert raised.value.code == code
    assert raised.value.__cause__ is not None
    assert server.asked == 1


def test_capacity_that_is_missing_does_not_use_up_the_reads_attempts(spec):
    with Refusing(500, "InsufficientInstanceCapacity") as server:
        cloud = server.cloud()
        for _ in range(40):
            with pytest.raises(NoCapacity):
                cloud.run(run_arguments(spec, count=1, client_token="t"))
        before = server.asked
        with pytest.raises(EC2Error):
            cloud.instances()
        assert server.asked - before == ec2_module._READ_ATTEMPTS


def test_an_endpoint_that_hangs_up_is_unreachable(spec):
    with Refusing(hang_up=True) as server, pytest.raises(EC2Unreachable):
        server.cloud().run(run_arguments(spec, count=1, client_token="t"))
    assert server.asked == 1


def test_an_endpoint_where_nobody_listens_is_unreachable():
    with Refusing() as server:
        url = server.url
    with pytest.raises(EC2Unreachable) as raised:
        EC2(cluster="class", region=REGION, endpoint_url=url).instances()
    assert raised.value.action == "DescribeInstances"
    assert "Try again" in raised.value.advice


def test_without_credentials_nothing_is_permitted_and_nothing_is_sent(monkeypatch):
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with Refusing() as server, pytest.raises(NotPermitted, match="no AWS credentials"):
        server.cloud().instances()
    assert server.asked == 0

"""EC2 calls that are refused, or not answered at all, over HTTP."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.endpoint
import pytest

from cloudjhub import ec2 as ec2_module
from cloudjhub import ec2_errors
from cloudjhub.ec2 import EC2
from cloudjhub.errors import (
    BadLaunch,
    EC2Error,
    EC2Throttled,
    EC2Unavailable,
    EC2Unreachable,
    NoCapacity,
    NotPermitted,
    PolicyRefuses,
    WrongState,
)
from cloudjhub.launch_spec import run_arguments

REGION = "us-east-1"

ERROR = """<Response><Errors><Error><Code>{}</Code><Message>Said so</Message></Error></Errors>
<RequestID>req-7</RequestID></Response>"""
NO_MACHINES = """<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>r</requestId><reservationSet/></DescribeInstancesResponse>"""


class Refusing(ThreadingHTTPServer):
    """Answers requests with one error, or hangs up, and counts them."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuse()

    def refuse(self, status=503, code="RequestLimitExceeded", *, times=1000, hang_up=False):
        """What happens to the next requests; those after them get an empty listing."""
        self.status, self.code, self.times, self.hang_up = status, code, times, hang_up
        self.asked = 0


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        if self.server.hang_up:
            self.close_connection = True
            return
        refused = self.server.asked <= self.server.times
        answer = (ERROR.format(self.server.code) if refused else NO_MACHINES).encode()
        self.send_response(self.server.status if refused else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def running_server():
    with Refusing() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running_server):
    """An EC2 that refuses everything because it is asked too often, unless it is told otherwise."""
    running_server.refuse()
    return running_server


def cloud_at(server) -> EC2:
    url = f"http://127.0.0.1:{server.server_port}"
    return EC2(cluster="class", region=REGION, endpoint_url=url)


@pytest.fixture(scope="module")
def shared_cloud(running_server, credentials):
    return cloud_at(running_server)


@pytest.fixture
def cloud(server, shared_cloud):
    """Ours, asking that server. Its clients are shared, as making them takes long."""
    return shared_cloud


class NoPauses:
    """The time module for botocore, without its pauses between attempts."""

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, seconds):
        pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(botocore.endpoint, "time", NoPauses())


def test_a_throttled_read_is_tried_again_a_few_times(cloud, server):
    with pytest.raises(EC2Throttled) as raised:
        cloud.instances()
    assert server.asked == ec2_module._READ_ATTEMPTS > 1
    assert (raised.value.action, raised.value.request_id) == ("DescribeInstances", "req-7")


def test_every_request_is_told_with_its_answer(server, credentials):
    told = []
    url = f"http://127.0.0.1:{server.server_port}"
    cloud = EC2(
        cluster="class",
        region=REGION,
        endpoint_url=url,
        told=lambda action, code, seconds: told.append((action, code, seconds >= 0)),
    )
    server.refuse(times=1)
    cloud.instances()
    assert told == [
        ("DescribeInstances", "RequestLimitExceeded", True),
        ("DescribeInstances", "", True),
    ]
    server.refuse(status=400, code="IncorrectInstanceState")
    with pytest.raises(WrongState):
        cloud.start(["i-0123456789abcdef0"])
    server.refuse(hang_up=True)
    with pytest.raises(EC2Unreachable):
        cloud.stop(["i-0123456789abcdef0"])
    assert told[2:] == [
        ("StartInstances", "IncorrectInstanceState", True),
        ("StopInstances", None, True),
    ]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("", "ok"),
        (None, "no_answer"),
        ("RequestLimitExceeded", "throttled"),
        ("VcpuLimitExceeded", "VcpuLimitExceeded"),
    ],
)
def test_answers_are_counted_by_one_word(code, word):
    assert ec2_errors.outcome(code) == word


def test_a_read_that_succeeds_in_the_end_tells_nothing_of_it(cloud, server):
    server.refuse(times=2)
    assert cloud.instances() == []
    assert server.asked == 3


WRITES = {
    "run": lambda cloud, spec: cloud.run(run_arguments(spec, count=2, client_token="t")),
    "start": lambda cloud, spec: cloud.start(["i-1"]),
    "stop": lambda cloud, spec: cloud.stop(["i-1"]),
    "terminate": lambda cloud, spec: cloud.terminate(["i-1"]),
    "tag": lambda cloud, spec: cloud.tag(["i-1"], {"a": "b"}),
    "untag": lambda cloud, spec: cloud.untag(["i-1"], ["a"]),
    "attach": lambda cloud, spec: cloud.attach("vol-1", "i-1", "/dev/sdf"),
    "detach": lambda cloud, spec: cloud.detach("vol-1", "i-1", "/dev/sdf"),
    "delete_volume": lambda cloud, spec: cloud.delete_volume("vol-1"),
}


@pytest.mark.parametrize("write", WRITES)
def test_no_write_is_tried_twice(cloud, server, spec, write):
    with pytest.raises(EC2Throttled):
        WRITES[write](cloud, spec)
    assert server.asked == 1


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (500, "InsufficientInstanceCapacity", NoCapacity),
        (500, "InternalError", EC2Unavailable),
        (503, "Unavailable", EC2Unavailable),
        (403, "UnauthorizedOperation", PolicyRefuses),
        (401, "AuthFailure", NotPermitted),
        (400, "InvalidParameterValue", BadLaunch),
        (400, "Whatever", EC2Error),
    ],
)
def test_a_refused_launch_has_the_error_of_its_code(cloud, server, spec, status, code, error):
    server.refuse(status, code)
    with pytest.raises(EC2Error) as raised:
        cloud.run(run_arguments(spec, count=1, client_token="t"))
    assert type(raised.value) is error
    assert raised.value.code == code
    assert raised.value.__cause__ is not None
    assert server.asked == 1


def test_capacity_that_is_missing_does_not_use_up_the_reads_attempts(cloud, server, spec):
    server.refuse(500, "InsufficientInstanceCapacity")
    # More than botocore's quota of retries would bear, if reads and writes shared it.
    for _ in range(60):
        with pytest.raises(NoCapacity):
            cloud.run(run_arguments(spec, count=1, client_token="t"))
    before = server.asked
    with pytest.raises(EC2Error):
        cloud.instances()
    assert server.asked - before == ec2_module._READ_ATTEMPTS


def test_an_endpoint_that_hangs_up_is_unreachable(cloud, server, spec):
    server.refuse(hang_up=True)
    with pytest.raises(EC2Unreachable):
        cloud.run(run_arguments(spec, count=1, client_token="t"))
    assert server.asked == 1


def test_an_answer_that_is_not_ec2s_is_unreachable(cloud, server):
    server.refuse(200, "</Code>")
    with pytest.raises(EC2Unreachable):
        cloud.instances()


def test_an_endpoint_where_nobody_listens_is_unreachable(credentials):
    with Refusing() as closed:
        pass
    with pytest.raises(EC2Unreachable) as raised:
        cloud_at(closed).instances()
    assert type(raised.value) is EC2Unreachable
    assert raised.value.action == "DescribeInstances"
    assert "Try again" in raised.value.advice


def test_without_credentials_nothing_is_permitted_and_nothing_is_sent(
    server, credentials, monkeypatch
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(NotPermitted, match="no usable AWS credentials"):
        cloud_at(server).instances()
    assert server.asked == 0

"""The parts that have rules of their own: buckets, the clock, what importing does."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from local.clouds import Cloud, client_of

from cloudjhub.local.buckets import Buckets, Rate
from cloudjhub.local.scheduler import Scheduler


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_buckets_empty_and_fill_again() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    taken = [buckets.take("RunInstances", narrowed=False, instances=1) for _ in range(6)]
    assert taken == [True] * 5 + [False]
    clock.now = 1.0
    taken = [buckets.take("RunInstances", narrowed=False, instances=1) for _ in range(3)]
    assert taken == [True, True, False]


def test_instances_have_buckets_of_their_own() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    assert buckets.take("StartInstances", narrowed=False, instances=1000)
    assert not buckets.take("StartInstances", narrowed=False, instances=1)
    clock.now = 1.0
    assert buckets.take("StartInstances", narrowed=False, instances=2)


def test_listing_everything_is_dearer() -> None:
    buckets = Buckets(clock=Clock())
    assert sum(buckets.take("DescribeInstances", narrowed=True) for _ in range(200)) == 100
    assert sum(buckets.take("DescribeInstances", narrowed=False) for _ in range(200)) == 50
    assert sum(buckets.take("AttachVolume", narrowed=False) for _ in range(200)) == 50


def test_rates_can_be_replaced() -> None:
    buckets = Buckets({"RunInstances": Rate(1, 0)}, clock=Clock())
    assert [buckets.take("RunInstances", narrowed=False) for _ in range(2)] == [True, False]


def test_the_clock_keeps_order_and_survives_errors() -> None:
    clock, done, seen = Clock(), threading.Event(), []
    scheduler = Scheduler(1, clock)
    scheduler.after(0.10, done.set)
    scheduler.after(0.05, seen.append, "second")
    scheduler.after(0.0, int, "not a number")
    scheduler.after(0.01, seen.append, "first")
    scheduler.after(3600, seen.append, "never")
    clock.now = 1.0
    scheduler.start()
    assert done.wait(60)
    scheduler.close()
    assert seen == ["first", "second"]


def test_importing_starts_and_loads_nothing() -> None:
    code = (
        "import os, sys, threading; before = dict(os.environ); import cloudjhub.local;"
        "print('moto' in sys.modules, threading.active_count(), dict(os.environ) == before)"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout == "False 1 True\n"


@pytest.mark.slow
def test_fifty_clients_at_once(api_cloud: Cloud) -> None:
    api_cloud.launch(5)
    clients = [client_of(api_cloud.ec2.endpoint_url) for _ in range(50)]
    together = threading.Barrier(50)

    def ask(api) -> int:
        together.wait(60)
        return len(api.describe_instances()["Reservations"][0]["Instances"])

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(ask, clients)) == [5] * 50

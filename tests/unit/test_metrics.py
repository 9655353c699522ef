"""What is counted, and gauges that are read when somebody asks."""

import gc
import logging
import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from cloudjhub import metrics
from cloudjhub.culler import gauges


class Source:
    def __init__(self, reading):
        self.reading = reading

    def read(self):
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading


@pytest.fixture
def source():
    """Something with numbers; nobody watches it after the test."""
    yield Source(None)
    gc.collect()


def shown(name, labels=None):
    return REGISTRY.get_sample_value(f"cloudjhub_{name}", labels or {})


def test_a_gauge_is_read_at_each_scrape(source):
    metrics.watch("machines", source, Source.read)
    source.reading = {"running": 3, "stopped": 4}
    assert shown("machines", {"state": "running"}) == 3
    source.reading = {"running": 5}
    assert shown("machines", {"state": "running"}) == 5
    assert shown("machines", {"state": "stopped"}) is None


def test_what_nobody_knows_is_absent(source):
    metrics.watch("quota_vcpus", source, Source.read)
    assert shown("quota_vcpus") is None
    source.reading = 64
    assert shown("quota_vcpus") == 64.0


def test_a_gauge_that_fails_takes_no_other_with_it(source, caplog):
    healthy = Source(7)
    metrics.watch("view_age_seconds", source, Source.read)
    metrics.watch("pool_wanted", healthy, Source.read)
    source.reading = RuntimeError("broken")
    with caplog.at_level(logging.ERROR):
        text = generate_latest(REGISTRY).decode()
    assert "cloudjhub_pool_wanted 7.0" in text
    assert "cloudjhub_view_age_seconds 7" not in text
    assert "cloudjhub_view_age_seconds cannot be read" in caplog.text


def test_what_is_gone_is_not_kept_and_not_shown():
    short_lived = Source(9)
    metrics.watch("machines_limit", short_lived, Source.read)
    assert shown("machines_limit") == 9.0
    del short_lived
    gc.collect()
    assert shown("machines_limit") is None


def test_the_last_one_named_is_shown(source):
    before = Source(1)
    metrics.watch("pool_wanted", before, Source.read)
    metrics.watch("pool_wanted", source, Source.read)
    source.reading = 2
    assert shown("pool_wanted") == 2.0


def test_a_gauge_that_does_not_exist_is_refused(source):
    with pytest.raises(ValueError, match="no such gauge: machine"):
        metrics.watch("machine", source, Source.read)


def test_the_page_names_every_metric_and_no_other():
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    table = page.split("## What there is")[1].split("## Questions")[0]
    families = [*vars(metrics).values(), *vars(gauges).values()]
    made = {
        f"{name}_total" if kind == "counter" else name
        for family in families
        if isinstance(family, MetricWrapperBase)
        for name, kind in [(family._name, family._type)]
    }
    made |= {f"cloudjhub_{name}" for name in metrics._WATCHED}
    assert set(re.findall(r"`(cloudjhub_\w+)", table)) == made
    in_queries = set(re.findall(r"(cloudjhub_\w+)", page.replace(table, "")))
    known = {*made, "cloudjhub_"}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in in_queries} <= known


def test_an_alert_tells_of_a_culler_that_is_gone_for_ever():
    """Its metrics end with it: a comparison with the last one then says nothing."""
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    name = "cloudjhub_culler_last_round_timestamp_seconds"
    (alert,) = re.findall(rf"expr: (.*{name}.*)", page)
    assert f"time() - {name} > " in alert and f"or absent({name})" in alert

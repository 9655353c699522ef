"""The account's quota of vCPUs, read from a real local AWS, and what is said of it."""

import asyncio
import logging

import pytest
from prometheus_client import REGISTRY

from cloudjhub import quota as quota_module
from cloudjhub.config import ClusterConfig
from cloudjhub.local import LocalEC2, LocalSettings
from cloudjhub.quota import Quota, Reader


@pytest.fixture
def local(tmp_path, credentials):
    """An AWS that allows 8 vCPUs."""
    with LocalEC2(tmp_path / "ec2", settings=LocalSettings(vcpu_quota=8)) as local:
        yield local


@pytest.fixture
def configured(config_values, local):
    """The configuration of a hub there, with these changes."""

    def with_changes(**changes):
        values = {**config_values, "EC2_ENDPOINT_URL": local.endpoint_url, **changes}
        return ClusterConfig.model_validate(values)

    return with_changes


def shown(name):
    return REGISTRY.get_sample_value(f"cloudjhub_{name}")


async def known(vcpus):
    """Return once the metric says so."""
    while shown("quota_vcpus") != vcpus:
        await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_the_quota_is_shown_and_read_again(configured, local, monkeypatch, caplog):
    monkeypatch.setattr(quota_module, "_READ_AGAIN_SECONDS", 0.05)
    config = configured(MAX_MACHINES=40)
    with caplog.at_level(logging.WARNING):
        quota = Quota(lambda: config)
        await asyncio.wait_for(known(8), 60)
        assert shown("quota_machines") == 4
        local.faults.vcpu_quota(100)
        await asyncio.wait_for(known(100), 60)
        assert shown("quota_machines") == 50
        local.faults.vcpu_quota(8)
        await asyncio.wait_for(known(8), 60)
        await quota.aclose()
    sentence = (
        "MAX_MACHINES is 40, and the account's quota of 8 vCPUs holds 4 machines of t3.medium. "
        "Ask for more in the Service Quotas console of AWS (us-east-1, EC2, L-1216C47A)."
    )
    said = [record.getMessage() for record in caplog.records if "MAX_MACHINES" in record.message]
    assert said == [sentence, sentence], "said when it begins to be so, and not at each reading"


@pytest.mark.slow
async def test_what_may_not_be_read_is_unknown_and_no_error(configured, local, caplog):
    reader = Reader("us-east-1", local.endpoint_url)
    assert reader.read("t3.medium").machines == 4
    assert reader.read("t3.nonsense") is None
    for operation in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        local.faults.refuse(operation, "AccessDeniedException", "No.", status=400, times=99)
    assert reader.read("t3.medium") is None
    local.faults.clear()
    local.faults.unreachable()
    assert reader.read("t3.medium") is None
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

"""Who counts as idle, and since when the service may say so."""

import json
from datetime import timedelta

import pytest

from cloudjhub import idle
from cloudjhub.config_file import ConfigFile

HOUR = timedelta(hours=1)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "key").touch()
    values = {
        "CLUSTER_NAME": "class1",
        "REGION": "us-east-1",
        "WORKER_AMI": "ami-12345678",
        "WORKER_INSTANCE_TYPE": "t3.medium",
        "SUBNET_ID": "subnet-12345678",
        "WORKER_SECURITY_GROUPS": ["sg-12345678"],
        "KEY_NAME": "key",
        "WORKER_KEY_FILE": str(tmp_path / "key"),
    }

    def write(timeout_seconds: int):
        path = tmp_path / "server_config.json"
        path.write_text(json.dumps({**values, "JUPYTER_NOTEBOOK_TIMEOUT": timeout_seconds}))
        return path

    return write


def asked(judge: idle.IdleJudge, inactive: timedelta | None) -> bool:
    return judge(inactive=inactive, inactive_limit=60, server={})


def test_the_limit_is_the_files_as_it_is_now(config):
    judge = idle.IdleJudge(ConfigFile(config(3600)), hearing_seconds=0)
    assert asked(judge, HOUR)
    assert not asked(judge, HOUR - timedelta(seconds=1))
    config(60)
    assert asked(judge, timedelta(minutes=1))
    config(86400)
    assert not asked(judge, HOUR)


def test_nobody_is_idle_before_everybody_could_be_heard(config):
    judge = idle.IdleJudge(ConfigFile(config(60)), hearing_seconds=3600)
    assert not asked(judge, HOUR)


def test_a_server_of_which_nothing_is_known_is_not_idle(config):
    assert not asked(idle.IdleJudge(ConfigFile(config(60)), hearing_seconds=0), None)


def test_the_service_may_not_do_more_than_stop_servers():
    assert set(idle.role()["scopes"]) == {
        "list:users",
        "read:users:activity",
        "read:servers",
        "delete:servers",
    }
    assert idle.role()["services"] == [idle.service()["name"]]

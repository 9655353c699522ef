"""The operator's policy on standard output: whole, for this account, and nothing beside it."""

import json

import pytest
from local.identities import ACCOUNT, user_with

from cloudjhub.deploy import launch
from cloudjhub.policy import documents

WHERE = documents.Place("class1", ACCOUNT, "us-east-1")


@pytest.fixture
def ask(place, tmp_path, monkeypatch):
    """Runs the command as somebody without any permission; gives its exit code."""
    config = tmp_path / "config.json"
    config.write_text("{}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_KEY", "EC2_ENDPOINT_URL", "SECURE"):
        monkeypatch.delenv(f"CLOUDJHUB_{name}", raising=False)

    def run(*arguments: str, key: str = "") -> int:
        access = [f"--aws_access_key_id={key or user_with(place)}", "--aws_secret_key=x"]
        where = [f"--ec2_endpoint_url={place.ec2.endpoint_url}", f"--instance-config={config}"]
        return launch.main([*arguments, "--print-policy", *where, *access], "launch.py")

    return run


def test_the_policy_is_printed_and_nothing_else(ask, capsys):
    assert ask("class1") == 0
    assert json.loads(capsys.readouterr().out) == documents.operator(WHERE)


@pytest.mark.parametrize("named", ["hub", f"arn:aws:iam::{ACCOUNT}:instance-profile/hub"])
def test_with_a_role_of_ones_own(ask, capsys, named):
    assert ask("class1", f"--manager_iam_role={named}") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == documents.operator(WHERE, own_profile="hub")


def test_without_a_cluster_or_without_an_account(ask, capsys):
    assert ask() == 2
    assert "CLUSTER_NAME" in capsys.readouterr().err
    assert ask("class1", key="nobodys-key") == 1
    said = capsys.readouterr()
    assert said.out == "" and "does not accept these credentials" in said.err

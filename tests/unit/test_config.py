"""server_config.json: what is refused, in which words, and what stays in force meanwhile."""

import json
import logging
import os

import pytest
from pydantic import ValidationError

from cloudjhub.config import ClusterConfig, load, parse
from cloudjhub.config_file import ConfigFile
from cloudjhub.errors import ConfigError

SOURCE = "/etc/jupyterhub/server_config.json"


def findings_of(values) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(json.dumps(values), SOURCE)
    return raised.value.findings


def write(path, values):
    path.write_text(json.dumps(values))
    return path


def write_later(path, values):
    """Write, with a time stamp that differs from the earlier one on any file system."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    write(path, values)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_defaults_are_those_of_the_reference(config):
    assert (config.worker_username, config.notebook_username) == ("ubuntu", "jupyter")
    assert (config.worker_ssh_port, config.notebook_port) == (22, 8888)
    assert (config.root_disk_gib, config.home_disk_gib) == (8, 1)
    assert config.on_user_delete == "keep"
    assert config.ec2_endpoint_url is None


@pytest.mark.parametrize("value", ["t3.medium, t3a.medium", ["t3.medium", "t3a.medium"]])
def test_several_types_are_a_list_or_have_commas_between(config_values, value):
    config = ClusterConfig.model_validate({**config_values, "WORKER_INSTANCE_TYPE": value})
    assert config.worker_instance_types == ("t3.medium", "t3a.medium")


BAD_VALUES = [
    ("CLUSTER_NAME", "two words"),
    ("CLUSTER_NAME", ""),
    ("CLUSTER_NAME", "trailing\n"),
    ("CLUSTER_NAME", "x" * 64),
    ("REGION", "Virginia"),
    ("EC2_ENDPOINT_URL", "localhost:5000"),
    ("EC2_ENDPOINT_URL", 5),
    ("WORKER_AMI", "ubuntu"),
    ("WORKER_AMI", "AMI-0123456789ABCDEF0"),
    ("WORKER_INSTANCE_TYPE", "medium"),
    ("WORKER_INSTANCE_TYPE_CHOICES", ["medium"]),
    ("WORKER_INSTANCE_TYPE_CHOICES", "t3.medium"),
    ("SUBNET_ID", "vpc-0123456789abcdef0"),
    ("WORKER_SECURITY_GROUPS", []),
    ("WORKER_SECURITY_GROUPS", "sg-0123456789abcdef0"),
    ("WORKER_SECURITY_GROUPS", ["default"]),
    ("KEY_NAME", ""),
    ("WORKER_KEY_FILE", "/there/is/no/such.pem"),
    ("WORKER_USERNAME", ""),
    ("NOTEBOOK_USERNAME", "Root User"),
    ("WORKER_SSH_PORT", 0),
    ("WORKER_SSH_PORT", 65536),
    ("WORKER_SSH_PORT", "22"),
    ("NOTEBOOK_PORT", 80),
    ("WORKER_EBS_SIZE", 0),
    ("WORKER_EBS_SIZE", "8"),
    ("WORKER_EBS_SIZE", 8.5),
    ("WORKER_EBS_SIZE", True),
    ("USER_HOME_EBS_SIZE", -1),
    ("JUPYTER_NOTEBOOK_TIMEOUT", 5),
    ("SERVER_OWNER", "x" * 257),
    ("ON_USER_DELETE", "perhaps"),
    ("SPARE_SECONDS", None),
]


@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
def test_a_bad_value_is_named_with_file_key_value_and_remedy(config_values, key, value):
    (finding,) = findings_of({**config_values, key: value})
    description = next(
        field.description for field in ClusterConfig.model_fields.values() if field.alias == key
    )
    assert finding.startswith(f"{SOURCE}: {key}: ")
    culprit = value[0] if isinstance(value, list) and value else value
    assert json.dumps(culprit) in finding
    assert description in finding


def test_a_missing_key_is_named_with_what_it_means(config_values):
    del config_values["SUBNET_ID"]
    (finding,) = findings_of(config_values)
    assert finding.startswith(f"{SOURCE}: SUBNET_ID: is missing; add it")
    assert "subnet of users' machines" in finding


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("WORKER_AMY", "WORKER_AMI"),
        ("worker_ssh_port", "WORKER_SSH_PORT"),
        ("Cluster_Name", "CLUSTER_NAME"),
        ("USER_HOME_EBS_SIZ", "USER_HOME_EBS_SIZE"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_one(config_values, typo, meant):
    (finding,) = findings_of({**config_values, typo: 1})
    assert finding == f"{SOURCE}: {typo}: no such key; did you mean {meant}?"


def test_an_unknown_key_like_no_other_is_to_be_removed(config_values):
    (finding,) = findings_of({**config_values, "ZZZ": 1})
    assert finding == f"{SOURCE}: ZZZ: no such key; remove it."


def test_everything_wrong_is_found_at_once(config_values):
    values = {**config_values, "REGION": "x", "NOTEBOOK_PORT": 1, "ZZZ": 1}
    del values["KEY_NAME"]
    found = findings_of(values)
    assert len(found) == 4
    for key in ("REGION", "NOTEBOOK_PORT", "ZZZ", "KEY_NAME"):
        assert sum(f": {key}: " in finding for finding in found) == 1


def test_a_key_that_stands_twice_is_refused(config_values):
    text = json.dumps(config_values)[:-1] + ', "REGION": "eu-west-1"}'
    with pytest.raises(ConfigError, match=rf"{SOURCE}: .*REGION stands there twice; remove one"):
        parse(text, SOURCE)


@pytest.mark.parametrize("text", ["", "{", "CLUSTER_NAME = class", '{"A": 1,}'])
def test_what_is_not_json_is_refused_with_the_place(text):
    with pytest.raises(ConfigError, match=rf"{SOURCE}: is not valid JSON: .*line 1 column"):
        parse(text, SOURCE)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "5"])
def test_json_that_is_no_object_is_refused(text):
    with pytest.raises(ConfigError, match="must be one JSON object"):
        parse(text, SOURCE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json: there is no such file; launch writes"):
        load(tmp_path / "nowhere.json")


@pytest.mark.parametrize("content", [None, b"\xff\xfe{}"], ids=["a folder", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "server_config.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"server_config\.json: cannot be read: "):
        load(path)


def test_the_home_sign_in_the_key_files_path_is_resolved(config_values, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parse(json.dumps({**config_values, "WORKER_KEY_FILE": "~/worker.pem"}), SOURCE)
    assert config.worker_key_file == str(tmp_path / "worker.pem")


def test_a_key_file_the_hub_may_not_read_is_refused(config_values, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    (finding,) = findings_of(config_values)
    assert "the hub may not read it; make the hub's account its owner" in finding


def test_a_configuration_cannot_be_changed(config):
    with pytest.raises(ValidationError):
        config.region = "eu-west-1"
    assert config.region == "us-east-1"


def test_every_key_says_what_it_means():
    assert [
        name for name, field in ClusterConfig.model_fields.items() if not field.description
    ] == []


# -- the file, read again


def test_an_unchanged_file_is_read_once(config_values, tmp_path):
    file = ConfigFile(write(tmp_path / "c.json", config_values))
    assert file.current() is file.current()


def test_a_changed_file_is_read_again(config_values, tmp_path):
    path = write(tmp_path / "c.json", config_values)
    file = ConfigFile(path)
    file.current()
    write_later(path, {**config_values, "NOTEBOOK_PORT": 9999})
    assert file.current().notebook_port == 9999


def test_a_replaced_file_is_read_again_even_with_the_same_time_and_size(config_values, tmp_path):
    path = write(tmp_path / "c.json", {**config_values, "NOTEBOOK_PORT": 9998})
    file, before = ConfigFile(path), path.stat()
    file.current()
    new = write(tmp_path / "new.json", {**config_values, "NOTEBOOK_PORT": 9999})
    os.utime(new, ns=(before.st_mtime_ns, before.st_mtime_ns))
    new.replace(path)
    assert file.current().notebook_port == 9999


@pytest.mark.parametrize("breakage", ["broken", "removed"])
def test_the_last_good_one_stays_in_force_and_the_log_says_so_once(
    config_values, tmp_path, caplog, breakage
):
    path = write(tmp_path / "c.json", config_values)
    file = ConfigFile(path)
    good = file.current()
    path.write_text("{") if breakage == "broken" else path.unlink()
    with caplog.at_level(logging.ERROR, "cloudjhub.config"):
        assert [file.current(), file.current(), file.current()] == [good] * 3
    assert len(caplog.records) == 1
    assert str(path) in caplog.text and "stays in force" in caplog.text


def test_a_file_that_breaks_again_after_it_was_mended_is_logged_again(
    config_values, tmp_path, caplog
):
    path = write(tmp_path / "c.json", config_values)
    file = ConfigFile(path)
    file.current()
    with caplog.at_level(logging.ERROR, "cloudjhub.config"):
        for _ in range(2):
            write_later(path, {})
            file.current()
            write_later(path, config_values)
            file.current()
    assert len(caplog.records) == 2


def test_a_first_failure_is_not_remembered(config_values, tmp_path):
    path = tmp_path / "c.json"
    file = ConfigFile(path)
    with pytest.raises(ConfigError):
        file.current()
    write(path, {})
    with pytest.raises(ConfigError):
        file.current()
    write_later(path, config_values)
    assert file.current().cluster_name == "class"


@pytest.mark.parametrize(
    "change",
    [
        {"CLUSTER_NAME": "other"},
        {"REGION": "eu-west-1"},
        {"EC2_ENDPOINT_URL": "http://127.0.0.1:5000"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_running_hub_does_not_move_to_another_cluster(config_values, tmp_path, caplog, change):
    path = write(tmp_path / "c.json", config_values)
    file = ConfigFile(path)
    good = file.current()
    write_later(path, {**config_values, **change})
    assert file.current() == good
    assert "restart the hub to move it to another cluster" in caplog.text

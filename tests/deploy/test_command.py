"""The one command: what it shows, what it loads, what it says is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.made_clusters import CHECKOUT

from cloudjhub.command import VERBS, main

FILES = {
    "status": "scripts/status.py",
    "upgrade": "scripts/upgrade.py",
    "terminate-workers": "scripts/terminate_all_workers.py",
    "teardown": "scripts/teardown.py",
}
AWS_VERBS = [verb.name for verb in VERBS if verb.name != "demo"]


def cloudjhub(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run it where some packages are not installed."""
    hide = f"import sys; hidden = {without.split()!r}\n"
    hide += "sys.modules.update(dict.fromkeys(hidden))\n" if without else ""
    code = f"{hide}from cloudjhub.command import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_shows_every_verb(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb.name} " in shown
        assert verb.does in shown


def test_without_a_verb_the_help_is_shown_as_a_mistake(capsys):
    assert main([]) == 2
    assert "usage: cloudjhub VERB" in capsys.readouterr().out


def test_an_unknown_verb_is_answered_with_those_there_are(capsys):
    assert main(["terminate"]) == 2
    said = capsys.readouterr().err
    assert "'terminate'" in said and "terminate-workers" in said


def test_it_says_its_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("verb", AWS_VERBS)
def test_the_help_of_a_verb_is_complete(verb: str):
    done = cloudjhub(verb, "--help")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert f"cloudjhub {verb}" in text
    for flag in ("CLUSTER_NAME", "--region", "--ec2_endpoint_url", "--secure"):
        assert flag in text


@pytest.mark.parametrize("verb", FILES)
def test_the_file_of_a_verb_is_the_same_verb(verb: str):
    path = CHECKOUT / FILES[verb]
    assert os.access(path, os.X_OK)
    done = subprocess.run(
        [sys.executable, str(path), "--help"],
        cwd="/",
        env={"PATH": os.environ["PATH"], "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert FILES[verb] in done.stdout
    assert len(path.read_text().splitlines()) < 20


@pytest.mark.parametrize("verb", AWS_VERBS)
def test_the_laptop_needs_no_jupyterhub(verb: str):
    done = cloudjhub(verb, "--help", without="jupyterhub tornado sqlalchemy traitlets moto")
    assert done.returncode == 0, done.stderr


def test_what_is_missing_is_said_with_how_to_get_it():
    done = cloudjhub("status", "class1", without="boto3")
    assert done.returncode == 2
    assert "boto3: not installed; pip install -r launch_cluster/requirements.txt" in done.stderr
    for verb in AWS_VERBS:
        done = cloudjhub(verb, "class1", without="cronsim")
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "cronsim: not installed; pip install -r launch_cluster" in done.stderr
    done = cloudjhub("demo", "--help", without="jupyterhub")
    assert done.returncode == 2
    assert "cloudjhub[local]" in done.stderr and "scripts/demo" in done.stderr


def test_the_demo_is_the_demo():
    done = cloudjhub("demo", "--help")
    assert done.returncode == 0, done.stderr
    assert "--machines" in done.stdout


def test_the_console_script_is_declared():
    text = Path(CHECKOUT / "pyproject.toml").read_text()
    assert 'cloudjhub = "cloudjhub.command:main"' in text


@pytest.mark.parametrize("verb", ["status", "terminate-workers", "teardown"])
def test_without_credentials_it_says_where_they_go(verb: str, place):
    environment = {
        name: value
        for name, value in place.environment().items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    done = subprocess.run(
        place.command(FILES[verb].rpartition("/")[2], "class1"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "secure.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["terminate-workers", "teardown"])
def test_wrong_arguments_are_refused(verb: str):
    for arguments in (["class1", "--homes", "burn"], ["class1", "--wait-seconds", "soon"], []):
        done = cloudjhub(verb, *arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr

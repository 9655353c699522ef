"""Wrong arguments: one sentence, exit code 2, before anything is installed or started."""

import subprocess
import sys
from pathlib import Path

import pytest

PORT = "is not a port; name a number from {} to 65535."
SECONDS = "is not a number of seconds; name one from 0 to {}."
LOCAL = ["-m", "cloudjhub.local"]


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": "/nowhere", "CLOUDJHUB_VENV": str(folder / "venv"), "HOME": str(folder)},
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], flag: str, sentence: str, folder: Path):
    assert done.returncode == 2, done.stderr
    assert f": {flag}: " in done.stderr and done.stderr.endswith(f"{sentence}\n"), done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's folder, with a file in it."""
    (tmp_path / "thesis.tex").write_text("years of work")
    return tmp_path


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--port", "99999", "'99999' " + PORT.format(1)),
        ("--port", "0", "'0' " + PORT.format(1)),
        ("--port", "-1", "'-1' " + PORT.format(1)),
        ("--port", "http", "'http' " + PORT.format(1)),
        ("--port", "\u00b2", "'\u00b2' " + PORT.format(1)),
        ("--boot-seconds", "-3", "'-3' " + SECONDS.format(120)),
        ("--boot-seconds", "nan", "'nan' " + SECONDS.format(120)),
        ("--boot-seconds", "1e9", "'1e9' " + SECONDS.format(120)),
        ("--boot-seconds", "soon", "'soon' " + SECONDS.format(120)),
        ("--state", "thesis.tex", "is not a folder; name one."),
        ("--state", "thesis.tex/demo", "(Not a directory); name another folder."),
        ("--state", "x" * 300, "(File name too long); name another folder."),
        ("--state", ".", "holds other things; name a new or an empty folder."),
        ("--state", "/proc/sys/demo", "cannot be written by this account; name another folder."),
        ("--machines", "big", "--help says what there is."),
        ("--check", "now", "--help says what there is."),
    ],
)
def test_the_demo_refuses(checkout: Path, folder: Path, flag: str, value: str, sentence: str):
    # -S: without any installed package, as in a fresh checkout.
    done = run("-S", str(checkout / "scripts/demo"), flag, value, folder=folder)
    refused(done, flag if flag != "--check" else "unrecognized arguments", sentence, folder)


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--port", "99999", PORT.format(0)),
        ("--ssh-port", "0", PORT.format(1)),
        ("--boot-seconds", "-3", SECONDS.format(3600)),
        ("--pending-seconds", "inf", SECONDS.format(3600)),
        ("--stopping-seconds", "", SECONDS.format(3600)),
        ("--vcpu-quota", "-1", "is not a number of vCPUs; name one from 0 to 99999."),
        ("--region", "here", "is not a region; name one such as us-east-1."),
        ("--state", "thesis.tex", "is not a folder; name one."),
        ("--state", "", "holds other things; name a new or an empty folder."),
        ("--variant", "big", "--help says what there is."),
    ],
)
def test_the_local_ec2_refuses(folder: Path, flag: str, value: str, sentence: str):
    refused(run(*LOCAL, flag, value, folder=folder), flag, sentence, folder)


def test_a_region_that_is_not_there_is_one_sentence(tmp_path: Path):
    done = run(*LOCAL, "--variant", "standin", "--region", "us-middle-1", folder=tmp_path)
    assert done.returncode == 1
    assert "has no region us-middle-1" in done.stderr and done.stderr.count("\n") == 1


def test_help_needs_nothing_installed(checkout: Path, folder: Path):
    done = run("-S", str(checkout / "scripts/demo"), "--help", folder=folder)
    assert done.returncode == 0 and "--boot-seconds" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]

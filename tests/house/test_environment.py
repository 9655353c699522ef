"""The commands that install themselves, where that costs nothing to try."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cloudjhub.local.machines.booted.kind import KEYRING, PROGRAMS


@pytest.fixture
def environment(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/_environment.py with an environment folder of its own."""
    monkeypatch.syspath_prepend(checkout / "scripts")
    spec = importlib.util.spec_from_file_location("env", checkout / "scripts/_environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("CLOUDJHUB_VENV", str(tmp_path / "venv"))
    return module


def finished(environment: ModuleType, extras: list[str]) -> Path:
    """Pretend that an environment was made completely."""
    venv = environment.venv_folder()
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    stamp = {**environment.wanted_stamp(), "node": sys.executable, "extras": extras}
    (venv / "cloudjhub-stamp.json").write_text(json.dumps(stamp))
    return venv


def test_an_old_python_is_named(environment: ModuleType):
    message = environment.too_old_message((3, 9))
    assert "3.9" in message and "3.10" in message


def test_a_finished_environment_is_left_alone(environment: ModuleType):
    finished(environment, ["local"])
    assert environment.is_current(test=False)
    assert not environment.is_current(test=True)


@pytest.mark.parametrize("key", ["pyproject", "python", "checkout", "venv"])
def test_any_change_makes_it_anew(environment: ModuleType, key: str):
    stamp = finished(environment, ["local"]) / "cloudjhub-stamp.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), key: "other"}))
    assert not environment.is_current(test=False)


def test_a_node_that_went_away_makes_it_anew(environment: ModuleType):
    stamp = finished(environment, ["local"]) / "cloudjhub-stamp.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "node": "/no/such/node"}))
    assert not environment.is_current(test=False)


def test_a_strangers_folder_is_not_emptied(environment: ModuleType):
    venv = environment.venv_folder()
    venv.mkdir()
    (venv / "thesis.tex").write_text("years of work")
    with pytest.raises(environment.CannotPrepare, match="holds something else"):
        environment.empty(venv)
    assert (venv / "thesis.tex").exists()


def test_without_root_the_command_to_run_is_shown(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(environment, "missing_system_packages", lambda **_: ["openssh-server"])
    monkeypatch.setattr(environment.shutil, "which", lambda name, path=None: "/usr/bin/apt-get")
    monkeypatch.setattr(environment, "root_prefix", lambda: None)
    with pytest.raises(environment.CannotPrepare, match="apt-get install --yes openssh-server"):
        environment.ensure_system_packages(test=False)


def test_what_machines_that_boot_need_is_installed_where_they_may_boot(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    assert (environment.BOOTED_PROGRAMS, environment.KEYRING) == (PROGRAMS, KEYRING)
    monkeypatch.setattr(environment.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    needed = set(PROGRAMS.values())
    assert needed <= set(environment.missing_system_packages(test=False, booted=True))
    assert not needed & set(environment.missing_system_packages(test=True))
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    assert needed <= set(environment.missing_system_packages(test=True))


def test_a_failed_step_shows_its_last_words(environment: ModuleType):
    script = "import sys; print('first'); print('no route to the index'); sys.exit(3)"
    with pytest.raises(environment.CannotPrepare) as caught:
        environment.run([sys.executable, "-c", script], "pip install")
    assert "no route to the index" in str(caught.value)
    assert "run this again" in str(caught.value)

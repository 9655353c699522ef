"""Our part of a machine's Jupyter Server: put where that finds it, and never in a start's way."""

import ast
import os
import stat
import sys

import pytest

from cloudjhub import notebook
from cloudjhub.worker import extension


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    (tmp_path / "run/cloudjhub").mkdir(parents=True)
    return tmp_path


def test_everybody_can_read_it_whatever_the_umask_is(root):
    environment = {"JUPYTER_CONFIG_PATH": "/opt/etc/jupyter"}
    before = os.umask(0o077)
    try:
        assert extension.install(notebook.extension_files(), environment) == ""
    finally:
        os.umask(before)
    folder = root / "run/cloudjhub/extension"
    assert environment == {"JUPYTER_CONFIG_PATH": f"{folder}/etc:/opt/etc/jupyter"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert modes == {0o755, 0o644}
    assert (folder / "python/cloudjhub_idle/work.py").is_file()
    assert (folder / "labextensions/cloudjhub-idle/package.json").is_file()
    assert (folder / "labextensions/cloudjhub-idle/static/remoteEntry.js").is_file()


def test_what_an_earlier_start_left_is_gone(root):
    stale = root / "run/cloudjhub/extension/python/cloudjhub_idle/earlier.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    environment = {}
    assert extension.install(notebook.extension_files(), environment) == ""
    assert not stale.exists()
    assert environment["JUPYTER_CONFIG_PATH"].endswith("/extension/etc")


def test_a_machine_that_cannot_hold_it_starts_without(root):
    (root / "run/cloudjhub").rmdir()
    (root / "run/cloudjhub").write_text("in the way")
    environment = {"PATH": "/bin"}
    sentence = extension.install(notebook.extension_files(), environment)
    assert sentence.startswith("Without a sight of work, as its part of the server could not be")
    assert environment == {"PATH": "/bin"}
    assert extension.install(None, environment) == "", "an earlier hub sends none"


def test_what_the_watch_shares_needs_no_server_and_all_of_it_an_old_python():
    for name, text in notebook.extension_files().items():
        if name.endswith(".py"):
            ast.parse(text, feature_version=(3, 8))
    imported = "import sys; import cloudjhub.worker.idle.work, cloudjhub.worker.idle.processes"
    check = f"{imported}; assert not set(sys.modules) & {{'tornado', 'jupyter_server'}}"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", check]) == 0

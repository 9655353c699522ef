"""The helper's pure parts: quoting, redaction, the systemd command line, what may travel."""

import ast
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cloudjhub import notebook
from cloudjhub.worker import environment, machine, notebook_helper, processes, servers
from cloudjhub.worker.machine import Trouble

# value -> how it stands in an EnvironmentFile, after systemd.exec(5) and src/basic/env-file.c
QUOTED = {
    "": '""',
    "plain": '"plain"',
    "two words": '"two words"',
    "#no comment ;": '"#no comment ;"',
    "it's": '"it\'s"',
    'say "hi"': '"say \\"hi\\""',
    "a\\b": '"a\\\\b"',
    "ends in \\": '"ends in \\\\"',
    "$HOME ${X}": '"\\$HOME \\${X}"',
    "`id`": '"\\`id\\`"',
    "two\nlines": '"two\nlines"',
    'NEXT\nOTHER="x"': '"NEXT\nOTHER=\\"x\\""',
    "tab\t": '"tab\t"',
    "ü€": '"ü€"',
    "100%": '"100%"',
}


@pytest.mark.parametrize(("value", "text"), QUOTED.items())
def test_quoting_for_systemd(value, text):
    assert environment.quoted(value) == text


def test_environment_file_reads_back():
    variables = {f"V{number}": value for number, value in enumerate(QUOTED)}
    assert environment.unquoted(environment.file_text(variables)) == variables


def test_a_shell_reads_the_same_from_the_file(tmp_path):
    """Double quotes mean the same to sh, which is at hand everywhere."""
    variables = {f"V{number}": value for number, value in enumerate(QUOTED)}
    file = tmp_path / "environment"
    file.write_text(environment.file_text(variables), encoding="utf-8")
    command = ["/bin/sh", "-c", f"set -a; . {file}; env -0"]
    seen = subprocess.run(command, capture_output=True, check=True, env={}).stdout.decode()
    pairs = dict(entry.split("=", 1) for entry in seen.split("\0") if entry)
    assert {name: pairs[name] for name in variables} == variables


def test_systemd_command_line_holds_no_environment(monkeypatch):
    monkeypatch.delenv("CLOUDJHUB_ROOT", raising=False)
    account = SimpleNamespace(name="jupyter", home="/home/jupyter")
    launch = servers.Launch(
        ["/opt/conda/bin/jupyterhub-singleuser", "--x=$HOME", "a b"],
        {"JUPYTERHUB_API_TOKEN": "s3cret"},
        account,
    )
    words = servers.Systemd.arguments(launch)
    assert words[0] == "systemd-run"
    for option in (
        "--unit=cloudjhub-notebook",
        "--uid=jupyter",
        "--collect",
        "--property=EnvironmentFile=/run/cloudjhub/private/notebook.env",
        "--property=WorkingDirectory=/home/jupyter",
        "--property=KillMode=control-group",
    ):
        assert option in words[: words.index("--")]
    command = words[words.index("--") + 1 :]
    assert command == ["/opt/conda/bin/jupyterhub-singleuser", "--x=$$HOME", "a b"]
    assert not any("s3cret" in word for word in words)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("running", True), ("degraded", True), ("starting", True), ("offline", False), ("", False)],
)
def test_systemd_is_known_by_its_word(monkeypatch, word, expected):
    monkeypatch.setattr(servers, "run", lambda command: (1, word, ""))
    assert servers.Systemd.runs_here() is expected


def test_no_systemctl_is_no_systemd(monkeypatch):
    def missing(command):
        raise Trouble("lacks systemctl")

    monkeypatch.setattr(servers, "run", missing)
    assert servers.Systemd.runs_here() is False


@pytest.mark.parametrize(
    ("shown", "pid"),
    [
        ("ActiveState=active\nMainPID=42", 42),
        ("MainPID=42\nActiveState=activating", 42),
        ("ActiveState=failed\nMainPID=0", None),
        ("ActiveState=inactive\nMainPID=0", None),
        ("ActiveState=deactivating\nMainPID=42", None),
        ("", None),
    ],
)
def test_systemd_unit_state(monkeypatch, shown, pid):
    monkeypatch.setattr(servers, "run", lambda command: (0, shown, ""))
    assert servers.Systemd().pid() == pid


@pytest.mark.parametrize(("code", "fine"), [(0, True), (5, True), (1, False)])
def test_stop_of_a_unit_that_is_not_there_is_fine(monkeypatch, code, fine):
    monkeypatch.setattr(servers, "run", lambda command, seconds=0: (code, "", "words"))
    if fine:
        servers.Systemd().stop()
    else:
        with pytest.raises(Trouble, match="words"):
            servers.Systemd().stop()


def test_redaction_takes_values_of_secret_names_only():
    given = {"A_TOKEN": "abcdef", "MY_SECRET": "abcdefgh", "X_TOKEN": "a", "USER": "jupyter"}
    text = environment.redacted("abcdefgh abcdef a jupyter", given)
    assert text == "[hidden] [hidden] a jupyter"


def test_tail_is_cut_at_a_line_and_hides_first(monkeypatch):
    monkeypatch.setattr(servers, "stored_environment", lambda: {"T_TOKEN": "hide-me"})
    lines = "".join(f"line {number} hide-me\n" for number in range(1000))
    tail = notebook_helper._tail(SimpleNamespace(last_words=lambda: lines), {})
    assert tail.startswith("line ")
    assert tail.endswith("line 999 [hidden]\n")
    assert len(tail) <= notebook_helper.TAIL_BYTES


def test_steps_share_the_time_of_their_request():
    allowance = machine.Allowance()
    assert allowance.of(30.0) == 30.0
    allowance.begin(20.0)
    assert allowance.of(5.0) == 5.0
    assert 1.0 < allowance.of(30.0) <= 20.0
    allowance.extend(60.0)
    assert allowance.of(60.0) == 60.0
    allowance.begin(0.0)
    assert allowance.of(30.0) == 1.0


@pytest.mark.slow
def test_command_that_does_not_end_is_named(monkeypatch):
    allowance = machine.Allowance()
    allowance.begin(0.0)
    monkeypatch.setattr(machine, "allowance", allowance)
    with pytest.raises(Trouble, match="sleep did not finish within 1 seconds"):
        machine.run(["sleep", "60"])


def test_start_time_tells_processes_apart():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert processes.start_time(child.pid) >= processes.start_time(os.getpid())
        assert child.pid in processes.family(os.getpid(), b"NO_SUCH=mark")
    finally:
        child.communicate(b"\n")
    assert processes.start_time(child.pid) is None


def test_failure_of_the_helper_itself_is_an_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("CLOUDJHUB_ROOT", str(tmp_path))
    answer = notebook_helper.answer_to({"verb": "dance"})
    assert answer["ok"] is False
    assert "KeyError" in answer["error"]


@pytest.mark.parametrize("name", notebook.HELPER_MODULES)
def test_what_travels_uses_the_standard_library_of_python_3_8(name):
    source = (notebook.resources.files("cloudjhub.worker") / f"{name}.py").read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            known = notebook.HELPER_MODULES
            local = [node.module] if node.module else [alias.name for alias in node.names]
            assert all(known.index(module) < known.index(name) for module in local)
    assert imported <= sys.stdlib_module_names


def test_every_module_of_the_helper_travels():
    files = {entry.name for entry in notebook.resources.files("cloudjhub.worker").iterdir()}
    modules = {name.removesuffix(".py") for name in files if name.endswith(".py")} - {"__init__"}
    # The watch outlives the session: it travels as a program of its own.
    assert modules == {*notebook.HELPER_MODULES, "patience", "watch"}

"""What a machine says in place of an answer, and the sentence for each."""

import json

import pytest

from cloudjhub import notebook
from cloudjhub.errors import NotebookError
from cloudjhub.remote_values import Output
from cloudjhub.worker import home_disk, notebook_helper

STATE = {"ok": True, "running": True, "pid": 7, "log_tail": "", "home": "already", "seconds": {}}
FAILURE = {"ok": False, "error": "No.", "log_tail": ""}


def said(answer: object) -> Output:
    return Output(0, f"noise\n{notebook.MARKER}{json.dumps(answer)}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bash: line 1: sudo: command not found\n", "lacks sudo"),
        ("sh: 1: sudo: not found\n", "lacks sudo"),
        ("sudo: a password is required\n", "without a password"),
        ("x is not in the sudoers file\n", "without a password"),
        ("sudo: python3: command not found\n", "lacks python3"),
        ("", "no answer (exit code 9)"),
        (notebook.MARKER + "{cut", "no answer (exit code 9)"),
    ],
)
def test_every_lack_of_an_answer_has_its_sentence(text, words):
    with pytest.raises(NotebookError) as caught:
        notebook.parse_answer(Output(9, text))
    assert words in str(caught.value)


def test_machine_without_sudo(fresh_machine):
    (fresh_machine.root / "shims/sudo").write_text(
        "#!/bin/sh\necho 'sudo: not found' >&2; exit 127\n"
    )
    with fresh_machine.connect() as session, pytest.raises(NotebookError, match="lacks sudo"):
        notebook.status(session)


@pytest.mark.parametrize("answer", [STATE, {**STATE, "pid": None}, FAILURE])
def test_answers_of_the_helper_are_taken(answer):
    assert notebook.parse_answer(said(answer)) == answer


@pytest.mark.parametrize(
    "answer",
    [
        [],
        None,
        "ok",
        {},
        {"ok": True},
        {"ok": False},
        {**STATE, "ok": 1},
        {**STATE, "running": "yes"},
        {**STATE, "pid": "7"},
        {**STATE, "pid": True},
        {**STATE, "home": None},
        {**STATE, "seconds": []},
        {**FAILURE, "error": None},
        {**FAILURE, "log_tail": ["last", "words"]},
        {name: value for name, value in STATE.items() if name != "seconds"},
    ],
)
def test_answer_of_another_shape_has_its_sentence(answer):
    with pytest.raises(NotebookError, match="makes no sense") as caught:
        notebook.parse_answer(said(answer))
    assert notebook.MARKER in caught.value.log_tail


def test_endless_nesting_is_no_answer():
    with pytest.raises(NotebookError, match="no answer"):
        notebook.parse_answer(Output(0, notebook.MARKER + "[" * 100_000))


def test_answer_is_found_before_nonsense():
    output = Output(0, said(STATE).text + notebook.MARKER + "[]\n")
    assert notebook.parse_answer(output) == STATE


def test_the_hub_waits_longer_than_the_helper_may_take():
    """A step gets a second even when time is up; few follow one another then."""
    helper = notebook_helper.REQUEST_SECONDS
    assert helper["start"] + home_disk.LONG_STEP_SECONDS + 5 <= notebook.START_SECONDS < 120
    assert helper["status"] + 5 <= notebook.STATUS_SECONDS
    assert helper["stop"] + 5 <= notebook.STOP_SECONDS

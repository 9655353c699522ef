"""What an operator sees of a launch, on a terminal, in a file, and in the log."""

import io

import pytest

from cloudjhub.deploy.progress import Progress, duration


def test_plain_lines_where_there_is_no_terminal():
    seen, log = io.StringIO(), io.StringIO()
    progress = Progress(seen, log=log)
    with progress.step("worker AMI", 480):
        progress.say("installing JupyterLab")
        progress.say("  Collecting jupyterlab")
    first, detail, last = seen.getvalue().splitlines()
    assert first == "worker AMI (usually 8 min 0 s)"
    assert detail == "  installing JupyterLab"
    assert last.startswith("done: worker AMI (")
    assert "Collecting jupyterlab" in log.getvalue()
    assert len(log.getvalue().splitlines()) == 4


def test_a_live_line_says_how_long_it_takes_and_what_a_machine_says(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("COLUMNS", "80")
    seen = io.StringIO()
    progress = Progress(seen, live=True)
    progress.say("  Collecting jupyterlab")
    progress.show(f"worker AMI: 7 s of usually 8 min 0 s  {progress.detail}")
    assert seen.getvalue() == "\r\x1b[Kworker AMI: 7 s of usually 8 min 0 s  Collecting jupyterlab"
    monkeypatch.setenv("COLUMNS", "11")
    progress.show("worker AMI: 7 s")
    assert seen.getvalue().endswith("\r\x1b[Kworker AMI")
    progress.say("stops")
    assert seen.getvalue().endswith("\r\x1b[K  stops\n")


def test_a_step_that_fails_is_named():
    seen = io.StringIO()
    progress = Progress(seen, live=True)
    with pytest.raises(KeyboardInterrupt), progress.step("builder", 30):
        raise KeyboardInterrupt
    assert "failed: builder, after " in seen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (605, "10 min 5 s")]
)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text

"""The log of a launch is its owner's, and written nowhere else than it seems."""

from pathlib import Path

from cloudjhub.deploy import launch


def test_a_log_that_others_could_read_is_closed_to_them(tmp_path: Path):
    path = tmp_path / "launch-class1.log"
    path.write_text("earlier\n")
    path.chmod(0o644)
    with launch._opened(path) as log:
        assert log is not None
        log.write("now\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("earlier\nnow\n", 0o600)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path):
    other = tmp_path / "other"
    other.write_text("mine")
    path = tmp_path / "launch-class1.log"
    path.symlink_to(other)
    with launch._opened(path) as log:
        assert log is None
    assert other.read_text() == "mine"

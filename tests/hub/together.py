"""Many who ask for the same thing at the same moment, however long a hub takes to hear them all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sites import Site

#: for ``more_config``
HELD = f"\nload_subconfig({str(Path(__file__).with_name('held_batches.py'))!r})\n"


@contextmanager
def together(site: Site, count: int) -> Iterator[None]:
    """While this lasts, no EC2 call that many may share is sent before so many share it."""
    draft, wanted = site.ec2.state_dir / "together.new", site.ec2.state_dir / "together"
    draft.write_text(str(count))
    draft.replace(wanted)
    try:
        yield
    finally:
        wanted.unlink()

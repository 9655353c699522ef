"""The watch of a machine as one file that its python3 runs; see ``cloudjhub.worker.watch``."""

import io
import zipfile
from functools import cache
from importlib import resources

_PACKAGE = "cloudjhub_worker"
_MODULES = (
    "__init__",
    "machine",
    "environment",
    "processes",
    "servers",
    "patience",
    "watch",
    "idle/work",
    "idle/processes",
    "idle/gpu",
)
_MAIN = f"from {_PACKAGE}.watch import main\n\nmain()\n"
#: no time of day: the same program is the same bytes
_WHEN = (1980, 1, 1, 0, 0, 0)


@cache
def watch_archive() -> bytes:
    """A zip file; of two versions that do the same, the bytes are the same."""
    folder = resources.files("cloudjhub.worker")
    files = {
        f"{_PACKAGE}/{name}.py": (folder / f"{name}.py").read_text("utf-8") for name in _MODULES
    }
    # What stands there is for the notebook server.
    files |= {f"{_PACKAGE}/idle/__init__.py": "", "__main__.py": _MAIN}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _WHEN)
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return written.getvalue()

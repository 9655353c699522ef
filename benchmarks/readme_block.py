"""Puts a benchmark's tables where the README has a place for them, between two comments."""

import re
from pathlib import Path

README = Path(__file__).with_name("README.md")


def put(name: str, text: str, file: Path = README) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end -->``. Raises LookupError."""
    page = file.read_text()
    block = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- end -->", re.DOTALL)
    if not block.search(page):
        raise LookupError(f"{file} has no place for {name!r}")
    new = f"<!-- {name} -->\n{text.strip()}\n<!-- end -->"
    file.write_text(block.sub(lambda _: new, page))

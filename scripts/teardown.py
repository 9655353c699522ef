#!/usr/bin/env python3
"""Removes a cluster; users' homes as told. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cloudjhub.command import run

sys.exit(run("teardown", prog="scripts/teardown.py"))

#!/usr/bin/env python3
"""What a cluster has, whose it is, since when, and what it costs. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cloudjhub.command import run

sys.exit(run("status", prog="scripts/status.py"))

#!/usr/bin/env python3
"""New software or a new worker AMI for a running cluster. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cloudjhub.command import run

sys.exit(run("upgrade", prog="scripts/upgrade.py"))

#!/usr/bin/env python3
"""Ends users' machines; their homes as told. See --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cloudjhub.command import run

sys.exit(run("terminate-workers", prog="scripts/terminate_all_workers.py"))

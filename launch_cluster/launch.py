#!/usr/bin/env python3
"""Build a cluster: launch.py CLUSTER_NAME BASE_AMI PRIVATE_SUBNET_ID PUBLIC_SUBNET_ID.

The same as ``cloudjhub launch``. Needs ``pip install -r launch_cluster/requirements.txt``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cloudjhub import command

if __name__ == "__main__":
    sys.exit(command.run("launch", prog="launch.py"))

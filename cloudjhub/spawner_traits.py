"""What an operator can set on InstanceSpawner, and where JupyterHub's defaults do not fit it."""

import logging
import os
from pathlib import Path
from typing import Any

from traitlets import Float, Integer, Unicode, default
from traitlets.config import LoggingConfigurable

from cloudjhub import options
from cloudjhub.cluster import Cluster, ClusterSettings, cluster_for
from cloudjhub.fleet import FleetSettings
from cloudjhub.machine_plan import Patience


class InstanceSpawnerTraits(LoggingConfigurable):
    """The configurable part of InstanceSpawner; goes before Spawner among its bases."""

    config_file = Unicode(
        help="""The cluster's server_config.json, a path.

        Default: the environment variable CLOUDJHUB_CONFIG, else
        /etc/jupyterhub/server_config.json. A change of the file's contents takes effect at the
        next start of a server, a change of this trait when the hub is restarted.
        """,
    ).tag(config=True)

    @default("config_file")
    def _default_config_file(self) -> str:
        return os.environ.get("CLOUDJHUB_CONFIG", "/etc/jupyterhub/server_config.json")

    batch_window_seconds = Float(
        0.1,
        min=0.0,
        max=5.0,
        help="""How long a login waits for others to share its EC2 call, seconds. Default 0.1.

        EC2 takes 2 launches a second but up to 1000 machines in one launch. Takes effect when
        the hub is restarted.
        """,
    ).tag(config=True)

    batch_limit = Integer(
        1000,
        min=1,
        max=1000,
        help="""Most machines in one EC2 call. Default 1000, the most that EC2's own limits take.

        With 1 every login makes calls of its own, of which EC2 takes 2 a second: for measuring
        what sharing saves. Takes effect when the hub is restarted.
        """,
    ).tag(config=True)

    busy_interval_seconds = Float(
        1.0,
        min=0.2,
        help="""Seconds between two listings of all machines while a user waits. Default 1.

        Takes effect when the hub is restarted.
        """,
    ).tag(config=True)

    quiet_interval_seconds = Float(
        30.0,
        min=1.0,
        help="""Seconds between two listings of all machines while nobody waits. Default 30.

        Takes effect when the hub is restarted.
        """,
    ).tag(config=True)

    ec2_threads = Integer(
        16,
        min=1,
        help="""Most EC2 calls under way at the same time. Default 16.

        Takes effect when the hub is restarted.
        """,
    ).tag(config=True)

    ssh_threads = Integer(
        32,
        min=1,
        help="""Most SSH connections to machines that are at work at the same time. Default 32.

        One that starts a notebook server waits for the machine, mostly. Takes effect when the hub
        is restarted.
        """,
    ).tag(config=True)

    ssh_logins = Integer(
        8,
        min=1,
        help="""Most SSH connections that are being made at the same time. Default 8.

        Making one takes a few milliseconds of the hub's processor, in a thread that keeps the hub
        itself from going on; further logins wait for their turn and see their place. Takes
        effect when the hub is restarted.
        """,
    ).tag(config=True)

    questions_per_second = Float(
        200.0,
        min=1.0,
        help="""How often all machines together are asked whether they answer, times a second.

        Default 200: a user whose machine boots asks every 0.1 seconds, with up to twenty of them;
        of a thousand each asks every 5 seconds. One question takes the hub about a millisecond.
        Takes effect when the hub is restarted.
        """,
    ).tag(config=True)

    capacity_memory_seconds = Float(
        300.0,
        min=0.0,
        help="""How long nobody asks Amazon again for a type that it had none of in a zone, seconds,
        as long as there is another type or zone to ask for. Default 300; see docs/capacity.md.

        Takes effect when the hub is restarted.
        """,
    ).tag(config=True)

    boot_timeout_seconds = Float(
        240.0,
        min=1.0,
        help="""How long a machine may take from its start until its sshd answers, seconds.

        Default 240; a quarter of it is added until sshd lets the hub in. After that it is
        switched off and on once; if it stays silent it is replaced by another with the same home
        volume. Takes effect at the next start.
        """,
    ).tag(config=True)

    hang_timeout_seconds = Float(
        20.0,
        min=1.0,
        help="""How long a machine that was running already may stay silent when its user logs
        in, seconds. Default 20. Then it counts as hung and is switched off and on. Takes effect
        at the next start.
        """,
    ).tag(config=True)

    notebook_timeout_seconds = Float(
        120.0,
        min=1.0,
        help="""How long the single-user server may take until it answers, seconds. Default 120.

        Takes effect at the next start.
        """,
    ).tag(config=True)

    # JupyterHub's own deadline ends a start without a word to the user (str(TimeoutError) is
    # empty, user.py), so start() keeps one just below it. This long, since a silent machine is
    # first awaited, then switched off and on, then replaced.
    @default("start_timeout")
    def _default_start_timeout(self) -> int:
        return 1200

    # At hub start a server that does not answer for this long is stopped (app.py,
    # check_spawner); a network that is late must not stop a class.
    @default("http_timeout")
    def _default_http_timeout(self) -> int:
        return 120

    # Options are consumed by start(); without this JupyterHub warns that nobody does.
    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return lambda spawner, user_options: None

    @default("options_form")
    def _default_options_form(self) -> Any:
        return lambda spawner: options.form(spawner.cluster.config)

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return options.from_form

    @property
    def cluster(self) -> Cluster:
        """What all spawners of this hub share."""
        return cluster_for(
            ClusterSettings(
                config_file=Path(self.config_file),
                fleet=FleetSettings(
                    batch_window_seconds=self.batch_window_seconds,
                    batch_limit=self.batch_limit,
                    busy_interval_seconds=self.busy_interval_seconds,
                    quiet_interval_seconds=self.quiet_interval_seconds,
                    ec2_threads=self.ec2_threads,
                    capacity_memory_seconds=self.capacity_memory_seconds,
                ),
                ssh_threads=self.ssh_threads,
                ssh_logins=self.ssh_logins,
                questions_per_second=self.questions_per_second,
            )
        )

    @property
    def patience(self) -> Patience:
        """How long a start waits for a machine."""
        return Patience(
            boot_seconds=self.boot_timeout_seconds,
            running_seconds=self.hang_timeout_seconds,
            login_seconds=self.boot_timeout_seconds / 4,
        )


def speak_through(hub_log: logging.Logger) -> None:
    """Let what the package's modules say appear in the hub's log.

    As JupyterHub does with tornado's loggers (app.py, init_logging); otherwise notes would be
    lost and warnings come without a date.
    """
    package = logging.getLogger("cloudjhub")
    package.parent = hub_log
    package.setLevel(hub_log.level)

"""server_config.json under a running hub: read again when it changed."""

import logging
import os
from pathlib import Path

from cloudjhub.config import ClusterConfig, load
from cloudjhub.errors import ConfigError

log = logging.getLogger(__name__)


class ConfigFile:
    """A file that is read again when it changed, so that a mended file needs no restart."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._stamp: tuple[int, int, int] | None = None
        self._config: ClusterConfig | None = None
        self._complaint = ""

    def current(self) -> ClusterConfig:
        """The configuration as of now; the last good one while the file is broken.

        Raises ConfigError if there never was a good one. Failures are not remembered.
        """
        stamp = self._stat()
        if self._config is not None and stamp is not None and stamp == self._stamp:
            self._complaint = ""
            return self._config
        try:
            config = load(self.path)
            self._refuse_other_cluster(config)
        except ConfigError as error:
            if self._config is None:
                raise
            self._complain(error.message)
            return self._config
        self._stamp, self._config, self._complaint = stamp, config, ""
        return config

    @property
    def finding(self) -> str:
        """What is wrong with the file as ``current`` last saw it; "" if nothing is."""
        return self._complaint

    def _complain(self, message: str) -> None:
        if message != self._complaint:
            log.error("%s is broken; what it said before stays in force: %s", self.path, message)
            self._complaint = message

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def _refuse_other_cluster(self, config: ClusterConfig) -> None:
        if self._config is not None and config.identity != self._config.identity:
            raise ConfigError(
                [
                    f"{self.path}: CLUSTER_NAME, REGION or EC2_ENDPOINT_URL changed; "
                    "restart the hub to move it to another cluster."
                ]
            )

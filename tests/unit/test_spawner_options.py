"""What was asked for at one start, in what the hub keeps of a server."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from cloudjhub import InstanceSpawner
from cloudjhub.errors import ConfigError


async def test_agreeing_to_a_move_is_not_kept_though_the_start_fails_at_its_first_step():
    spawner = InstanceSpawner(internal_ssl=True)
    asked = {"instance_type": "t3.medium", "move_home": "yes"}
    spawner.user, spawner.orm_spawner = Mock(), SimpleNamespace(user_options=asked, server=None)
    spawner.user_options = asked
    with pytest.raises(ConfigError, match="internal_ssl"):
        await spawner._start()
    assert spawner.orm_spawner.user_options == {"instance_type": "t3.medium"}
    assert spawner.user_options == spawner.orm_spawner.user_options
    assert spawner.user.db.commit.called

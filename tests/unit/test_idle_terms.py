"""Where a machine asks what holds for it."""

from urllib.parse import unquote, urlsplit

import pytest

from cloudjhub.idle_terms import idle_url


@pytest.mark.parametrize("server", ["second", "GPU 2", "a/b", "50%?", "100#1"])
def test_a_named_server_asks_at_its_own_address(server):
    address = urlsplit(idle_url("http://hub:8081/hub/api/", "ada%20l", server))
    *_, users, user, servers, name, last = address.path.split("/")
    assert (users, user, servers, last) == ("users", "ada%20l", "servers", "idle")
    assert unquote(name) == server
    assert not address.query and not address.fragment


def test_the_default_server_has_no_name():
    address = idle_url("http://hub:8081/hub/api", "ada", "")
    assert address == "http://hub:8081/hub/api/cloudjhub/users/ada/server/idle"

"""The tokens of one server in a hub's database, and what a spawner forgets with its server."""

import warnings
from types import SimpleNamespace

import pytest
from jupyterhub import orm

from cloudjhub import InstanceSpawner
from cloudjhub.server_tokens import ServerTokens


@pytest.fixture
def user():
    session = orm.new_session_factory("sqlite:///:memory:")()
    row = orm.User(name="student01")
    session.add_all([row, orm.OAuthClient(identifier="jupyterhub")])
    session.commit()
    yield SimpleNamespace(db=session, orm_user=row)
    session.close()


def _tokens(user):
    """Of a server that has just been started, with the id of its token."""
    text = user.orm_user.new_api_token(note="Server at /user/student01/")
    tokens = ServerTokens(SimpleNamespace(user=user, api_token=text))
    tokens.made()
    return tokens


def _left(user):
    return [row.id for row in user.db.query(orm.APIToken)]


def test_the_token_of_a_server_that_ended_is_revoked_once(user):
    tokens = _tokens(user)
    assert _left(user) == [tokens.state()["token_id"]]
    with warnings.catch_warnings():
        # A row that is deleted once more is not there, and the hub's log would say so.
        warnings.simplefilter("error")
        tokens.ended()
    assert _left(user) == []
    assert tokens.state() == {"token_id": None, "asleep_token_id": None}


def test_an_earlier_start_s_token_is_revoked_beside_the_latest(user):
    tokens = _tokens(user)
    tokens._spawner.api_token = user.orm_user.new_api_token(note="Server at /user/student01/")
    assert len(_left(user)) == 2
    tokens.ended()
    assert _left(user) == []


def test_a_hibernated_server_keeps_its_token(user):
    tokens = _tokens(user)
    tokens.falls_asleep()
    tokens.ended()
    assert _left(user) == [tokens.state()["asleep_token_id"]]


def test_a_server_that_died_before_it_was_hibernated_leaves_the_next_stop_plain(user):
    spawner = InstanceSpawner()
    spawner.user, spawner.api_token = user, ""
    spawner.next_stop = "hibernate"  # and then it was not there to be stopped
    spawner.clear_state()
    assert spawner.next_stop == "stop"

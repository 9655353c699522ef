"""Whether a server's words reach the hub."""

from unit.listings import Clock

from cloudjhub.questions import Questions


def test_one_that_stops_asking_is_silent_and_one_that_never_asked_is_not():
    clock = Clock()
    asks, never = Questions(clock.monotonic), Questions(clock.monotonic)
    assert asks.heard() and not asks.heard()
    clock.ahead += 300
    assert not asks.silent
    clock.ahead += 120
    assert asks.silent == "for 7 minutes" and not never.silent
    assert not asks.heard()
    assert not asks.silent


def test_after_a_restart_of_the_hub_it_is_silent_until_it_asks():
    earlier, hub = Questions(), Questions()
    hub.load(earlier.state())
    assert not hub.silent
    earlier.heard()
    hub.load(earlier.state())
    assert hub.silent == "since the hub began"
    assert not hub.heard() and not hub.silent


def test_another_server_is_not_known_to_ask():
    clock = Clock()
    questions = Questions(clock.monotonic)
    questions.heard()
    clock.ahead += 1000
    questions.begin()
    assert not questions.silent and not questions.state()["asks"]


def test_it_is_said_once_an_hour():
    clock = Clock()
    questions = Questions(clock.monotonic)
    said = []
    for _ in range(130):
        clock.ahead += 60
        said.append(questions.is_news())
    assert sum(said) == 3
    questions.heard()
    assert questions.is_news()

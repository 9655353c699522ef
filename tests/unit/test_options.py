"""What users may choose, and what reaches a start through the form, an address or REST."""

import pytest

from cloudjhub import options
from cloudjhub.config import ClusterConfig
from cloudjhub.errors import ConfigError, HomeHeldUp, NoCapacity, UnknownOption
from cloudjhub.options import Options


@pytest.fixture
def choosy(config_values):
    return ClusterConfig.model_validate(
        {**config_values, "WORKER_INSTANCE_TYPE_CHOICES": ["t3.large", "g5.xlarge"]}
    )


@pytest.mark.parametrize("raw", [{}, {"instance_type": ""}, {"instance_type": None}])
def test_no_choice_is_the_clusters_type(choosy, raw):
    assert options.checked(raw, choosy) == Options(instance_type=None)


@pytest.mark.parametrize("kind", ["t3.medium", "t3.large", "g5.xlarge"])
def test_what_is_on_offer_may_be_chosen(choosy, kind):
    assert options.checked({"instance_type": kind}, choosy).instance_type == kind


def test_a_type_that_is_not_on_offer_is_refused_with_what_is(choosy):
    with pytest.raises(UnknownOption, match=r"p5\.48xlarge.*there is: t3\.medium, t3\.large"):
        options.checked({"instance_type": "p5.48xlarge"}, choosy)


def test_a_type_that_is_offered_no_more_is_refused(config):
    with pytest.raises(UnknownOption):
        options.checked({"instance_type": "t3.large"}, config)


@pytest.mark.parametrize("kind", [["t3.medium"], {"a": 1}, 5, True])
def test_rest_may_send_any_json_and_is_refused_in_words(choosy, kind):
    with pytest.raises(UnknownOption):
        options.checked({"instance_type": kind}, choosy)


def test_an_unknown_option_is_refused_by_name(choosy):
    with pytest.raises(UnknownOption, match="'image'"):
        options.checked({"image": "x"}, choosy)


def test_the_form_offers_each_type_once(config_values):
    config = ClusterConfig.model_validate(
        {**config_values, "WORKER_INSTANCE_TYPE_CHOICES": ["t3.large", "t3.medium"]}
    )
    form = options.form(lambda: config)
    assert form.count("<option>") == 2
    assert form.index("t3.medium") < form.index("t3.large")


def test_without_a_choice_there_is_no_form(config):
    assert options.form(lambda: config) == ""


def test_a_broken_configuration_shows_no_form():
    def broken():
        raise ConfigError(["broken"])

    assert options.form(broken) == ""


def test_a_posted_form_and_a_query_become_options(choosy):
    raw = options.from_form({"instance_type": ["t3.large"], "empty": []})
    assert raw == {"instance_type": "t3.large"}
    assert options.checked(raw, choosy) == Options("t3.large")


def test_a_move_is_agreed_to_by_the_word_yes_and_for_one_start(config):
    asked = {"instance_type": "t3.medium", "move_home": "yes"}
    assert options.checked(asked, config).move_home
    assert options.for_later(asked) == {"instance_type": "t3.medium"}
    for no in ("no", "", None, False, ["yes"]):
        assert not options.checked({"move_home": no}, config).move_home


def test_the_offer_to_move_is_a_link_that_keeps_the_options_and_is_safe_in_a_page():
    refusal = NoCapacity("x", action="RunInstances")
    error = HomeHeldUp('No <b>"t3"</b>.', "Move & go.", refusal=refusal)
    page = options.offer_to_move(error, '/hub/spawn/o"neil%40x/', {"instance_type": "g5&x"})
    assert "No &lt;b&gt;" in page and "Move &amp; go." in page
    link = "/hub/spawn/o%22neil%40x?opt-instance_type=g5%26x&amp;opt-move_home=yes"
    assert f'<a href="{link}">' in page

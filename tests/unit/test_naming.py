"""Names of users and servers as tags: always valid, never the same for two."""

import itertools
import unicodedata

import pytest

from cloudjhub.naming import (
    CLUSTER_NAME_LIMIT,
    SERVER_TAG,
    USER_TAG,
    Owner,
    has_owner,
    instance_name,
    is_owned_by,
    owner_tags,
    resource_name,
    role_tags,
    tag_value,
)

LIMIT = 256  # characters of a tag value

PLAIN = [
    "",
    "ada",
    "ada.lovelace",
    "ada+x@example.org",
    "Ada Lovelace",
    "a/b",
    "a_b",
    "ñandú",
    "大",
]
NASTY = [
    *[" ", "  ", " ada", "ada ", " ada ", "ada\t", "ada\n", "\nada", "a\r\nb", "\x00", "a\x00b"],
    *["*", "?", "a*", "a?", "a*b", "\\", "\\*", "a\\b", "<", ">", "&", '"', "'", "`", "$(id)", ";"],
    *["%", "%%", "%2A", "%25", "%252A", "a%", "~", "a~b", "~ada", "%7E", "%20ada", "ada%20"],
    *[
        "é",
        "e\u0301",
        "\u00a0",
        "a\u00a0",
        "\u200b",
        "a\u200b",
        "\u202eada",
        "\ufeff",
        "\x7f",
        "\x85",
    ],
    *["\ud800", "\udfff", "a\ud800b", "\ud83d", "\U0001f600", "\U0010ffff", "\ue000", "\u2028"],
    *["aws:x", "None", "null", "-", "--", "../..", "a" * 255, "a" * 256, "a" * 257, "a" * 1000],
    *["b" + "a" * 1000, "a" * 999 + "b", "*" * 85, "*" * 86, "*" * 300, "大" * 256, "大" * 257],
    *[" " * 256, " " * 257, "a" * 222 + " " * 40 + "b", "a" * 223 + "%", "a" * 255 + " "],
]
# Names that look like what other names become.
ECHOES = [tag_value(name) for name in PLAIN + NASTY]
NAMES = list(dict.fromkeys(PLAIN + NASTY + ECHOES))


def test_different_names_have_different_tag_values():
    by_value: dict[str, list[str]] = {}
    for name in NAMES:
        by_value.setdefault(tag_value(name), []).append(name)
    assert [names for names in by_value.values() if len(names) > 1] == []


def is_valid(value: str) -> bool:
    # Wildcards and their escape would mean something in a filter, the others in XML.
    return (
        len(value) <= LIMIT
        and value == value.strip()
        and value.isprintable()
        and not set(value) & set('*?\\<>&"')
    )


def test_a_tag_value_is_always_valid():
    assert [name for name in NAMES if not is_valid(tag_value(name))] == []


@pytest.mark.parametrize("name", PLAIN)
def test_an_ordinary_name_stays_readable(name):
    assert tag_value(name) == name


def test_names_that_only_look_alike_stay_apart():
    composed = "é"
    assert tag_value(composed) != tag_value(unicodedata.normalize("NFD", composed))
    assert tag_value("Ada") != tag_value("ada")


def test_two_owners_never_share_their_tags():
    owners = [
        Owner(user, server) for user, server in itertools.product(NAMES, ["", "a", "a/b", "/"])
    ]
    tags = [tuple(sorted(owner_tags(owner).items())) for owner in owners]
    assert len(set(tags)) == len(owners)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Owner("ada"), Owner("ada", "x")),
        (Owner("ada", "x"), Owner("ada", "y")),
        (Owner("ada", "x"), Owner("ada/x")),
        (Owner("a", "b"), Owner("b", "a")),
        (Owner("ada", "ada"), Owner("ada")),
    ],
)
def test_a_machine_of_one_owner_is_not_the_others(one, other):
    tags = {"Name": "x", **owner_tags(one)}
    assert is_owned_by(tags, one)
    assert not is_owned_by(tags, other)


def test_a_machine_without_owner_tags_is_a_spare():
    assert not has_owner({"cloudjhub:cluster": "class"})
    assert has_owner(owner_tags(Owner("")))


def test_a_machine_that_names_only_the_user_is_not_owned_by_the_default_server():
    assert not is_owned_by({USER_TAG: "ada"}, Owner("ada"))
    assert is_owned_by({USER_TAG: "ada", SERVER_TAG: ""}, Owner("ada"))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Owner("Ada Lovelace"), "class-ada-lovelace"),
        (Owner("ada", "gpu"), "class-ada-gpu"),
        (Owner("大"), "class-user"),
        (Owner(""), "class-user"),
        (Owner("$(reboot)"), "class-reboot"),
        (Owner("x" * 300), "class-" + "x" * 60),
    ],
)
def test_the_name_tag_is_short_and_plain(owner, name):
    assert instance_name("class", owner) == name


def test_a_resource_is_born_with_cluster_role_and_name():
    assert role_tags("class1", "manager2") == {
        "cloudjhub:cluster": "class1",
        "cloudjhub:role": "manager2",
        "Name": "cloudjhub-class1-manager2",
    }
    assert role_tags("class1", "builder", "Physics")["cloudjhub:paid-by"] == "Physics"


def test_the_longest_cluster_name_still_fits_an_iam_role():
    assert len(resource_name("c" * CLUSTER_NAME_LIMIT, "manager")) == 64

"""Accounts of a hub of its own: who gets in, and how; on a real hub."""

import html
import os
import re

import pytest
from sites import BRISK, LISTED, Site, running_site
from yarl import URL

from cloudjhub.demo.browserless import HubUser, HubUserError
from cloudjhub.deploy.provision.login import (
    ONE_TIME_PATH,
    SIGNUP_WORD_PATH,
    USERLIST_PATH,
    NativeLogin,
    login_config,
)
from cloudjhub.logins.one_time import OneTimePasswords, main

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = {
    "users": ("admin", "listed01", "listed02", "listed03", "listed04"),
    "more_config": BRISK + LISTED,
}
GOOD = "a long enough password"


class Visitor(HubUser):
    """Somebody at the pages for which nobody has to be logged in."""

    async def fill_in(self, page: str, target: str = "", **form: str) -> tuple[int, str]:
        """Open a page with a form, send it; gives the status and the text of the answer."""
        text = await (await self._http.get(self.url.join(URL(page)))).text()
        return await self.send(text, target or page, **form)

    async def send(self, text: str, page: str, **form: str) -> tuple[int, str]:
        """Send the form that stands on a page."""
        found = re.search(r'name="_xsrf"\s+value="([^"]+)"', text)
        form["_xsrf"] = found[1] if found else ""
        async with self._http.post(self.url.join(URL(page)), data=form) as answer:
            return answer.status, html.unescape(await answer.text())

    async def sign_up(
        self, password: str = GOOD, again: str | None = None, signup_code: str = ""
    ) -> str:
        """What the page says to it."""
        status, text = await self.fill_in(
            "/hub/signup",
            username=self.name,
            signup_password=password,
            signup_password_confirmation=password if again is None else again,
            signup_code=signup_code,
        )
        assert status == 200, text
        return re.search(r'id="signup-result"[^>]*>(.*?)<', text, re.DOTALL)[1]

    async def choose(self, one_time: str, password: str) -> tuple[int, str]:
        """Log in with a one-time password and choose another."""
        status, text = await self.fill_in("/hub/login", username=self.name, password=one_time)
        assert status == 200 and "Choose a password" in text, text
        return await self.send(
            text,
            "/hub/choose-password?next=/hub/home",
            username=self.name,
            one_time=one_time,
            new_password=password,
            new_password_confirmation=password,
        )


def one_time(site: Site) -> OneTimePasswords:
    return OneTimePasswords(site.demo.folder / "one_time_passwords.json")


async def refused(site: Site, name: str, password: str) -> str:
    """What the login page says."""
    async with HubUser(site.demo.url, name, password) as person:
        with pytest.raises(HubUserError) as caught:
            await person.login()
    return caught.value.message


async def may_log_in(site: Site, name: str, password: str = GOOD) -> None:
    async with HubUser(site.demo.url, name, password) as person:
        await person.login()
        assert await person.server() is None


async def admin_of(site: Site) -> Visitor:
    """An admin who has chosen a password and is logged in; close it."""
    given = one_time(site).give(["admin"], again=True)["admin"]
    person = Visitor(site.demo.url, "admin", "the admin's password")
    status, text = await person.choose(given, "the admin's password")
    assert status == 200 and "Sign-ups" in text, text
    return person


async def follow(person: Visitor, path: str) -> int:
    async with person._http.get(person.url.join(URL(path))) as answer:
        return answer.status


async def press(admin: Visitor, path: str) -> int:
    """A button of the page Sign-ups."""
    return (await admin.fill_in("/hub/authorize", path))[0]


async def test_who_is_listed_signs_up_and_is_in(site):
    async with Visitor(site.demo.url, "Listed01", "") as person:
        assert "log in" in await person.sign_up()
        assert "already" in await person.sign_up("another password")
    await may_log_in(site, "listed01")
    assert "Invalid" in await refused(site, "listed01", "another password")


async def test_who_is_not_listed_waits_for_an_admin(site):
    async with Visitor(site.demo.url, "stranger", "") as person:
        assert "lets you in" in await person.sign_up()
    assert "waits until an admin" in await refused(site, "stranger", GOOD)
    assert "Invalid" in await refused(site, "stranger", "a wrong password")
    admin = await admin_of(site)
    # A page elsewhere that an admin opens must not let anybody in: neither by link nor by form.
    assert await follow(admin, "/hub/authorize/stranger") == 405
    assert await follow(admin, "/hub/discard/stranger") == 405
    assert (await admin.send("no token", "/hub/authorize/stranger"))[0] == 403
    assert "waits until an admin" in await refused(site, "stranger", GOOD)
    assert await press(admin, "/hub/authorize/stranger") == 200
    await admin.close()
    await may_log_in(site, "stranger")


async def test_who_is_kept_out_is_logged_out(site):
    async with Visitor(site.demo.url, "added03", GOOD) as person:
        await site.api("POST", "/users", usernames=["added03"])
        await person.sign_up()
        await person.login()
        admin = await admin_of(site)
        assert await press(admin, "/hub/authorize/added03") == 200
        await admin.close()

        async def logged_out() -> bool:
            async with person._http.get(person.url.join(URL("/hub/home"))) as answer:
                return answer.url.path == "/hub/login"

        await site.until("the person to be logged out", logged_out)
    assert "waits until an admin" in await refused(site, "added03", GOOD)


async def test_nobody_but_admins_lets_people_in(site):
    async with Visitor(site.demo.url, "listed02", GOOD) as person:
        await person.sign_up()
        await person.login()
        text = await (await person._http.get(person.url.join(URL("/hub/change-password")))).text()
        assert (await person.send(text, "/hub/authorize/listed02"))[0] == 403
        assert await follow(person, "/hub/authorize") == 403
        assert await follow(person, "/hub/change-password/admin") == 403


async def test_a_one_time_password_is_good_for_choosing_one_and_once(site):
    given = one_time(site).give(["listed03"])["listed03"]
    async with Visitor(site.demo.url, "listed03", "") as person:
        assert "one-time password" in await person.sign_up(), "somebody else took the name"
        status, text = await person.choose(given, "short")
        assert "at least 10 characters" in text
        assert await follow(person, "/hub/home") == 200  # the login page: nobody is logged in
        status, text = await person.choose(given, given)
        assert "another than the one given" in text
        status, text = await person.choose(given, GOOD)
        assert status == 200 and "/hub/logout" in text
    assert "Invalid" in await refused(site, "listed03", given)
    await may_log_in(site, "listed03")
    assert one_time(site).give(["listed03"]) == {}


async def test_a_one_time_password_also_replaces_a_forgotten_one(site, capsys):
    async with Visitor(site.demo.url, "listed04", "") as person:
        await person.sign_up("the forgotten password")
    main(["--file", str(one_time(site).path), "Listed04"])
    name, _, given = capsys.readouterr().out.strip().partition(": ")
    assert name == "listed04"
    await may_log_in(site, "listed04", "the forgotten password")
    async with Visitor(site.demo.url, "listed04", "") as person:
        await person.choose(given, GOOD)
    await may_log_in(site, "listed04")
    assert "Invalid" in await refused(site, "listed04", "the forgotten password")


async def test_a_word_of_the_class_keeps_strangers_from_listed_names(tmp_path):
    (tmp_path / "userlist").write_text("admin admin\nlisted01\nlisted02\nlisted03\n")
    (tmp_path / "word").write_text("heron\n")
    text = login_config(NativeLogin(), "URL/")
    for path, name in [
        (USERLIST_PATH, "userlist"),
        (SIGNUP_WORD_PATH, "word"),
        (ONE_TIME_PATH, "one_time.json"),
    ]:
        assert path in text
        text = text.replace(path, str(tmp_path / name))
    async with running_site(tmp_path / "demo", more_config=BRISK + text) as site:
        for name, code, words in [
            ("listed01", "heron", "log in"),
            ("listed02", "egret", "lets you in"),
            ("listed03", "", "lets you in"),
            ("stranger", "heron", "lets you in"),
            # Though none was given out yet.
            ("admin", "heron", "one-time password"),
        ]:
            async with Visitor(site.demo.url, name, "") as person:
                assert words in await person.sign_up(signup_code=code)


async def test_who_was_added_in_bulk_signs_up_and_is_in(site):
    status, _ = await site.api("POST", "/users", usernames=["added01", "added02"])
    assert status == 201
    async with Visitor(site.demo.url, "added01", "") as person:
        assert "log in" in await person.sign_up()
    await may_log_in(site, "added01")
    await site.api("DELETE", "/users/added01")
    assert "Invalid" in await refused(site, "added01", GOOD)


async def test_nobody_becomes_an_admin_by_signing_up(site):
    admin = await admin_of(site)
    await admin._json("POST", "/hub/api/users", json={"usernames": ["boss"], "admin": True})
    await admin.close()
    async with Visitor(site.demo.url, "boss", "") as person:
        assert "lets you in" in await person.sign_up()
    assert "waits until an admin" in await refused(site, "boss", GOOD)


async def test_without_a_word_nobody_takes_a_home_that_is_there(site):
    await site.api("POST", "/users", usernames=["carla", "carlo"])
    tags = [
        {"Key": "cloudjhub:cluster", "Value": "demo"},
        {"Key": "cloudjhub:role", "Value": "disk"},
        {"Key": "cloudjhub:user", "Value": "carla"},
        {"Key": "cloudjhub:server", "Value": ""},
    ]
    site.boto().create_volume(
        Size=1,
        AvailabilityZone="us-east-1a",
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )
    for name, words in [("carla", "lets you in"), ("carlo", "log in")]:
        async with Visitor(site.demo.url, name, "") as person:
            assert words in await person.sign_up()


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("new01", "short", "at least 10 characters"),
        ("new01", "é" * 40, "72 at most"),
        ("new01", "1234567890", "will not do"),
        ("new\t01", GOOD, "name will not do"),
        ('new"onclick', GOOD, "name will not do"),
        ("", GOOD, "name will not do"),
    ],
)
async def test_what_a_sign_up_refuses(site, name, password, words):
    async with Visitor(site.demo.url, name, "") as person:
        assert words in await person.sign_up(password)


async def test_two_passwords_that_differ_are_refused(site):
    async with Visitor(site.demo.url, "new02", "") as person:
        assert "differ" in await person.sign_up(GOOD, "another password")


@pytest.mark.parametrize("password", ["x" * 73, "nul\0byte", "", "wrong"])
async def test_odd_passwords_are_only_wrong(site, password):
    assert "Invalid" in await refused(site, "nobody", password)
    assert "Invalid" in await refused(site, "admin", password)


async def test_passwords_cannot_be_tried_out(site):
    async with Visitor(site.demo.url, "added02", "") as person:
        await site.api("POST", "/users", usernames=["added02"])
        await person.sign_up()
    for number in range(10):
        await refused(site, "added02", f"guess {number}")
    assert "Invalid" in await refused(site, "added02", GOOD)


async def test_a_reserved_name_waits_for_a_one_time_password(tmp_path):
    passwords = OneTimePasswords(tmp_path / "one_time_passwords.json")
    given = passwords.give(["ann", "bob"])
    passwords.use("bob")
    passwords.reserve(["ann", "bob", "carol"])
    assert passwords.matches("ann", given["ann"]) and not passwords.waits("bob")
    assert passwords.waits("carol") and not passwords.matches("carol", "")
    assert set(passwords.give(["ann", "bob", "carol"])) == {"ann", "carol"}


async def test_who_chose_in_a_database_that_is_lost_chooses_again(tmp_path):
    passwords = OneTimePasswords(tmp_path / "one_time_passwords.json")
    passwords.give(["ann", "bob", "carol"])
    passwords.use("ann")
    passwords.use("bob")
    assert passwords.give(["ann"]) == {}
    passwords.keep({"ann"})
    assert passwords.give(["ann"]) == {}
    assert passwords.waits("carol")
    assert set(passwords.give(["bob"])) == {"bob"}


async def test_the_file_of_one_time_passwords_holds_none(site):
    passwords = one_time(site)
    given = passwords.give(["somebody"])["somebody"]
    assert passwords.path.stat().st_mode & 0o777 == 0o600
    assert passwords.path.stat().st_uid == os.getuid()
    assert given not in passwords.path.read_text()
    passwords.forget("somebody")
    assert not passwords.waits("somebody")

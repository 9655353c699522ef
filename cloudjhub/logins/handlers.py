"""The pages: log in, sign up, choose a password; and what no link from elsewhere may do."""

from typing import Any, Protocol, runtime_checkable

from jupyterhub.handlers.login import LoginHandler as JupyterHubLoginHandler
from nativeauthenticator.handlers import (
    DiscardHandler,
    LocalBase,
    SignUpHandler,
    ToggleAuthorizationHandler,
)
from tornado import web


@runtime_checkable
class KeepsFiles(Protocol):
    """A spawner that knows whether somebody has files."""

    async def has_files(self) -> bool:
        """Of any of this user's servers."""
        ...


_PASSWORD_RULE = (
    "Take at least {} characters, 72 at most, and none of the passwords that many people take."
)


class ListedLoginHandler(JupyterHubLoginHandler, LocalBase):
    """JupyterHub's own login page, for which a one-time password opens the next page only."""

    async def post(self) -> None:
        """Let in, ask to choose a password, or say why not."""
        authenticator = self.authenticator
        password = self.get_body_argument("password", "", strip=False)
        typed = self.get_body_argument("username", "")
        name = authenticator.normalize_username(typed)
        if authenticator.one_time.matches(name, password):
            await show_choice(self, name, password)
            return
        user = authenticator.get_user(name)
        waits = user is not None and not user.is_authorized
        if waits and await authenticator.is_password(name, password):
            self.set_status(403)
            words = f"The account {name} waits until an admin lets it in."
            self.finish(await self._render(login_error=words, username=typed))
            return
        await super().post()


class ListedSignUpHandler(SignUpHandler):
    """nativeauthenticator's sign-up, with words of ours and without what is not in use."""

    async def get(self) -> None:
        """The form."""
        if not self.authenticator.enable_signup:
            raise web.HTTPError(404)
        self.finish(await self._form())

    async def _form(self, **more: str) -> str:
        asks_code = bool(self.authenticator.signup_code)
        return await self.render_template("signup.html", asks_code=asks_code, **more)

    async def post(self) -> None:
        """Make an account, or say why not."""
        if not self.authenticator.enable_signup:
            raise web.HTTPError(404)
        name = self.authenticator.normalize_username(self.get_body_argument("username", ""))
        password = self.get_body_argument("signup_password", "", strip=False)
        again = self.get_body_argument("signup_password_confirmation", "", strip=False)
        alert, words = await self._made(name, password, again)
        self.finish(await self._form(alert=alert, result_message=words, username=name))

    async def _made(self, name: str, password: str, again: str) -> tuple[str, str]:
        authenticator = self.authenticator
        if authenticator.one_time.waits(name):
            return (
                "warning",
                "This account is ready: log in with the one-time password given to you. If you "
                "have none, whoever runs this hub gives you one.",
            )
        if authenticator.user_exists(name):
            return "danger", "This name has an account already. If it is yours, ask an admin."
        if not authenticator.validate_username(name):
            return (
                "danger",
                "This name will not do: no blanks, commas, slashes or other such signs.",
            )
        if password != again:
            return "danger", "The two passwords differ."
        if not authenticator.is_password_strong(password):
            return "danger", "This password will not do. " + password_rule(self)
        user = authenticator.create_user(name, password, let_in=await self._is_let_in(name))
        if user is None:
            return "danger", "No account could be made."
        if user.is_authorized:
            return "success", "Your account is ready: log in."
        return "info", "Your account is made. You can log in as soon as an admin lets you in."

    async def _is_let_in(self, name: str) -> bool:
        """Whoever is first gets no files of somebody's: where no word is asked for, who had them
        before an account was lost must be let in again.
        """
        authenticator, user = self.authenticator, self.find_user(name)
        admits = authenticator.admits(name, self.get_body_argument("signup_code", ""))
        if not admits or (user is not None and user.admin):
            return False
        if user is None or authenticator.signup_code:
            return True
        return not (isinstance(user.spawner, KeepsFiles) and await user.spawner.has_files())


class ChoosePasswordHandler(LocalBase):
    """Where a one-time password is taken for one of the person's own."""

    async def get(self) -> None:
        """Nobody comes here but from the login page."""
        self.redirect(self.settings["login_url"])

    async def post(self) -> None:
        """Choose, and be logged in."""
        name = self.get_body_argument("username", "")
        one_time = self.get_body_argument("one_time", "", strip=False)
        password = self.get_body_argument("new_password", "", strip=False)
        again = self.get_body_argument("new_password_confirmation", "", strip=False)
        if password != again:
            await show_choice(self, name, one_time, "The two passwords differ.")
        elif password.strip() == one_time.strip():
            await show_choice(self, name, one_time, "Choose another than the one given to you.")
        elif not self.authenticator.choose_password(name, one_time, password):
            words = "This password will not do. " + password_rule(self)
            await show_choice(self, name, one_time, words)
        else:
            user = await self.login_user({"username": name, "password": password})
            self.redirect(self.get_next_url(user))


async def show_choice(handler: Any, name: str, one_time: str, error: str = "") -> None:
    """The page on which a password is chosen."""
    if not handler.authenticator.one_time.matches(name, one_time):
        raise web.HTTPError(403, "This one-time password is used up.")
    handler.set_header("Cache-Control", "no-store")
    html = await handler.render_template(
        "choose-password.html",
        username=name,
        one_time=one_time,
        login_error=error,
        rule=password_rule(handler),
        next=handler.get_argument("next", ""),
    )
    handler.finish(html)


def password_rule(handler: Any) -> str:
    """What a password must be like."""
    return _PASSWORD_RULE.format(handler.authenticator.minimum_password_length)


class _FormOfOurs:
    """Changes something: on the hub's own form only.

    nativeauthenticator lets people in on a GET, to which any page could send an admin's browser.
    A POST is checked by JupyterHub: it carries what only a page of the hub knows.
    """

    async def get(self, name: str) -> None:
        """A link changes nothing."""
        raise web.HTTPError(405, "Open the page Sign-ups of this hub and use its buttons.")


class ListedToggleHandler(_FormOfOurs, ToggleAuthorizationHandler):
    """Let somebody in, or no longer."""

    async def post(self, name: str) -> None:
        """As the button says."""
        await ToggleAuthorizationHandler.get(self, name)


class ListedDiscardHandler(_FormOfOurs, DiscardHandler):
    """Remove the account of somebody who was not let in."""

    async def post(self, name: str) -> None:
        """As the button says."""
        await DiscardHandler.get(self, name)


REPLACED = {
    r"/login": ListedLoginHandler,
    r"/signup": ListedSignUpHandler,
    r"/discard/([^/]*)": ListedDiscardHandler,
    r"/authorize/([^/]*)": ListedToggleHandler,
}

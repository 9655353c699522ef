"""The authenticator of a hub with accounts of its own. Registered as ``cloudjhub-listed``.

Who is on the userlist, or was added by an admin, signs up with the word of the class and is in;
others who sign up wait for an admin. Nobody becomes an admin by signing up, and nobody can sign up
in the name of an admin of the userlist or of somebody who was given a one-time password.

Mended here, of jupyterhub-nativeauthenticator 1.3.0 (and of its main branch at the time):

* its login handler calls JupyterHub's statsd, which JupyterHub 6 does not have: every login fails;
* a name may hold a tab, which its page for admins prints as an attribute that runs;
* a password of more than 72 bytes is an uncaught error with bcrypt 5;
* passwords are compared in the event loop, where a whole class that logs in stands in a queue.
"""

import asyncio
import hmac
import re
from typing import Any

import bcrypt
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from traitlets import Unicode, default

from cloudjhub.logins import handlers
from cloudjhub.logins.one_time import OneTimePasswords
from cloudjhub.userlist import NAME

# bcrypt looks at no more, and refuses more since 5.0.
LONGEST_PASSWORD_BYTES = 72
SHORTEST_PASSWORD = 10
# 2^10 rounds, some 50 ms: OWASP's least, and what a class of hundreds can log in with at nine.
BCRYPT_ROUNDS = 10


class ListedAuthenticator(NativeAuthenticator):
    """Names and passwords of this hub; see the module."""

    one_time_file = Unicode(
        "/var/lib/jupyterhub/one_time_passwords.json",
        config=True,
        help="File of the hub's account with the hashes of one-time passwords. "
        "A change takes effect when the hub is restarted.",
    )

    signup_code = Unicode(
        "",
        config=True,
        help="A word that the class is told. Where there is one, whoever is listed signs up with "
        "it and is in, and without it waits for an admin: a stranger who knows the names cannot "
        "take them. Empty: no such word; who is first takes a listed name, unless it has a home "
        "already. A change takes effect when the hub is restarted.",
    )

    @default("minimum_password_length")
    def _default_minimum_password_length(self) -> int:
        return SHORTEST_PASSWORD

    @default("check_common_password")
    def _default_check_common_password(self) -> bool:
        return True

    @default("allowed_failed_logins")
    def _default_allowed_failed_logins(self) -> int:
        return 10

    @default("seconds_before_next_try")
    def _default_seconds_before_next_try(self) -> int:
        return 60

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        # The database may be another than it was: lost, or moved to PostgreSQL.
        accounts = {user.username: bool(user.is_authorized) for user in UserInfo.all_users(self.db)}
        self.one_time.keep(set(accounts))
        admins = {self.normalize_username(name) for name in self.admin_users}
        self.one_time.reserve(name for name in admins if not accounts.get(name))

    @property
    def one_time(self) -> OneTimePasswords:
        """Who has yet to choose a password."""
        return OneTimePasswords(self.one_time_file)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """The name, if the password is right and the account was let in."""
        name = self.normalize_username(data.get("username", ""))
        if not await self.is_password(name, data.get("password", "")):
            return None
        user = self.get_user(name)
        return name if user is not None and user.is_authorized else None

    async def is_password(self, name: str, password: str) -> bool:
        """Whether it is the account's password; wrong ones are counted, too many are refused."""
        if self.is_blocked(name):
            return False
        user = self.get_user(name)
        right = user is not None and await asyncio.to_thread(fits, password, bytes(user.password))
        if right:
            self.successful_login(name)
        elif user is not None:
            self.add_login_attempt(name)
        return right

    async def refresh_user(self, user: Any, handler: Any = None, **more: Any) -> bool:
        """Whoever is kept out is so within minutes (auth_refresh_age), logged in or not."""
        account = self.get_user(user.name)
        return account is None or bool(account.is_authorized)

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whoever was let in may in: the list, admins, and those an admin approved."""
        user = self.get_user(username)
        return user is not None and bool(user.is_authorized)

    def validate_username(self, username: str) -> bool:
        """Names that are safe in pages and addresses."""
        return bool(NAME.match(username)) and super().validate_username(username)

    def is_password_strong(self, password: str) -> bool:
        """Long enough, not too long for bcrypt, not one of those that everybody takes."""
        return fits_bcrypt(password) and super().is_password_strong(password)

    def admits(self, name: str, signup_code: str) -> bool:
        """Whether who signs up is in at once: listed, no admin, and told the word if there is one.

        JupyterHub puts whom admins add among the allowed users, too.
        """
        knows = hmac.compare_digest(signup_code.strip().encode(), self.signup_code.encode())
        # nativeauthenticator asks the database once for every account there is.
        listed = name in self.allowed_users and name not in self.admin_users
        return listed and (knows or not self.signup_code)

    def create_user(
        self, username: str, password: str, let_in: bool = False, **more: Any
    ) -> UserInfo | None:
        """A new account, which waits unless let in; None if the name or the password is no good."""
        name = self.normalize_username(username)
        fine = self.validate_username(name) and self.is_password_strong(password)
        if (
            not fine
            or not self.enable_signup
            or self.user_exists(name)
            or self.one_time.waits(name)
        ):
            return None
        user = UserInfo(username=name, password=hashed(password), is_authorized=let_in)
        self.db.add(user)
        self.db.commit()
        return user

    def choose_password(self, name: str, one_time: str, password: str) -> bool:
        """Take a one-time password for one of the person's own; False if either will not do."""
        name = self.normalize_username(name)
        if not self.one_time.matches(name, one_time) or not self.is_password_strong(password):
            return False
        user = self.get_user(name)
        if user is None:
            user = UserInfo(username=name)
            self.db.add(user)
        user.password, user.is_authorized = hashed(password), True
        self.db.commit()
        self.one_time.use(name)
        self.successful_login(name)
        return True

    def delete_user(self, user: Any) -> None:
        """The account goes with the user, and so does a one-time password."""
        self.one_time.forget(user.name)
        super().delete_user(user)

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """nativeauthenticator's pages, with ours in the place of some."""
        ours = handlers.REPLACED
        return [(path, ours.get(path, handler)) for path, handler in super().get_handlers(app)] + [
            (r"/choose-password", handlers.ChoosePasswordHandler)
        ]


def fits(password: str, hashed: bytes) -> bool:
    """Whether a password is the one that was hashed; anybody may send anything."""
    return fits_bcrypt(password) and bcrypt.checkpw(password.encode(), hashed)


def hashed(password: str) -> bytes:
    """A password as the database has it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS))


def fits_bcrypt(password: str) -> bool:
    """Whether bcrypt can take it."""
    return 0 < len(password.encode()) <= LONGEST_PASSWORD_BYTES and not re.search("\0", password)

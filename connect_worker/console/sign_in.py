"""Signing in with the console's password, and out again."""

from __future__ import annotations

import math
from typing import Any

from connect_worker.console.pages import Page
from connect_worker.console.sessions import is_right
from connect_worker.operations.formatting import clean

MOST_NAME_CHARS = 40


class SignIn(Page):
    """Asks for the password."""

    is_open = True

    def get(self) -> None:
        """Show the form; who need not sign in goes on."""
        if self.may_look:
            self.redirect(local(self.get_query_argument("next", "/")))
            return
        self._ask()

    def post(self) -> None:
        """Begin a session, if the password is right."""
        address = self.request.remote_ip or ""
        who = clean(self.get_body_argument("who", ""))[:MOST_NAME_CHARS] or "somebody"
        if wait := self.house.throttle.wait_seconds(address):
            self.set_status(429)
            self.set_header("Retry-After", str(math.ceil(wait)))
            self.note("sign-in refused", by=who, why="too many wrong passwords")
            self._ask(f"Too many wrong passwords. Try again in {math.ceil(wait)} seconds.")
            return
        given = self.get_body_argument("password", "", strip=False)
        if not is_right(given, self.deployment.password):
            self.house.throttle.note_wrong(address)
            self.set_status(403)
            self.note("sign-in refused", by=who, why="wrong password")
            self._ask("That is not the password.")
            return
        # Always a new name: one that was there before could be known to somebody.
        self.house.sessions.end(self.session_name)
        self.set_signed_cookie(
            self.house.cookie, self.house.sessions.begin(who), expires_days=None, **self._flags
        )
        self.note("signed in", by=who)
        self.redirect(local(self.get_body_argument("next", "/")), status=303)

    def _ask(self, problem: str = "") -> None:
        self.render("login.html", problem=problem, next_page=self.get_argument("next", "/"))

    @property
    def _flags(self) -> dict[str, Any]:
        is_secure = self.deployment.console_url.startswith("https:")
        return {"httponly": True, "samesite": "Strict", "secure": is_secure}


class SignOut(Page):
    """Ends a session, wherever its cookie is."""

    def post(self) -> None:
        """Forget it here and in the browser."""
        session = self.session
        self.house.sessions.end(self.session_name)
        self.clear_cookie(self.house.cookie)
        self.note("signed out", by=session.who if session else "")
        self.redirect("/login", status=303)


def local(target: str) -> str:
    r"""Return an address within this console; `//elsewhere` and `/\elsewhere` lead out of it."""
    is_local = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if is_local else "/"

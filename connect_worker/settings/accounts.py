"""Several accounts in one deployment: what each has of its own, and what its queues are called.

`CONNECT_ACCOUNTS=eu,us` names them. Of a setting that accounts may differ in, `CONNECT_EU_…` is the
account's own value and `CONNECT_…` that of all who have none; never so of the key, the file that
holds one, and the products. Everywhere else the name "" stands for the only account of a deployment
that names none: there nothing is called otherwise than without this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from environs import Env

from connect_worker.exceptions import SettingsError
from connect_worker.settings.environment import PREFIX, is_blank
from connect_worker.settings.model import NEVER_SHARED, Settings, read_values, reading

#: What is one for the whole deployment.
SHARED = (
    *("REDIS_URL", "BROKER_URL", "HEARTBEAT_FILE", "LOG_FORMAT", "ENCRYPTION_KEY", "FLOWER_AUTH"),
    *("CONSOLE_PASSWORD", "CONSOLE_URL", "FLOWER_URL", "WEBHOOK_URL"),
)


@dataclass(frozen=True, slots=True)
class AccountSettings(Settings):
    """The settings of one account among several."""

    #: As `CONNECT_ACCOUNTS` has it, in small letters.
    name: str = ""

    def variable(self, setting: str) -> str:
        """Return the account's own variable: `CONNECT_EU_API_URL` for `API_URL`."""
        return f"{PREFIX}{self.name.upper()}_{setting}"


def accounts_of(settings: Settings) -> tuple[str, ...]:
    """Return the names of the deployment's accounts; ("",) for one without a name."""
    return settings.accounts or ("",)


def settings_of(account: str, *, dotenv: str | None = ".env") -> Settings:
    """Read the settings of one account; those of the whole deployment for "".

    Raises:
        SettingsError: Naming every malformed variable, or there is no such account.
    """
    if not account:
        return Settings.from_env(dotenv=dotenv)
    with reading(dotenv) as env:
        own = _own_variables(env, account)
        values = read_values(env, own)
    if account not in values["accounts"]:
        known = ", ".join(values["accounts"]) or "none"
        raise SettingsError(
            f"there is no account {account!r} in CONNECT_ACCOUNTS, which has {known}",
            setting="CONNECT_ACCOUNTS",
        )
    return AccountSettings(**values, name=account)


def require_distinct(settings: Iterable[Settings]) -> None:
    """Return if no two of them are the same account.

    Raises:
        SettingsError: Two are: each request would be looked for twice, at two paces.
    """
    named: dict[str, Settings] = {}
    for setting in settings:
        other = named.setdefault(setting.account, setting)
        if other is not setting:
            key = setting.variable("API_KEY")
            raise SettingsError(
                f"{other.variable('API_KEY')} and {key} are of one account: name it once",
                setting=key,
            )


def at(name: str, account: str) -> str:
    """Return what a queue, a task or a schedule is called for an account: `fulfillment@eu`."""
    return f"{name}@{account}" if account else name


def account_at(name: str) -> str:
    """Return the account in such a name; "" for the only one."""
    return name.partition("@")[2]


def _own_variables(env: Env, account: str) -> Callable[[str], str]:
    """Return what names the variable of a setting: the account's own, or that of all."""
    prefix = f"{account.upper()}_"
    for name in SHARED:
        if not is_blank(env, prefix + name):
            raise SettingsError(
                f"settings refused: {PREFIX}{prefix}{name} is heeded by nobody: it is one for all "
                f"accounts, {PREFIX}{name}",
                setting=f"{PREFIX}{prefix}{name}",
            )
    unshared = {*NEVER_SHARED}
    if not is_blank(env, f"{prefix}CONFIG_FILE"):
        # The account's own file says it, and must not be overruled by what holds for others.
        unshared.add("API_URL")

    def own(name: str) -> str:
        is_own = name in unshared or not is_blank(env, prefix + name)
        # An account's own interval for all kinds comes before another's for one kind.
        by_interval = name.startswith("POLL_") and not is_blank(env, f"{prefix}POLL_SECONDS")
        return prefix + name if is_own or by_interval else name

    return own

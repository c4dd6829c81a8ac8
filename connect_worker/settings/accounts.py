"""Several accounts in one deployment: the settings of each, and the names of its queues.

`CONNECT_ACCOUNTS=eu,us` names the accounts. `CONNECT_EU_…` is a setting of the account `eu`, and
`CONNECT_…` holds for the accounts that have no value of their own. The key, the file that contains
it, the products and the webhook secret are never shared. The account name "" means the only account
of a deployment without `CONNECT_ACCOUNTS`; there, queue, task and key names do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from environs import Env

from connect_worker.exceptions import SettingsError
from connect_worker.settings.environment import PREFIX, is_blank
from connect_worker.settings.model import NEVER_SHARED, SHARED, Settings, read_values, reading


@dataclass(frozen=True, slots=True)
class AccountSettings(Settings):
    """The settings of one account among several."""

    #: As in `CONNECT_ACCOUNTS`, in lower case.
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
        SettingsError: Names every malformed variable; or there is no such account.
    """
    if not account:
        return Settings.from_env(dotenv=dotenv)
    with reading(dotenv) as env:
        own = _own_variables(env, account)
        values = read_values(env, own)
    if account not in values["accounts"]:
        known = ", ".join(values["accounts"]) or "none"
        raise SettingsError(
            f"Unknown account {account!r}. CONNECT_ACCOUNTS has: {known}.",
            setting="CONNECT_ACCOUNTS",
        )
    return AccountSettings(**values, name=account)


def require_distinct(settings: Iterable[Settings]) -> None:
    """Return if all settings are of different accounts.

    Raises:
        SettingsError: Two are of the same account. Each request would be polled twice, and the rate
            limit would be counted twice.
    """
    named: dict[str, Settings] = {}
    for setting in settings:
        other = named.setdefault(setting.account, setting)
        if other is not setting:
            key = setting.variable("API_KEY")
            raise SettingsError(
                f"{other.variable('API_KEY')} and {key} belong to the same account: "
                "list it once in CONNECT_ACCOUNTS",
                setting=key,
            )


#: In Redis the hash, and at RabbitMQ the beginning of the exchanges, that say whose names they are.
DEPLOYMENT: Final = "connect-worker:deployment"


@dataclass(frozen=True, slots=True)
class DeploymentIdentity:
    """Whose the queues and keys with a prefix are; two deployments must not share them.

    A new API key of the same service user changes nothing here, and neither does one account more.
    """

    #: `Settings.key_prefix`.
    prefix: str
    #: By each name in `CONNECT_ACCOUNTS` its account in the ledger and the address of its API,
    #: where this process knows them: beat may have no key.
    accounts: Mapping[str, str]
    #: All names in `CONNECT_ACCOUNTS`.
    names: frozenset[str]


def identity_of(settings: Settings, read: Callable[[str], Settings]) -> DeploymentIdentity:
    """Return the deployment of these settings; `read` returns those of one of its accounts."""
    names, accounts = accounts_of(settings), {}
    for name in names:
        with suppress(SettingsError):
            of_account = read(name)
            # The address may have a login.
            address = of_account.config().api_url.rpartition("@")[2]
            accounts[name] = f"{of_account.account} {address}"
    return DeploymentIdentity(settings.key_prefix, accounts, frozenset(names))


def at(name: str, account: str) -> str:
    """Return the name of an account's queue, task or schedule: `fulfillment@eu`."""
    return f"{name}@{account}" if account else name


def account_at(name: str) -> str:
    """Return the account in such a name; "" for the only account."""
    return name.partition("@")[2]


def _own_variables(env: Env, account: str) -> Callable[[str], str]:
    """Return a function from a setting to its variable: the account's own, or the common one."""
    prefix = f"{account.upper()}_"
    for name in SHARED:
        if not is_blank(env, prefix + name):
            raise SettingsError(
                f"settings refused: {PREFIX}{prefix}{name} has no effect: this setting is "
                f"deployment-wide. Set {PREFIX}{name}.",
                setting=f"{PREFIX}{prefix}{name}",
            )
    unshared = {*NEVER_SHARED}
    if not is_blank(env, f"{prefix}CONFIG_FILE"):
        # The account's own file has the URL, and the common URL must not override it.
        unshared.add("API_URL")

    def own(name: str) -> str:
        is_own = name in unshared or not is_blank(env, prefix + name)
        # The account's interval for all kinds overrides the common interval of one kind.
        by_interval = name.startswith("POLL_") and not is_blank(env, f"{prefix}POLL_SECONDS")
        return prefix + name if is_own or by_interval else name

    return own

"""One account's webhooks in Connect: what should be there, what is, and making them alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connect_worker.api.client import Client
from connect_worker.domain.kinds import OBJECT_CLASSES
from connect_worker.domain.routing import Registry
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.engine.runtime import Processor
from connect_worker.exceptions import SettingsError
from connect_worker.resources.registry import load_registry
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings
from connect_worker.webhook.handler import place_of

PATH: Final = "notifications/webhooks"


def open_office(account: str, url: str = "") -> Office:
    """Read an account's settings and automations.

    Raises:
        SettingsError: Something is missing.
        RegistrationError: The automations can't be loaded.
    """
    settings = settings_of(account)
    config = settings.config()
    client = Client(config.api_url, config.api_key, timeout_seconds=settings.timeout_seconds)
    return Office(account, settings, client, load_registry(settings.processors, config), url=url)


def secret_of(settings: Settings) -> str:
    """Return the secret that signs an account's notifications.

    Raises:
        SettingsError: There is none.
    """
    if settings.webhook_secret:
        return settings.webhook_secret
    name = settings.variable("WEBHOOK_SECRET")
    raise SettingsError(f"{name} not set: `openssl rand -base64 32` makes one", setting=name)


class Office:
    """An account's webhooks.

    Args:
        account: As `CONNECT_ACCOUNTS` has it; "" for the only one.
        settings: The account's.
        client: Speaks to Connect.
        registry: The automations, for which notifications are wanted.
        url: The receiver's public address; by default the settings' one.
    """

    def __init__(
        self,
        account: str,
        settings: Settings,
        client: Client,
        registry: Registry[Processor],
        *,
        url: str = "",
    ) -> None:
        self.account = account
        #: For the rows of an answer.
        self.named = {"account": account} if account else {}
        self.url = (url or settings.webhook_url).rstrip("/")
        self._settings = settings
        self._client = client
        self._registry = registry

    def wanted(self) -> Sequence[Wanted]:
        """Return a webhook for each kind with an automation and each of its products.

        Raises:
            SettingsError: There is no public address, or no secret.
        """
        self.require_url()
        secret = secret_of(self._settings)
        return [
            Wanted(product, kind, self.url + place_of(self.account, kind), secret)
            for kind in RequestKind
            for product in self._products(kind)
        ]

    def _products(self, kind: RequestKind) -> Iterable[str]:
        named = [
            registration.products
            for registration in self._registry.registrations
            if registration.kind is kind
        ]
        own = dict.fromkeys(product for some in named for product in sorted(some or ()))
        if None not in named:
            return own
        # An automation for all others: those that the settings name, or all of the account.
        others = self._settings.config().products
        return dict.fromkeys([*own, *(others or self._all_products())])

    def _all_products(self) -> list[str]:
        return [str(row["id"]) for row in self._client.get_all("products")]

    def found(self) -> list[Mapping[str, Any]]:
        """Return the webhooks that the account has."""
        return list(self._client.get_all(PATH))

    def require_url(self) -> None:
        """Return if the receiver has a public address.

        Raises:
            SettingsError: It has none.
        """
        if not self.url:
            raise SettingsError(
                "CONNECT_WEBHOOK_URL not set: give the receiver's public address",
                setting="CONNECT_WEBHOOK_URL",
            )

    def owns(self, hook: Mapping[str, Any]) -> bool:
        """Whether a webhook sends its notifications here."""
        return bool(self.url) and points_here(hook, self.url, self.account)

    def carry_out(self, step: Step) -> str:
        """Create or change a webhook; return its id."""
        if step.action == "create":
            created = self._client.send("POST", PATH, step.wanted.body)
            return str(created.get("id", "")) if isinstance(created, dict) else ""
        if step.action == "update":
            self._client.send("PUT", f"{PATH}/{step.id}", step.wanted.body)
        return step.id

    def delete(self, hook_id: str) -> None:
        """Delete a webhook."""
        self._client.send("DELETE", f"{PATH}/{hook_id}")


# Webhooks in the account: one for each product and kind, all made alike.
#
# They are known by their address. What somebody else has made for another address is left alone.


@dataclass(frozen=True, slots=True)
class Wanted:
    """A webhook as it should be."""

    product: str
    kind: RequestKind
    #: Where its notifications go.
    url: str
    secret: str = field(repr=False)

    @property
    def body(self) -> dict[str, JSON]:
        """What is sent to create or change it (OpenAPI 37.0, `POST /notifications/webhooks`)."""
        name = OBJECT_CLASSES[self.kind]
        return {
            "type": "event",
            "object_class": name,
            "label": f"connect-worker {name}",
            "product_id": self.product,
            "external_url": self.url,
            "jwt_secret": self.secret,
            "active": True,
            "description": "Wakes connect-worker when something changes.",
            "http_method": "POST",
            "data": {},
            "headers": {"Content-Type": "application/json"},
        }


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for one webhook: `create`, `update`, or `keep`."""

    action: str
    wanted: Wanted
    #: Its id in Connect; "" before it is created.
    id: str = ""


def compare(wanted: Sequence[Wanted], found: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    """Tell what has to be done so that all that is wanted is there."""
    for item in wanted:
        there = [hook for hook in found if _is_it(hook, item)]
        well = [hook for hook in there if _is_well(hook, item)]
        if well:
            yield Step("keep", item, str(well[0]["id"]))
        elif there:
            yield Step("update", item, str(there[0]["id"]))
        else:
            yield Step("create", item)


def points_here(hook: Mapping[str, Any], base: str, account: str) -> bool:
    """Whether a webhook sends its notifications to this deployment."""
    places = {base.rstrip("/") + place_of(account, kind) for kind in RequestKind}
    return hook.get("external_url") in places


def product_of(hook: Mapping[str, Any]) -> str:
    """Return the id of the product that a webhook is for; "" when it tells none."""
    product = hook.get("product")
    return str(product.get("id", "")) if isinstance(product, dict) else ""


def _is_it(hook: Mapping[str, Any], wanted: Wanted) -> bool:
    told = hook.get("external_url"), hook.get("object_class"), product_of(hook)
    is_event = hook.get("type") in (None, "event")
    return is_event and told == (wanted.url, OBJECT_CLASSES[wanted.kind], wanted.product)


def _is_well(hook: Mapping[str, Any], wanted: Wanted) -> bool:
    # A secret that Connect does not show is set anew.
    told = hook.get("active"), hook.get("http_method"), hook.get("jwt_secret")
    return told == (True, "POST", wanted.secret)

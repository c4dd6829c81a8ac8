"""One account's webhooks in Connect: which are expected, which exist, and how to correct them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connect_worker.api.client import Client
from connect_worker.domain.kinds import OBJECT_CLASSES, VALIDATION_TYPES
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.engine.runtime import Processor, Registry
from connect_worker.exceptions import SettingsError
from connect_worker.resources.automation import product_list
from connect_worker.resources.discovery import find_automations, find_validations
from connect_worker.resources.processor import load_registry
from connect_worker.resources.validation import Validation
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings
from connect_worker.webhook.server import path_for

PATH: Final = "notifications/webhooks"


def load_subscriptions(account: str, url: str = "") -> WebhookSubscriptions:
    """Read an account's settings and automations.

    Raises:
        SettingsError: A setting is missing.
        RegistrationError: The automations can't be loaded.
    """
    settings = settings_of(account)
    config = settings.config()
    client = Client.of(config, settings)
    validations = find_validations(settings.processors)
    # A deployment may validate only.
    validates_only = validations and not find_automations(settings.processors)
    registry = Registry(()) if validates_only else load_registry(settings.processors, config)
    return WebhookSubscriptions(account, settings, client, registry, validations, url=url)


def secret_of(settings: Settings) -> str:
    """Return the secret that signs an account's notifications.

    Raises:
        SettingsError: It is not set.
    """
    if settings.webhook_secret:
        return settings.webhook_secret
    name = settings.variable("WEBHOOK_SECRET")
    raise SettingsError(f"{name} not set: create one with `openssl rand -base64 32`", setting=name)


class WebhookSubscriptions:
    """An account's webhooks.

    Args:
        account: As in `CONNECT_ACCOUNTS`; "" for the only account.
        settings: The account's settings.
        client: Calls Connect.
        registry: The automations; their kinds and products need notifications.
        validations: Their types and products need webhooks too.
        url: The receiver's public address; by default that of the settings.
    """

    def __init__(
        self,
        account: str,
        settings: Settings,
        client: Client,
        registry: Registry[Processor],
        validations: Sequence[type[Validation[Any]]] = (),
        *,
        url: str = "",
    ) -> None:
        self.account = account
        #: The first column of a row about one of several accounts.
        self.account_column = {"account": account} if account else {}
        self.url = (url or settings.webhook_url).rstrip("/")
        self._settings = settings
        self._client = client
        self._registry = registry
        self._validations = validations

    def expected(self) -> Sequence[Subscription]:
        """Return a webhook for each kind with an automation and each of its products.

        And one for each type of webhook with a validation and each of its products.

        Raises:
            SettingsError: The public address or the secret is not set.
        """
        self.require_url()
        secret = secret_of(self._settings)
        notifications = [
            Subscription(product, kind, self.url + path_for(self.account, kind), secret)
            for kind in RequestKind
            for product in self._products(
                registration.products
                for registration in self._registry.registrations
                if registration.kind is kind
            )
        ]
        validations = [
            Subscription(product, kind, self.url + path_for(self.account, name), secret, type=name)
            for name, kind in VALIDATION_TYPES.items()
            for product in self._products(
                product_list(validation.products) or None
                for validation in self._validations
                if name in validation.webhook_types
            )
        ]
        return [*notifications, *validations]

    def _products(self, restrictions: Iterable[Collection[str] | None]) -> Iterable[str]:
        """Return the products of several classes; None stands for all that no other names."""
        restrictions = list(restrictions)
        named = dict.fromkeys(product for names in restrictions for product in sorted(names or ()))
        if None not in restrictions:
            return named
        # One class takes all other products: those of the settings, or all of the account.
        others = self._settings.config().products
        return dict.fromkeys([*named, *(others or self._all_products())])

    def _all_products(self) -> list[str]:
        return [str(row["id"]) for row in self._client.get_all("products")]

    def existing(self) -> list[Mapping[str, Any]]:
        """Return the webhooks that the account has."""
        return list(self._client.get_all(PATH))

    def require_url(self) -> None:
        """Check that the receiver has a public address.

        Raises:
            SettingsError: It has none.
        """
        if not self.url:
            raise SettingsError(
                "CONNECT_WEBHOOK_URL not set: set it to the receiver's public address",
                setting="CONNECT_WEBHOOK_URL",
            )

    def owns(self, hook: Mapping[str, Any]) -> bool:
        """Whether a webhook sends its notifications to this receiver."""
        return bool(self.url) and points_here(hook, self.url, self.account)

    def apply(self, change: Change) -> str:
        """Create or change a webhook; return its id."""
        body = change.subscription.body
        if change.action == "create":
            created = self._client.send("POST", PATH, body)
            return str(created.get("id", "")) if isinstance(created, dict) else ""
        if change.action == "update":
            self._client.send("PUT", f"{PATH}/{change.id}", body)
        return change.id

    def delete(self, hook_id: str) -> None:
        """Delete a webhook."""
        self._client.send("DELETE", f"{PATH}/{hook_id}")


# ---- webhooks are known by their address: those for other addresses are left as they are


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook as it should be."""

    product: str
    kind: RequestKind
    #: Where its notifications go.
    url: str
    secret: str = field(repr=False)
    #: `event` for notifications, else a type of validation.
    type: str = "event"

    @property
    def what(self) -> str:
        """What it asks for: the object class of notifications, or the type of validation."""
        return OBJECT_CLASSES[self.kind] if self.type == "event" else self.type

    @property
    def body(self) -> dict[str, JSON]:
        """The body that creates or changes it (OpenAPI 37.0, `POST /notifications/webhooks`)."""
        is_event = self.type == "event"
        return {
            "type": self.type,
            "object_class": OBJECT_CLASSES[self.kind],
            "label": f"connect-worker {self.what}",
            "product_id": self.product,
            "external_url": self.url,
            "jwt_secret": self.secret,
            "active": True,
            "description": "Wakes connect-worker when something changes."
            if is_event
            else "Asks connect-worker what is wrong, while the customer waits.",
            "http_method": "POST",
            "data": {},
            "headers": {"Content-Type": "application/json"},
        }


@dataclass(frozen=True, slots=True)
class Change:
    """What one webhook needs: `create`, `update`, or `keep`."""

    action: str
    subscription: Subscription
    #: Its id in Connect; "" before it is created.
    id: str = ""


def compare(
    expected: Sequence[Subscription], existing: Sequence[Mapping[str, Any]]
) -> Iterator[Change]:
    """Yield what each expected webhook needs."""
    for subscription in expected:
        same = [hook for hook in existing if _is_for(hook, subscription)]
        correct = [hook for hook in same if _is_correct(hook, subscription)]
        if correct:
            yield Change("keep", subscription, str(correct[0]["id"]))
        elif same:
            yield Change("update", subscription, str(same[0]["id"]))
        else:
            yield Change("create", subscription)


def points_here(hook: Mapping[str, Any], base: str, account: str) -> bool:
    """Whether a webhook sends its notifications to this deployment."""
    targets: Iterable[str] = (*RequestKind, *VALIDATION_TYPES)
    urls = {base.rstrip("/") + path_for(account, target) for target in targets}
    return hook.get("external_url") in urls


def product_of(hook: Mapping[str, Any]) -> str:
    """Return the id of a webhook's product; "" when the webhook names none."""
    product = hook.get("product")
    return str(product.get("id", "")) if isinstance(product, dict) else ""


def _is_for(hook: Mapping[str, Any], subscription: Subscription) -> bool:
    actual = hook.get("external_url"), hook.get("object_class"), product_of(hook)
    kind = OBJECT_CLASSES[subscription.kind]
    is_same_type = (hook.get("type") or "event") == subscription.type
    return is_same_type and actual == (subscription.url, kind, subscription.product)


def _is_correct(hook: Mapping[str, Any], subscription: Subscription) -> bool:
    # When Connect does not show the secret, the webhook counts as different and gets it again.
    actual = hook.get("active"), hook.get("http_method"), hook.get("jwt_secret")
    return actual == (True, "POST", subscription.secret)

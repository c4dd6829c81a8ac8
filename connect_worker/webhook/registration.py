"""Webhooks in the account: one for each product and kind, all made alike.

They are known by their address. What somebody else has made for another address is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connect_worker.processing.notices import OBJECT_CLASSES
from connect_worker.processing.states import JSON, Kind
from connect_worker.webhook.places import place_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """A webhook as it should be."""

    product: str
    kind: Kind
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
    for one in wanted:
        there = [hook for hook in found if _is_it(hook, one)]
        well = [hook for hook in there if _is_well(hook, one)]
        if well:
            yield Step("keep", one, str(well[0]["id"]))
        elif there:
            yield Step("update", one, str(there[0]["id"]))
        else:
            yield Step("create", one)


def points_here(hook: Mapping[str, Any], base: str, account: str) -> bool:
    """Whether a webhook sends its notifications to this deployment."""
    places = {base.rstrip("/") + place_of(account, kind) for kind in Kind}
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

"""Parameters."""

from __future__ import annotations

from typing import Any

from connect_worker.models.base import BaseModel, absent, spelled
from connect_worker.models.constraints import Constraints, ValueChoice
from connect_worker.models.event import Events
from connect_worker.models.marketplace import Marketplace


class Param(BaseModel):
    """A parameter of a product, an item, an asset or a configuration.

    Examples:
        >>> param = Param(id="purchase_id", value="TEN-1")
        >>> param.json
        {'id': 'purchase_id', 'value': 'TEN-1'}
    """

    constraints: Constraints | None = absent
    description: str = absent
    events: Events | None = absent
    marketplace: Marketplace | None = absent
    name: str = absent
    #: ``ordering``, ``fulfillment`` or ``configuration``.
    phase: str | None = absent
    #: What it belongs to, such as ``asset``, ``tier1`` or ``item``.
    scope: str | None = absent
    title: str | None = absent
    #: Such as ``text``, ``password`` or ``dropdown``.
    type: str = absent
    value: str | None = absent
    value_choice: list[str] | None = absent
    #: The values to choose from; Connect sends objects, or the values alone.
    value_choices: list[ValueChoice] | None = spelled(bare="value")
    #: What is wrong with the value, for the person who has to correct it.
    value_error: str | None = absent

    # Added by the API since the 2019 SDK.
    #: Whether it takes part in the reconciliation of usage.
    reconciliation: bool | None = absent
    #: The value of parameters that are no text, such as addresses and objects.
    structured_value: dict[str, Any] | None = absent

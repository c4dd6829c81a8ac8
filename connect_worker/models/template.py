"""Templates."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent


class Template(BaseModel):
    """What a customer or reseller is shown.

    Examples:
        >>> Template.deserialize_json({"id": "TL-497-535-242", "name": "Welcome"}).name
        'Welcome'
    """

    #: Its source.
    body: str = absent
    name: str = absent
    #: Its rendered text.
    representation: str = absent

    # Added by the API since the 2019 SDK.
    #: ``asset``, ``tier1`` or ``tier2``.
    scope: str = absent
    title: str = absent
    #: ``fulfillment`` or ``pending``.
    type: str | None = absent

"""What documents of all kinds contain: people, events, marketplaces, parameters, templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from connect_worker.models._fields import to_json
from connect_worker.models.base import BaseModel, alias, field, synonym


class Company(BaseModel):
    """A company on the platform: a vendor, a provider, or the owner of something.

    Examples:
        >>> Company.deserialize_json({"id": "VA-1", "name": "Largo"}).name
        'Largo'
    """

    #: Name.
    name: str = field


class User(BaseModel):
    """A user of the platform.

    Examples:
        >>> User.deserialize_json({"id": "UR-1", "name": "Mara"}).name
        'Mara'
    """

    #: Email.
    email: str = field
    #: Name.
    name: str = field


class Country(BaseModel):
    """A country.

    Examples:
        >>> Country.deserialize_json({"id": "ES", "name": "Spain"}).name
        'Spain'
    """

    #: Path of its icon.
    icon: str = field
    #: Name.
    name: str = field
    #: Geographical zone.
    zone: str = field


class PhoneNumber(BaseModel):
    """A phone number, in parts.

    Examples:
        >>> PhoneNumber.deserialize_json({"country_code": "+34"}).country_code
        '+34'
    """

    area_code: str | None = field
    #: With its plus sign: ``+1``.
    country_code: str | None = field
    extension: str | None = field
    #: The part after the area code.
    phone_number: str | None = field


class Contact(BaseModel):
    """A person to contact.

    Examples:
        >>> Contact.deserialize_json({"email": "ada@customer.example"}).email
        'ada@customer.example'
    """

    email: str = field
    first_name: str | None = field
    last_name: str | None = field
    phone_number: PhoneNumber = field


class ContactInfo(BaseModel):
    """An address, and the person to contact there.

    Examples:
        >>> purchase().asset.tiers.customer.contact_info.city
        'Madrid'
    """

    #: Street address, first line.
    address_line1: str = field
    #: Street address, second line.
    address_line2: str | None = field
    city: str = field
    contact: Contact = field
    #: Country code.
    country: str = field
    postal_code: str = field
    state: str = field


class Event(BaseModel):
    """The moment and the cause of an event.

    Examples:
        >>> event = Event.deserialize_json({"at": "2020-02-29T23:30:00+05:30"})
        >>> str(event.at)
        '2020-02-29 18:00:00'
        >>> str(event.at.replace(tzinfo=UTC))
        '2020-02-29 18:00:00+00:00'
    """

    #: When it happened: in UTC, without a zone, as all times of models.
    at: datetime | None = field
    #: Who caused it; Connect leaves it out of what it did itself.
    by: User = field


class Events(BaseModel):
    """The events that an object can have.

    Examples:
        >>> tier_setup().events.pended.at.isoformat()
        '2026-01-15T09:30:00'
    """

    created: Event = field
    inquired: Event = field
    #: When it became pending. The API says ``pended``, the 2019 SDK `pending`: both are this one.
    pended: Event = alias("pended", "pending")
    pending: Event = synonym("pended")
    validated: Event = field
    updated: Event = field
    approved: Event = field
    failed: Event = field
    uploaded: Event = field
    submitted: Event = field
    accepted: Event = field
    rejected: Event = field
    closed: Event = field
    deleted: Event = field


class Period(BaseModel):
    """From when to when something counts; not in the 2019 SDK.

    Examples:
        >>> period = {"from": "2026-01-01T00:00:00+00:00"}
        >>> Period.deserialize_json(period).from_.month
        1
    """

    #: When it begins; ``from`` in the document. A date alone is its midnight.
    from_: datetime = alias("from")
    #: When it ends.
    to: datetime = field
    #: How many units it lasts.
    delta: int | float | None = field
    #: The unit.
    uom: str | None = field

    # The names that the later SDK has for the first two.
    period_from: datetime = synonym("from_")
    period_to: datetime = synonym("to")


class HubInstance(BaseModel):
    """An instance of a hub, which is a commerce system that is connected to the platform.

    Examples:
        >>> HubInstance.deserialize_json({"id": "7", "type": "OA"}).type
        'OA'
    """

    #: Kind of the commerce system.
    type: str = field


class HubStats(BaseModel):
    """Numbers about a hub.

    Examples:
        >>> HubStats.deserialize_json({"connections": 2, "marketplaces": 1}).connections
        2
    """

    #: Active connections.
    connections: int = field
    marketplaces: int = field


class Hub(BaseModel):
    """A hub.

    Examples:
        >>> Hub.deserialize_json({"id": "HB-1", "name": "Production"}).name
        'Production'
    """

    #: The company that it belongs to.
    company: Company = field
    #: In Markdown.
    description: str | None = field
    events: Events = field
    instance: HubInstance = field
    name: str = field
    stats: HubStats = field


class ExtIdHub(BaseModel):
    """A hub, and the id that something has in it.

    Examples:
        >>> ExtIdHub.deserialize_json({"hub": {"id": "HB-1"}, "external_id": "7"}).external_id
        '7'
    """

    #: The id; it may come as a number.
    external_id: str = field
    hub: Hub = field


class Marketplace(BaseModel):
    """Where products are offered: regions, and the hubs that provision what is ordered there.

    Examples:
        >>> purchase().marketplace.name
        'France and territories'
    """

    #: How many active contracts were signed on it.
    active_contracts: int = field
    countries: list[Country] = field
    #: In Markdown.
    description: str = field
    hubs: list[ExtIdHub] = field
    #: Path of its icon.
    icon: str = field
    #: Unique for an account.
    name: str = field
    #: The provider that it belongs to.
    owner: Company = field
    #: Whether it can be sourced from.
    sourcing: bool = field
    #: Continent: AF, NA, OC, AS, EU or SA.
    zone: str = field


class ValueChoice(BaseModel):
    """One of the values that a parameter can take.

    Examples:
        >>> purchase().asset.get_param_by_id("plan").value_choices[0].label
        'Basic'
    """

    #: What people see.
    label: str = field
    value: str = field


class Constraints(BaseModel):
    """The constraints on a parameter.

    Examples:
        >>> purchase().asset.get_param_by_id("email").constraints.required
        True
    """

    #: The values to choose from; Connect sends objects, or the values alone.
    choices: list[ValueChoice] = alias(bare="value")
    hidden: bool = field
    required: bool = field
    unique: bool = field

    # Added by the API since the 2019 SDK.
    max_length: int | None = field
    min_length: int | None = field
    readonly: bool = field
    #: Whether it takes part in the reconciliation of usage.
    reconciliation: bool = field


class Param(BaseModel):
    """A parameter of a product, an item, an asset or a configuration.

    Examples:
        >>> param = Param(id="purchase_id", value="TEN-1")
        >>> param.json
        {'id': 'purchase_id', 'value': 'TEN-1'}
    """

    constraints: Constraints | None = field
    description: str = field
    events: Events | None = field
    marketplace: Marketplace | None = field
    name: str = field
    #: ``ordering``, ``fulfillment`` or ``configuration``.
    phase: str | None = field
    #: What it belongs to, such as ``asset``, ``tier1`` or ``item``.
    scope: str | None = field
    title: str | None = field
    #: Such as ``text``, ``password`` or ``dropdown``.
    type: str = field
    value: str | None = field
    value_choice: list[str] | None = field
    #: The values to choose from; Connect sends objects, or the values alone.
    value_choices: list[ValueChoice] | None = alias(bare="value")
    #: What is wrong with the value, for the person who has to correct it.
    value_error: str | None = field

    # Added by the API since the 2019 SDK.
    #: Whether it takes part in the reconciliation of usage.
    reconciliation: bool | None = field
    #: The value of parameters that are not text, such as addresses and objects.
    structured_value: dict[str, Any] | None = field


def param_document(param: Any) -> dict[str, Any]:
    """Return the document of a parameter that is a `Param` or a dict; a date is written as text.

    Raises:
        TypeError: It is neither.

    Examples:
        >>> param_document({"id": "seats", "value": 5})
        {'id': 'seats', 'value': 5}
    """
    if isinstance(param, Param):
        return dict(param.json)
    if not isinstance(param, Mapping):
        kind = type(param).__name__
        raise TypeError(f"a parameter is a Param, or a dict such as {{'id': …}}, not a {kind}")
    # What has no form in JSON stays, and is refused.
    written = (date, Decimal)
    return {
        name: to_json(value) if isinstance(value, written) else value
        for name, value in param.items()
    }


class Template(BaseModel):
    """What a customer or reseller is shown.

    Examples:
        >>> Template.deserialize_json({"id": "TL-497-535-242", "name": "Welcome"}).name
        'Welcome'
    """

    #: Its source.
    body: str = field
    name: str = field
    #: Its rendered text.
    representation: str = field

    # Added by the API since the 2019 SDK.
    #: ``asset``, ``tier1`` or ``tier2``.
    scope: str = field
    title: str = field
    #: ``fulfillment`` or ``pending``.
    type: str | None = field


#: What a tile without contents says, as in the 2019 SDK.
DEFAULT_TILE: Final = "Activation succeeded"


class Activation(BaseModel):
    """The activation of a contract or of a tier configuration.

    Examples:
        >>> Activation.deserialize_json({"link": "https://portal.example/activate"}).link
        'https://portal.example/activate'
    """

    date: datetime | None = field
    #: Where the activation's form is.
    link: str | None = field
    message: str = field


@dataclass
class ActivationTemplateResponse:
    """Approve the request, and show the template with this id.

    Attributes:
        template_id: Id of a template that is defined in the Vendor Portal.

    Examples:
        >>> ActivationTemplateResponse("TL-497-535-242").template_id
        'TL-497-535-242'
    """

    template_id: str


@dataclass(init=False)
class ActivationTileResponse:
    """Approve the request, and show a tile with these contents.

    Args:
        markdown: The contents, in Markdown; None counts as none. Contents that are a JSON string (a
            template rendered by an API that quotes it) are unquoted, as in the 2019 SDK.

    Attributes:
        tile: What Connect is given: the contents, or `DEFAULT_TILE` where there are none; a
            document (a dict) may be set too.

    Examples:
        >>> ActivationTileResponse("# Welcome!").tile
        '# Welcome!'
    """

    tile: str | dict[str, Any]

    def __init__(self, markdown: str | None = "") -> None:
        self.tile = _unquoted(markdown or "") or DEFAULT_TILE


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:  # Markdown that only begins with a quotation mark
        return text


class ServerErrorResponse(BaseModel):
    """The body of an answer in which Connect refuses something.

    Examples:
        >>> refusal = {"error_code": "VAL_001", "errors": ["Wrong status."]}
        >>> ServerErrorResponse.deserialize_json(refusal).errors
        ['Wrong status.']
    """

    #: Such as ``VAL_001``.
    error_code: str = field
    #: Sentences.
    errors: list[str] = field
    params: dict[str, Any] = field

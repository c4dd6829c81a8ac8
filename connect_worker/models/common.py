"""Who to reach, and where."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connect_worker.models.base import BaseModel, alias, field, synonym

# Companies.


class Company(BaseModel):
    """A company on the platform: a vendor, a provider, or the owner of something.

    Examples:
        >>> Company.deserialize_json({"id": "VA-1", "name": "Largo"}).name
        'Largo'
    """

    #: Name.
    name: str = field


# Users.


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


# Countries.


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


# What happened to an object, when, and by whom.


class Event(BaseModel):
    """The moment and the cause of an event.

    Examples:
        >>> Event.deserialize_json({"at": "2026-01-15T09:30:00+00:00"}).at.year
        2026
    """

    #: When it happened.
    at: datetime | None = field
    #: Who caused it; Connect leaves it out of what it did itself.
    by: User = field


class Events(BaseModel):
    """The events that an object can have.

    Examples:
        >>> tier_setup().events.pended.at.isoformat()
        '2026-01-15T09:30:00+00:00'
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


# Periods of time.


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


# What Connect says when it refuses something.


class ServerErrorResponse(BaseModel):
    """The body of an answer that is no success.

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

"""Who to reach, and where."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connect_worker.models.base import BaseModel, absent, same_as, spelled

# Companies.


class Company(BaseModel):
    """A company on the platform: a vendor, a provider, or the owner of something.

    Examples:
        >>> Company.deserialize_json({"id": "VA-1", "name": "Largo"}).name
        'Largo'
    """

    #: Name.
    name: str = absent


# Users.


class User(BaseModel):
    """A user of the platform.

    Examples:
        >>> User.deserialize_json({"id": "UR-1", "name": "Mara"}).name
        'Mara'
    """

    #: Email.
    email: str = absent
    #: Name.
    name: str = absent


# Countries.


class Country(BaseModel):
    """A country.

    Examples:
        >>> Country.deserialize_json({"id": "ES", "name": "Spain"}).name
        'Spain'
    """

    #: Path of its icon.
    icon: str = absent
    #: Name.
    name: str = absent
    #: Geographical zone.
    zone: str = absent


class PhoneNumber(BaseModel):
    """A phone number, in parts.

    Examples:
        >>> PhoneNumber.deserialize_json({"country_code": "+34"}).country_code
        '+34'
    """

    area_code: str | None = absent
    #: With its plus sign: ``+1``.
    country_code: str | None = absent
    extension: str | None = absent
    #: The part after the area code.
    phone_number: str | None = absent


class Contact(BaseModel):
    """A person to contact.

    Examples:
        >>> Contact.deserialize_json({"email": "ada@customer.example"}).email
        'ada@customer.example'
    """

    email: str = absent
    first_name: str | None = absent
    last_name: str | None = absent
    phone_number: PhoneNumber = absent


class ContactInfo(BaseModel):
    """An address, and the person to contact there.

    Examples:
        >>> purchase().asset.tiers.customer.contact_info.city
        'Madrid'
    """

    #: Street address, first line.
    address_line1: str = absent
    #: Street address, second line.
    address_line2: str | None = absent
    city: str = absent
    contact: Contact = absent
    #: Country code.
    country: str = absent
    postal_code: str = absent
    state: str = absent


# What happened to an object, when, and by whom.


class Event(BaseModel):
    """The moment and the cause of an event.

    Examples:
        >>> Event.deserialize_json({"at": "2026-01-15T09:30:00+00:00"}).at.year
        2026
    """

    #: When it happened.
    at: datetime | None = absent
    #: Who caused it; Connect leaves it out of what it did itself.
    by: User = absent


class Events(BaseModel):
    """The events that an object can have.

    Examples:
        >>> tier_setup().events.pended.at.isoformat()
        '2026-01-15T09:30:00+00:00'
    """

    created: Event = absent
    inquired: Event = absent
    #: When it became pending. The API says ``pended``, the 2019 SDK `pending`: both are this one.
    pended: Event = spelled("pended", "pending")
    pending: Event = same_as("pended")
    validated: Event = absent
    updated: Event = absent
    approved: Event = absent
    failed: Event = absent
    uploaded: Event = absent
    submitted: Event = absent
    accepted: Event = absent
    rejected: Event = absent
    closed: Event = absent
    deleted: Event = absent


# Periods of time.


class Period(BaseModel):
    """From when to when something counts; not in the 2019 SDK.

    Examples:
        >>> period = {"from": "2026-01-01T00:00:00+00:00"}
        >>> Period.deserialize_json(period).from_.month
        1
    """

    #: When it begins; ``from`` in the document. A date alone is its midnight.
    from_: datetime = spelled("from")
    #: When it ends.
    to: datetime = absent
    #: How many units it lasts.
    delta: int | float | None = absent
    #: The unit.
    uom: str | None = absent

    # The names that the later SDK has for the first two.
    period_from: datetime = same_as("from_")
    period_to: datetime = same_as("to")


# What Connect says when it refuses something.


class ServerErrorResponse(BaseModel):
    """The body of an answer that is no success.

    Examples:
        >>> refusal = {"error_code": "VAL_001", "errors": ["Wrong status."]}
        >>> ServerErrorResponse.deserialize_json(refusal).errors
        ['Wrong status.']
    """

    #: Such as ``VAL_001``.
    error_code: str = absent
    #: Sentences.
    errors: list[str] = absent
    params: dict[str, Any] = absent

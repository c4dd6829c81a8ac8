"""Who to reach, and where."""

from __future__ import annotations

from connect_worker.models.base import BaseModel, absent


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

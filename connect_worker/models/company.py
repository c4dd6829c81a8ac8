"""Companies."""

from connect_worker.models.base import BaseModel, absent


class Company(BaseModel):
    """A company on the platform: a vendor, a provider, or the owner of something.

    Examples:
        >>> Company.deserialize_json({"id": "VA-1", "name": "Largo"}).name
        'Largo'
    """

    #: Name.
    name: str = absent

"""Countries."""

from connect_worker.models.base import BaseModel, absent


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

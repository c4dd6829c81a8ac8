"""Countries."""

from connect_worker.models.base import BaseModel, absent


class Country(BaseModel):
    """A country."""

    #: Path of its icon.
    icon: str = absent
    #: Name.
    name: str = absent
    #: Geographical zone.
    zone: str = absent

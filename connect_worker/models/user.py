"""Users."""

from connect_worker.models.base import BaseModel, absent


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

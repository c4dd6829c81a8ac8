"""Users."""

from connect_worker.models.base import BaseModel, absent


class User(BaseModel):
    """A user of the platform."""

    #: Email.
    email: str = absent
    #: Name.
    name: str = absent

"""Companies."""

from connect_worker.models.base import BaseModel, absent


class Company(BaseModel):
    """A company on the platform: a vendor, a provider, or the owner of something."""

    #: Name.
    name: str = absent

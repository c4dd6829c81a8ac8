"""The parameters of the configuration phase."""

from __future__ import annotations

from connect_worker.models._lookup import first_with
from connect_worker.models.base import BaseModel, absent
from connect_worker.models.param import Param


class Configuration(BaseModel):
    """The parameters that product, marketplace or item were configured with.

    It is part of assets, fulfillment requests, tier configurations and their requests.

    Examples:
        >>> params = [{"id": "region", "value": "eu"}]
        >>> Configuration.deserialize_json({"params": params}).get_param_by_id("region").value
        'eu'
    """

    params: list[Param] = absent

    def get_param_by_id(self, param_id: str) -> Param | None:
        """Give the parameter with this id, or None."""
        return first_with(self.params, id=param_id)

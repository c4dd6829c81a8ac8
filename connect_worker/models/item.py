"""Items of a product or an asset."""

from __future__ import annotations

from connect_worker.models._lookup import first_with
from connect_worker.models.base import BaseModel, absent
from connect_worker.models.param import Param
from connect_worker.models.renewal import Renewal


class Item(BaseModel):
    """An item that can be bought, and how much of it is.

    Examples:
        >>> request = change(items={"TEAM-USERS": {"old_quantity": "5", "quantity": "8"}})
        >>> [item] = request.asset.items
        >>> item.mpn, item.old_quantity, item.quantity
        ('TEAM-USERS', 5, 8)
    """

    display_name: str = absent
    global_id: str = absent
    item_type: str = absent
    #: The manufacturer's part number.
    mpn: str = absent
    name: str = absent
    #: What `quantity` was before the request.
    old_quantity: int | float | None = absent
    params: list[Param] = absent
    period: str = absent
    #: How many; -1 is unlimited. Connect sends texts, which the document keeps.
    quantity: int | float = absent
    #: Only in renewal requests.
    renewal: Renewal | None = absent
    type: str = absent

    def get_param_by_id(self, param_id: str) -> Param | None:
        """Give the parameter with this id, or None."""
        return first_with(self.params, id=param_id)

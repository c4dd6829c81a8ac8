"""The example's purchases, of which one product's requests wait in a queue of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from tests.support.processors.purchases import OrderedPurchases


class UrgentPurchases(OrderedPurchases):
    """Of all products but one; they come after those of the same queue, if there are any."""

    priority: ClassVar[int] = 9


class SlowPurchases(OrderedPurchases):
    """Of the one product that a test names."""

    products: ClassVar[str | Sequence[str] | None] = [os.environ["SLOW_PRODUCT"]]
    queue: ClassVar[str | None] = "slow"

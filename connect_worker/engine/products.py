"""Products that the account does not have: said aloud, since a poll just finds nothing."""

from __future__ import annotations

from connect_worker.engine.context import Engine
from connect_worker.exceptions import Message, NotFound
from connect_worker.logger import LogEvent, logger

#: How often all workers together ask.
EVERY_SECONDS = 3600.0


def check_products(engine: Engine) -> None:
    """Ask Connect for each named product and log those it doesn't know; hourly, by one worker."""
    if not engine.products:
        return
    if not engine.ledger.hold("products", owner=engine.worker, seconds=EVERY_SECONDS):
        return
    for product in engine.products:
        try:
            engine.connect.get(f"products/{product}")
        except NotFound:
            logger.error(
                LogEvent(
                    "unknown product",
                    product=product,
                    remedy="the account has no such product: check CONNECT_PRODUCTS",
                )
            )
        except Message as error:
            # Whatever ails the account, the poll before has said so.
            logger.debug(LogEvent("product not checked", product=product, error=error))

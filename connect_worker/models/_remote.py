"""The one way from a model to Connect, for the few methods of the 2019 SDK's models that ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connect_worker.api import Client
    from connect_worker.config import Config


def client_for(config: Config | None) -> Client:
    """Give the client of a configuration; None means the one in force."""
    # Imported when it is used: reading a document needs no HTTP.
    from connect_worker import api

    return api.client_for(config)

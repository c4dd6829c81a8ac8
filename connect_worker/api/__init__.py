"""How to speak to Connect's REST API: JSON in, JSON out, errors as exceptions.

`Client` is one account's connection; `client_for(config)` returns the shared one of a `Config`.
"""

from connect_worker.api.client import Client, client_for

__all__ = ["Client", "client_for"]

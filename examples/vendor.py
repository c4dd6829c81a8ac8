"""The client of the vendor's own provisioning system, for the examples.

`VENDOR_URL` is the system's address. The examples rely on one promise of that system: it answers
every call with the same `Idempotency-Key` with the same tenant.
"""

from __future__ import annotations

import os
from typing import Any

import requests

TIMEOUT_SECONDS = 30.0


def create_tenant(*, request_id: str, email: str, key: str) -> str:
    """Create the customer's tenant, once per key, and return its id.

    Raises:
        requests.RequestException: The vendor's system did not answer, or refused the call. The
            worker runs the processor again.
    """
    answer = requests.post(
        f"{vendor_url()}/tenants",
        json={"request_id": request_id, "email": email},
        headers={"Idempotency-Key": key},
        timeout=TIMEOUT_SECONDS,
    )
    answer.raise_for_status()
    tenant: dict[str, Any] = answer.json()
    return str(tenant["id"])


def vendor_url() -> str:
    """Return the address of the vendor's system."""
    try:
        return os.environ["VENDOR_URL"].rstrip("/")
    except KeyError:
        raise RuntimeError(
            "VENDOR_URL is not set: give the address of your provisioning system"
        ) from None

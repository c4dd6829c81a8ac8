"""The idempotency key of a visit."""

from __future__ import annotations

import hashlib

from connect_worker.processing.states import Ref


def idempotency_key(account: str, ref: Ref, visit: str) -> str:
    """Return the key: the same over every retry, crash and rescue of a visit, new for the next one.

    32 hexadecimal characters: a hash of the account, the kind, the id and the visit.
    """
    text = "\n".join((account, ref.kind, ref.id, visit))
    return hashlib.sha256(text.encode()).hexdigest()[:32]

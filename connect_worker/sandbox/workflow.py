"""Which status a request may leave, and by which action."""

from connect_worker.sandbox.errors import BadRequestError

#: action -> (statuses it starts from, the status it leads to). For fulfillment requests the
#: documentation lists pending -> inquiring, failed, approved and inquiring -> failed, approved,
#: pending; tier config requests go the same way.
REQUEST_ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "approve": (frozenset({"pending", "inquiring"}), "approved"),
    "fail": (frozenset({"pending", "inquiring"}), "failed"),
    "inquire": (frozenset({"pending"}), "inquiring"),
    "pend": (frozenset({"inquiring"}), "pending"),
}

#: The same for usage files: the vendor uploads and submits, the provider accepts and closes.
USAGE_FILE_ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "submit": (frozenset({"ready"}), "pending"),
    "accept": (frozenset({"pending"}), "accepted"),
    "reject": (frozenset({"pending"}), "rejected"),
    "close": (frozenset({"accepted"}), "closed"),
    "delete": (frozenset({"draft", "invalid", "ready", "rejected"}), "deleted"),
}

#: Statuses in which the records of a usage file may be uploaded (again).
UPLOADABLE = frozenset({"draft", "invalid", "ready", "rejected"})

#: Statuses in which the parameters of a request may still be changed.
CHANGEABLE = frozenset({"pending", "inquiring"})


def require_status(record_id: str, status: str, allowed: frozenset[str], action: str) -> None:
    """Refuse an action that the status does not allow.

    Raises:
        BadRequestError: with the status and the allowed ones as ``params``.
    """
    if status not in allowed:
        raise BadRequestError(
            f"{record_id} cannot {action}: its status is {status}.",
            code="STATE_001",
            params={"status": status, "allowed": sorted(allowed)},
        )

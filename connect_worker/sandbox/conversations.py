"""Conversations: one per fulfillment request, opened by the customer's side."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connect_worker.sandbox import identifiers
from connect_worker.sandbox.catalog import CUSTOMER_USER, PORTAL_USER, PROVIDER, VENDOR, Json
from connect_worker.sandbox.collection import values_at
from connect_worker.sandbox.simulation import whole_seconds


@dataclass(slots=True)
class Conversation:
    """One ``CO-…``; ``instance_id`` says what it is about."""

    number: int
    instance_id: str
    created: datetime
    #: (id, when, text) of each message, oldest first
    messages: list[tuple[str, datetime, str]] = field(default_factory=list)
    status: str = "open"
    sequence: int = -1
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or identifiers.conversation_id(self.number)

    @property
    def product_id(self) -> str:
        """Conversations are not kept by product."""
        return ""

    def lookup_values(self) -> dict[str, str]:
        """Conversations are asked for by what they are about."""
        return {"instance_id": self.instance_id}

    def values(self, name: str) -> list[Any]:
        """Values under a field name."""
        return values_at(self.body(), name)

    def body(self) -> Json:
        """As the collection lists it: without the messages."""
        stamp = {"at": whole_seconds(self.created), "by": _CREATOR}
        return {
            "id": self.id,
            "instance_id": self.instance_id,
            "created": whole_seconds(self.created),
            "topic": f"Request {self.instance_id}",
            "type": "conversation",
            "status": self.status,
            "accounts": [VENDOR, PROVIDER],
            "creator": _CREATOR,
            "events": {"created": stamp, "updated": stamp},
        }

    def full_body(self) -> Json:
        """As ``conversations/{id}`` shows it: with the messages."""
        return {**self.body(), "messages": [self.message_body(m) for m in self.messages]}

    def message_body(self, message: tuple[str, datetime, str]) -> Json:
        """One message, as its collection and its creation show it."""
        identifier, moment, text = message
        author = {"id": PORTAL_USER["id"], "name": PORTAL_USER["name"]}
        return {
            "id": identifier,
            "conversation": self.id,
            "created": whole_seconds(moment),
            "creator": author,
            "text": text,
            "type": "message",
            "account": VENDOR,
            "events": {"created": {"at": whole_seconds(moment), "by": author}},
        }


_CREATOR = {"id": CUSTOMER_USER["id"], "name": CUSTOMER_USER["name"]}

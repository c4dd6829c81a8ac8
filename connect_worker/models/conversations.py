"""Conversations about requests and other objects."""

from __future__ import annotations

from datetime import datetime

from connect_worker.config import Config
from connect_worker.models.base import BaseModel, client_for, field
from connect_worker.models.common import Company, Events, User


class ConversationMessage(BaseModel):
    """One message of a conversation.

    Examples:
        >>> ConversationMessage.deserialize_json({"text": "Hello"}).text
        'Hello'
    """

    #: Id of the conversation.
    conversation: str = field
    created: datetime = field
    creator: User = field
    text: str = field

    # Added by the API since the 2019 SDK.
    account: Company = field
    events: Events = field
    type: str = field


class Conversation(BaseModel):
    """What people and programs wrote about an object.

    Examples:
        >>> talk = Conversation.deserialize_json({"id": "CO-1", "messages": [{"text": "Hello"}]})
        >>> [message.text for message in talk.messages]
        ['Hello']
    """

    created: datetime = field
    creator: User = field
    #: Id of the object.
    instance_id: str = field
    messages: list[ConversationMessage] = field
    topic: str = field

    # Added by the API since the 2019 SDK.
    accounts: list[Company] = field
    events: Events = field
    #: ``open`` or ``closed``.
    status: str = field
    type: str = field

    def add_message(self, message: str, config: Config | None = None) -> ConversationMessage:
        """Add a message (POST ``conversations/{id}/messages``) and give it as Connect has it.

        Args:
            message: Its text.
            config: The account to write as; None means the one in force.

        Raises:
            TypeError: The answer can't be loaded.
            Message: Whatever the client raises.
        """
        row = client_for(config).post(f"conversations/{self.id}/messages", {"text": message})
        return ConversationMessage.deserialize_json(row)

"""``conversations`` and their messages."""

from connect_worker.sandbox import fields, identifiers
from connect_worker.sandbox.conversations import Conversation
from connect_worker.sandbox.errors import BadRequestError
from connect_worker.sandbox.handlers.catalog import page_of, page_of_documents
from connect_worker.sandbox.http import Call, Reply, Route
from connect_worker.sandbox.simulation import exact

_FIELDS = fields.names_of(fields.CONVERSATIONS)
_MESSAGE_FIELDS = fields.names_of(fields.MESSAGES)


def list_conversations(call: Call) -> Reply:
    """One page of conversations."""
    return page_of(call.world.conversations, call, _FIELDS, Conversation.body)


def get_conversation(call: Call) -> Reply:
    """One conversation with its messages."""
    return Reply(content=call.world.conversations.get(call.args["id"]).full_body())


def list_messages(call: Call) -> Reply:
    """The messages of a conversation, oldest first."""
    conversation = call.world.conversations.get(call.args["id"])
    bodies = [conversation.message_body(message) for message in conversation.messages]
    return page_of_documents(bodies, call, _MESSAGE_FIELDS)


def add_message(call: Call) -> Reply:
    """Say something; 201."""
    conversation = call.world.conversations.get(call.args["id"])
    text = call.document().get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRequestError("text is required to add a message.")
    now = call.world.clock()
    message = (identifiers.message_id(call.world.message_count), now, text)
    call.world.message_count += 1
    conversation.messages.append(message)
    call.world.journal.entry(conversation.instance_id).messages.append(
        {"text": text, "at": exact(now), "idempotency_key": call.idempotency_key}
    )
    return Reply(status=201, content=conversation.message_body(message))


ROUTES = [
    Route("GET", "conversations", list_conversations),
    Route("GET", "conversations/{id}", get_conversation),
    Route("GET", "conversations/{id}/messages", list_messages),
    Route("POST", "conversations/{id}/messages", add_message),
]

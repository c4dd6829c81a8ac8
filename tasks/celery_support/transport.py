"""The way from the broker into a process: each message is checked before anything else reads it.

Answers these faults of Celery 5.6, kombu 5.7 and py-amqp 5.4. tests/unit/tasks/test_celery_gaps.py
notices when they are gone, tests/faults/test_hostile_messages.py when a check is missing:

- Reading a message of an unexpected shape raises in the loop that takes messages, and the worker
  exits. Where kombu has noted the message as unacknowledged, it puts it back, and the next worker
  exits too. RabbitMQ does the same.
- kombu decompresses a body before anybody decides whether to read it.
- A message names the queue into which kombu puts it back, and a table in Redis the queue of an
  answer: someone who may write to the broker could name a key of the ledger.
- Such tables also have each worker, Flower and command that ever listened, and was killed or lost
  its connection. They and the answers that nobody reads any more grow for ever: `_RedisChannel`;
  tests/faults/test_soak.py.
- py-amqp waits without end for an answer on a connection that has gone silent;
  tests/faults/test_rabbitmq.py.
- py-amqp raises for properties that it can't decode, before it tells which message they are of.
- kombu gives the names of RabbitMQ no prefix, and those of Redis one in all commands but EXISTS;
  tests/acceptance/test_two_deployments.py.

A refused message is acknowledged, so that it does not come back, and logged in a line. Nothing is
lost with it: a message of this project is only a wake-up call.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import amqp.basic_message
import amqp.method_framing
import kombu
from amqp import spec
from celery.app.amqp import AMQP
from kombu.clocks import LamportClock
from kombu.connection import ConnectionPool
from kombu.transport import pyamqp, redis
from kombu.utils.json import loads

from connect_worker.logger import LogEvent, logger
from connect_worker.observability.logging import LogThrottle
from tasks.app import app
from tasks.celery_support.message_rules import (
    MAX_EVENT_BYTES,
    MAX_NUMBER,
    MessageRejected,
    check_message,
    is_for_a_task,
    is_for_answers,
    is_label,
    max_bytes,
    shown,
)

_throttle: Final = LogThrottle(lines=20, seconds=2.0)


def log_throttled(event: str, **facts: object) -> None:
    """Write a line about something refused; of a flood, some lines and how many there were."""
    if (more := _throttle.facts()) is not None:
        logger.error(LogEvent(event, **facts, **more))


def log_rejected(queue: str, error: object) -> None:
    """Write a line about a refused message."""
    log_throttled("celery.message_rejected", queue=queue[:80], why=error)


class Clock(LamportClock):
    """The logical clock of events, which no message sets so high that it could not count on."""

    def adjust(self, other: int) -> int:
        """Take over a clock that is ahead."""
        return super().adjust(other if other <= MAX_NUMBER else 0)


# ---- Redis


class Unreadable:
    """What takes the place of a message whose envelope can't be read."""

    def __init__(self, why: str) -> None:
        self.why = why


#: Of any message; `check_envelope` knows how long it may be in its queue.
MAX_ENVELOPE_CHARACTERS: Final = 2 * MAX_EVENT_BYTES


def read_envelope(text: str) -> Any:
    """Read a message's envelope as kombu does, but raise nothing."""
    if len(text) > MAX_ENVELOPE_CHARACTERS:
        return Unreadable(f"it has {len(text)} characters")
    try:
        return loads(text)
    except Exception as error:  # noqa: BLE001 - JSON and what kombu adds to it raise many classes
        return Unreadable(f"its envelope can't be read: {type(error).__name__}")


# kombu reads every message with it: from a queue, from a channel, and to put it back. A connection
# that is not this application's can read what takes a message's place as little as the message.
redis.loads = read_envelope  # type: ignore[attr-defined]  # kombu's own import


def check_envelope(envelope: Any, queue: str) -> None:
    """Check a message as it lies in Redis: one JSON object with everything in it.

    Raises:
        MessageRejected: kombu or Celery could not read it.
    """
    if isinstance(envelope, Unreadable):
        raise MessageRejected(envelope.why)
    if not isinstance(envelope, dict):
        raise MessageRejected(f"its envelope is {shown(envelope)}")
    body, properties = envelope.get("body"), envelope.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_info"), dict):
        raise MessageRejected("its properties are no object with delivery_info")
    if not is_label(tag := properties.get("delivery_tag")):
        raise MessageRejected(f"its delivery tag is {shown(tag)}")
    encoding = properties.get("body_encoding")
    if not isinstance(body, str) or encoding not in ("base64", "utf-8", None):
        raise MessageRejected(f"its body is {shown(body)} in {shown(encoding)}")
    if len(body) > max_bytes(queue):
        raise MessageRejected(f"its body has {len(body)} characters")
    try:
        decoded = b64decode(body) if encoding == "base64" else body.encode()
    except ValueError:
        raise MessageRejected(f"its body is no {encoding}") from None
    check_message(
        queue,
        content=(envelope.get("content-type"), envelope.get("content-encoding")),
        headers=envelope.get("headers"),
        properties=properties,
        body=decoded,
    )


class _ForeignQueueError(Exception):
    """A message came from a queue that is none of this project's."""


class RedisQoS(redis.QoS):
    """Knows which messages are unacknowledged; others may have written to it, too."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back that no worker has acknowledged in time; drop what is none."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except _ForeignQueueError:
            # Of another application at the same Redis, or made up: it is left where it is.
            return
        except (TypeError, ValueError) as error:
            log_rejected(self.unacked_key, type(error).__name__)
            self._remove_from_indices(tag).execute()  # type: ignore[attr-defined]  # as above


#: The beginning of the exchange of answers.
ANSWERS: Final = "reply."
ANSWER_MS: Final = 60_000


class _RedisChannel:
    """What is added to kombu's channels."""

    QoS = RedisQoS

    def _do_restore_message(
        self, payload: Any, _: Any, routing_key: Any, pipe: Any, leftmost: bool = False
    ) -> None:
        """Put a message back, where it is one, and only into a queue of this project."""
        if routing_key not in [queue.name for queue in app.conf.task_queues]:
            raise _ForeignQueueError
        try:
            check_envelope(payload, routing_key)
        except MessageRejected as error:
            log_rejected("unacked", error)
            return
        super()._do_restore_message(payload, "", routing_key, pipe, leftmost)  # type: ignore[misc]

    def _has_queue(self, queue: str, **_: Any) -> bool:
        """Whether a queue has messages; kombu asks with EXISTS, which it gives no prefix."""
        return bool(self._size(queue))  # type: ignore[attr-defined]  # of the class it is added to

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Listen to an exchange; write it into a table only where kombu needs it there.

        Redis itself knows who listens to commands and events, and the queue of an answer has the
        name of its exchange.
        """
        if self.typeof(exchange).type == "fanout":  # type: ignore[attr-defined]  # kombu's
            topic = routing_key.replace("#", "*")
            self._fanout_queues[queue] = (exchange, topic)  # type: ignore[attr-defined]  # as above
        elif not exchange.startswith(ANSWERS):
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[misc]

    def maybe_refresh_binding_expiry(self) -> None:
        """Do nothing: what is in a table does not expire."""

    def close(self) -> None:
        """Close the channel with its sockets, without a word to Redis, which may be away.

        An error would leave the sockets of this channel open, and all other channels of its
        connection.
        """
        channel: Any = self
        # kombu would delete what it wrote about them.
        channel.auto_delete_queues.clear()
        try:
            with suppress(*channel.connection_errors, channel.ResponseError):
                super().close()  # type: ignore[misc]  # of the class that this is added to
        finally:
            channel._disconnect_pools()
            channel._close_clients()

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> Any:
        """Return the queues of a message."""
        if exchange.startswith(ANSWERS):
            return [f"{routing_key}.{exchange}"]
        return super()._lookup(exchange, routing_key, default)  # type: ignore[misc]

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """Put a message into a queue; an answer expires, because who asked may be gone."""
        expires = self._expires  # type: ignore[attr-defined]  # as above
        if not is_for_answers(queue) or queue in expires:
            super()._put(queue, message, **options)  # type: ignore[misc]
            return
        expires[queue] = ANSWER_MS
        try:
            super()._put(queue, message, **options)  # type: ignore[misc]
        finally:
            del expires[queue]


class _RedisTransport:
    """What is added to kombu's transports."""

    def _deliver(self, message: Any, queue: str) -> None:
        """Hand a message to its consumer. It left its queue when it was read."""
        try:
            check_envelope(message, queue)
        except MessageRejected as error:
            log_rejected(queue, error)
            return
        if is_for_a_task(queue):
            # It decides where the message is written if it has to be put back.
            message["properties"]["delivery_info"] = {"exchange": "", "routing_key": queue}
        super()._deliver(message, queue)  # type: ignore[misc]


class RedisChannel(_RedisChannel, redis.Channel):  # type: ignore[misc]
    """A channel that puts back nothing but messages."""


class RedisTransport(_RedisTransport, redis.Transport):  # type: ignore[misc]
    """Redis, with checked messages."""

    Channel = RedisChannel


class SentinelChannel(_RedisChannel, redis.SentinelChannel):  # type: ignore[misc]
    """The same behind Sentinels."""


class SentinelTransport(_RedisTransport, redis.SentinelTransport):  # type: ignore[misc]
    """Redis behind Sentinels, with checked messages."""

    Channel = SentinelChannel


# ---- RabbitMQ


class AmqpMessage(amqp.basic_message.Message):
    """A message whose properties may be unreadable."""

    unreadable = ""

    def _load_properties(self, class_id: Any, buf: Any, offset: int) -> int:
        """Read the properties; remember an error until the message can be refused."""
        try:
            return int(super()._load_properties(class_id, buf, offset))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - of any class: the bytes are foreign
            self.unreadable = f"its properties can't be read: {type(error).__name__}"
            return len(buf)


# py-amqp has no setting for the class.
amqp.method_framing.Message = AmqpMessage  # type: ignore[misc]


def check_amqp_message(message: Any, queue: str) -> None:
    """Check a message as py-amqp has read it.

    Raises:
        MessageRejected: kombu or Celery could not read it.
    """
    if message.unreadable:
        raise MessageRejected(message.unreadable)
    properties = message.properties
    body = message.body
    check_message(
        queue,
        content=(properties.get("content_type"), properties.get("content_encoding")),
        headers=properties.get("application_headers"),
        properties=properties,
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


#: At which places the arguments of a method have the name of an exchange or queue.
_NAMES: Final[Mapping[Any, tuple[int, ...]]] = {
    spec.Exchange.Declare: (1,),
    spec.Exchange.Delete: (1,),
    spec.Exchange.Bind: (1, 2),
    spec.Exchange.Unbind: (1, 2),
    spec.Queue.Declare: (1,),
    spec.Queue.Bind: (1, 2),
    spec.Queue.Unbind: (1, 2),
    spec.Queue.Purge: (1,),
    spec.Queue.Delete: (1,),
    spec.Basic.Consume: (1,),
    spec.Basic.Get: (1,),
    spec.Basic.Publish: (1,),
}


class AmqpChannel(pyamqp.Channel):
    """A channel that hands its consumers checked messages only.

    It puts the deployment's prefix before the names of exchanges and queues, as kombu does on
    Redis, so that the rest of the program does not see it.
    """

    def send_method(  # type: ignore[override]  # the rest passes through
        self, sig: Any, argsig: str | None = None, args: Any = None, *rest: Any, **options: Any
    ) -> Any:
        """Send a method with the names that RabbitMQ knows; "" is the exchange of all queues."""
        places = _NAMES.get(sig, ())
        if sig == spec.Basic.Publish and not args[1]:
            # Without an exchange the routing key is the name of a queue.
            places = (2,)
        # A closed channel has no connection, which the class says.
        if args and (prefix := getattr(self.connection, "global_keyprefix", "")):
            args = [
                f"{prefix}{value}" if place in places and value else value
                for place, value in enumerate(args)
            ]
        return super().send_method(sig, argsig, args, *rest, **options)

    def basic_consume(  # type: ignore[override]  # kombu calls it with keywords only
        self,
        queue: str = "",
        *,
        no_ack: bool = False,
        callback: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Any:
        """Begin to take a queue's messages."""

        def take(message: Any) -> None:
            try:
                check_amqp_message(message, queue)
            except MessageRejected as error:
                log_rejected(queue, error)
                if not no_ack:
                    self.basic_ack(message.delivery_info["delivery_tag"])
                return
            if callback is not None:
                callback(message)

        return super().basic_consume(queue=queue, no_ack=no_ack, callback=take, **options)


class AmqpConnection(pyamqp.Connection):
    """A connection to RabbitMQ with such channels, which waits for no answer without end."""

    Channel = AmqpChannel
    #: Of `broker_transport_options`. py-amqp's class has it; its stubs do not declare it.
    read_timeout: float | None

    def __init__(self, *args: Any, global_keyprefix: str = "", **options: Any) -> None:
        self.global_keyprefix = global_keyprefix
        super().__init__(*args, **options)

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read one frame; without a time of its own, at most for the connection's `read_timeout`.

        py-amqp sets that time at the socket, where gevent does not see it. RabbitMQ owes an answer
        then, and what follows on this connection would get none either.
        """
        if timeout is not None or not self.read_timeout:
            return super().blocking_read(timeout)
        try:
            return super().blocking_read(self.read_timeout)
        except TimeoutError:
            self.collect()
            raise


class AmqpTransport(pyamqp.Transport):
    """RabbitMQ, with checked messages."""

    Connection = AmqpConnection


class AmqpSSLTransport(pyamqp.SSLTransport):
    """RabbitMQ over TLS, with checked messages."""

    Connection = AmqpConnection


# ---- the application's connections

_CHECKED: Final[Mapping[Any, Any]] = {
    redis.Transport: RedisTransport,
    redis.SentinelTransport: SentinelTransport,
    pyamqp.Transport: AmqpTransport,
    pyamqp.SSLTransport: AmqpSSLTransport,
}


class BrokerPool(ConnectionPool):
    """Connections that send messages, and take the answers of workers."""

    def new(self) -> Any:
        """Return a connection; kombu makes it of another class than that of this pool's."""
        connection: Any = super().new()
        scheme_transport = connection.get_transport_cls

        def get_transport_cls() -> Any:
            transport = scheme_transport()
            return _CHECKED.get(transport, transport)

        connection.get_transport_cls = get_transport_cls
        return connection


class BrokerConnection(kombu.Connection):
    """A connection of this application; a processor's own connections stay kombu's."""

    def get_transport_cls(self) -> Any:
        """Return the transport of the URL's scheme, with checks."""
        transport = super().get_transport_cls()
        return _CHECKED.get(transport, transport)

    def Pool(self, limit: int | None = None, **_: Any) -> Any:  # noqa: N802 - kombu's name
        """Return a pool of such connections."""
        return BrokerPool(self, limit)


class CheckedAMQP(AMQP):
    """Celery's part that connects to the broker, with the connection above."""

    Connection = BrokerConnection


# Celery gives the application its clock first, and passes it on to all that sends or takes events.
app.clock = Clock()  # type: ignore[attr-defined]  # celery-types does not declare it

"""Validations run in processes of their own, which load the vendor's code; the receiver does not.

A thread can't be killed, so a process runs one validation at a time: one that exceeds its time is
killed, and another process takes its place. Each is a new program, not a fork: nothing that the
receiver or the vendor's module has opened is shared. The two ends of a socket exchange one line of
JSON at a time; the receiver needs neither the ledger nor Connect for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram

from connect_worker.domain.kinds import VALIDATION_TYPES, find_id, product_of
from connect_worker.domain.secrets import passwords_in
from connect_worker.domain.states import JSON
from connect_worker.exceptions import RegistrationError, SettingsError
from connect_worker.logger import LogEvent, event_logger
from connect_worker.observability.logging import log_to_standard_error
from connect_worker.observability.masking import register_scoped_secrets, secret_scope
from connect_worker.resources.automation import name_of, product_list
from connect_worker.resources.discovery import find_validations
from connect_worker.resources.validation import Validation, make_validation, validated
from connect_worker.settings.accounts import settings_of

log: Final = event_logger("connect_worker.webhook")

#: How many validations of one class may wait for a process, for each process that there is.
MAX_WAITING: Final = 16
#: How long a new process may take to load the vendor's modules.
START_SECONDS: Final = 60.0
#: The longest pause between two tries to start a process.
MAX_PAUSE_SECONDS: Final = 30.0
#: The longest line that a process answers.
MAX_LINE_BYTES: Final = 16 * 1024 * 1024


#: Upper bounds of a validation's duration, in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ValidationError(Exception):
    """A validation has no result; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Validator:
    """What the receiver knows of one validation of the vendor's."""

    name: str
    account: str
    webhook_types: tuple[str, ...]
    #: Empty for all products that no other validation names.
    products: tuple[str, ...]
    on_failure: str
    failure_message: str


class ValidationMetrics:
    """How many validations one receiver has answered, and how long each took."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "connect_worker_validation_seconds",
            "Duration of validations, the wait for a process included.",
            labelnames=("account", "type", "verdict"),
            buckets=BUCKETS,
            registry=self.registry,
        )

    def count(self, account: str, webhook_type: str, verdict: str, seconds: float) -> None:
        """Count one validation."""
        self._seconds.labels(account, webhook_type, verdict).observe(seconds)


class ValidatorPool:
    """The processes that run validations.

    Args:
        accounts: The names of the accounts whose validations are run.
        processes: How many run at the same time.
        seconds: How long a validation may take. It waits for a process for half of that time at
            most: one that is not slow itself is never killed because of its wait.
    """

    def __init__(self, accounts: Iterable[str], *, processes: int, seconds: float) -> None:
        self._accounts = list(accounts)
        self._processes = processes
        self._seconds = seconds
        self._idle: asyncio.Queue[_Process] = asyncio.Queue()
        self._running: set[_Process] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shares: dict[Validator, _Share] = {}
        #: How many validations are not answered yet.
        self._open = 0
        self.validators: Sequence[Validator] = ()

    async def __aenter__(self) -> None:
        """Start the processes, and learn which validations there are.

        Raises:
            RegistrationError: The vendor's modules can't be loaded, or have no validation.
        """
        try:
            # One first: where the vendor's modules can't be loaded, one line says so.
            first = await self._started()
            if not first.validators:
                raise RegistrationError(
                    "CONNECT_PROCESSORS: no validation: define a subclass of ValidationAutomation "
                    "or TierConfigValidationAutomation with a validate method, or leave out "
                    "--validators"
                )
            others = await asyncio.gather(*(self._started() for _ in range(self._processes - 1)))
        except BaseException:
            await self.__aexit__()
            raise
        for process in (first, *others):
            self._idle.put_nowait(process)
        self.validators = first.validators
        # A validation that hangs leaves a process for the others.
        share = self._processes if len(self.validators) == 1 else max(1, self._processes - 1)
        self._shares = {item: _Share(asyncio.Semaphore(share)) for item in self.validators}

    async def __aexit__(self, *_: object) -> None:
        """Let the validations that run be answered, then kill all processes."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._seconds
        while self._open and clock() < until:
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(process.kill() for process in self._running))

    def has(self, account: str, webhook_type: str) -> bool:
        """Whether there is a validation for a type of webhook."""
        return any(self._for(account, webhook_type))

    def find(self, account: str, webhook_type: str, document: JSON) -> Validator | None:
        """Return the validation for a document; None if there is none for its product."""
        product = product_of(VALIDATION_TYPES[webhook_type], document)
        validators = list(self._for(account, webhook_type))
        named = [item for item in validators if product and product in item.products]
        return next(chain(named, (item for item in validators if not item.products)), None)

    def _for(self, account: str, webhook_type: str) -> Iterable[Validator]:
        return (
            item
            for item in self.validators
            if item.account == account and webhook_type in item.webhook_types
        )

    async def run(self, validator: Validator, document: JSON) -> JSON:
        """Return the document with the errors that the validation has set.

        Raises:
            ValidationError: It failed, took too long, or all processes are busy.
        """
        self._open += 1
        try:
            return await self._run(validator, document)
        finally:
            self._open -= 1

    async def _run(self, validator: Validator, document: JSON) -> JSON:
        share = self._shares[validator]
        if share.waiting >= MAX_WAITING * self._processes:
            raise ValidationError("overload")
        began = asyncio.get_running_loop().time()
        share.waiting += 1
        try:
            process = await self._take(share.free, began + self._seconds / 2)
        finally:
            share.waiting -= 1
        try:
            async with asyncio.timeout_at(began + self._seconds):
                answer = await process.ask([validator.account, validator.name, document])
        except (OSError, ValueError) as error:
            self._spawn(self._replace(process, share.free))
            why = "deadline" if isinstance(error, TimeoutError) else "its process ended"
            raise ValidationError(why) from None
        self._idle.put_nowait(process)
        share.free.release()
        if "error" in answer:
            raise ValidationError(answer["error"])
        return answer["document"]

    async def _take(self, free: asyncio.Semaphore, until: float) -> _Process:
        """Take an idle process, with the validation's share of them."""
        is_taken = False
        try:
            async with asyncio.timeout_at(until):
                await free.acquire()
                is_taken = True
                while (process := await self._idle.get()).has_ended:
                    # It was killed while it did nothing.
                    self._spawn(self._replace(process))
        except TimeoutError:
            if is_taken:
                free.release()
            raise ValidationError("overload") from None
        return process

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, process: _Process, free: asyncio.Semaphore | None = None) -> None:
        """Kill a process and start another one; only then its share is free again."""
        await process.kill()
        self._running.discard(process)
        pause = 0.5
        while True:
            try:
                self._idle.put_nowait(await self._started())
                break
            except (RegistrationError, OSError) as error:
                log.warning(LogEvent("webhook.validator_not_started", error=error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
        if free:
            free.release()

    async def _started(self) -> _Process:
        process = await _Process.start(self._accounts)
        self._running.add(process)
        return process


@dataclass
class _Share:
    """What one validation has of the processes."""

    #: How many more processes it may occupy.
    free: asyncio.Semaphore
    waiting: int = 0


class _Process:
    """One process, at the receiver's end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.validators: Sequence[Validator] = ()

    @classmethod
    async def start(cls, accounts: Sequence[str]) -> _Process:
        """Start a process, and wait until it has loaded the vendor's modules.

        Raises:
            RegistrationError: They can't be loaded.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            program = [sys.executable, "-P", "-m", __spec__.name, str(theirs.fileno()), *accounts]
            process = await asyncio.create_subprocess_exec(
                *program, stdin=asyncio.subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        started = cls(process, reader, writer)
        try:
            async with asyncio.timeout(START_SECONDS):
                loaded = await started._read()
            if "error" in loaded:
                raise RegistrationError(loaded["error"])
        except (TimeoutError, ConnectionError) as error:
            await started.kill()
            late = f"not loaded within {START_SECONDS:.0f} seconds"
            ended = f"the process that loads it ended with status {process.returncode}"
            what = late if isinstance(error, TimeoutError) else ended
            raise RegistrationError(f"CONNECT_PROCESSORS: {what}: see the log") from None
        except BaseException:
            await started.kill()
            raise
        started.validators = [
            Validator(
                item["name"],
                item["account"],
                tuple(item["webhook_types"]),
                tuple(item["products"]),
                item["on_failure"],
                item["failure_message"],
            )
            for item in loaded["validators"]
        ]
        return started

    @property
    def has_ended(self) -> bool:
        """Whether it does not run any more: its end of the socket is closed."""
        return self._reader.at_eof()

    async def ask(self, message: JSON) -> JSON:
        """Send a message and wait for the answer.

        Raises:
            OSError: The process has ended.
            ValueError: The answer is too long.
        """
        self._writer.write(json.dumps(message).encode() + b"\n")
        return await self._read()

    async def _read(self) -> JSON:
        line = await self._reader.readline()
        if not line:
            raise ConnectionResetError("the process of a validation has ended")
        return json.loads(line)

    async def kill(self) -> None:
        """Kill it, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._writer.close()
        await self._process.wait()


# ---- in the process


def serve_validations(descriptor: int, accounts: Sequence[str]) -> None:
    """Load the vendor's validations, and run what the receiver sends, until it closes the socket.

    Args:
        descriptor: Of the socket.
        accounts: The names of the accounts.
    """
    # The receiver gets the same signal, and ends this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as lines:

        def send(message: JSON) -> None:
            lines.write(message + b"\n")
            lines.flush()

        try:
            validations = _load(accounts)
        except (RegistrationError, SettingsError) as error:
            send(json.dumps({"error": str(error)}).encode())
            return
        described = [_describe(name, item) for name, item in validations.items()]
        send(json.dumps({"validators": described}).encode())
        for line in lines:
            account, name, document = json.loads(line)
            send(_answer(validations[account, name], document))


def _end_with(parent: int) -> None:
    """End this process soon after the receiver's, also if a validation hangs."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _load(accounts: Sequence[str]) -> dict[tuple[str, str], Validation[Any]]:
    validations: dict[tuple[str, str], Validation[Any]] = {}
    for account in accounts:
        settings = settings_of(account)
        log_to_standard_error(settings.log_format, logging.INFO)
        config = settings.config()
        for found in find_validations(settings.processors):
            validations[account, name_of(found)] = make_validation(found, config)
    return validations


def _describe(name: tuple[str, str], validation: Validation[Any]) -> JSON:
    return {
        "account": name[0],
        "name": name[1],
        "webhook_types": list(validation.webhook_types),
        "products": product_list(validation.products),
        "on_failure": validation.on_failure,
        "failure_message": validation.failure_message,
    }


def _answer(validation: Validation[Any], document: JSON) -> bytes:
    with secret_scope():
        register_scoped_secrets(passwords_in(document))
        try:
            return json.dumps({"document": validated(validation, document)}).encode()
        except Exception as error:
            name, request = name_of(type(validation)), find_id(validation.kind, document)
            log.exception(LogEvent("webhook.validation_failed", validation=name, request=request))
            return json.dumps({"error": type(error).__name__}).encode()


if __name__ == "__main__":
    serve_validations(int(sys.argv[1]), sys.argv[2:])

"""``connect-worker doctor``: checks each part of a deployment; says what to do about problems."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connect_worker.api.client import Client
from connect_worker.cli.celery import remote_control, see_workers
from connect_worker.cli.context import (
    CommandError,
    Exit,
    TerminalConsole,
    account_option,
    example,
    select_accounts,
    write_json,
)
from connect_worker.config import Config
from connect_worker.domain.kinds import KINDS
from connect_worker.domain.states import RequestKind, RequestRecord
from connect_worker.engine.runtime import Processor, Registry
from connect_worker.exceptions import (
    ConnectionFailed,
    Forbidden,
    LedgerUnavailable,
    Message,
    NotFound,
    RegistrationError,
    SettingsError,
    Unauthorized,
)
from connect_worker.ledger.checks import (
    check_deployment,
    check_redis,
    name_server,
    replace_deployment,
)
from connect_worker.ledger.redis import OPERATOR_SECONDS, RedisLedger, connect
from connect_worker.observability.output import format_count, sanitize
from connect_worker.operations.status import (
    OPEN_STATES,
    BreakerPosition,
    StatusReport,
    read_status,
)
from connect_worker.resources.automation import name_of
from connect_worker.resources.discovery import find_validations
from connect_worker.resources.processor import load_registry
from connect_worker.resources.validation import Validation
from connect_worker.settings.accounts import at, identity_of, settings_of
from connect_worker.settings.environment import PLAIN_KEY, find_typos
from connect_worker.settings.model import Settings
from connect_worker.settings.urls import CERTIFICATE_REMEDY, describe_tls
from connect_worker.webhook.subscriptions import WebhookSubscriptions, compare

if TYPE_CHECKING:
    import redis

#: The time that Connect has for an answer: a person waits for it.
CONNECT_TIMEOUT_SECONDS = 10.0

LIBRARIES = (
    "connect-worker", "celery", "kombu", "redis", "requests", "marshmallow", "environs", "click",
    "rich", "flower",
)  # fmt: skip


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    #: It works, and an operator should change something.
    WARN = "warn"
    #: Requests are not processed, or may be lost.
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    part: str
    level: Level
    text: str
    #: What to do; "" when there is nothing to do.
    remedy: str = ""


class Checkup:
    """Checks a deployment from the place where it runs; changes nothing, posts nothing.

    Args:
        account: One of several accounts; "" for the only one.
        is_whole: Whether to check also what all accounts have in common.
    """

    def __init__(self, account: str = "", *, is_whole: bool = True) -> None:
        self._account = account
        self._is_whole = is_whole
        #: Whether Redis did not answer, so that it need not be asked for the other accounts.
        self.is_redis_away = False
        self._is_broker_away = False
        self._settings: Settings | None = None
        self._config: Config | None = None
        self._registry: Registry[Processor] | None = None
        self._validations: Sequence[type[Validation[Any]]] = ()

    def findings(self, *, with_ledger: bool = True) -> Iterator[Finding]:
        """Yield each finding at once. A part is left out when it needs one that is broken."""
        if self._is_whole:
            yield from self.check_versions()
        yield from self.check_settings()
        yield from self.check_processors()
        yield from self.check_connect()
        yield from self.check_webhooks()
        if with_ledger:
            yield from self.check_ledger()

    @property
    def has_settings(self) -> bool:
        """Whether the account's settings can be used, so that Redis was checked."""
        return self._config is not None

    def check_versions(self) -> Iterator[Finding]:
        """Name the versions of the libraries."""
        versions = [f"Python {platform.python_version()}"]
        for name in LIBRARIES:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions.append(f"{name} {importlib.metadata.version(name)}")
        yield Finding("versions", Level.OK, ", ".join(versions))
        yield from self._check_folder()

    def _check_folder(self) -> Iterator[Finding]:
        """Report modules in the working directory, where Celery looks first."""
        if Path("connect_worker", "__init__.py").is_file():
            # In a clone these are the worker's own.
            return
        if path := _module_here("tasks"):
            yield Finding(
                "folder",
                Level.WARN,
                f"{path} in this folder hides the worker's tasks from `celery -A tasks`",
                "use `connect-worker worker`, or `celery -A connect_worker worker`, here",
            )
        if path := _module_here("celeryconfig"):
            yield Finding(
                "folder",
                Level.WARN,
                f"{path} in this folder hides the worker's settings of Celery",
                "unless it is meant to replace them, start the worker in another folder",
            )

    def check_settings(self) -> Iterator[Finding]:
        """Check the settings of this environment."""
        yield from self._check_typos()
        try:
            self._settings = settings_of(self._account)
            self._config = self._settings.config()
        except SettingsError as error:
            remedy = (
                "set it in this environment or its .env; docs/configuration.md lists all settings"
            )
            yield Finding("settings", Level.FAIL, str(error), remedy)
            return
        account = self._settings.account
        yield Finding("settings", Level.OK, f"{self._config.api_url}, account {account}")

    def _check_typos(self) -> Iterator[Finding]:
        try:
            accounts = Settings.from_env().accounts
        except SettingsError:
            accounts = ()
        for item in find_typos(Settings, os.environ, accounts):
            remedy = f"rename it to {item.suggestion}, if you meant that setting"
            yield Finding("settings", Level.WARN, f"{item.name} is not a setting", remedy)

    def check_processors(self) -> Iterator[Finding]:
        """Load the automations, and name the kinds and products that they cover."""
        if self._settings is None or self._config is None:
            return
        try:
            # The answer on standard output must not contain what a vendor's module prints.
            with contextlib.redirect_stdout(sys.stderr):
                registry = load_registry(self._settings.processors, self._config)
                self._validations = find_validations(self._settings.processors)
            registry.require_queues(self._settings.queues)
            self._registry = registry
        except RegistrationError as error:
            remedy = "correct it: a worker does not start with it"
            yield Finding("processors", Level.FAIL, str(error), remedy)
            return
        for registration in self._registry.registrations:
            is_alone = len(self._registry.of_kind(registration.kind)) == 1
            rest = "all products" if is_alone else "all other products"
            products = ", ".join(sorted(registration.products)) if registration.products else rest
            yield Finding(
                "processors", Level.OK, f"{registration.kind}: {registration.name}, {products}"
            )

        for validation in self._validations:
            yield Finding(
                "processors",
                Level.OK,
                f"{', '.join(validation.webhook_types)}: {name_of(validation)}",
            )

    def check_connect(self) -> Iterator[Finding]:
        """Call Connect as the polls do, once for each kind with a processor."""
        if self._settings is None or self._config is None:
            return
        client = Client(
            self._config.api_url, self._config.api_key, timeout_seconds=CONNECT_TIMEOUT_SECONDS
        )
        kinds = [kind for kind in RequestKind if self._registry and self._registry.of_kind(kind)]
        for kind in kinds or [RequestKind.FULFILLMENT]:
            problem = self._call(client, KINDS[kind].path, self._settings)
            if problem is not None:
                yield problem
                return
        yield Finding("Connect", Level.OK, "reachable, and the key is accepted")
        products = [*self._config.products, *(self._registry.products if self._registry else ())]
        for product in dict.fromkeys(products):
            yield from self._product(client, product)

    def _call(self, client: Client, path: str, settings: Settings) -> Finding | None:
        url, key = settings.variable("API_URL"), settings.variable("API_KEY")
        try:
            client.get(path, {"limit": "1"})
        except Unauthorized as error:
            text, remedy = f"the key is refused ({error})", f"set {key} to a valid one"
        except Forbidden as error:
            text = f"the key may not read {path} ({error})"
            remedy = "give its service user the permission, in Connect"
        except ConnectionFailed as error:
            text = f"no answer ({error})"
            remedy = f"check {url}, the network and its proxy"
        except NotFound as error:
            text = f"{path} is not there ({error})"
            remedy = f"{url} ends in /public/v1: check it"
        except Message as error:
            text, remedy = f"GET {path} failed ({error})", f"check {url}; try again later"
        else:
            return None
        return Finding("Connect", Level.FAIL, text, remedy)

    def _product(self, client: Client, product: str) -> Iterator[Finding]:
        try:
            client.get(f"products/{product}")
        except NotFound:
            yield Finding(
                "Connect",
                Level.WARN,
                f"the account has no product {product}",
                "check CONNECT_PRODUCTS and the automations' products",
            )
        except Message:
            # The calls before have reported what is wrong with the account.
            return

    def check_webhooks(self) -> Iterator[Finding]:
        """Check that Connect sends its notifications here, where they are configured."""
        settings, config = self._settings, self._config
        if settings is None or config is None or self._registry is None:
            return
        if not settings.webhook_secret or not settings.webhook_url:
            yield Finding("webhooks", Level.OK, "off: requests are found by polls")
            return
        client = Client(config.api_url, config.api_key, timeout_seconds=CONNECT_TIMEOUT_SECONDS)
        hooks = WebhookSubscriptions(
            self._account, settings, client, self._registry, self._validations
        )
        try:
            changes = list(compare(hooks.expected(), hooks.existing()))
        except Message as error:
            yield failed(
                "webhooks", f"they can't be listed ({error}): see the findings for Connect"
            )
            return
        missing = [change for change in changes if change.action != "keep"]
        if missing:
            first = missing[0].subscription
            yield Finding(
                "webhooks",
                Level.WARN,
                f"{len(missing)} of {len(changes)} do not point to {hooks.url} as they should, "
                f"such as that of {first.product} for {first.what}: those requests wait for a "
                "poll, or are not validated",
                "connect-worker webhook register",
            )
        else:
            yield Finding("webhooks", Level.OK, f"{len(changes)} point to {hooks.url}")

    def check_ledger(self) -> Iterator[Finding]:
        """Check Redis, the ledger in it, and by it workers and beat."""
        if self._settings is None or self._config is None:
            return
        try:
            url = self._settings.redis_url
            with connect(url, timeout_seconds=OPERATOR_SECONDS, retries=0) as client:
                if self._is_whole:
                    yield from self._check_redis(client)
                ledger = RedisLedger(
                    client,
                    account=self._settings.account,
                    prefix=self._settings.key_prefix,
                    keys=self._settings.encryption_key,
                )
                if problem := self._is_whole and ledger.write_problem():
                    yield failed("Redis", problem)
                report = read_status(ledger, poll_seconds=self._settings.poll_seconds)
                yield from self._check_records(ledger)
        except LedgerUnavailable as error:
            self.is_redis_away = True
            yield failed("Redis", str(error))
            return
        except SettingsError as error:
            yield failed("encryption", str(error))
            return
        if self._is_whole:
            yield from self._check_workers()
        if not self._is_broker_away:
            yield from self._check_queues()
        yield from self._check_polls(report)
        if report.breaker_position is not BreakerPosition.CLOSED:
            yield Finding(
                "account",
                Level.WARN,
                report.breaker_text(),
                "the workers try again by themselves; see the findings for Connect",
            )

    def _check_redis(self, client: redis.Redis) -> Iterator[Finding]:
        yield Finding("Redis", Level.OK, name_server(client))
        yield from _tls_of("Redis", self._settings.redis_url if self._settings else "")
        identity = identity_of(Settings.from_env(), settings_of)
        problems = [*check_redis(client), *check_deployment(client, identity, store=False)]
        for problem in problems:
            yield failed("Redis", problem.message, _level(problem.level))

    def _check_records(self, ledger: RedisLedger) -> Iterator[Finding]:
        """Check that the records of open requests are intact, and can be decrypted here."""
        keys = self._settings.encryption_key if self._settings else ()
        records = ledger.iter_records(states=OPEN_STATES)
        odd = [record for record in records if record.corrupt or record.decrypt_error]
        corrupt = [record for record in odd if record.corrupt]
        closed = [record for record in odd if record.decrypt_error]
        if corrupt:
            text = f"the record of {_names(corrupt)} is corrupt: {corrupt[0].corrupt}"
            remedy = "look at it with connect-worker show and in Connect, then rerun or discard it"
            yield Finding("ledger", Level.FAIL, text, remedy)
        if closed:
            text = f"of {_names(closed)} something can't be read here: {closed[0].decrypt_error}"
            remedy = "put the key they were stored with into CONNECT_ENCRYPTION_KEY, behind a comma"
            yield Finding("encryption", Level.FAIL, text, remedy)
        elif PLAIN_KEY in keys:
            text = "CONNECT_ENCRYPTION_KEY has `plain`: who can write to Redis can make decisions"
            remedy = "run doctor with the keys alone; when no record is corrupt, remove `plain`"
            yield Finding("encryption", Level.WARN, text, remedy)
        else:
            text = "off: CONNECT_ENCRYPTION_KEY is not set"
            if keys:
                text = f"{format_count(len(keys), 'key')}; all open requests can be read"
            yield Finding("encryption", Level.OK, text)

    def _check_workers(self) -> Iterator[Finding]:
        workers = see_workers()
        if workers.problem:
            self._is_broker_away = True
            yield failed("workers", workers.problem)
        elif not workers.names:
            remedy = "start one: connect-worker worker -l info"
            yield Finding("workers", Level.FAIL, "none answers", remedy)
        else:
            yield Finding("workers", Level.OK, ", ".join(workers.names))
        if self._settings and self._settings.has_own_broker and not workers.problem:
            yield from _tls_of("broker", self._settings.broker_url)
            with contextlib.suppress(ConnectionError):
                for problem in remote_control().check_deployment():
                    yield failed("broker", problem.message, _level(problem.level))

    def _check_queues(self) -> Iterator[Finding]:
        """Report each queue that is needed, and that no worker consumes."""
        try:
            answers = remote_control().consumed_queues(seconds=1.0)
        except ConnectionError:
            # The finding for the workers says what is wrong with the broker.
            return
        consumed = set(chain.from_iterable(answers.values()))
        if not consumed:
            return
        missed = {name: of for name, of in self._queues().items() if name not in consumed}
        for name, waiting in missed.items():
            yield Finding(
                "queues",
                Level.FAIL,
                f"no worker takes {name}: {waiting} wait there until one does",
                f"start one: connect-worker worker -l info -Q {name}",
            )
        if not missed:
            yield Finding("queues", Level.OK, f"workers take {', '.join(sorted(consumed))}")

    def _queues(self) -> dict[str, str]:
        """Return what waits in each queue that the processors and the schedule need."""
        waiting = {at("control", self._account): "polls and sweeps"}
        for item in self._registry.registrations if self._registry else ():
            name = at(item.route.queue or item.kind.value, self._account)
            waiting[name] = (
                f"{waiting[name]}, {item.name}" if name in waiting else f"requests of {item.name}"
            )
        return waiting

    def _check_polls(self, report: StatusReport) -> Iterator[Finding]:
        """Judge by the last polls whether beat runs, because beat answers no question itself."""
        late = [kind for kind in RequestKind if report.is_late(kind)]
        if len(late) == len(RequestKind):
            yield Finding(
                "beat",
                Level.FAIL,
                "no kind was polled for a while",
                "start it: connect-worker beat -l info; a worker has to take the queue control",
            )
            return
        yield Finding("beat", Level.OK, "polls are made")
        for kind in late:
            text, remedy = (
                f"{kind} was not polled for a while",
                "see the logs of beat and the workers",
            )
            yield Finding("beat", Level.WARN, text, remedy)


def _module_here(name: str) -> Path | None:
    """Return the file of a module in the working directory."""
    paths = (Path(f"{name}.py"), Path(name, "__init__.py"))
    return next((path for path in paths if path.is_file()), None)


def failed(part: str, message: str, level: Level = Level.FAIL) -> Finding:
    """Make a finding of a message that has the problem, a colon, the remedy, and perhaps details in
    parentheses."""
    message, bracket, details = sanitize(message).partition(" (")
    text, _, remedy = message.rpartition(": ")
    if text:
        text += bracket + details
    else:
        remedy += bracket + details
    return Finding(part, level, text or remedy, remedy if text else "")


def _level(level: str) -> Level:
    """Return how bad a finding of `ledger/checks.py` is."""
    return Level.WARN if level == "warn" else Level.FAIL


def _tls_of(part: str, url: str) -> Iterator[Finding]:
    """Say what is verified of a server's certificate, if its URL asks for TLS."""
    is_verified, text = describe_tls(url)
    if is_verified and text:
        yield Finding(part, Level.OK, text)
    elif text:
        remedy = f"remove the parameter; if the certificate is refused then, {CERTIFICATE_REMEDY}"
        yield Finding(part, Level.WARN, text, remedy)


_MARKS = {Level.OK: ("ok", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "red")}

#: Parts that all accounts have in common.
SHARED_PARTS = ("versions", "Redis", "workers", "broker")


@click.command(
    short_help="Check the deployment; say what to do about problems.",
    epilog=example("connect-worker doctor", "connect-worker doctor --json"),
)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
@click.option(
    "--take-over",
    is_flag=True,
    help="First make the queues this deployment's, in place of another one that has ended.",
)
@account_option
def doctor(*, as_json: bool, take_over: bool, account: str) -> None:
    """Check the settings, the processors, Connect, Redis, workers and beat.

    Run it with the workers' environment. It changes nothing without --take-over, and sends a few
    GETs to Connect. Exits with 1 when a check fails; a warning is not a failure.
    """
    if take_over:
        _take_over()
    console = TerminalConsole()
    findings, headed = [], ""
    for name, finding in _findings(account):
        findings.append((name, finding))
        if not as_json:
            if name not in ("", headed):
                console.print(Text(f"Account {name}", style="bold underline"))
                headed = name
            _draw(console, finding)
    is_well = all(finding.level is not Level.FAIL for _, finding in findings)
    if as_json:
        documents = [_document(name, finding) for name, finding in findings]
        write_json({"ok": is_well, "findings": documents})
    sys.exit(Exit.DONE if is_well else Exit.NEEDS_ATTENTION)


def _take_over() -> None:
    """Make the queues of Redis and of the broker this deployment's.

    Raises:
        CommandError: A server does not take it.
        SettingsError: The settings are malformed.
    """
    settings = Settings.from_env()
    try:
        with connect(settings.redis_url, timeout_seconds=OPERATOR_SECONDS, retries=0) as client:
            replace_deployment(client, identity_of(settings, settings_of))
        if settings.has_own_broker:
            remote_control().check_deployment(take_over=True)
    except LedgerUnavailable as error:
        raise CommandError(str(error), Exit.NO_LEDGER) from None
    except ConnectionError as error:
        raise CommandError(str(error), Exit.NO_ANSWER) from None


def _findings(account: str) -> Iterator[tuple[str, Finding]]:
    """Yield the findings, each with the name of its account; "" for all accounts."""
    try:
        names = select_accounts(Settings.from_env(), account)
    except SettingsError:
        # The first finding reports it.
        names = ("",)
    is_whole = True
    is_redis_away = False
    for name in names:
        checkup = Checkup(name, is_whole=is_whole)
        for finding in checkup.findings(with_ledger=not is_redis_away):
            if finding.part != "versions" or name == names[0]:
                yield "" if finding.part in SHARED_PARTS else name, finding
        # The first account with usable settings checks what all have in common.
        is_whole = is_whole and not checkup.has_settings
        is_redis_away = is_redis_away or checkup.is_redis_away


def _names(records: list[RequestRecord]) -> str:
    names = [record.ref.id for record in records[:3]] + ["…"] * (len(records) > 3)
    return f"{format_count(len(records), 'open request')} ({', '.join(names)})"


def _document(account: str, finding: Finding) -> dict[str, str]:
    return {
        **({"account": account} if account else {}),
        "part": finding.part,
        "level": finding.level.value,
        "text": sanitize(finding.text),
        "remedy": sanitize(finding.remedy),
    }


def _draw(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.level]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=4, style=style)
    grid.add_column(width=10, style="bold")
    grid.add_column(overflow="fold")
    grid.add_row(mark, finding.part, Text(sanitize(finding.text)))
    if finding.remedy:
        grid.add_row("", "", Text(f"→ {sanitize(finding.remedy)}"))
    console.print(grid)

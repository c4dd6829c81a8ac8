"""An automation as the engine's processor: checked at the start, and registered with all others."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from connect_worker.config import Config, use_config
from connect_worker.domain.kinds import (
    KINDS,
    REPORTABLE,
    cycle_of,
    excerpt,
    is_nameable,
    product_of,
    status_of,
)
from connect_worker.domain.outcomes import Outcome
from connect_worker.domain.retry import ErrorRules
from connect_worker.domain.states import (
    JSON,
    PendingRequest,
    RequestKey,
    RequestKind,
)
from connect_worker.engine.job import Job
from connect_worker.engine.ports import Connect
from connect_worker.engine.runtime import Processor, Registration, Registry
from connect_worker.exceptions import (
    BadRequest,
    InvalidDocument,
    LeaseLost,
    LedgerUnavailable,
    Message,
    RegistrationError,
)
from connect_worker.logger import LogEvent, logger
from connect_worker.models.base import BaseModel
from connect_worker.resources.automation import (
    Automation,
    name_of,
    product_list,
)
from connect_worker.resources.discovery import (
    find_automations,
    leaves,
    max_concurrency_of,
    route_of,
    rules_of,
)
from connect_worker.rql import Filters, statuses_of, to_query, to_term


class AutomationProcessor:
    """Runs one automation for the engine.

    Args:
        kind: The automation's kind.
        make: Makes the automation; called once per process, so that a fork never shares what its
            constructor opens.
        config: The account; it is in force while user code runs.
        filters: What to process instead of what the automation's own filters ask for.
    """

    def __init__(
        self,
        kind: RequestKind,
        make: Callable[[], Automation[Any]],
        config: Config,
        filters: Filters = None,
    ) -> None:
        self.kind = kind
        self._make = make
        self._config = config
        self._filters = filters
        self._made: tuple[int, Automation[Any]] | None = None
        self._lock = threading.Lock()
        self._rules: ErrorRules | None = None
        #: Whether Connect may be asked for parts of documents; False once it has refused that.
        self._selects = True

    def __str__(self) -> str:
        return type(self.automation).__name__

    @property
    def automation(self) -> Automation[Any]:
        """This process's instance of the automation."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                with use_config(self._config):
                    self._made = (os.getpid(), self._make())
            return self._made[1]

    @property
    def rules(self) -> ErrorRules:
        """What the automation declares about errors, retries and its time limit."""
        if self._rules is None:
            self._rules = rules_of(type(self.automation))
        return self._rules

    def awaits(self, document: JSON) -> bool:
        """Whether the document is in a status that the automation's filters ask for.

        Where a subclass overrides `list`, it is asked for documents in other statuses. Usage is
        reported whatever the status is.
        """
        status = status_of(document)
        if status in self._statuses() or (self._filters and not statuses_of(self._filters)):
            return True
        if status == "deleted" or not _has_own_list(self.automation):
            return False
        if self.kind is RequestKind.USAGE:
            return True
        own = document.get("id"), status
        return any((row.get("id"), status_of(row)) == own for row in self._own_rows())

    def covers(self, document: JSON) -> bool:
        """Whether the document's product is one of the automation's or the account's.

        The filters ask for these already, unless a subclass has filters of its own.
        """
        return self._is_covered(product_of(self.kind, document), self.automation.product_ids)

    @staticmethod
    def _is_covered(product: str, named: Collection[str]) -> bool:
        return not named or not product or product in named

    def list_pending(
        self,
        connect: Connect,
        *,
        now: float,
        request_id: str = "",
        rejected: Callable[[str], None] | None = None,
    ) -> Iterator[PendingRequest]:
        """List what is pending for this automation, or only the request with this id.

        `now` is in seconds. Where a subclass overrides `list`, all that it returns is pending,
        whatever its status is; else the rows are read without making models of them. A row that
        can't be processed is left out, and `rejected` is called with what is wrong; without it,
        that is logged.
        """
        reject = rejected or partial(log_rejected_row, self.kind)
        automation = self.automation
        is_own = _has_own_list(automation)
        if is_own:
            reject = partial(_reject_listed, reject, name_of(type(automation)))
        with use_config(self._config):
            takes_all = is_own or self._filters
            rows = self._own_rows() if takes_all else self._rows(connect, request_id)
            statuses = None if takes_all else {*self._statuses(), ""}
        named, period = frozenset(automation.product_ids), automation.due_period(now)
        claimed = product_list(automation.products)
        # A list may have a hundred thousand rows: what does not change is computed before the loop.
        for number, row in enumerate(rows, start=1):
            if not row.get("id"):
                reject(f"a row without an id, number {number} of the list")
            elif request_id and row["id"] != request_id:
                # An overridden `list` returns all requests.
                continue
            elif statuses is None or status_of(row) in statuses:
                if not isinstance(row["id"], str):
                    reject(f"a row whose id is a {type(row['id']).__name__}, not a text")
                    continue
                pending = self._pending_request(row, period)
                if not self._is_covered(pending.product, named):
                    continue
                if fault := self._fault_of(pending, claimed if is_own else []):
                    reject(fault)
                else:
                    yield pending

    def _fault_of(self, pending: PendingRequest, claimed: Sequence[str]) -> str:
        """Return why no worker could process a row; "" when one can."""
        if not is_nameable(pending.ref):
            # No worker would take a message about it.
            letters = REPORTABLE if self.kind is RequestKind.USAGE else ()
            begin = f"; those of usage begin with {', '.join(letters)}" if letters else ""
            name = excerpt(pending.ref.request_id)
            return f"a row with the id {name}, which no {self.kind} request has{begin}"
        if claimed and not pending.product:
            # The registry finds an automation by the product.
            return (
                f"{pending.ref.request_id}, which names no product, and the automation is for "
                f"{', '.join(claimed)}: remove its `products`"
            )
        return ""

    def pending_request(self, document: JSON, *, now: float) -> PendingRequest:
        """Name the request and its cycle; `now` in seconds since the epoch."""
        return self._pending_request(document, self.automation.due_period(now))

    def _pending_request(self, document: JSON, period: str) -> PendingRequest:
        request_id, cycle = document["id"], cycle_of(self.kind, document)
        if period:
            request_id, cycle = f"{request_id}@{period}", period
        return PendingRequest(
            RequestKey(self.kind, request_id), cycle, product_of(self.kind, document)
        )

    def run(self, document: JSON, job: Job) -> Outcome:
        """Process one request with a copy of the automation that is bound to the job.

        Returns:
            The outcome; `NoDecision` where a subclass overrides `dispatch` and does not call it.
        """
        with use_config(self._config):
            automation = self.automation._for_job(job)
            try:
                automation.dispatch(automation.load(document))
            except (LeaseLost, LedgerUnavailable):
                raise
            except Exception:
                if automation._outcome is None:
                    raise
                # An overridden `dispatch` raised after the processor had decided: that counts.
                logger.exception(LogEvent("automation.dispatch_failed", automation=str(self)))
            return automation._conclude()

    def _statuses(self) -> frozenset[str]:
        with use_config(self._config):
            statuses = statuses_of(to_query(self._filters or self.automation.filters()))
        return statuses or frozenset({KINDS[self.kind].pending_status})

    def _rows(self, connect: Connect, request_id: str) -> Iterator[dict[str, JSON]]:
        query = self.automation.query()
        if request_id:
            query = f"{to_term('id', request_id)}&{query}"
        return self._listed(connect, query)

    def _listed(self, connect: Connect, query: str) -> Iterator[dict[str, JSON]]:
        """Read a list without what a poll does not need, where Connect can leave it out."""
        facts = KINDS[self.kind]
        refusal: Message | None = None
        if facts.unneeded and self._selects and "select(" not in query:
            parts = ",".join(f"-{name}" for name in facts.unneeded)
            try:
                yield from connect.get_all(facts.path, f"select({parts})&{query}")
            except BadRequest as error:
                refusal = error
            else:
                return
        yield from connect.get_all(facts.path, query)
        if refusal:
            self._selects = False
            logger.warning(LogEvent("poll.select_refused", kind=self.kind, error=refusal))

    def _own_rows(self) -> Iterator[dict[str, JSON]]:
        """Return what the automation's `list` returns, as documents; without an id what is none.

        Raises:
            InvalidDocument: It is no list.
        """
        automation = self.automation
        with use_config(self._config):
            # The SDK passed its filters, and its first releases did not.
            parameters = inspect.signature(automation.list).parameters.values()
            takes_filters = any(parameter.kind in _POSITIONAL for parameter in parameters)
            listed: object = automation.list(*([self._filters] if takes_filters else []))
            if not isinstance(listed, Iterable):
                name, what = name_of(type(automation)), type(listed).__name__
                raise InvalidDocument(f"{name}.list", {"": f"it returned a {what}, not a list"})
            return iter([_document_of(item) for item in listed])


_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


def _has_own_list(automation: Automation[Any]) -> bool:
    return type(automation).list is not Automation.list


def _document_of(item: object) -> dict[str, JSON]:
    """Return the document of what a `list` returned; a value that has none has no id either."""
    document = item.json if isinstance(item, BaseModel) else item
    return dict(document) if isinstance(document, Mapping) else {}


def _reject_listed(reject: Callable[[str], None], name: str, why: str) -> None:
    reject(f"{name}.list returned {why}")


def log_rejected_row(kind: RequestKind, why: str) -> None:
    """Log a row of the pending list that can't become a request."""
    logger.error(LogEvent("poll.row_rejected", kind=kind, path=KINDS[kind].path, error=why))


def processor_of(automation: type[Automation[Any]], config: Config) -> AutomationProcessor:
    """Return the processor that makes an automation of this class, for an account.

    Raises:
        RegistrationError: An attribute has an impossible value, or the constructor needs an
            argument other than `config`.
    """
    takes_config = "config" in inspect.signature(automation).parameters
    rules_of(automation, name_of(automation))
    _warn_of_ignored_methods(automation)
    _require_constructor(automation, {"config"} if takes_config else set())

    def make() -> Automation[Any]:
        # The account's, or what the vendor's code made for the same account.
        return automation(config=Config.get_instance()) if takes_config else automation()

    return AutomationProcessor(automation.kind, make, config)


def _warn_of_ignored_methods(automation: type[Automation[Any]]) -> None:
    """Warn of methods that the SDK called to post a decision; nothing but the user's code does."""
    for name in ("approve", "inquire", "fail"):
        if getattr(automation, name) is not getattr(Automation, name):
            logger.warning(
                LogEvent(
                    "automation.method_ignored",
                    automation=name_of(automation),
                    method=name,
                    because="the worker posts decisions itself",
                    remedy="do this in process_request",
                )
            )


def _require_constructor(automation: type[Automation[Any]], arguments: set[str]) -> None:
    """Refuse a constructor at the start that would fail at the first request."""
    try:
        inspect.signature(automation).bind(**dict.fromkeys(arguments))
    except TypeError as exc:
        raise RegistrationError(
            f"{name_of(automation)} can't be made: its constructor may take `config` and nothing "
            f"else that has no default ({exc})"
        ) from exc


# ---- the registry of a worker


def load_registry(names: Sequence[str], config: Config) -> Registry[Processor]:
    """Import the modules and register every automation in them.

    Args:
        names: Dotted module names, or paths that end in `.py`; with `:Name` at the end, one class.
        config: The account that the automations work for.

    Raises:
        RegistrationError: A module can't be imported, two automations claim the same kind and
            product, an attribute has an impossible value, or there is no automation; the message
            names it.
    """
    if not names:
        raise RegistrationError(
            "CONNECT_PROCESSORS is not set: name the modules with your automations, such as "
            "CONNECT_PROCESSORS=my_vendor.processors or CONNECT_PROCESSORS=./processors.py"
        )
    automations = leaves(find_automations(names))
    if not automations:
        raise RegistrationError(
            f"CONNECT_PROCESSORS: no automation in {', '.join(names)}: define a subclass of "
            "FulfillmentAutomation, TierConfigAutomation, UsageAutomation or UsageFileAutomation "
            "with a process_request method"
        )
    return Registry(_registration(automation, config) for automation in automations)


def _registration(automation: type[Automation[Any]], config: Config) -> Registration[Processor]:
    name, products = name_of(automation), frozenset(product_list(automation.products))
    return Registration(
        automation.kind,
        products or None,
        name,
        processor_of(automation, config),
        max_concurrency=max_concurrency_of(automation),
        route=route_of(automation, name),
    )

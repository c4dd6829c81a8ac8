"""What the four automations have in common: the API of the 2019 SDK, on top of the engine.

A subclass implements `process_request`. The worker runs it, or its own `process` in a single
process. Users may override or call `filters`, `list`, `dispatch` and `process`, as in the SDK.

A worker, `doctor` and `try` import a module of processors for its classes. A script that ends in a
bare `process()` must not decide the whole account then: `importing` marks such an import.
"""

from __future__ import annotations

import builtins
import copy
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from logging import Logger
from typing import Any, ClassVar, Final, Generic, Literal, ParamSpec, Protocol, TypeVar
from urllib.parse import quote

from connect_worker.api.client import Client, client_for
from connect_worker.config import Config
from connect_worker.domain.interpretation import interpret
from connect_worker.domain.kinds import KINDS, KindFacts, excerpt
from connect_worker.domain.outcomes import NoDecision, Outcome, Report
from connect_worker.domain.retry import DEFAULT_GIVE_UP_AFTER_SECONDS
from connect_worker.domain.states import RequestKind
from connect_worker.domain.steps import as_json, require_name
from connect_worker.engine.job import Job, Steps
from connect_worker.exceptions import (
    InvalidDecision,
    InvalidDocument,
    Message,
    RegistrationError,
)
from connect_worker.logger import LogEvent, logger
from connect_worker.models.base import BaseModel
from connect_worker.rql import Filters, QueryFilters, to_query

#: Modules loaded from a path get this before their name, so that they hide no other module.
FILE_PREFIX: Final = "connect_processors_"

_module: ContextVar[str] = ContextVar("module", default="")


@contextmanager
def importing(name: str) -> Iterator[None]:
    """Import a module of processors inside of this block."""
    token = _module.set(name)
    try:
        yield
    finally:
        _module.reset(token)


def is_importing() -> bool:
    """Whether a module that is being imported calls `process()`; a warning says that it is ignored.

    The worker runs the automation instead.
    """
    if not (name := _module.get()):
        return False
    remedy = "put it under `if __name__ == '__main__':`"
    logger.warning(
        LogEvent("automation.process_ignored", module=name, because="imported", remedy=remedy)
    )
    return True


def require_imported() -> None:
    """Refuse a change of Connect by a module that is being imported.

    Raises:
        RegistrationError: A module is being imported; the message names it.
    """
    if name := _module.get():
        raise RegistrationError(
            f"CONNECT_PROCESSORS: {name} changes something in Connect when it is imported: put "
            "what it runs there under `if __name__ == '__main__':`"
        )


M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")

#: The value of `when_exhausted` that leaves the request to an operator.
PARK: Final = "park"


def product_list(products: str | Sequence[str] | None) -> list[str]:
    """Return the ids that an automation's `products` names: a list of ids, or one id."""
    return [products] if isinstance(products, str) else list(products or ())


class Runner(Protocol):
    """Runs automations where no worker does."""

    def process(self, automation: Automation[Any], filters: Filters = None) -> None:
        """Process what the automation lists, with these filters if there are any."""

    def dispatch(self, automation: Automation[Any], request: Any) -> str:
        """Process and post one request; return how it ended."""


class Automation(Generic[M]):
    """Base of all automations.

    Args:
        config: The account; None means the configuration in force.
    """

    #: Set by the four kinds' classes.
    kind: ClassVar[RequestKind]
    #: The model that the seed names for the resource.
    model_class: ClassVar[type[BaseModel]]
    #: The model that `process_request` receives.
    request_class: ClassVar[type[BaseModel]]
    #: The ids of the products this automation is for; None for all that no other automation names.
    products: ClassVar[str | Sequence[str] | None] = None
    #: How many of its requests may be inside `process_request` at once, over all workers; None for
    #: as many as there are processes. For a vendor's system that can't take more.
    max_concurrency: ClassVar[int | None] = None
    #: Exceptions that are transient for this processor: another attempt may help. Undeclared ones
    #: are transient too, except for the permanent ones of `connect_worker.exceptions`.
    retry_on: ClassVar[tuple[type[Exception], ...]] = ()
    #: Exceptions that are permanent for this processor: there is no further attempt. Of two
    #: declared classes the one nearest to the exception's own class counts.
    give_up_on: ClassVar[tuple[type[Exception], ...]] = ()
    #: What happens to a request when its attempts are used up, an exception of `give_up_on` was
    #: raised, or "not yet" lasted too long: `"park"` leaves it to an operator, or the decision as
    #: it would be raised, such as `FailRequest("We could not set it up")`; one that the kind has.
    when_exhausted: ClassVar[Literal["park"] | Message] = PARK
    #: How many seconds after a cycle's first `RetryRequest` another one is still accepted; None for
    #: no limit.
    give_up_after: ClassVar[float | None] = DEFAULT_GIVE_UP_AFTER_SECONDS
    #: The queue in which messages about its requests wait, one that `CONNECT_QUEUES` names; None
    #: for the kind's own. `celery -A tasks worker -Q slow` takes this one alone.
    queue: ClassVar[str | None] = None
    #: 0 to 9, in steps of three: workers take messages of 0 first, then of 3, 6 and 9. It works
    #: with Redis as the broker, not with RabbitMQ.
    priority: ClassVar[int] = 0
    #: Seconds that a run may be inside `process_request`; None for no limit. After that, a pool of
    #: processes kills the run. In a pool of threads it goes on, but can't write or decide anything
    #: any more. Either way an attempt is used, and the request is run again or parked.
    time_limit: ClassVar[float | None] = None
    #: The logger of the processor's lines; each carries the request's id, cycle and attempt.
    logger: Logger = logger
    #: The job of a bound copy; None on the automation that the user made.
    _job: Job | None = None
    _steps: Steps | None = None
    #: What the bound copy has decided; `AutomationProcessor.run` returns it.
    _outcome: Outcome | None = None
    #: The local runner. `connect_worker.resources` sets it, because it imports this module.
    _local_runner: ClassVar[Runner]

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config.get_instance()

    @property
    def product_ids(self) -> builtins.list[str]:
        """The products to poll: this automation's, else the account's; empty for all."""
        return product_list(self.products) or builtins.list(self.config.products)

    @property
    def idempotency_key(self) -> str:
        """The key of this cycle: hand it to your system with every call that creates something.

        It is the same over every retry, crash and rescue while the request stays pending, and new
        when it becomes pending again. "" outside of `process_request`.
        """
        return self._job.key if self._job else ""

    def step(
        self, name: str, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Any:
        """Run a function once a cycle and keep its result; a rerun gets that result.

        A rerun after a crash, an error, a retry or a deploy passes the steps that are done and goes
        on at the first one without a result. A function that is killed midway, or whose result
        could not be kept, is run again: give `step_key` to the system that it changes.

        The steps of a cycle come one after the other, each with a name of its own, and in the same
        order in each run; new ones may be added after them. In `process()`, without the worker,
        results are kept for that one run. Outside of `process_request` the function is just called.

        Args:
            name: Its name in the cycle, 1 to 100 characters; people read it.
            function: What is run, with the arguments that follow. Its result is JSON (texts,
                numbers, booleans, None, lists and dicts of them) of 64 KiB at most, and holds no
                password: it is stored in the ledger until the record of the request is forgotten.
            *args: For the function.
            **kwargs: For the function.

        Returns:
            The result, as JSON has it: a tuple comes back as a list.

        Raises:
            InvalidStep: Another step of this cycle has the name, the order has changed, or the
                result can't be kept. The request is parked, with what to do; nothing is lost.

        Examples:
            >>> class Purchases(FulfillmentAutomation):
            ...     def process_request(self, request):
            ...         tenant = self.step("tenant", self.create_tenant, request.asset.id)
            ...         box = self.step("mailbox", lambda: f"box-of-{tenant}")
            ...         return ActivationTileResponse(f"{tenant} with {box}")
            ...
            ...     def create_tenant(self, asset_id):
            ...         # Your system creates one tenant for a key, however often it is asked.
            ...         return f"tenant-{asset_id}"
        """
        if self._steps is None:
            require_name(name)
            return as_json(name, function(*args, **kwargs))
        return self._steps.run(name, lambda: function(*args, **kwargs))

    @property
    def step_key(self) -> str:
        """The key of the step that is running: made of the cycle's key and the step's name.

        Ask for it inside of the step's function: `self.step("tenant", lambda:
        my_system.create(idempotency_key=self.step_key))`. "" outside of `process_request`.

        Raises:
            InvalidStep: No step is running; the request is parked.
        """
        return self._steps.key if self._steps else ""

    @property
    def attempt(self) -> int:
        """Which run of the processor in this cycle it is, from 1; 0 outside `process_request`."""
        return self._job.claim.attempt if self._job else 0

    def process_request(self, request: M) -> Any:
        """Decide one request; every automation has its own.

        Raises:
            NotImplementedError: The subclass has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process_request")

    def filters(self, status: str | Sequence[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the filters of a poll: the status, the products, and the given ones.

        They are a mapping that also has the methods of a `connect_worker.rql.Query`. A subclass may
        return filters of its own: a mapping, a query or RQL text.

        Args:
            status: One status or several; by default the one in which requests wait for the vendor.
            **kwargs: More filters, by field: `asset.id`, `asset__id` or `asset.id__in`.
        """
        filters: dict[str, Any] = {"status": status or self._facts.pending_status}
        products = self.product_ids
        names = {name.replace("__", ".").removesuffix(".in") for name in kwargs}
        if products and self._facts.product_field not in names:
            filters[self._facts.product_field] = products
        return QueryFilters({**filters, **kwargs})

    def get(self, pk: str) -> M:
        """Return the request with an id.

        Raises:
            ValueError: The id is blank.
            NotFound: There is no such request.
            Message: Whatever else the client raises.
        """
        document = self.client.get(self._path_of(pk, "get"))
        return self.load(
            document[0] if document and isinstance(document, builtins.list) else document
        )

    def list(self, filters: Filters = None) -> builtins.list[M]:
        """Return the requests that match the automation's filters, or those given instead.

        A list has every page. With filters of the caller, `limit` is how many requests it has at
        most, and `offset` how many it leaves out. A document that fits no model costs no other one:
        it is logged, and left out.
        """
        read = self.client.get_list if filters else self.client.get_all
        requests = []
        for row in read(self._facts.path, self.query(filters)):
            try:
                requests.append(self.load(row))
            except (InvalidDocument, RecursionError) as error:
                name, why = excerpt(row.get("id")), str(error)[:500]
                logger.error(LogEvent("list.document_rejected", request=name, error=why))
        return requests

    def query(self, filters: Filters = None) -> str:
        """Return the filters as RQL, ordered by creation unless the filters say otherwise."""
        query = to_query(filters or self.filters())
        if re.search(r"(?:^|&)(?:ordering|order_by)[=(]", query):
            return query
        ordering = f"ordering({self._facts.created_field})"
        return f"{query}&{ordering}" if query else ordering

    def due_period(self, now: float) -> str:  # noqa: ARG002 - of usage reports
        """Return the name of the period whose report is due; "" for kinds without reports.

        `now` is in seconds since the epoch.
        """
        return ""

    def load(self, document: Any) -> M:
        """Return the model of a request's document."""
        request: M = self.request_class.deserialize_json(document)
        return request

    def dispatch(self, request: M) -> str:
        """Process one request.

        The worker calls this for each job. It runs `process_request` and keeps the outcome, which
        the job then stores and posts. When your own code calls it, the request is processed at once
        in this process, and the outcome is posted.

        Returns:
            For the worker the name of the outcome, such as `approve`; else how the request ended.
        """
        if self._job is None or self._job.ref.request_id != request.id:
            require_imported()
            return self._local_runner.dispatch(self, request)
        outcome = interpret(self.kind, lambda: self.process_request(request))
        if self._steps and self._steps.refused:
            # The processor caught the error. Without all its steps, its decision does not count.
            raise self._steps.refused
        if self._outcome not in (None, outcome):
            raise InvalidDecision(
                f"{self._job.ref}: decided twice, first {self._outcome!r}, then {outcome!r}"
            )
        self._outcome = outcome
        if isinstance(outcome, Report) and outcome.note:
            self.logger.info(LogEvent("usage.reported", result=outcome.note))
        return type(outcome).__name__.lower()

    def process(self, filters: Filters = None) -> None:
        """Process every pending request here, one after the other; needs no Celery, no Redis.

        An error is logged and concerns its request only, which stays as it is for the next run.
        Called by a module that a worker imports, it logs a warning and does nothing.

        Args:
            filters: What to process instead of what is pending; see `list`.

        Raises:
            NotImplementedError: The subclass has no `process_request`.
        """
        if not is_importing():
            self._local_runner.process(self, filters)

    @property
    def client(self) -> Client:
        """Connect's REST API for this automation's account."""
        return client_for(self.config)

    def approve(self, pk: str, data: Any) -> str:
        """Approve a request at once, instead of returning a response; Connect's answer as JSON.

        Args:
            pk: Id of the request.
            data: The body, such as ``{"template_id": "TL-…"}`` for a fulfillment request.

        Raises:
            ValueError: The id is blank.
            ApiError: Connect refused.
        """
        return self._act(pk, "approve", data)

    def inquire(self, pk: str) -> str:
        """Inquire about a request at once, instead of raising `InquireRequest`; see `approve`."""
        return self._act(pk, "inquire", {})

    def fail(self, pk: str, reason: str) -> str:
        """Fail a request at once, instead of raising `FailRequest`; see `approve`."""
        return self._act(pk, "fail", {"reason": reason})

    def _act(self, pk: str, action: str, body: Any) -> str:
        return json.dumps(self._change("POST", f"{self._path_of(pk, action)}/{action}", body))

    def _path_of(self, pk: str, method: str) -> str:
        if not pk:
            raise ValueError(f"{type(self).__name__}.{method} needs the id of a request")
        return f"{self._facts.path}/{quote(pk, safe='')}"

    def _change(self, method: str, path: str, body: Any) -> Any:
        """Send a change for the user's code: under the job's lease, with the cycle's key."""
        if self._job:
            self._job.ensure_held()
        else:
            require_imported()
        return self.client.send(method, path, body, key=self.idempotency_key)

    def _for_job(self, job: Job) -> Automation[M]:
        """Return a copy of this automation that is bound to one job.

        What the subclass set up in its constructor is shared by all jobs of a process; what it
        assigns while it processes a request stays with that request.
        """
        bound = copy.copy(self)
        bound._job = job
        bound._steps = Steps(job)
        bound._outcome = None
        return bound

    def _conclude(self) -> Outcome:
        """Return the outcome of the job; `NoDecision` where `dispatch` has made none."""
        return self._outcome or NoDecision()

    @property
    def _facts(self) -> KindFacts:
        return KINDS[self.kind]


class LocalAutomation:
    """Base of what is no `Automation`, because only the script that calls it can run it."""


def name_of(automation: type) -> str:
    """Return the automation's dotted name, or its class and file when it was loaded from one."""
    module = automation.__module__
    if module.startswith(FILE_PREFIX):
        return f"{automation.__qualname__} in {sys.modules[module].__file__}"
    return f"{module}.{automation.__qualname__}"

"""Tier config requests, the setups of resellers, and tier account requests: their automations."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any, ClassVar

from connect_worker.config import Config
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import InvalidDecision
from connect_worker.logger import LogEvent, logger
from connect_worker.models.accounts import TierAccount
from connect_worker.models.base import BaseModel
from connect_worker.models.common import ActivationTileResponse, Param, param_document
from connect_worker.models.requests import TierAccountRequest, TierConfig, TierConfigRequest
from connect_worker.observability.logging import prepare_last_resort
from connect_worker.resources.automation import Automation, LocalAutomation, is_importing
from connect_worker.resources.directory import BaseResource, TemplateResource
from connect_worker.resources.runner import LEFT_PENDING, LOCAL_RUNNER, NOT_DECIDED
from connect_worker.resources.validation import Validation
from connect_worker.rql import Filters


class TierConfigAutomation(Automation[TierConfigRequest]):
    """Processes tier config requests: subclass it and implement `process_request`.

    Return an `ActivationTemplateResponse` or an `ActivationTileResponse` to approve the request, or
    raise `InquireRequest`, `FailRequest` or `SkipRequest`. Any other exception is retried.

    Examples:
        >>> class Resellers(TierConfigAutomation):
        ...     def process_request(self, request: TierConfigRequest) -> ActivationTemplateResponse:
        ...         return ActivationTemplateResponse("TL-111-222-333")
        >>> run(Resellers, tier_setup()).calls[0].body
        {'template': {'id': 'TL-111-222-333'}}
    """

    kind = RequestKind.TIER_CONFIG
    model_class: ClassVar[type[BaseModel]] = TierConfigRequest
    request_class: ClassVar[type[BaseModel]] = TierConfigRequest

    def filters(
        self, status: str | Sequence[str] | None = "pending", **kwargs: Any
    ) -> dict[str, Any]:
        """Return the default filters, with those given; see `Automation.filters`."""
        return super().filters(status, **kwargs)

    def update_parameters(self, pk: str, params: Iterable[Param | Mapping[str, Any]]) -> str:
        """Store parameters of a request (`PUT tier/config-requests/{id}`); safe to repeat.

        Args:
            pk: Id of the request.
            params: Parameters with their new values: `Param` objects or dicts. A date is sent as
                its text.

        Returns:
            Connect's answer, as JSON text.

        Raises:
            TypeError: A parameter is neither.
            ValueError: The id is blank.
            ApiError: Connect refused.
        """
        body = {"params": [param_document(param) for param in params]}
        return json.dumps(self._change("PUT", self._path_of(pk, "update_parameters"), body))

    def render_template(self, pk: str, template_id: str) -> ActivationTileResponse:
        """Return the approval of a request with a tile; see `TemplateResource.render`."""
        return TemplateResource(self.config).render(template_id, pk)


class TierConfigValidationAutomation(Validation[TierConfigRequest]):
    """Validates a reseller's setup while the reseller waits; see `ValidationAutomation`.

    Examples:
        >>> class Setups(TierConfigValidationAutomation):
        ...     def validate(self, request: TierConfigRequest) -> None:
        ...         number = request.get_param_by_id("partner_id")
        ...         if number and not (number.value or "").isdigit():
        ...             number.value_error = "Enter the number only."
        >>> run(Setups, tier_setup(params={"partner_id": "P-7"})).errors
        {'partner_id': 'Enter the number only.'}
    """

    kind = RequestKind.TIER_CONFIG
    request_class: ClassVar[type[BaseModel]] = TierConfigRequest
    webhook_types: ClassVar[Sequence[str]] = ("draft_tcr_t1_val", "tcr_update_t1_validator")


class TierConfigResource(BaseResource[TierConfig]):
    """The tier configurations (``tier/configs``)."""

    resource = "tier/configs"
    model_class = TierConfig


class TierConfigRequestResource(BaseResource[TierConfigRequest]):
    """The tier config requests (``tier/config-requests``).

    A processor does not need it for its own request: what it returns or raises is posted.
    """

    resource = "tier/config-requests"
    model_class = TierConfigRequest

    def pend(self, id_tcr: str) -> tuple[str, int]:
        """Make a request pending."""
        return self._act(id_tcr, "pend")

    def inquire(self, id_tcr: str) -> tuple[str, int]:
        """Ask for other parameters of a request."""
        return self._act(id_tcr, "inquire")

    def approve(self, tcr_id: str, template_id: str | None = None) -> tuple[str, int]:
        """Approve a request; the template is what the reseller is shown."""
        body = {"template": {"id": template_id}} if template_id else None
        return self._act(tcr_id, "approve", body)

    def fail(self, id_tcr: str, reason: str) -> tuple[str, int]:
        """Fail a request."""
        return self._act(id_tcr, "fail", {"reason": reason})

    def assign(self, id_tcr: str) -> tuple[str, int]:
        """Assign a request to the owner of the key."""
        return self._act(id_tcr, "assign")

    def unassign(self, id_tcr: str) -> tuple[str, int]:
        """Let nobody be assigned to a request."""
        return self._act(id_tcr, "unassign")


class TierAccountResource(BaseResource[TierAccount]):
    """The customers and resellers (``tier/accounts``)."""

    resource = "tier/accounts"
    model_class = TierAccount


class TierAccountRequestResource(BaseResource[TierAccountRequest]):
    """The tier account requests (``tier/account-requests``)."""

    resource = "tier/account-requests"
    model_class = TierAccountRequest

    def accept(self, id_tar: str) -> TierAccountRequest:
        """Accept a request."""
        return self._object(self._act(id_tar, "accept"))

    def ignore(self, id_tar: str, reason: str | None = None) -> TierAccountRequest:
        """Ignore a request; the reason is shown to the provider."""
        return self._object(self._act(id_tar, "ignore", {"reason": reason} if reason else {}))


@dataclass(frozen=True)
class TierAccountRequestAction:
    """What is done with a tier account request.

    Attributes:
        action: `ACCEPT`, `IGNORE`, or `SKIP` to leave it pending.
        data: The reason why it is ignored.

    Raises:
        ValueError: The action is none of these.

    Examples:
        >>> TierAccountRequestAction(TierAccountRequestAction.IGNORE, "It is a test.").data
        'It is a test.'
    """

    ACCEPT: ClassVar[str] = "accept"
    IGNORE: ClassVar[str] = "ignore"
    SKIP: ClassVar[str] = "skip"

    action: str
    data: str | None = None

    def __post_init__(self) -> None:
        if self.action not in (self.ACCEPT, self.IGNORE, self.SKIP):
            raise ValueError(f"action must be accept, ignore or skip, not {self.action!r}")


class TierAccountRequestAutomation(LocalAutomation):
    """Processes tier account requests in this process: changes of a customer's or reseller's data.

    Subclass it, implement `process_request`, and call `process` in a script. A worker does not run
    it: it refuses a module that has one.

    Args:
        config: The account; None means the configuration in force.

    Examples:
        >>> class Accounts(TierAccountRequestAutomation):
        ...     def process_request(self, request: TierAccountRequest) -> TierAccountRequestAction:
        ...         if request.account.contact_info:
        ...             return TierAccountRequestAction(TierAccountRequestAction.ACCEPT)
        ...         return TierAccountRequestAction("ignore", "There is no address.")
        >>> accounts = Accounts(Config.local("https://api.example/public/v1", "SU-1:key"))
        >>> accounts.process_request(TierAccountRequest(account=TierAccount(id="TA-1"))).data
        'There is no address.'
    """

    #: The logger of the processor's lines.
    logger: Logger = logger

    def __init__(self, config: Config | None = None) -> None:
        self._requests = TierAccountRequestResource(config)

    @property
    def config(self) -> Config:
        """The account."""
        return self._requests.config

    def list(self, filters: Filters = None) -> builtins.list[TierAccountRequest]:
        """Return the requests that match the filters; by default those that are pending."""
        return self._requests.search(filters or {"status": "pending"})

    def process(self, filters: Filters = None) -> None:
        """Process all requests that `list` returns, one after the other.

        An error is logged and concerns its request only, which stays pending for the next run.
        Called by a module that a worker imports, it logs a warning and does nothing.

        Raises:
            NotImplementedError: The subclass has no `process_request`.
        """
        if is_importing():
            return
        prepare_last_resort()
        for request in self.list(filters):
            try:
                self.dispatch(request)
            except NotImplementedError:
                raise
            except Exception:
                LOCAL_RUNNER.results[NOT_DECIDED] += 1
                event = LogEvent("tier_account_request.failed", request=request.id)
                self.logger.exception(event)

    def dispatch(self, request: TierAccountRequest) -> None:
        """Process one request, and post what is to be done with it.

        Raises:
            InvalidDecision: `process_request` returned no action; nothing is posted.
        """
        result = self.process_request(request)
        if not isinstance(result, TierAccountRequestAction):
            raise InvalidDecision(
                "process_request must return a TierAccountRequestAction; it returned "
                f"{type(result).__name__}"
            )
        if result.action == TierAccountRequestAction.ACCEPT:
            self._requests.accept(request.id)
            word = "accepted"
        elif result.action == TierAccountRequestAction.IGNORE:
            self._requests.ignore(request.id, result.data)
            word = "ignored"
        else:
            word = LEFT_PENDING
        LOCAL_RUNNER.results[word] += 1
        event = LogEvent("tier_account_request.completed", request=request.id, action=result.action)
        self.logger.info(event)

    def process_request(self, request: TierAccountRequest) -> TierAccountRequestAction:
        """Decide one request; every automation has its own.

        Raises:
            NotImplementedError: The subclass has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process_request")

"""Automations of usage: reports, one per listing and period, and the workflow of usage files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO, Any, ClassVar, Final

from connect_worker.domain.kinds import Crontab, last_time
from connect_worker.domain.outcomes import NoDecision, Outcome, Report
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.exceptions import (
    FileCreationError,
    FileRetrievalError,
    InvalidResponse,
    LeaseLost,
    LedgerUnavailable,
    Message,
    SettingsError,
)
from connect_worker.models.accounts import Contract
from connect_worker.models.base import BaseModel
from connect_worker.models.products import Product
from connect_worker.models.requests import Asset, Fulfillment, TierConfig, TierConfigRequest
from connect_worker.models.usage import UsageFile, UsageListing, UsageRecord
from connect_worker.resources.automation import Automation, require_imported
from connect_worker.resources.usage_sheet import spreadsheet

#: How each period is named; the name is the listing's cycle.
PERIODS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}

#: The step of an uploaded file; see `UsageAutomation._step`.
_UPLOAD: Final = re.compile(r"usage-file-\d+-upload")

#: The models of what usage is reported for, other than listings, by the letters of their ids.
_REPORTABLE: Final[Mapping[str, type[BaseModel]]] = {
    "AS": Asset,
    "CRD": Contract,
    "PR": Fulfillment,
    "PRD": Product,
    "TC": TierConfig,
    "TCR": TierConfigRequest,
    "UF": UsageFile,
}


class UsageAutomation(Automation[UsageListing]):
    """Reports usage: subclass it and implement `process_request`, which receives a listing.

    It is called once per listing and period (a UTC day unless `period` says otherwise), and reports
    with `submit_usage`. An exception is retried; usage files that were created and uploaded before
    are not made again. What it returns is logged.

    If it submits no file and returns nothing, the period is not reported: the processor runs again
    after `CONNECT_SKIP_SECONDS`, a last time after the end of the period. If there is nothing to
    report, or a report is made in another way, return a text that says so.

    A `list` of the subclass may return assets or other objects instead of listings. Each of them is
    then processed once per period, under its own id, and `process_request` receives its model.

    Examples:
        >>> class Reports(UsageAutomation):
        ...     period = "month"
        ...     def process_request(self, request: UsageListing) -> str:
        ...         return f"nothing was used in {self.reporting_period}"
        >>> run(Reports, usage_listing(), at=datetime(2026, 2, 3, tzinfo=UTC)).outcome
        Report(note='nothing was used in 2026-02', is_submitted=False)
    """

    kind = RequestKind.USAGE
    # The seed's reference names UsageFile here, though listings are what is processed.
    model_class: ClassVar[type[BaseModel]] = UsageFile
    request_class: ClassVar[type[BaseModel]] = UsageListing
    #: `hour`, `day`, `week` (ISO 8601) or `month`, by UTC.
    period: ClassVar[str] = "day"
    #: When a period's report is due, by UTC: `celery.schedules.crontab(day_of_month=2, hour=3,
    #: minute=0)`. Each of its times starts the report of the period in which it falls, unless that
    #: report was made. None: due as soon as the period begins.
    schedule: ClassVar[Crontab | None] = None

    #: How many files this run of the processor has submitted: the number is in the step's name.
    _submitted: int = 0

    def filters(
        self, status: str | Sequence[str] | None = "listed", **kwargs: Any
    ) -> dict[str, Any]:
        """Return the default filters, with those given; see `Automation.filters`."""
        return super().filters(status, **kwargs)

    def load(self, document: Any) -> Any:
        """Return the model of a listing, or of what a `list` of the subclass returned."""
        letters = str(document.get("id")).partition("-")[0]
        return _REPORTABLE.get(letters, UsageListing).deserialize_json(document)

    def period_name(self, now: float) -> str:
        """Return the name of the reporting period at a time (seconds since the epoch).

        Override it for other periods: each name is reported once per listing.
        """
        try:
            pattern = PERIODS[self.period]
        except KeyError:
            raise SettingsError(
                f"{type(self).__name__}.period is {self.period!r}; it must be one of "
                f"{', '.join(PERIODS)}"
            ) from None
        return datetime.fromtimestamp(now, UTC).strftime(pattern)

    def due_period(self, now: float) -> str:
        """Return the name of the period whose report is due (`now`: seconds since the epoch).

        It is the one in which the schedule's last time was.
        """
        at = last_time(self.schedule, now) if self.schedule else now
        return self.period_name(now if at is None else at)

    @property
    def reporting_period(self) -> str:
        """The name of the period to report, such as `2026-11`; it stays when a report is late."""
        return self._job.claim.cycle if self._job else self.due_period(time.time())

    def submit_usage(
        self, usage_file: UsageFile, usage_records: Iterable[UsageRecord]
    ) -> UsageFile:
        """Create a usage file and upload its records.

        The records are checked and written to a temporary file first: when one is invalid, nothing
        is created. They are read once and one by one, so use a generator for many records: 200,000
        need 26 MB of resident memory at the peak, above an idle worker's.

        Under the worker, creation and upload are steps of the cycle: a later attempt after a crash
        finds the file that was created (by its `external_id`, the cycle's idempotency key unless
        you set one) and continues with the upload. An uploaded file is not read again.

        Args:
            usage_file: Name, product and contract; a description and a period if you like.
            usage_records: What was used: any iterable. Every file has eight columns, and each
                optional one (`amount`, `record_note`, `tier`, …) for which a record has a value.

        Returns:
            The usage file as Connect has it.

        Raises:
            InvalidUsage: A record is invalid, or there is none. The error names the first ten
                problems by the record's number (from 1), its id and the field.
            FileCreationError: Connect refused the file or its records.
        """
        self._submitted += 1
        uploaded = self._job.steps.get(self._step("upload")) if self._job else None
        if uploaded is None:
            with spreadsheet(usage_records) as sheet:
                uploaded = self._send(usage_file, sheet)
        result: UsageFile = UsageFile.deserialize_json(uploaded)
        return result

    def _send(self, usage_file: UsageFile, sheet: IO[bytes]) -> JSON:
        try:
            created = self._create(usage_file)
            return self._upload(created, sheet) or created
        except (LeaseLost, LedgerUnavailable):
            # This is not about the file: the job has to stop.
            raise
        except Message as exc:
            raise FileCreationError(f"the usage file can't be submitted: {exc}") from exc

    def get_usage_template(self, product: Product) -> bytes:
        """Return the usage template of a product, an XLSX file.

        Raises:
            FileRetrievalError: There is none, or it can't be fetched.
        """
        path = f"usage/products/{product.id}/template"
        try:
            answer = self.client.get(path)
            link = answer.get("template_link") if isinstance(answer, dict) else None
            if not link:
                raise FileRetrievalError(f"product {product.id} has no usage template")
        except FileRetrievalError:
            raise
        except Message as exc:
            raise FileRetrievalError(
                f"the usage template of product {product.id} can't be fetched: {exc}"
            ) from exc
        try:
            return self.client.download(link)
        except Message as exc:
            # It is on another server: a refusal there says nothing about the account in Connect.
            raise FileRetrievalError(
                f"the usage template of product {product.id} can't be downloaded: {exc}"
            ) from None

    def _conclude(self) -> Outcome:
        """Return whether the period is reported, and whether a file was submitted for it."""
        outcome, job = super()._conclude(), self._job
        # An earlier attempt may have submitted it.
        files = [name for name in (job.steps if job else ()) if _UPLOAD.fullmatch(name)]
        if isinstance(outcome, NoDecision):
            is_over = job is not None and self.due_period(job.now()) != job.claim.cycle
            return Report(is_submitted=bool(files)) if files or is_over else outcome
        if isinstance(outcome, Report):
            return replace(outcome, is_submitted=bool(files))
        return outcome

    def _create(self, usage_file: UsageFile) -> JSON:
        body = dict(usage_file.json)
        if self._job is None:
            require_imported()
            return self.client.post("usage/files", body)
        job = self._job
        body.setdefault("external_id", f"{job.key}-{self._submitted}")

        def find_or_create() -> JSON:
            existing = self._find(body)
            return existing or self.client.post("usage/files", body, key=job.key)

        return job.step(self._step("create"), find_or_create)

    def _step(self, name: str) -> str:
        return f"usage-file-{self._submitted}-{name}"

    def _find(self, body: JSON) -> JSON:
        """Look for the file that an earlier run of this cycle created."""
        marker = body["external_id"]
        rows = self.client.get_all("usage/files", {"external_id": marker})
        return next((row for row in rows if row.get("external_id") == marker), None)

    def _upload(self, created: JSON, sheet: IO[bytes]) -> JSON:
        file_id = created.get("id") if isinstance(created, dict) else None
        if not file_id:
            raise InvalidResponse(method="POST", path="usage/files", body=str(created))

        def upload() -> JSON:
            return self.client.upload(
                f"usage/files/{file_id}/upload",
                field="usage_file",
                filename="usage_file.xlsx",
                content=sheet,
                key=self.idempotency_key,
            )

        def upload_unless_done() -> JSON:
            document = self.client.get(f"usage/files/{file_id}")
            is_draft = str(document.get("status")).lower() == "draft"
            return upload() if is_draft else document

        if self._job is None:
            return upload()
        return self._job.step(self._step("upload"), upload_unless_done)


class UsageFileAutomation(Automation[UsageFile]):
    """Decides usage files: subclass it and implement `process_request`.

    Raise `SubmitUsageFile`, `AcceptUsageFile`, `RejectUsageFile`, `CloseUsageFile` or
    `DeleteUsageFile`, or `SkipRequest` to leave the file as it is. Any other exception is retried;
    to return is an error. Files are polled in the status that `filters` asks for, `ready` by
    default.

    Examples:
        >>> class Reviews(UsageFileAutomation):
        ...     def process_request(self, request: UsageFile) -> None:
        ...         raise SubmitUsageFile()
        >>> run(Reviews, usage_file(id="UF-1")).calls[0].path
        'usage/files/UF-1/submit'
    """

    kind = RequestKind.USAGE_FILE
    model_class: ClassVar[type[BaseModel]] = UsageFile
    request_class: ClassVar[type[BaseModel]] = UsageFile

    def filters(
        self, status: str | Sequence[str] | None = "ready", **kwargs: Any
    ) -> dict[str, Any]:
        """Return the default filters, with those given; see `Automation.filters`."""
        return super().filters(status, **kwargs)

"""The HTTP exchange of a run, stored in a file and answered from it; secrets are masked."""

from __future__ import annotations

import json
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from connect_worker.domain.secrets import passwords_in
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.dry_run.transport import Call, Request, Response, Transport
from connect_worker.observability.masking import mask_secrets, register_scoped_secrets, secret_scope
from connect_worker.observability.output import dump_json

FORMAT: Final = 1
MASK: Final = "***"

#: The headers of an answer that the client reads.
_KEPT: Final = ("Content-Type", "Content-Range", "Retry-After")


class NotInRecord(Exception):  # noqa: N818 - the name says what is missing
    """The record has no answer to a read: the processor reads something else now.

    Examples:
        >>> str(NotInRecord("the record has no answer to GET assets: record it again"))
        'the record has no answer to GET assets: record it again'
    """


@dataclass(frozen=True)
class Record:
    """A request, what was read while it was processed, and what would have been sent.

    Attributes:
        kind: The request's kind.
        request: Its document.
        reads: Each read with its answer, in order, as JSON.
        calls: What would have changed something in Connect.

    Examples:
        >>> record = Record(RequestKind.FULFILLMENT, purchase(id="PR-1").json)
        >>> record.request["id"]
        'PR-1'
    """

    kind: RequestKind
    request: dict[str, JSON]
    reads: tuple[dict[str, JSON], ...] = ()
    calls: tuple[Call, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the file that `connect-worker try --record` wrote.

        Raises:
            ValueError: The file is not a record.
            OSError: It can't be read.
        """
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("record") != FORMAT:
            raise ValueError(f"{path} is not a record of `connect-worker try --record`")
        return cls(
            RequestKind(document["kind"]),
            document["request"],
            tuple(document["reads"]),
            tuple(Call(**call) for call in document["calls"]),
        )

    def save(self, path: str | Path) -> None:
        """Write the file, without the values of passwords and keys; only its owner may read it.

        Raises:
            OSError: It can't be written, or the path is of something else than a file.
        """
        document = {
            "record": FORMAT,
            "kind": self.kind.value,
            "request": self.request,
            "reads": list(self.reads),
            "calls": [
                {"method": call.method, "path": call.path, "body": call.body, "by": call.by}
                for call in self.calls
            ],
        }
        _write_private(Path(path), dump_json(without_secrets(document), indent=1) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file that no other user may read, not even while it is written."""
    # A link stays a link. A reader who has opened the former file sees nothing of the new one.
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise FileExistsError(f"{path} is not a file")
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(target)
    except BaseException:
        partial.unlink()
        raise


class RecordingTransport:
    """Keeps the answers of another transport.

    Args:
        transport: Answers.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.reads: list[dict[str, JSON]] = []

    def __call__(self, sent: Request) -> Response:
        """Pass a call to the other transport, and keep its answer."""
        answer = self._transport(sent)
        text = answer.content.decode("utf-8", "replace")
        kept = {name: text for name, text in answer.headers.items() if name.title() in _KEPT}
        try:
            content: dict[str, Any] = {"json": json.loads(text)}
        except ValueError:
            content = {"text": text}
        self.reads.append(
            {
                "method": sent.method,
                # In the URL of a download the query is its signature.
                "path": sent.path,
                "query": sent.query,
                "status": answer.status,
                "headers": kept,
                **content,
            }
        )
        return answer


class ReplayTransport:
    """Answers from a record: the same read gets the same answers in the same order.

    The last answer to a read is repeated as often as the read is.
    """

    def __init__(self, reads: Iterable[dict[str, JSON]]) -> None:
        self._answers: dict[tuple[str, str], deque[dict[str, JSON]]] = defaultdict(deque)
        for read in reads:
            self._answers[read["path"], read["query"]].append(read)
        #: The first read without an answer; it was raised, but the processor may have caught it.
        self.missed: NotInRecord | None = None

    def __call__(self, sent: Request) -> Response:
        """Answer one read.

        Raises:
            NotInRecord: The record has no answer; the message names the read.
        """
        # A secret in the URL was masked when it was recorded.
        known = self._answers.get((sent.path, sent.query)) or self._answers.get(
            (mask_secrets(sent.path, is_whole=True), mask_secrets(sent.query, is_whole=True))
        )
        if not known:
            asked = f"{sent.method} {sent.path}" + (f"?{sent.query}" if sent.query else "")
            missed = NotInRecord(f"the record has no answer to {asked}: record it again")
            self.missed = self.missed or missed
            raise missed
        read = known.popleft() if len(known) > 1 else known[0]
        content = json.dumps(read["json"]) if "json" in read else read["text"]
        return Response(read["status"], content.encode(), read["headers"])


def without_secrets(document: JSON) -> JSON:
    """Return a document without the values of its password parameters, and without keys."""
    with secret_scope():
        register_scoped_secrets(passwords_in(document))
        return _masked(document)


def _masked(value: JSON) -> JSON:
    match value:
        case str():
            # Without cutting: the record answers in place of Connect, and needs the whole text.
            return mask_secrets(value, is_whole=True)
        case list():
            return [_masked(item) for item in value]
        case {"type": "password"}:
            return {**_each(value), **dict.fromkeys(_secret_fields(value), MASK)}
        case dict():
            return _each(value)
        case _:
            return value


def _each(value: dict[str, JSON]) -> dict[str, JSON]:
    return {name: _masked(item) for name, item in value.items()}


def _secret_fields(param: dict[str, JSON]) -> Iterator[str]:
    return (name for name in ("value", "structured_value") if param.get(name))

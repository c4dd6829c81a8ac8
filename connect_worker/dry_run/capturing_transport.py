"""What a processor would change in Connect, caught on its way.

A caught call is answered as Connect would if it took it, and later reads of the same document show
the change: so the processor goes on as it would, and nothing has left the process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from io import BytesIO
from typing import Final, Literal

from openpyxl import load_workbook

from connect_worker.domain.api_calls import FILE_ACTIONS
from connect_worker.domain.kinds import KINDS
from connect_worker.domain.states import JSON, RequestKind
from connect_worker.dry_run.transport import Request, Response, Transport
from connect_worker.sandbox.documents import merge

#: What the last part of a path does to the document before it.
_ACTIONS: Final[Mapping[str, str]] = {
    "approve": "approved",
    "fail": "failed",
    "inquire": "inquiring",
    "pend": "pending",
    "upload": "ready",
    **FILE_ACTIONS,
}
#: The ids of what is created, by the collection's path.
_CREATED: Final[Mapping[str, tuple[str, str]]] = {
    "requests": ("PR-0000-0000", "pending"),
    "usage/files": ("UF-0000-00-0000", "draft"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changes something in Connect.

    Examples:
        >>> Call("POST", "requests/PR-1/fail/", {"reason": "Too many"})
        Call(method='POST', path='requests/PR-1/fail/', body={'reason': 'Too many'}, by='decision')
    """

    method: str
    #: Relative to the API: `requests/PR-5852-1608-0000/approve/`.
    path: str
    body: JSON = None
    #: The idempotency key that goes with it; two calls that differ in nothing else are equal.
    key: str = field(default="", compare=False, repr=False)
    #: Who makes it: the processor itself, or the engine for what it decided.
    by: Literal["processor", "decision"] = "decision"
    #: The uploaded form; None for a call without one. Its bytes hold the time of day.
    upload: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def records(self) -> list[dict[str, JSON]]:
        """The usage records of an upload, by the names of its sheet's columns; else none."""
        if self.upload is None:
            return []
        boundary = self.upload.partition(b"\r\n")[0].removeprefix(b"--")
        head = b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n\r\n"
        # A form is MIME: the library's own parser reads it.
        part = message_from_bytes(head + self.upload).get_payload(0)
        content = part.get_payload(decode=True)  # type: ignore[union-attr]  # it is a message
        book = load_workbook(BytesIO(content), read_only=True)  # type: ignore[arg-type]  # bytes
        names, *rows = book.worksheets[0].iter_rows(values_only=True)
        return [dict(zip(map(str, names), row, strict=False)) for row in rows]


class CapturingTransport:
    """Catches what changes, and lets reads through.

    Args:
        reads: Answers what the caught calls have not changed.
        documents: What is answered before it is asked, by path; a collection is a list, and
            a text is a rendered template.
    """

    def __init__(self, reads: Transport, documents: Mapping[str, JSON]) -> None:
        self._reads = reads
        self._documents = {path.strip("/"): document for path, document in documents.items()}
        self.calls: list[Call] = []
        #: Who is calling now.
        self.by: Literal["processor", "decision"] = "decision"

    def __call__(self, sent: Request) -> Response:
        """Answer one call; none that changes something goes any further."""
        if sent.is_read:
            known = self._documents.get(sent.place)
            return self._reads(sent) if known is None else _page(known)
        self.calls.append(Call(sent.method, sent.path, sent.body, sent.key, self.by, sent.upload))
        if sent.method == "PUT":
            return Response.of(self._put(sent))
        if sent.method == "POST":
            return self._post(sent)
        return Response(204)

    def _put(self, sent: Request) -> JSON:
        base = self._documents.get(sent.place)
        body = sent.body if isinstance(sent.body, dict) else {}
        if base is None:
            answer = self._reads(Request("GET", sent.place))
            base = _document_in(answer)
        self._documents[sent.place] = merge(base, body)
        return self._documents[sent.place]

    def _post(self, sent: Request) -> Response:
        base, _, action = sent.place.rpartition("/")
        if action in _ACTIONS:
            document = {**self._documents.get(base, {}), "status": _ACTIONS[action]}
            if base in self._documents:
                self._documents[base] = document
            return Response.of(document)
        prefix, status = _CREATED.get(sent.place, ("NEW-0000", ""))
        made = {
            **({"status": status} if status else {}),
            **(sent.body if isinstance(sent.body, dict) else {}),
            "id": f"{prefix}-{len(self.calls):04d}",
        }
        self._documents[f"{sent.place}/{made['id']}"] = made
        return Response.of(made, status=201)


def documents_of(kind: RequestKind, document: JSON) -> dict[str, JSON]:
    """Return what a request's document tells, by path: itself, its asset, its configuration."""
    found = {f"{KINDS[kind].path}/{document.get('id')}": document}
    for name, path in (("asset", "assets"), ("configuration", "tier/configs")):
        part = document.get(name)
        if isinstance(part, dict) and part.get("id"):
            found[f"{path}/{part['id']}"] = part
    return found


def _page(document: JSON) -> Response:
    if isinstance(document, str):
        return Response.of_text(document)
    answer = Response.of(document)
    if not isinstance(document, list):
        return answer
    # All at once: a client that reads on from here finds the end.
    span = f"0-{len(document) - 1}" if document else "*"
    headers = {**answer.headers, "Content-Range": f"items {span}/{len(document)}"}
    return Response(200, answer.content, headers)


def _document_in(answer: Response) -> dict[str, JSON]:
    try:
        document = json.loads(answer.content) if answer.status == 200 else {}
    except ValueError:
        document = {}
    return document if isinstance(document, dict) else {}

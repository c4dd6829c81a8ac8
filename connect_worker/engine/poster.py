"""Posting a decision: step by step, each journaled, none twice.

A decision made just now is posted straight away: Connect itself refuses a status change that is not
due. A decision from the ledger (an earlier worker died, a reply was lost) is compared with what
Connect shows first. A refused or unanswered step is settled by looking, never by sending it again
blindly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from connect_worker.domain.api_calls import (
    ApiCalls,
    MessagePost,
    StatusChange,
    Step,
    build_api_calls,
)
from connect_worker.domain.kinds import status_of
from connect_worker.domain.states import JSON
from connect_worker.engine.fetch import fetch
from connect_worker.engine.job import Decision, Job
from connect_worker.engine.runtime import Runtime
from connect_worker.exceptions import (
    BadRequest,
    ConnectionFailed,
    Forbidden,
    InvalidResponse,
    NotFound,
    Permanent,
    ServerFault,
)
from connect_worker.logger import LogEvent, logger

#: Connect may have acted on the call or not: only a look can tell.
UNCLEAR = (ConnectionFailed, ServerFault, InvalidResponse)


class PostRefused(Permanent):
    """Connect does not take the decision, and the request still waits."""


@dataclass(frozen=True, slots=True)
class PostResult:
    """A decision whose steps are all posted, or that somebody else's made void."""

    calls: ApiCalls
    #: The status that Connect shows instead of the decision's; "" when the decision stands.
    superseded_by: str = ""


class _SupersededError(Exception):
    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Posting:
    engine: Runtime
    job: Job
    decision: Decision
    calls: ApiCalls
    #: The request as Connect shows it; None for a decision that was made in this very job.
    document: JSON


def post_decision(engine: Runtime, job: Job, decision: Decision, *, document: JSON) -> PostResult:
    """Post every step that is not posted yet.

    Args:
        engine: The ports.
        job: The claim and its journal.
        decision: What to post.
        document: The request as Connect shows it now, for a decision from the ledger; None for one
            made in this job.

    Raises:
        PostRefused: Connect does not take a step, and the request still waits.
        Message: No answer, or the account can't be used; the same call later goes on where this
            stopped.
    """
    what = build_api_calls(job.ref, decision.outcome, say_activated=engine.post_activation_message)
    posting = _Posting(engine, job, decision, what, document)
    todo = [step for step in what.steps if step.name not in job.steps]
    try:
        for step in todo:
            result = _run(posting, step)
            if what.stays_pending or not (step is todo[-1] or _shows_for_ever(step)):
                job.record_step(step.name, result)
    except _SupersededError as found:
        return PostResult(what, superseded_by=found.status)
    return PostResult(what)


def _shows_for_ever(step: Step) -> bool:
    """Whether a later look at Connect tells as much as an entry in the journal.

    (The last step needs none either: settling the cycle is one.)
    """
    return isinstance(step, StatusChange) and step.is_verifiable


def _run(posting: _Posting, step: Step) -> JSON:
    """Make sure that one step is done; return what the journal keeps of it."""
    posting.job.is_posting = True
    match step:
        case StatusChange():
            return _change(posting, step)
        case MessagePost():
            return _say(posting, step)
        case _:
            assert_never(step)


def _change(posting: _Posting, step: StatusChange) -> JSON:
    job, connect = posting.job, posting.engine.connect
    if posting.document is not None and _is_done(posting, posting.document):
        return {"seen": posting.calls.resulting_status}
    job.ensure_held()
    try:
        connect.send(step.method, step.path, step.body, key=job.key)
    except (*UNCLEAR, BadRequest, NotFound) as error:
        if _is_done(posting, fetch(connect, job.ref)):
            return {"seen": posting.calls.resulting_status}
        if isinstance(error, UNCLEAR):
            raise
        raise PostRefused(f"Connect refused to {step.name}: {error}") from error
    return {"posted": step.resulting_status or step.name}


def _is_done(posting: _Posting, document: JSON) -> bool:
    """Compare what Connect shows with what the decision leads to.

    Raises:
        _SupersededError: When it shows a status that is neither the decision's nor that of waiting.
    """
    status = status_of(document)
    if status == posting.calls.resulting_status:
        return True
    if status != posting.decision.waited_as:
        raise _SupersededError(status)
    return False


def _say(posting: _Posting, step: MessagePost) -> JSON:
    """Post a message to the request's conversation; a request without one is no error.

    The decision itself is posted by now: a message that Connect refuses is logged, and the cycle
    ends.
    """
    connect, job = posting.engine.connect, posting.job
    try:
        conversation = _conversation(posting, step)
        if conversation is None or _was_said(posting, conversation, step):
            return {"said": conversation}
        job.ensure_held()
        connect.send(
            "POST", f"conversations/{conversation}/messages", {"text": step.text}, key=job.key
        )
    except (BadRequest, Forbidden, NotFound) as error:
        logger.warning(LogEvent("conversation.message_rejected", error=error))
        return {"said": None}
    return {"said": conversation}


def _conversation(posting: _Posting, step: MessagePost) -> str | None:
    rows = posting.engine.connect.get("conversations", {"instance_id": step.instance_id})
    first = rows[0] if isinstance(rows, list) and rows else None
    return str(first["id"]) if isinstance(first, dict) and first.get("id") else None


def _was_said(posting: _Posting, conversation: str, step: MessagePost) -> bool:
    """Whether the text was said in this cycle; only a decision from the ledger needs the look.

    Messages from before the decision belong to an earlier cycle. Both times are Connect's; a
    message's has whole seconds, so the decision's is cut to them.
    """
    if posting.document is None:
        return False
    document = posting.engine.connect.get(f"conversations/{conversation}")
    messages = document.get("messages") if isinstance(document, dict) else None
    return any(
        isinstance(message, dict)
        and message.get("text") == step.text
        and str(message.get("created") or "")[:19] >= posting.decision.seen[:19]
        for message in messages or ()
    )

"""Posting a decision: one call after the other, none made twice.

A call is journaled unless Connect shows for ever that it was accepted, or it is the last one.

A decision that this job has made is posted at once: Connect itself refuses a status change that is
not possible. A decision from the ledger (an earlier worker died, or a reply was lost) is compared
with what Connect shows first. After a call that Connect refused or did not answer, the request is
fetched: that shows whether the call arrived. Nothing is sent again without looking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from connect_worker.api.responses import conversations_in, is_open, messages_of
from connect_worker.domain.api_calls import (
    ApiCall,
    ApiCalls,
    MessagePost,
    StatusChange,
    build_api_calls,
)
from connect_worker.domain.kinds import status_of
from connect_worker.domain.states import JSON
from connect_worker.engine.job import Decision, Job
from connect_worker.engine.retry import describe
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

#: After these, Connect may have acted on the call or not: the request has to be fetched.
UNCLEAR = (ConnectionFailed, ServerFault, InvalidResponse)


class PostRefused(Permanent):
    """Connect refuses the decision, and the request is still pending."""


@dataclass(frozen=True, slots=True)
class PostResult:
    """All steps of a decision are posted, or another user has decided the request."""

    calls: ApiCalls
    #: The status that Connect shows instead of the decision's; "" when the decision stands.
    superseded_by: str = ""
    #: What Connect refused of the messages, for people; "" when nothing.
    problem: str = ""


class _SupersededError(Exception):
    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Posting:
    runtime: Runtime
    job: Job
    decision: Decision
    calls: ApiCalls
    #: Whether an earlier job may have posted a part of it.
    compare_first: bool


def post_decision(
    runtime: Runtime, job: Job, decision: Decision, *, compare_first: bool
) -> PostResult:
    """Post every step that is not posted yet.

    Args:
        runtime: The ports.
        job: The claim and its journal; its `document` is the request as Connect shows it now.
        decision: What to post.
        compare_first: Whether the decision is from the ledger: then each step is compared with
            what Connect shows before it is sent.

    Raises:
        PostRefused: Connect refuses a step, and the request is still pending.
        Message: No answer, or an error of the account; a later call continues where this stopped.
    """
    calls = build_api_calls(
        job.ref, decision.outcome, say_activated=runtime.post_activation_message
    )
    posting = _Posting(runtime, job, decision, calls, compare_first)
    steps = [step for step in calls.steps if step.name not in job.steps]
    problem = ""
    try:
        for step in steps:
            result = _post(posting, step)
            problem = result.get("problem", problem)
            if calls.stays_pending or not (step is steps[-1] or _is_visible(step)):
                job.record_step(step.name, result)
    except _SupersededError as superseded:
        return PostResult(calls, superseded_by=superseded.status)
    return PostResult(calls, problem=problem)


def _is_visible(step: ApiCall) -> bool:
    """Whether Connect shows for ever that the step was posted: then it needs no journal entry.

    The last step needs none either, because completing the cycle says the same.
    """
    return isinstance(step, StatusChange) and step.is_verifiable


def _post(posting: _Posting, step: ApiCall) -> JSON:
    """Make sure that one step is posted; return its result for the journal."""
    posting.job.is_posting = True
    match step:
        case StatusChange():
            return _change_status(posting, step)
        case MessagePost():
            return _post_message(posting, step)
        case _:
            assert_never(step)


def _change_status(posting: _Posting, step: StatusChange) -> JSON:
    job, runtime = posting.job, posting.runtime
    if posting.compare_first and _is_done(posting, job.document):
        return {"seen": posting.calls.resulting_status}
    job.ensure_held()
    try:
        runtime.connect.send(step.method, step.path, step.body, key=job.key)
    except (*UNCLEAR, BadRequest, NotFound) as error:
        if _is_done(posting, runtime.fetch(job.ref)):
            return {"seen": posting.calls.resulting_status}
        if isinstance(error, UNCLEAR):
            raise
        raise PostRefused(f"Connect refused to {step.name}: {error}") from error
    return {"posted": step.resulting_status or step.name}


def _is_done(posting: _Posting, document: JSON) -> bool:
    """Compare the status in Connect with the one that the decision leads to.

    Raises:
        _SupersededError: It is neither that one nor the one in which the request was decided.
    """
    status = status_of(document)
    if status == posting.calls.resulting_status:
        return True
    if status != posting.decision.pending_status:
        raise _SupersededError(status)
    return False


def _post_message(posting: _Posting, step: MessagePost) -> JSON:
    """Post a message to the request's open conversation; a request without one is not an error.

    Connect makes the conversations, and nobody else can. The decision itself is already posted, and
    stands. If Connect refuses the message, the cycle ends with that as the request's error: another
    try would be refused too.
    """
    connect, job = posting.runtime.connect, posting.job
    try:
        rows = conversations_in(connect.get("conversations", {"instance_id": step.instance_id}))
        # It may be in one that was closed meanwhile.
        for row in rows if posting.compare_first else ():
            if _is_posted(posting, row["id"], step):
                return {"conversation": row["id"]}
        if not rows or not is_open(rows[0]):
            logger.warning(LogEvent("conversation.none_open", closed=len(rows)))
            return {"conversation": None}
        conversation = rows[0]["id"]
        job.ensure_held()
        connect.send(
            "POST", f"conversations/{conversation}/messages", {"text": step.text}, key=job.key
        )
    except (BadRequest, Forbidden, NotFound) as error:
        logger.error(LogEvent("conversation.message_rejected", error=error))
        return {
            "conversation": None,
            "problem": f"Connect refused the message to the conversation: {describe(error)}",
        }
    return {"conversation": conversation}


def _is_posted(posting: _Posting, conversation: str, step: MessagePost) -> bool:
    """Whether the conversation has the text in this cycle.

    Messages from before the decision belong to an earlier cycle. Both times are Connect's. A
    message's has whole seconds, so the decision's is cut to them.
    """
    since = posting.decision.seen[:19]
    return any(
        message.get("text") == step.text and str(message.get("created") or "")[:19] >= since
        for message in messages_of(posting.runtime.connect, conversation, since=since)
    )

"""How a run that sent nothing is shown, to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from connect_worker.desk.words import clean
from connect_worker.masking import hide_here, hiding
from connect_worker.processing.outcome import Outcome, to_json
from connect_worker.processing.passwords import passwords_in
from connect_worker.processing.states import JSON, State
from connect_worker.trial.catch import Call
from connect_worker.trial.record import without_secrets
from connect_worker.trial.rehearsal import Run


def document_of(automation: str, document: JSON, run: Run) -> dict[str, JSON]:
    """Return a run for programs; passwords of the request are masked."""
    with hiding():
        hide_here(passwords_in(document))
        told: dict[str, JSON] = without_secrets(
            {
                "request": document.get("id"),
                "automation": automation,
                "result": run.result,
                "state": run.state.value,
                "outcome": None if run.decided is None else to_json(run.decided),
                "error": None if run.error is None else _error(run.error),
                "calls": [_call(call) for call in run.calls],
                "steps": dict(run.steps),
            }
        )
    return told


def picture_of(automation: str, document: JSON, run: Run, *, is_online: bool) -> RenderableType:
    """Return a run for people; passwords of the request are masked."""
    with hiding():
        hide_here(passwords_in(document))
        name = clean(str(document.get("id")))
        what = " ".join(filter(None, [str(document.get("type") or ""), "by", automation]))
        parts: list[RenderableType] = [
            Text.assemble((name, "bold"), "  ", clean(what)),
            Text(),
            *_steps(run),
            *_decision(run),
            Text(),
            *_calls(run.calls),
        ]
        if not is_online:
            parts += [Text(), Text("No account is set: reads found an empty one.", "dim")]
    return Group(*parts)


def _steps(run: Run) -> Iterator[RenderableType]:
    for name, result in run.steps.items():
        yield Text.assemble("Step      ", clean(name), (f"  {_json(result)}", "dim"))


def _decision(run: Run) -> Iterator[RenderableType]:
    if run.decided is not None:
        yield Text.assemble("Decision  ", (_word(run.decided), "bold green"))
        for name, value in to_json(run.decided).items():
            if name != "outcome" and value not in (None, "", []):
                yield Padding(Text(f"{name}: {_json(value)}"), (0, 0, 0, 10))
    elif run.error is not None:
        yield Text.assemble("No decision  ", (clean(_error(run.error)), "bold red"))
    yield Text.assemble("Then      ", clean(_then(run)))


def _then(run: Run) -> str:
    if run.error is not None and run.decided is None and run.state is not State.PARKED:
        return f"{run.state.value}: the worker would run it again later"
    # A template that does not exist, say, is refused when it is posted.
    return f"{run.result}, if Connect takes it" if run.calls else run.result


def _calls(calls: tuple[Call, ...]) -> Iterator[RenderableType]:
    if not calls:
        yield Text("Nothing would be sent to Connect.")
        return
    yield Text("Would be sent to Connect; nothing was:", "bold")
    for number, call in enumerate(calls, start=1):
        by = "  by the processor itself" if call.by == "processor" else ""
        yield Text.assemble(f"{number:3}. {call.method} {clean(call.path)}", (by, "dim"))
        if call.upload is not None:
            yield Padding(Text(f"{len(call.records)} usage records"), (0, 0, 0, 5))
        elif call.body is not None:
            yield Padding(Text(_json(call.body)), (0, 0, 0, 5))


def _call(call: Call) -> dict[str, Any]:
    told: dict[str, Any] = {
        "method": call.method,
        "path": call.path,
        "body": call.body,
        "idempotency_key": call.key,
        "by": call.by,
    }
    return told if call.upload is None else told | {"records": call.records}


def _word(outcome: Outcome) -> str:
    document = to_json(outcome)
    return str(document.get("action") or document["outcome"])


def _error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _json(value: JSON) -> str:
    return clean(json.dumps(without_secrets(value), ensure_ascii=False))

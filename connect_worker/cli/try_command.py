"""``connect-worker try``: what a processor would make of a request, and nothing is sent."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from connect_worker.cli.context import Exit, Refused, account_option, example, write_json
from connect_worker.domain.outcomes import Outcome, to_json
from connect_worker.domain.secrets import passwords_in
from connect_worker.domain.states import JSON, RequestKind, State
from connect_worker.dry_run.record import without_secrets
from connect_worker.dry_run.runner import DryRun
from connect_worker.dry_run.transport import Call
from connect_worker.observability.masking import register_scoped_secrets, secret_scope
from connect_worker.operations.formatting import clean

# How a run that sent nothing is shown, to people and to programs.


def document_of(automation: str, document: JSON, run: DryRun) -> dict[str, JSON]:
    """Return a run for programs; passwords of the request are masked."""
    with secret_scope():
        register_scoped_secrets(passwords_in(document))
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


def picture_of(automation: str, document: JSON, run: DryRun, *, is_online: bool) -> RenderableType:
    """Return a run for people; passwords of the request are masked."""
    with secret_scope():
        register_scoped_secrets(passwords_in(document))
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


def _steps(run: DryRun) -> Iterator[RenderableType]:
    for name, result in run.steps.items():
        yield Text.assemble("Step      ", clean(name), (f"  {_json(result)}", "dim"))


def _decision(run: DryRun) -> Iterator[RenderableType]:
    if run.decided is not None:
        yield Text.assemble("Decision  ", (_word(run.decided), "bold green"))
        for name, value in to_json(run.decided).items():
            if name != "outcome" and value not in (None, "", []):
                yield Padding(Text(f"{name}: {_json(value)}"), (0, 0, 0, 10))
    elif run.error is not None:
        yield Text.assemble("No decision  ", (clean(_error(run.error)), "bold red"))
    yield Text.assemble("Then      ", clean(_then(run)))


def _then(run: DryRun) -> str:
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


@click.command(
    "try",
    short_help="Run a processor over a request, and send nothing.",
    epilog=example(
        "connect-worker try my_vendor.processors:Purchases PR-5852-1608-0000",
        "connect-worker try ./processors.py PR-5852-1608-0000 --record tests/order.json",
        "connect-worker try ./processors.py --file request.json",
    ),
)
@click.argument("automation", metavar="MODULE[:CLASS]")
@click.argument("request_id", metavar="[REQUEST]", required=False)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the request from a JSON file; without an account, reads find an empty one.",
)
@click.option(
    "--record",
    "record_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep what was read and what would be sent in this file, for a test; secrets are masked.",
)
@click.option("--verbose", is_flag=True, help="Show the log, and the traceback of an error.")
@account_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
def try_out(
    *,
    automation: str,
    request_id: str | None,
    file: Path | None,
    record_file: Path | None,
    verbose: bool,
    account: str,
    as_json: bool,
) -> None:
    """Run a processor over one request, and show what it decides and what it would post.

    The request is fetched from the account of the environment. What the processor reads in Connect
    is read there; what it would change is caught: NOTHING IS SENT TO CONNECT. But its calls to
    your own systems are made, under the idempotency key of the request's first cycle.

    Exit code 0 when it decided, or said "not yet"; 1 when it raised an error.
    """
    # Connect's client and the models take a moment to load; `--help` needs none of them.
    from connect_worker.cli.target import automation_for, config_of, kind_of, quiet
    from connect_worker.dry_run.record import Record, RecordingTransport
    from connect_worker.dry_run.runner import dry_run
    from connect_worker.dry_run.sandbox_transport import URL, SandboxTransport
    from connect_worker.dry_run.transport import LiveTransport
    from connect_worker.exceptions import RetryRequest
    from connect_worker.resources.automation import Automation

    if (file is None) == (request_id is None):
        raise click.UsageError("Give either the id of a request or --file.")
    if record_file and not os.access(record_file.parent, os.W_OK):
        raise click.UsageError(f"--record: no file can be written into {record_file.parent}.")
    document = _read(file) if file else None
    kind = kind_of(str(document.get("id")) if document else str(request_id))
    chosen: type[Automation[Any]] = automation_for(automation, kind)
    is_online = file is None or _has_account()
    if is_online:
        config = config_of(account)
        reads: Any = LiveTransport(config)
    else:
        from connect_worker.config import Config

        config = Config.local(URL, "SU-000-000-000:key-of-no-account")
        reads = SandboxTransport(kind, str(document and document.get("id")))
    if document is None:
        document = _fetch(config, kind, str(request_id))
    recording = RecordingTransport(reads)
    with nullcontext() if verbose else quiet():
        run = dry_run(chosen, document, config=config, reads=recording)
    if record_file:
        Record(kind, document, tuple(recording.reads), run.calls).save(record_file)
    if as_json:
        write_json(document_of(chosen.__name__, document, run))
    else:
        from rich.console import Console

        Console().print(picture_of(chosen.__name__, document, run, is_online=is_online))
    if verbose and run.error is not None:
        click.echo("".join(traceback.format_exception(run.error)), err=True)
    is_told = run.error is None or isinstance(run.error, RetryRequest)
    raise SystemExit(Exit.DONE if is_told else Exit.NEEDS_ATTENTION)


def _read(file: Path) -> dict[str, JSON]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refused(f"{file} holds no JSON: {error}", Exit.USAGE) from error
    if isinstance(document, dict) and "record" in document:
        # One that this command has written.
        document = document.get("request")
    if not isinstance(document, dict) or not document.get("id"):
        raise Refused(f"{file} holds no request: it must be an object with an id", Exit.USAGE)
    return document


def _has_account() -> bool:
    from connect_worker.exceptions import SettingsError
    from connect_worker.settings.model import Settings

    try:
        settings = Settings.from_env()
    except SettingsError as error:
        raise Refused(str(error), Exit.NO_LEDGER) from error
    return bool(settings.api_url or settings.config_file or settings.accounts)


def _fetch(config: Any, kind: RequestKind, request_id: str) -> dict[str, JSON]:
    from connect_worker.api.client import client_for
    from connect_worker.domain.kinds import KINDS
    from connect_worker.exceptions import Message, NotFound

    try:
        found: dict[str, JSON] = client_for(config).get(f"{KINDS[kind].path}/{request_id}")
    except NotFound as error:
        raise Refused(f"the account has no request {request_id}", Exit.NOT_DONE) from error
    except Message as error:
        raise Refused(f"{request_id} can't be fetched: {error}", Exit.NO_ANSWER) from error
    return found

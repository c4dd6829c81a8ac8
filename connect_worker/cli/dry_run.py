"""``connect-worker try`` and ``replay``: run a processor without sending anything to Connect."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.cli.context import (
    CommandError,
    Exit,
    TerminalConsole,
    account_option,
    example,
    json_option,
    log_to_terminal,
    no_logging,
    select_accounts,
    write_json,
)
from connect_worker.domain.outcomes import Outcome, to_json
from connect_worker.domain.secrets import passwords_in, passwords_set_by
from connect_worker.domain.states import JSON, RequestKind, State
from connect_worker.exceptions import (
    Message,
    NotFound,
    RegistrationError,
    RetryRequest,
)
from connect_worker.logger import LogEvent, event_logger
from connect_worker.observability.masking import register_scoped_secrets, secret_scope
from connect_worker.observability.output import escape_lines, format_traceback, sanitize
from connect_worker.settings.accounts import settings_of
from connect_worker.settings.model import Settings

# Connect's client, the models and the dry run take a moment to load, which `--help` does not need:
# the functions below import them.
if TYPE_CHECKING:
    from connect_worker.config import Config
    from connect_worker.dry_run.runner import DryRun
    from connect_worker.dry_run.transport import Call, Transport
    from connect_worker.resources.automation import Automation
    from connect_worker.resources.validation import Validation

log = event_logger("connect_worker.dry_run")


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
    help="Read the request from a JSON file; without CONNECT_API_KEY, the processor reads from a "
    "sandbox that has no other request.",
)
@click.option(
    "--record",
    "record_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was read and what would be sent to this file, for a test; secrets are masked.",
)
@click.option("--verbose", is_flag=True, help="Show the log, and the traceback of an error.")
@account_option
@json_option
def try_command(
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

    Or a validation over a draft: the errors that the customer would see.

    The request is fetched from the account of the environment. Reads of the processor go to
    Connect; its changes are captured: NOTHING IS SENT TO CONNECT. But its calls to your own systems
    are made, with the idempotency key of the request's first cycle.

    Exit code 0 when the processor decided or asked to come back later; 1 when it raised an error.
    """
    from connect_worker.dry_run.record import Record, RecordingTransport
    from connect_worker.dry_run.runner import dry_run
    from connect_worker.dry_run.transport import LiveTransport, SandboxTransport
    from connect_worker.resources.validation import Validation

    if (file is None) == (request_id is None):
        raise click.UsageError("Give either the id of a request or --file.")
    if record_file:
        _require_writable(record_file)
    document = _read_request(file) if file else None
    kind = kind_of(str(document.get("id")) if document else str(request_id))
    # First the settings: from now on their secrets are masked, also in an error of the module.
    is_online = file is None or _has_account()
    if is_online:
        config, settings = account_of(account)
        reads: Any = LiveTransport(config, settings)
    else:
        reads = SandboxTransport(kind, str(document and document.get("id")))
    automation_class = find_automation(automation, kind)
    if not is_online:
        config = _offline_config()
    if document is None:
        document = _fetch(config, kind, str(request_id))
    logs = log_to_terminal() if verbose else no_logging()
    if issubclass(automation_class, Validation):
        with logs:
            exit_code = _try_validation(
                automation_class, document, config, reads, record_file, as_json=as_json
            )
        raise SystemExit(exit_code)
    recording = RecordingTransport(reads)
    with logs:
        run = dry_run(automation_class, document, config=config, reads=recording)
    if record_file:
        _warn_if_shared(record_file)
        Record(kind, document, tuple(recording.reads), run.calls).save(record_file)
    with _passwords_masked(document, run):
        if as_json:
            write_json(run_document(automation_class.__name__, document, run))
        else:
            shown = render_run(automation_class.__name__, document, run, is_online=is_online)
            TerminalConsole().print(shown)
        if verbose and (error := run.error):
            trace = format_traceback(type(error), error, error.__traceback__)
            click.echo(escape_lines(trace), err=True)
    has_failed = run.error is not None and not isinstance(run.error, RetryRequest)
    raise SystemExit(Exit.NEEDS_ATTENTION if has_failed else Exit.DONE)


@click.command(
    short_help="Run a processor over decided requests; show differences.",
    epilog=example(
        "connect-worker replay my_vendor.processors:Purchases --last 50",
        "connect-worker replay ./processors.py --last 20 --json",
    ),
)
@click.argument("automation", metavar="MODULE[:CLASS]")
@click.option(
    "--last",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many requests of each kind, newest first.",
)
@account_option
@json_option
def replay(*, automation: str, last: int, account: str, as_json: bool) -> None:
    """Run a processor over the requests that were decided last, and show different decisions.

    The requests are read from the account of the environment, and processed as if they were
    pending, with the data that they have now. Nothing is sent to Connect. But the processor's calls
    to YOUR OWN SYSTEMS ARE MADE: use a test system, or one that knows the idempotency keys.

    Exit code 0 when all decisions are the same, 1 when one differs.
    """
    from connect_worker.api.client import client_for
    from connect_worker.dry_run.requests import DECIDED_STATUSES, latest
    from connect_worker.resources.automation import product_list

    config, settings = account_of(account)
    automation_classes = [
        item for item in find_all_automations(automation) if item.kind in DECIDED_STATUSES
    ]
    if not automation_classes:
        raise CommandError(
            "usage listings are never decided: name an automation of another kind", Exit.USAGE
        )
    rows: list[dict[str, JSON]] = []
    for item in automation_classes:
        products = product_list(item.products) or config.products
        try:
            with no_logging():
                client = client_for(config, settings)
                requests = latest(client, item.kind, products=products, last=last)
                rows += [_replay_one(item, document, config, settings) for document in requests]
        except Message as error:
            raise CommandError(
                f"decided requests can't be read: {error}", Exit.NO_ANSWER
            ) from error
    different = [row for row in rows if row["difference"]]
    if as_json:
        write_json({"replayed": len(rows), "differing": different})
    else:
        _print_differences(len(rows), different)
    raise SystemExit(Exit.NEEDS_ATTENTION if different else Exit.DONE)


# ---- what to run: the automation, the kind, the account

#: The kind of a request by the letters of its id.
_KINDS = {
    "PR": RequestKind.FULFILLMENT,
    "TCR": RequestKind.TIER_CONFIG,
    "UF": RequestKind.USAGE_FILE,
    **dict.fromkeys(("LST", "AS", "CRD", "PRD", "TC"), RequestKind.USAGE),
}


def kind_of(request_id: str) -> RequestKind:
    """Return the kind of the request with an id.

    Raises:
        CommandError: It is the id of another object.
    """
    kind = _KINDS.get(request_id.partition("-")[0])
    if kind is None:
        prefixes = ", ".join(f"{letters}-…" for letters in _KINDS)
        raise CommandError(
            f"{request_id!r} is not the id of a request, which begins with one of: {prefixes}",
            Exit.USAGE,
        )
    return kind


def find_all_automations(name: str) -> list[type[Automation[Any]]]:
    """Return the automations of a module, or the one that is named after the colon.

    Raises:
        CommandError: The module can't be imported, or has none.
    """
    from connect_worker.resources.discovery import find_automations

    with _loading():
        automations = find_automations([name])
    if not automations:
        raise CommandError(f"there is no automation in {name}", Exit.USAGE)
    return automations


def find_automation(name: str, kind: RequestKind) -> type[Automation[Any] | Validation[Any]]:
    """Return the automation that processes requests of a kind; without one, the validation.

    Raises:
        CommandError: There is none, or more than one.
    """
    from connect_worker.resources.discovery import find_automations, find_validations

    with _loading():
        automations: list[type[Any]] = [
            item for item in find_automations([name]) if item.kind is kind
        ] or [item for item in find_validations([name]) if item.kind is kind]
    if not automations:
        raise CommandError(f"{name} has no automation for {kind} requests", Exit.USAGE)
    if len(automations) > 1:
        names = ", ".join(f"{name.partition(':')[0]}:{item.__name__}" for item in automations)
        raise CommandError(
            f"{name} has several automations for {kind} requests. Name one of: {names}", Exit.USAGE
        )
    return automations[0]


@contextmanager
def _loading() -> Iterator[None]:
    try:
        yield
    except RegistrationError as error:
        raise CommandError(str(error).removeprefix("CONNECT_PROCESSORS: "), Exit.USAGE) from error


def account_of(account: str) -> tuple[Config, Settings]:
    """Return an account of the environment and its settings; "" for the only one.

    Raises:
        CommandError: The environment names no account, or several and none was chosen.
        BadParameter: There is no account of this name.
    """
    names = select_accounts(Settings.from_env(), account)
    if len(names) > 1:
        raise CommandError(f"choose an account: --account {' or '.join(names)}", Exit.USAGE)
    settings = settings_of(names[0])
    return settings.config(), settings


@contextmanager
def _passwords_masked(request: JSON, run: DryRun) -> Iterator[None]:
    """Mask the passwords of a request, and those that its processor chose, in the with-block."""
    with secret_scope():
        register_scoped_secrets(passwords_in(request))
        if run.decided is not None:
            register_scoped_secrets(passwords_set_by(run.decided, request))
        yield


def _read_request(file: Path) -> dict[str, JSON]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{file} is not JSON: {error}", Exit.USAGE) from error
    except RecursionError:
        raise CommandError(f"{file} has too many levels to be read", Exit.USAGE) from None
    if isinstance(document, dict) and "record" in document:
        # Written by `--record`.
        document = document.get("request")
    if not isinstance(document, dict) or not document.get("id"):
        raise CommandError(
            f"{file} contains no request: it must be a JSON object with an id", Exit.USAGE
        )
    return document


def _require_writable(record_file: Path) -> None:
    if not os.access(record_file.resolve().parent, os.W_OK):
        raise click.UsageError(f"--record: cannot write a file into {record_file.parent}.")
    if record_file.exists() and not record_file.is_file():
        raise click.UsageError(f"--record: {record_file} is not a file.")


def _warn_if_shared(record_file: Path) -> None:
    if record_file.exists() and stat.S_IMODE(record_file.stat().st_mode) & 0o077:
        text = "was open to other users of this machine. The new one has mode 0600."
        click.echo(f"{record_file} {text}", err=True)


def _offline_config() -> Config:
    """Return the configuration that the module has made or a script would read; no call leaves."""
    from connect_worker.config import Config
    from connect_worker.dry_run.transport import SANDBOX_URL

    try:
        return Config.get_instance()
    except (OSError, TypeError, ValueError):
        return Config.local(SANDBOX_URL, "SU-000-000-000:key-of-no-account")


def _has_account() -> bool:
    settings = Settings.from_env()
    return bool(settings.api_url or settings.config_file or settings.accounts)


def _fetch(config: Config, kind: RequestKind, request_id: str) -> dict[str, JSON]:
    from connect_worker.api.client import client_for
    from connect_worker.domain.kinds import path_of

    try:
        document: dict[str, JSON] = client_for(config).get(path_of(kind, request_id))
    except NotFound as error:
        raise CommandError(f"the account has no request {request_id}", Exit.NOT_DONE) from error
    except Message as error:
        raise CommandError(f"{request_id} can't be fetched: {error}", Exit.NO_ANSWER) from error
    return document


# ---- the result of `try`


def _try_validation(
    validation: type[Validation[Any]],
    request: JSON,
    config: Config,
    reads: Transport,
    record_file: Path | None,
    *,
    as_json: bool,
) -> Exit:
    from connect_worker.dry_run.record import without_secrets
    from connect_worker.dry_run.runner import dry_validation

    if record_file:
        raise click.UsageError("--record: validations are not recorded.")
    result = {"request": request.get("id"), "validation": validation.__name__, "errors": {}}
    with secret_scope():
        register_scoped_secrets(passwords_in(request))
        try:
            run = dry_validation(validation, request, config=config, reads=reads)
            result |= {"errors": dict(run.errors), "error": None}
            lines = [f"{name}: {_json(error)}" for name, error in run.errors.items()]
        except Exception as error:
            log.exception(LogEvent("try.validation_failed", request=request.get("id")))
            result["error"] = _describe(error)
            lines = [f"No result: {result['error']}", f"on_failure: {validation.on_failure}"]
        if as_json:
            write_json(without_secrets(result))
        else:
            heading = f"{result['request']}  validated by {validation.__name__}"
            click.echo("\n".join(map(sanitize, [heading, "", *(lines or ["No errors."])])))
    return Exit.NEEDS_ATTENTION if result["error"] else Exit.DONE


def run_document(automation: str, request: JSON, run: DryRun) -> dict[str, JSON]:
    """Return a dry run as JSON."""
    from connect_worker.dry_run.record import without_secrets

    document: dict[str, JSON] = without_secrets(
        {
            "request": request.get("id"),
            "automation": automation,
            "result": run.result,
            "state": run.state.value,
            "outcome": None if run.decided is None else to_json(run.decided),
            "error": None if run.error is None else _describe(run.error),
            "calls": [_call_document(call) for call in run.calls],
            "steps": dict(run.steps),
        }
    )
    return document


def render_run(automation: str, request: JSON, run: DryRun, *, is_online: bool) -> RenderableType:
    """Return a dry run for people."""
    name = sanitize(str(request.get("id")))
    what = " ".join(filter(None, [str(request.get("type") or ""), "by", automation]))
    parts: list[RenderableType] = [
        Text.assemble((name, "bold"), "  ", sanitize(what)),
        Text(),
        *_steps(run),
        *_decision(run),
        Text(),
        *_calls(run.calls),
    ]
    if not is_online:
        parts += [
            Text(),
            Text(
                "No account is set: the processor read from a sandbox without other requests.",
                "dim",
            ),
        ]
    return Group(*parts)


def _steps(run: DryRun) -> Iterator[RenderableType]:
    for name, result in run.steps.items():
        yield Text.assemble("Step      ", sanitize(name), (f"  {_json(result)}", "dim"))


def _decision(run: DryRun) -> Iterator[RenderableType]:
    if run.decided is not None:
        yield Text.assemble("Decision  ", (_action_name(run.decided), "bold green"))
        for name, value in to_json(run.decided).items():
            if name != "outcome" and value not in (None, "", []):
                yield Padding(Text(f"{name}: {_json(value)}"), (0, 0, 0, 10))
    elif run.error is not None:
        # In a column of its own, so that no part of it begins a line.
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(style="bold red", overflow="fold")
        grid.add_row("No decision", Text(sanitize(_describe(run.error))))
        yield grid
    yield Text.assemble("Then      ", sanitize(_next_state(run)))


def _next_state(run: DryRun) -> str:
    if run.error is not None and run.decided is None and run.state is not State.PARKED:
        return f"{run.state.value}: the worker would run the processor again later"
    # Connect may refuse the post, for example when a template does not exist.
    return f"{run.result}, if Connect accepts it" if run.calls else run.result


def _calls(calls: tuple[Call, ...]) -> Iterator[RenderableType]:
    if not calls:
        yield Text("Nothing would be sent to Connect.")
        return
    yield Text("Would be sent to Connect; nothing was:", "bold")
    for number, call in enumerate(calls, start=1):
        by = "  by the processor itself" if call.by == "processor" else ""
        yield Text.assemble(f"{number:3}. {call.method} {sanitize(call.path)}", (by, "dim"))
        if call.upload is not None:
            yield Padding(Text(f"{len(call.records)} usage records"), (0, 0, 0, 5))
        elif call.body is not None:
            yield Padding(Text(_json(call.body)), (0, 0, 0, 5))


def _call_document(call: Call) -> dict[str, Any]:
    document: dict[str, Any] = {
        "method": call.method,
        "path": call.path,
        "body": call.body,
        "idempotency_key": call.key,
        "by": call.by,
    }
    return document if call.upload is None else document | {"records": call.records}


def _action_name(outcome: Outcome) -> str:
    document = to_json(outcome)
    return str(document.get("action") or document["outcome"])


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _json(value: JSON) -> str:
    from connect_worker.dry_run.record import without_secrets

    return sanitize(json.dumps(without_secrets(value), ensure_ascii=False))


# ---- the result of `replay`


def _replay_one(
    automation: type[Automation[Any]], request: JSON, config: Config, settings: Settings
) -> dict[str, JSON]:
    from connect_worker.dry_run.requests import as_pending, difference
    from connect_worker.dry_run.runner import dry_run
    from connect_worker.dry_run.transport import LiveTransport

    kind, reads = automation.kind, LiveTransport(config, settings)
    run = dry_run(automation, as_pending(kind, request), config=config, reads=reads)
    with _passwords_masked(request, run):
        if run.decided is None and run.error is not None:
            text = f"was {request.get('status')}, now {_describe(run.error)}"
        else:
            text = difference(request, run.decided)
        return {
            "id": sanitize(str(request.get("id"))),
            "kind": kind.value,
            "automation": automation.__name__,
            "difference": sanitize(text),
        }


def _print_differences(total: int, different: list[dict[str, JSON]]) -> None:
    console = TerminalConsole()
    if different:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for row in different:
            table.add_row(row["id"], row["difference"])
        console.print(table)
    summary = f"{total} decided requests, {len(different)} would be decided differently."
    console.print(summary, highlight=False)

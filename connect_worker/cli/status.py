"""``connect-worker status``: how many requests are in each state, and what needs an operator."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import click
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connect_worker.cli.celery import see_workers
from connect_worker.cli.context import STYLES, CommandContext, Exit, example, multi_account_command
from connect_worker.devtools.processes import Interrupted, StopSignals
from connect_worker.domain.states import RequestKind
from connect_worker.exceptions import LedgerUnavailable
from connect_worker.observability.output import format_duration, local_time, sanitize
from connect_worker.operations.actions import describe_pauses
from connect_worker.operations.status import OPEN_STATES, StatusReport, Workers, read_status

#: Terminals of this width have room for the outcomes of the day in the table.
WIDE = 110

_NONE = Text("·", style="dim")


class StatusView:
    """A status report, drawn to the width of the terminal."""

    def __init__(self, report: StatusReport, *, footer: str = "") -> None:
        self._report = report
        self._footer = footer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        report = self._report
        wide = options.max_width >= WIDE
        parts: list[RenderableType] = [
            _table(report, wide=wide),
            Text(),
            _facts(report, wide=wide),
            Text(),
        ]
        if problems := report.problems():
            parts.append(Text("Needs attention", style="bold red"))
            parts += [Padding(Text(problem), (0, 0, 0, 2)) for problem in problems]
        else:
            parts.append(Text("All is well.", style="bold green"))
        if self._footer:
            parts += [Text(), Text(self._footer, style="dim")]
        yield Group(*parts)


def _table(report: StatusReport, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1 if wide else 0, 0, 0))
    table.add_column("Kind", style="bold", no_wrap=True)
    for state in OPEN_STATES:
        table.add_column(state.capitalize(), justify="right", no_wrap=True)
    for name in ("Oldest", "Polled"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("Ended today", overflow="fold")
    for kind, counts in report.counts.items():
        numbers = [(counts[state], STYLES[state]) for state in OPEN_STATES]
        table.add_row(
            kind.value,
            *(Text(str(number), style=style) if number else _NONE for number, style in numbers),
            *_times(report, kind),
            *([Text(_outcomes_today(report, kind))] if wide else []),
        )
    return table


def _outcomes_today(report: StatusReport, kind: RequestKind) -> str:
    return sanitize(", ".join(f"{name} {n}" for name, n in sorted(report.today[kind].items())))


def _times(report: StatusReport, kind: RequestKind) -> tuple[Text, Text]:
    oldest, poll = report.oldest[kind], report.polls.get(kind)
    age = Text(format_duration(report.at - oldest)) if oldest is not None else _NONE
    if poll is None:
        return age, Text("never", style="yellow")
    if not report.has_processor(kind):
        return age, Text("unused", style="dim")
    return age, Text(format_duration(report.at - poll.at), style="red" if poll.problem else "")


def _facts(report: StatusReport, *, wide: bool) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in _rows(report, wide=wide):
        grid.add_row(name, text)
    return grid


def _rows(report: StatusReport, *, wide: bool) -> Iterator[tuple[str, Text]]:
    if not wide:
        ended = [
            f"{kind}: {_outcomes_today(report, kind)}"
            for kind in report.counts
            if report.today[kind]
        ]
        yield "Ended today", Text("; ".join(ended) or "none")
    yield "Account", Text(report.breaker_text(), style="bold red" if report.is_breaker_open else "")
    if report.max_calls_per_second:
        yield "Rate limit", Text(f"{report.max_calls_per_second:g} calls per second")
    for line in describe_pauses(report.pauses, report.at):
        yield "Paused", Text(line, style="yellow")
    if report.workers and not report.workers.problem:
        names = [sanitize(name) for name in report.workers.names]
        yield "Workers", Text(f"{len(names)}: {', '.join(names)}" if names else "none answered")


WATCH_SECONDS = 2.0


@click.command(
    short_help="Show how many requests are in each state.",
    epilog=example(
        "connect-worker status",
        "connect-worker status --check --json > /dev/null || page-somebody",
    ),
)
@click.option("--check", is_flag=True, help="Exit with 1 if something needs attention.")
@click.option(
    "--workers/--no-workers", "ask", default=True, help="Also ask the workers; takes a second."
)
@click.option("--watch", is_flag=True, help="Redraw every two seconds, until Ctrl-C.")
@multi_account_command
def status(contexts: Sequence[CommandContext], *, check: bool, ask: bool, watch: bool) -> Exit:
    """Show how many requests of each kind are in each state, and what needs attention.

    Everything but the workers is read from the ledger. "Today" begins at midnight UTC.
    """
    if watch:
        if contexts[0].as_json or check or not contexts[0].console.is_terminal:
            raise click.UsageError("--watch is for a terminal, without --json and --check.")
        return _watch(contexts, ask=ask)
    # The ledger first: without it there is nothing to add the workers to.
    reports = [_read(context) for context in contexts]
    workers = see_workers() if ask else None
    reports = [replace(report, workers=workers) for report in reports]
    for context, report in zip(contexts, reports, strict=True):
        view = _with_heading(contexts, context, StatusView(report))
        context.print_result(report.document(), view)
    needs_attention = any(report.problems() for report in reports)
    return Exit.NEEDS_ATTENTION if check and needs_attention else Exit.DONE


def _read(context: CommandContext) -> StatusReport:
    report = read_status(
        context.ledger,
        poll_seconds=context.settings.poll_seconds,
        max_calls_per_second=context.settings.max_calls_per_second,
    )
    return replace(report, write_problem=context.ledger.write_problem())


def _with_heading(
    contexts: Sequence[CommandContext], context: CommandContext, view: RenderableType
) -> RenderableType:
    """Put the account's name above its status, where there are several accounts."""
    if len(contexts) == 1:
        return view
    end = () if context is contexts[-1] else (Text(),)
    return Group(context.heading(), view, *end)


def _watch(contexts: Sequence[CommandContext], *, ask: bool) -> Exit:
    """Redraw the status until Ctrl-C; a thread asks the workers in the background."""
    answers: list[Workers] = []
    stop = threading.Event()
    if ask:
        threading.Thread(target=_ask_workers, args=(answers, stop), daemon=True).start()
    with StopSignals() as signals, Live(console=contexts[0].console, auto_refresh=False) as live:
        try:
            while True:
                workers = answers[-1] if answers else None
                views = (
                    _with_heading(contexts, context, _live_view(context, workers))
                    for context in contexts
                )
                live.update(Group(*views), refresh=True)
                signals.wait(WATCH_SECONDS)
        except Interrupted:
            stop.set()
    return Exit.DONE


def _ask_workers(answers: list[Workers], stop: threading.Event) -> None:
    while not stop.is_set():
        answers[:] = [see_workers()]
        stop.wait(WATCH_SECONDS)


def _live_view(context: CommandContext, workers: Workers | None) -> RenderableType:
    """Return the status, or why it can't be read at the moment."""
    try:
        report = replace(_read(context), workers=workers)
    except LedgerUnavailable as error:
        return Text(sanitize(str(error)), style="bold red")
    return StatusView(report, footer=f"{local_time(report.at)}  Ctrl-C ends this.")

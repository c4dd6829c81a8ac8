"""``pause`` and ``resume``: a person holds processors back, and lets them go on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from connect_worker.cli.context import Desk, Exit, at_desk, example
from connect_worker.operations.pauses import NAMES, PRODUCT, lines_of, may_pause
from connect_worker.operations.request_details import documents_of_pauses


def _known(
    _context: click.Context, _parameter: click.Parameter, names: Sequence[str]
) -> Sequence[str]:
    """Refuse a name with a slip in it: it would pause nothing."""
    for name in names:
        if not may_pause(name):
            raise click.BadParameter(
                f"{name!r} is none of {', '.join(NAMES)}, and no product ({PRODUCT}…)"
            )
    return list(dict.fromkeys(names))


def _completed(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    return [name for name in (*NAMES, PRODUCT) if name.startswith(begun)]


_names = click.argument(
    "names",
    metavar="[all|KIND|PRODUCT]...",
    nargs=-1,
    required=True,
    callback=_known,
    shell_complete=_completed,
)


@click.command(
    epilog=example(
        "connect-worker pause PRD-000-000-001 --reason 'the vendor is down until 9'",
        "connect-worker pause all",
    )
)
@_names
@click.option("--reason", default="", metavar="TEXT", help="Why, for those who look.")
@at_desk
def pause(desk: Desk, *, names: Sequence[str], reason: str) -> None:
    """Hold processors back, over all workers, until `resume`.

    What runs already ends, and stored decisions are posted. Polls go on: what they see waits, and
    uses no attempt.
    """
    for name in names:
        desk.ledger.pause(name, reason=reason)
    in_force = desk.ledger.pauses()
    desk.answer({"paused": documents_of_pauses(in_force)})
    for line in lines_of(in_force, desk.ledger.now()):
        desk.say(f"Paused: {line}")


@click.command(epilog=example("connect-worker resume PRD-000-000-001", "connect-worker resume all"))
@_names
@at_desk
def resume(desk: Desk, *, names: Sequence[str]) -> Exit:
    """End pauses: the next sweep sends what waited to the workers.

    `resume all` ends the pause of the name `all`; those of kinds and products stay in force.
    """
    before = desk.ledger.pauses()
    resumed = {name: desk.ledger.resume(name) for name in names}
    unknown = [name for name in resumed if name not in before]
    left = desk.ledger.pauses()
    desk.answer({"resumed": resumed, "not_paused": unknown, "paused": documents_of_pauses(left)})
    for name, going_on in resumed.items():
        if name in before or going_on:
            desk.say(f"Resumed: {name}; {going_on} waiting go on with the next sweep")
        else:
            desk.say(f"{name} was not paused")
    for line in lines_of(left, desk.ledger.now()):
        desk.say(f"Still paused: {line}")
    return Exit.NOT_DONE if unknown else Exit.DONE

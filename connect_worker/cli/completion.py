"""``connect-worker completion``: what makes a shell complete this command's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Make a shell complete words.",
    epilog="\b\nExamples:\n"
    '  eval "$(connect-worker completion bash)"      # in ~/.bashrc; zsh likewise\n'
    "  connect-worker completion fish | source",
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, kinds and states."""
    root = context.find_root().command
    of_shell = get_completion_class(shell)
    assert of_shell is not None  # noqa: S101 - click has one for each of _SHELLS
    script = of_shell(root, {}, "connect-worker", "_CONNECT_WORKER_COMPLETE").source()
    click.echo(script)

"""``odyssey completion``: the script with which a shell completes what is typed after ``odyssey``."""

from __future__ import annotations

import sys

import click

from odyssey_tui.cli.printing import say_wrapped

VARIABLE = "_ODYSSEY_COMPLETE"
"""Where click looks for a shell's question; set only in the script."""
INSTALL = {
    "bash": "echo 'eval \"$(odyssey completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(odyssey completion zsh)\"' >> ~/.zshrc",
    "fish": "odyssey completion fish > ~/.config/fish/completions/odyssey.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, runs, experiments and configurations in SHELL.

    \b
    bash:  echo 'eval "$(odyssey completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(odyssey completion zsh)"' >> ~/.zshrc
    fish:  odyssey completion fish > ~/.config/fish/completions/odyssey.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)(context.find_root().command, {}, "odyssey", VARIABLE)
    click.echo(script.source(), nl=False)
    if sys.stdout.isatty():
        say_wrapped(f"# once, for every further shell: {INSTALL[shell]}")

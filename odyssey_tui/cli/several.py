"""Options that take several values in a row: ``--train A B C`` as well as ``--train A --train B --train C``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click


class SeveralCommand(click.Command):
    """A command whose options named in ``SEVERAL`` (declared with ``multiple=True``) go on until the next option."""

    SEVERAL: tuple[str, ...] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(repeat_option(args, self.SEVERAL)))


def repeat_option(arguments: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Put the option's name before each of its further values."""
    current = ""
    for number, argument in enumerate(arguments):
        if argument == "--":
            yield from arguments[number:]
            return
        if argument.startswith("-") and argument != "-":
            current = argument if argument in names else ""
            fresh = bool(current)
            yield argument
        elif current and not fresh:
            yield from (current, argument)
        else:
            fresh = False
            yield argument

"""Text taken out of Python files: docstrings alone, or code without them."""

from __future__ import annotations

import ast
import inspect
import unicodedata
import warnings
from collections.abc import Iterator

SHORTEST_DOCSTRING = 120
"""Characters; shorter docstrings are one-line labels rather than prose."""
_BRANCHES = ("body", "orelse", "handlers", "finalbody", "cases")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(source: str) -> str:
    """The longer docstrings of a module, dedented, in source order, blank lines between; empty when it has none."""
    found = [inspect.cleandoc(node.value.value) for node in _docstring_nodes(source)]
    return "".join(f"{text}\n\n" for text in found if len(text) >= SHORTEST_DOCSTRING)


def without_docstrings(source: str) -> str:
    """The module without the lines of its docstrings; empty when it does not parse."""
    lines = source.split("\n")
    dropped = {
        line for node in _docstring_nodes(source) for line in range(node.lineno - 1, node.end_lineno or node.lineno)
    }
    return "\n".join(line for number, line in enumerate(lines) if number not in dropped) if dropped else source


def long_description(metadata: str) -> str:
    """The body of a distribution's METADATA: its readme."""
    return metadata.partition("\n\n")[2]


def character_names(lines: int = 128) -> Iterator[tuple[str, int, str]]:
    """The Unicode character table this Python carries, as (first word of the names, piece, text of ``lines`` lines).

    A line is ``code;name;category;bidirectional class;decomposition``. Characters whose name is only their code
    (ideographs, syllables) are left out.
    """
    tables: dict[str, list[str]] = {}
    for code in range(0x110000):
        character = chr(code)
        name = unicodedata.name(character, "")
        if not name or name.endswith(f"-{code:04X}") or name.startswith("HANGUL SYLLABLE"):
            continue
        fields = (
            *(f"{code:04X}", name, unicodedata.category(character), unicodedata.bidirectional(character)),
            unicodedata.decomposition(character),
        )
        tables.setdefault(name.split(" ")[0], []).append(";".join(fields) + "\n")
    for word, table in tables.items():
        for piece in range(0, len(table), lines):
            yield word, piece // lines, "".join(table[piece : piece + lines])


def _docstring_nodes(source: str) -> list[ast.Expr]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    nodes = []
    for node in _blocks(tree):
        if isinstance(node, _DOCUMENTED) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                nodes.append(first)
    return sorted(nodes, key=lambda node: node.lineno)


def _blocks(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and every statement in it. Expressions, most of the tree, hold no docstrings."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        block = waiting.pop()
        yield block
        for branch in _BRANCHES:
            waiting.extend(getattr(block, branch, ()))

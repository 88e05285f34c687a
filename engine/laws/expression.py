"""Formulas as typed by people: parsed into a small tree of arithmetic; nothing is ever executed.

``E + A*N**-alpha + B*r**eta*D**-beta``: numbers, names, + - * / **, parentheses, and the functions in ``FUNCTIONS``.
Equal parts of a formula are one node of the tree, so that they are computed once.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.laws.errors import LawError
from store.names import suggest

VARIABLES: dict[str, str] = {
    "N": "n_params",
    "P": "ptpp",
    "D": "adapt_tokens",
    "atpp": "atpp",
    "rho": "replay_ratio",
    "r": "share",
    "L0": "zero_shot_loss",
    "Q": "quality",
}
"""Names that are data, and their columns; every other name is a parameter."""
P0 = "P0"
"""The geometric mean of the fitted P: a constant of the fit, in formulas as in the forms of the registry."""
ALIASES = {"ρ": "rho", "L_0": "L0", "P_0": P0}
FUNCTIONS = ("exp", "log", "log1p", "expm1", "sqrt", "tanh")
MOST_CHARACTERS, MOST_NODES = 4000, 400


class FormulaError(LawError):
    """A formula that cannot be read; ``column`` counts characters from 1."""

    def __init__(self, text: str, column: int, problem: str, hint: str = "") -> None:
        super().__init__(f"formula, column {column}: {problem}", hint)
        self.text = text
        self.column = column


@dataclass(frozen=True, eq=False)
class Node:
    """An operation: ``const`` (``value``), ``data`` and ``parameter`` (``name``), ``+ - * / **`` or a function."""

    kind: str
    inputs: tuple[Node, ...] = ()
    name: str = ""
    value: float = math.nan

    def walk(self) -> Iterator[Node]:
        """This node and all below it, each once, inputs before what is made of them."""
        seen: set[int] = set()

        def visit(node: Node) -> Iterator[Node]:
            if id(node) not in seen:
                seen.add(id(node))
                for part in node.inputs:
                    yield from visit(part)
                yield node

        return visit(self)

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of the nodes of a kind, in the order in which they appear."""
        return tuple(dict.fromkeys(node.name for node in self.walk() if node.kind == kind))


@dataclass
class Nodes:
    """Makes nodes; the same operation on the same inputs is the same node. Arithmetic on numbers is done at once."""

    known: dict[tuple, Node] = field(default_factory=dict)

    def const(self, value: float) -> Node:
        """A number."""
        return self._make("const", (), "", float(value))

    def leaf(self, kind: str, name: str) -> Node:
        """Data or a parameter."""
        return self._make(kind, (), name, math.nan)

    def apply(self, kind: str, *inputs: Node) -> Node:
        """An operation, simplified where an input is 0 or 1."""
        values = [part.value if part.kind == "const" else None for part in inputs]
        if kind == "+" and 0.0 in values:
            return inputs[1 - values.index(0.0)]
        if kind == "-" and values[1] == 0.0:
            return inputs[0]
        if kind == "*" and 0.0 in values:
            return self.const(0.0)
        if kind == "*" and 1.0 in values:
            return inputs[1 - values.index(1.0)]
        if (kind == "/" and values[1] == 1.0) or (kind == "**" and values[1] == 1.0):
            return inputs[0]
        if kind == "/" and values[0] == 0.0:
            return inputs[0]
        if kind in CONSTANT and None not in values:
            try:
                return self.const(CONSTANT[kind](*values))
            except (ArithmeticError, ValueError):
                pass  # told where it is evaluated
        return self._make(kind, inputs, "", math.nan)

    def negate(self, part: Node) -> Node:
        """-part."""
        return self.apply("*", self.const(-1.0), part)

    def _make(self, kind: str, inputs: tuple[Node, ...], name: str, value: float) -> Node:
        key = (kind, tuple(id(part) for part in inputs), name, value if kind == "const" else None)
        if key not in self.known:
            self.known[key] = Node(kind, inputs, name, value)
        return self.known[key]


CONSTANT = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: math.pow(a, b),
}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


def parse(text: str, define: Mapping[str, str] | None = None) -> Node:
    """The tree of a formula. ``define``: names that stand for formulas of their own, in the order of their use.

    Raises FormulaError with the column of what cannot be read.
    """
    nodes = Nodes()
    known: dict[str, Node] = {}
    for name, formula in (define or {}).items():
        if not name.isidentifier() or name in VARIABLES or name in FUNCTIONS or name == P0:
            raise LawError(f"{name!r} cannot be the name of a part of a formula.", "Use a word that means nothing yet.")
        try:
            known[name] = _Reader(formula, nodes, known).read()
        except FormulaError as error:
            raise FormulaError(formula, error.column, f"{_bare(error)} (in {name})", error.hint) from error
    root = _Reader(text, nodes, known).read()
    if early := next(
        (name for part in (*known.values(), root) for name in part.names("parameter") if name in known), None
    ):
        raise LawError(f"{early!r} is used above its definition.", "A part is made of parts that stand before it.")
    unused = set(known) - {name for name, part in known.items() if any(node is part for node in root.walk())}
    if unused:
        raise LawError(f"The formula does not use {', '.join(sorted(unused))}.", "Leave out what is not used.")
    if sum(1 for _ in root.walk()) > MOST_NODES:
        raise LawError(f"The formula has more than {MOST_NODES} operations.", "Simplify it.")
    return root


def _bare(error: FormulaError) -> str:
    return error.message.partition(": ")[2]


@dataclass
class _Reader:
    text: str
    nodes: Nodes
    known: Mapping[str, Node]

    def read(self) -> Node:
        if len(self.text) > MOST_CHARACTERS:
            raise FormulaError(self.text, MOST_CHARACTERS, f"longer than {MOST_CHARACTERS} characters", "Shorten it.")
        shift = len(self.text) - len(self.text.lstrip())
        if not self.text.strip():
            raise FormulaError(self.text, 1, "there is no formula", "Write one, for example E + A*N**-alpha.")
        try:
            tree = ast.parse(_line(self.text), mode="eval")
            return self.convert(tree.body, shift)
        except SyntaxError as error:
            column = error.offset + shift if error.offset and error.lineno == 1 else len(self.text)
            hint = "Products are written with *, powers with **: A*N**-alpha."
            raise FormulaError(self.text, min(column, len(self.text)), "cannot be read", hint) from error
        except (RecursionError, MemoryError, ValueError) as error:
            raise FormulaError(self.text, 1, "cannot be read: it is nested too deeply", "Simplify it.") from error

    def convert(self, tree: ast.expr, shift: int) -> Node:
        column = self.column(tree.col_offset, shift)
        match tree:
            case ast.BinOp() if type(tree.op) in OPERATORS:
                left, right = self.convert(tree.left, shift), self.convert(tree.right, shift)
                return self.nodes.apply(OPERATORS[type(tree.op)], left, right)
            case ast.BinOp(op=ast.BitXor(), left=ast.expr(end_col_offset=int(end))):
                column = self.text.find("^", self.column(end, shift) - 1) + 1
                raise FormulaError(self.text, column, "^ is no power", "Write powers with **: N**-alpha.")
            case ast.UnaryOp(op=ast.USub()):
                return self.nodes.negate(self.convert(tree.operand, shift))
            case ast.UnaryOp(op=ast.UAdd()):
                return self.convert(tree.operand, shift)
            case ast.Constant(value=int() | float()) if not isinstance(tree.value, bool):
                if not math.isfinite(tree.value):
                    raise FormulaError(self.text, column, "a number that is not finite")
                return self.nodes.const(tree.value)
            case ast.Name():
                return self.name(tree.id, column)
            case ast.Call(func=ast.Name(id=str(function)), args=[argument], keywords=[]):
                if function not in FUNCTIONS:
                    hint = suggest(function, FUNCTIONS, f"Functions: {', '.join(FUNCTIONS)}.")
                    raise FormulaError(self.text, column, f"there is no function {function!r}", hint)
                return self.nodes.apply(function, self.convert(argument, shift))
        raise FormulaError(
            self.text,
            column,
            "only numbers, names, + - * / **, parentheses and functions of one value are understood",
            f"Functions: {', '.join(FUNCTIONS)}.",
        )

    def column(self, offset: int, shift: int) -> int:
        """Column of a byte offset into what is parsed."""
        return len(_line(self.text).encode()[:offset].decode(errors="ignore")) + shift + 1

    def name(self, name: str, column: int) -> Node:
        name = ALIASES.get(name, name)
        if name in self.known:
            return self.known[name]
        if name in FUNCTIONS:
            raise FormulaError(self.text, column, f"{name} is a function", f"Write {name}(…).")
        return self.nodes.leaf("data" if name in VARIABLES or name == P0 else "parameter", name)


def _line(text: str) -> str:
    """What is parsed of a formula: one line, without the space around it."""
    return text.strip().replace("\n", " ")

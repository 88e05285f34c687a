"""Forms given as formulas: what they need, how their parameters are bounded and started, and how they are computed.

Coefficients whose bounds nobody gave are fitted as the size of their term at the centre of the data (as those of the
registry are): c' = c |g|, where g is the term without its coefficient at the references of ``Scales``. Everything else
is fitted in natural units.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from engine.laws.calculus import Dual, evaluate, find_linear
from engine.laws.errors import LawError
from engine.laws.expression import P0, VARIABLES, Node, parse
from engine.laws.features import Features, Scales
from engine.laws.form import Axis, Form, Parameter
from engine.laws.points import Floats
from engine.spec.law_form import LawForm, LawParameter
from store.names import suggest

LEVEL, POWER = (1e-6, 20.0), (0.01, 3.0)
"""Bounds of a term's size in nats, and of an exponent, where none are given: those of the registry's forms."""
LEVEL_START, POWER_START = (0.05, 3.0), (0.05, 1.2)
MOST_LINEAR = 6
"""Coefficients solved for at every start: all faces of their cone are tried."""
WIDE = 100.0
"""A positive parameter whose bounds are this far apart is fitted as a logarithm."""
SAW = {"zero_shot_loss": "its zero-shot loss", "quality": "its zero-shot loss on the base corpus"}


@dataclass(frozen=True)
class FormulaForm(Form):
    """L = ``root``. ``scaled``: coefficients fitted as the size of their term."""

    root: Node = field(default_factory=lambda: Node("const", value=0.0))
    scaled: tuple[str, ...] = ()

    def value(self, u: Floats, x: Features) -> Floats:
        result = self._natural(self._unscale(u, x.scales)[0], x, derive=False)
        return self._full(result.value, u, x)

    def value_and_jacobian(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        natural, slopes = self._unscale(u, x.scales)
        result = self._natural(natural, x, derive=True)
        jacobian = np.zeros((len(u), len(self.parameters), len(x.one)))
        for name, derivative in result.gradient.items():
            position = self.index[name]
            factor = np.exp(natural[:, position, None]) if self.parameters[position].log else 1.0
            jacobian[:, position] = derivative * factor
        for coefficient, by in slopes.items():
            mine = jacobian[:, self.index[coefficient]].copy()
            for name, slope in by.items():
                jacobian[:, self.index[name]] -= mine * slope[:, None]
        return self._full(result.value, u, x), jacobian

    def basis(self, u: Floats, x: Features) -> tuple[Floats, Floats]:
        unit = u.copy()
        for position in self.linear:
            unit[:, position] = -np.inf if self.parameters[position].log else 0.0
        natural, _ = self._unscale(unit, x.scales)
        result = self._natural(natural, x, derive=True)
        terms = self._terms(natural, x.scales)
        rows = []
        for position in self.linear:
            name = self.names[position]
            scale = np.exp(-terms[name][0])[:, None] if name in terms else 1.0
            rows.append(self._full(result.gradient[name] * scale, u, x))
        return self._full(result.value, u, x), np.stack(rows, axis=1)

    def to_natural(self, u: Floats, scales: Scales) -> Floats:
        return self._unscale(u.reshape(-1, u.shape[-1]), scales)[0].reshape(u.shape)

    def _natural(self, natural: Floats, x: Features, *, derive: bool) -> Dual:
        values = self.from_u(natural)
        parameters = {name: values[:, position, None] for name, position in self.index.items()}
        return evaluate(self.root, {**x.data, "L0": x.zero_shot}, parameters, derive=derive)

    def _full(self, values: Floats, u: Floats, x: Features) -> Floats:
        return np.broadcast_to(values, (len(u), len(x.one)))

    def _unscale(self, u: Floats, scales: Scales) -> tuple[Floats, dict[str, dict[str, Floats]]]:
        """Natural ``u``, and by scaled coefficient the derivatives (S,) of ln|g| with respect to the others' ``u``."""
        terms = self._terms(u, scales)
        if not terms:
            return u, {}
        natural = u.copy()
        for name, (log_size, _) in terms.items():
            natural[:, self.index[name]] -= log_size
        return natural, {name: slopes for name, (_, slopes) in terms.items()}

    def _terms(self, u: Floats, scales: Scales) -> dict[str, tuple[Floats, dict[str, Floats]]]:
        """By scaled coefficient, ln|g| (S,) at the centre of the data and its derivatives by the other parameters."""
        if not (scales.scaled and self.scaled):
            return {}
        centre = {name: np.array([value]) for name, value in scales.centre.items()}
        values = self.from_u(np.where(np.isneginf(u), 0.0, u))
        for name in self._coefficients:
            values[:, self.index[name]] = 0.0
        without = evaluate(self.root, centre, self._columns(values))
        terms = {}
        for name in self.scaled:
            values[:, self.index[name]] = 1.0
            alone = evaluate(self.root, centre, self._columns(values))
            values[:, self.index[name]] = 0.0
            # The derivative by the coefficient is the term itself, without the rounding of a difference.
            size = np.broadcast_to(without.gradient[name], (len(u), 1))[:, 0]
            usable = np.isfinite(size) & (np.abs(size) > 1e-150) & (np.abs(size) < 1e150)
            safe = np.where(usable, size, 1.0)
            slopes = {}
            for other in alone.gradient.keys() - set(self._coefficients):
                slope = alone.gradient[other] - without.gradient.get(other, 0.0)
                slope = np.broadcast_to(slope, (len(u), 1))[:, 0] / safe
                if self.parameters[self.index[other]].log:
                    slope = slope * values[:, self.index[other]]
                slopes[other] = np.where(usable & np.isfinite(slope), slope, 0.0)
            terms[name] = np.log(np.abs(safe)), slopes
        return terms

    def _columns(self, values: Floats) -> dict[str, Floats]:
        return {name: values[:, position, None] for name, position in self.index.items()}

    @cached_property
    def _coefficients(self) -> tuple[str, ...]:
        return tuple(self.names[position] for position in self.linear)


def build_form(definition: LawForm) -> FormulaForm:
    """The form that ``definition`` describes. Raises LawError for a formula or parameter that makes no sense."""
    root = parse(definition.formula, definition.define)
    names, data = root.names("parameter"), root.names("data")
    _require_sense(definition, names, data)
    linear = find_linear(root)[:MOST_LINEAR]
    places = _Places(root)
    parameters, scaled = [], []
    for name in names:
        given = definition.parameters.get(name, LawParameter())
        if name in linear:
            parameters.append(_coefficient(name, given, places))
            if given.bounds is None:
                scaled.append(name)
        else:
            parameters.append(_other(name, given, places))
    needs = tuple(VARIABLES[name] for name in VARIABLES if name in data or (name == "P" and P0 in data))
    form = FormulaForm(
        name=definition.name,
        formula=definition.formula.strip(),
        source=definition.source,
        parameters=tuple(parameters),
        needs=needs,
        roles=definition.roles,
        saw=next((SAW[column] for column in SAW if column in needs), "nothing"),
        root=root,
        scaled=tuple(scaled),
        definition=definition,
    )
    return _mark_exact(form)


def _require_sense(definition: LawForm, names: tuple[str, ...], data: tuple[str, ...]) -> None:
    data_like = {word.lower(): word for word in (*VARIABLES, *VARIABLES.values(), P0)}
    for name in names:
        meant = data_like.get(name.lower())
        if meant and name not in definition.parameters:
            symbol = next((symbol for symbol, column in VARIABLES.items() if column == meant), meant)
            raise LawError(
                f"The formula's {name!r} would be a parameter, though it looks like the data {symbol!r}.",
                f"Write {symbol}, or list {name} under parameters.",
            )
    if not names:
        raise LawError("The formula has no parameter: there is nothing to fit.", "Every name that is no data is one.")
    if not set(data) - {P0}:
        raise LawError(f"The formula reads no data: {', '.join(VARIABLES)} are data.", "For example N and D.")
    for name in definition.parameters:
        if name not in names:
            hint = "It is data: it has no bounds." if name in VARIABLES else suggest(name, names, "Leave it out.")
            raise LawError(f"parameters.{name} is not in the formula.", hint)


def _coefficient(name: str, given: LawParameter, places: _Places) -> Parameter:
    """A parameter that the law is linear in; positive unless its bounds say otherwise."""
    meaning = given.meaning or "coefficient"
    axis = places.axis_of_term(name)
    if given.bounds is None:
        return Parameter(name, meaning, LEVEL, LEVEL_START, log=True, linear=True, axis=axis)
    low, high = given.bounds
    start = given.start or (low, high)
    if low < 0:
        return Parameter(name, meaning, (low, high), start, linear=True, axis=axis)
    low = max(low, high * 1e-12)
    start = (max(start[0], low), min(max(start[1], low * 2), high))
    return Parameter(name, meaning, (low, high), start, log=True, linear=True, axis=axis, least=low)


def _other(name: str, given: LawParameter, places: _Places) -> Parameter:
    exponent = places.is_exponent(name)
    if exponent and given.bounds is None and given.start is None:
        bounds, start = POWER, POWER_START
    elif given.bounds is None and given.start is None:
        raise LawError(
            f"parameters.{name} needs bounds: it is neither a coefficient nor an exponent.",
            f"Give the values it may take: parameters: {{{name}: {{bounds: [1e-3, 1]}}}}",
        )
    else:
        bounds = given.bounds or _around(given.start or POWER_START)
        start = given.start or _inside(bounds)
    if not (bounds[0] <= start[0] and start[1] <= bounds[1]):
        raise LawError(
            f"parameters.{name}: the starts [{start[0]:g}, {start[1]:g}] leave the bounds "
            f"[{bounds[0]:g}, {bounds[1]:g}].",
            "Starts lie within the bounds.",
        )
    axis: Axis = places.axis_of_use(name)
    wide = bounds[0] > 0 and bounds[1] / bounds[0] >= WIDE and not exponent
    if exponent and not bounds[0] <= 0.0 <= bounds[1] and bounds != POWER:
        neutral = bounds[0]
    else:
        neutral = 0.0 if exponent else float(np.clip(1.0, *bounds))
    return Parameter(name, given.meaning or "parameter", bounds, start, log=wide, axis=axis, neutral=neutral)


def _around(start: tuple[float, float]) -> tuple[float, float]:
    """Bounds around starts: a hundred times wider for a positive parameter."""
    low, high = start
    return (low / 100.0, high * 100.0) if low > 0 else (low - 3 * (high - low), high + 3 * (high - low))


def _inside(bounds: tuple[float, float]) -> tuple[float, float]:
    """Starts within bounds: the middle half, of a wide positive range in logarithms."""
    low, high = bounds
    if low > 0 and high / low >= WIDE:
        return low**0.75 * high**0.25, low**0.25 * high**0.75
    return low + 0.25 * (high - low), high - 0.25 * (high - low)


class _Places:
    """Where the parameters of a tree stand."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.parents: dict[int, list[tuple[Node, int]]] = {}
        self.data: dict[int, frozenset[str]] = {}
        self.leaves: dict[str, Node] = {}
        for node in root.walk():
            own = frozenset([node.name]) if node.kind == "data" else frozenset()
            self.data[id(node)] = own.union(*(self.data[id(part)] for part in node.inputs))
            if node.kind == "parameter":
                self.leaves[node.name] = node
            for position, part in enumerate(node.inputs):
                self.parents.setdefault(id(part), []).append((node, position))

    def is_exponent(self, name: str) -> bool:
        """Whether every way from the root to the parameter goes through an exponent."""

        def inside(node: Node) -> bool:
            above = self.parents.get(id(node), [])
            return bool(above) and all(
                (parent.kind == "**" and position == 1) or inside(parent) for parent, position in above
            )

        return inside(self.leaves[name])

    def axis_of_term(self, name: str) -> Axis:
        """The only axis that a coefficient's term varies along."""
        node = self.leaves[name]
        while len(above := self.parents.get(id(node), [])) == 1 and above[0][0].kind in ("*", "/"):
            node = above[0][0]
        return _axis(self.data[id(node)])

    def axis_of_use(self, name: str) -> Axis:
        """The only axis along which a parameter matters: of an exponent that of its base, of an offset that of its sum.

        A factor (K in K·N**a) is a scale: it matters whatever its neighbours vary along.
        """
        node = self.leaves[name]
        kind = ""
        while not self.data[id(node)]:
            above = self.parents.get(id(node), [])
            if len(above) != 1:
                return ""
            node, kind = above[0][0], above[0][0].kind
        return _axis(self.data[id(node)]) if kind in ("+", "-", "**") else ""


def _axis(data: frozenset[str]) -> Axis:
    if data == {"N"}:
        return "N"
    if "P" in data and data <= {"P", "N", P0}:
        return "P"
    return "r" if data and data <= {"r", "rho"} else ""


def _mark_exact(form: FormulaForm) -> FormulaForm:
    """Say whether L = L0 at D = 0, by trying it."""
    if "zero_shot_loss" not in form.needs:
        return form
    rng = np.random.default_rng(0)
    low, high = (np.array([parameter.start[side] for parameter in form.parameters]) for side in (0, 1))
    values = low + rng.random((8, len(low))) * (high - low)
    data = {"N": 1e6, "P": 20.0, "D": 0.0, "atpp": 0.0, "rho": 0.3, "r": 0.7, "L0": 3.3, "Q": 2.9, "P0": 15.0}
    columns = {name: np.array([value]) for name, value in data.items()}
    parameters = {name: values[:, position, None] for name, position in form.index.items()}
    losses = evaluate(form.root, columns, parameters, derive=False).value
    return replace(form, exact_at_zero=bool(np.allclose(losses, 3.3, rtol=1e-9)))

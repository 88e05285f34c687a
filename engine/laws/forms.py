"""The registry of forms. Which are published and which are this project's own is said in each one's ``source``.

The equations of the PTPP-aware paper (arXiv 2510.23198) were not available: the ``ptpp_*`` forms are this project's
definitions in its terms (additive, gated, gated + floor), never "the paper's".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.laws.errors import LawError
from engine.laws.forgetting import ForgettingForm
from engine.laws.form import Form, Parameter, Scaling
from engine.laws.replay_odds import ReplayOddsForm
from engine.laws.sums import Powers, ShareFloor, SumForm
from engine.laws.zero_shot import ZeroShotForm
from store.names import suggest

if TYPE_CHECKING:
    from engine.spec.law_form import LawForm

LEVEL = (1e-6, 20.0)
"""Bounds of a coefficient: its term's size in nats per token at the centre of the data (ln of 262,144 token types is
12.5)."""
POWER = (0.01, 3.0)
EITHER_SIGN = (-3.0, 3.0)
OURS = "this project's form"
DCPT = "D-CPT, arXiv 2406.01375, L3"


def _level(name: str, meaning: str, *scaling: Scaling, axis: str = "") -> Parameter:
    return Parameter(name, meaning, LEVEL, (0.05, 3.0), log=True, linear=True, axis=axis, scaling=scaling)


def _power(name: str, meaning: str, axis: str = "", start: tuple[float, float] = (0.05, 1.2)) -> Parameter:
    return Parameter(name, meaning, POWER, start, axis=axis)


def _scale(*scaling: Scaling) -> Parameter:
    """K, the adaptation scale: D at which much of the way to the asymptote is gone."""
    size = (Scaling("", "d"), Scaling("a", "n", -1.0))
    meaning = "adaptation scale: tokens / parameters^a"
    return Parameter("K", meaning, (1e-5, 1e5), (0.03, 30.0), log=True, scaling=(*size, *scaling))


FLOOR = _level("E", "irreducible loss (nats)")
SIZE = (
    _level("A", "size term: nats × parameters^α", Scaling("alpha", "n"), axis="N"),
    _power("alpha", "exponent of the size N", "N"),
)
ADAPTATION = _level("B", "adaptation term: nats × tokens^β", Scaling("beta", "d"))
DECAY = _power("beta", "exponent of the adaptation tokens D")
SHARE = Parameter("eta", "exponent of the share r in the adaptation term", POWER, (0.05, 1.5), axis="r")
SHARE_FLOOR = (
    _level("C", "share floor (nats)", axis="r"),
    Parameter("eps", "offset of the share r", (1e-3, 1.0), (0.01, 0.7), log=True, axis="r", neutral=1.0),
    _power("gamma", "exponent of the share floor", "r"),
)
BUDGET = (
    _level("F", "pretraining floor: nats × tokens^φ", Scaling("phi", "pn"), axis="P"),
    _power("phi", "exponent of the pretraining tokens P·N", "P"),
)
GATE = Parameter("kappa", "exponent of the gate (P/P0)", EITHER_SIGN, (-0.5, 0.5), axis="P")

SCALE_SIZE = Parameter("a", "exponent of N in the adaptation scale", EITHER_SIGN, (-0.5, 1.5), axis="N")
SCALE_SHARE = Parameter("eta", "exponent of the share in the adaptation scale", EITHER_SIGN, (-1.0, 1.0), axis="r")
APPROACH = _power("beta", "exponent of the approach to the asymptote")

E, A_N = Powers("E"), Powers("A", (("alpha", -1.0, "ln_n"),))
B_D = Powers("B", (("beta", -1.0, "ln_d"),))
B_SHARE = Powers("B", (("beta", -1.0, "ln_d"),), "eta")
B_GATED = Powers("B", (("beta", -1.0, "ln_d"), ("kappa", 1.0, "ln_p")), "eta")
F_PN = Powers("F", (("phi", -1.0, "ln_pn"),))
C_SHARE = ShareFloor()
MIX = ("n_params", "adapt_tokens", "share")
MIX_P = (*MIX, "ptpp")

CHINCHILLA = SumForm(
    name="chinchilla",
    formula="E + A/N^α + B/D^β",
    source="Hoffmann et al., arXiv 2203.15556, eq. 2",
    parameters=(FLOOR, *SIZE, ADAPTATION, DECAY),
    needs=("n_params", "adapt_tokens"),
    falls_with=("N", "D"),
    terms=(E, A_N, B_D),
)
D_CPT = SumForm(
    name="dcpt",
    formula="E + A/N^α + B·r^η/D^β + C/(r+ε)^γ",
    source=DCPT,
    parameters=(FLOOR, *SIZE, ADAPTATION, DECAY, SHARE, *SHARE_FLOOR),
    needs=MIX,
    falls_with=("N", "D", "r"),
    terms=(E, A_N, B_SHARE, C_SHARE),
)
PTPP_ADDITIVE = SumForm(
    name="ptpp_additive",
    formula="E + A/N^α + F/(P·N)^φ + B·r^η/D^β + C/(r+ε)^γ",
    source=OURS,
    parameters=(FLOOR, *SIZE, *BUDGET, ADAPTATION, DECAY, SHARE, *SHARE_FLOOR),
    needs=MIX_P,
    falls_with=("N", "D", "r"),
    terms=(E, A_N, F_PN, B_SHARE, C_SHARE),
)
PTPP_GATED = SumForm(
    name="ptpp_gated",
    formula="E + A/N^α + (P/P0)^κ·B·r^η/D^β + C/(r+ε)^γ",
    source=OURS,
    parameters=(FLOOR, *SIZE, ADAPTATION, DECAY, SHARE, GATE, *SHARE_FLOOR),
    needs=MIX_P,
    falls_with=("N", "D", "r"),
    terms=(E, A_N, B_GATED, C_SHARE),
)
PTPP_GATED_FLOOR = SumForm(
    name="ptpp_gated_floor",
    formula="E + A/N^α + F/(P·N)^φ + (P/P0)^κ·B·r^η/D^β + C/(r+ε)^γ",
    source=OURS,
    parameters=(FLOOR, *SIZE, *BUDGET, ADAPTATION, DECAY, SHARE, GATE, *SHARE_FLOOR),
    needs=MIX_P,
    falls_with=("N", "D", "r"),
    terms=(E, A_N, F_PN, B_GATED, C_SHARE),
)
ZERO_SHOT = ZeroShotForm(
    name="zero_shot",
    formula="L∞ + (L0 − L∞)·(1 + D/Dc)^(−β), L∞ = E + A/N^α + F/(P·N)^φ + C/(r+ε)^γ, Dc = K·N^a·(P/P0)^κ/(r+ε)^η",
    source=OURS,
    parameters=(
        FLOOR,
        *SIZE,
        *BUDGET,
        *SHARE_FLOOR,
        _scale(),
        SCALE_SIZE,
        Parameter("kappa", "exponent of P in the adaptation scale", EITHER_SIGN, (-0.5, 0.5), axis="P"),
        SCALE_SHARE,
        APPROACH,
    ),
    needs=(*MIX_P, "zero_shot_loss"),
    terms=(E, A_N, F_PN, C_SHARE),
    exact_at_zero=True,
    saw="its zero-shot loss",
)
QUALITY = SumForm(
    name="quality",
    formula="E + F·Q^φ + Q^κ·N^ν·B·r^η/D^β + C/(r+ε)^γ, Q = zero-shot loss on the base corpus",
    source=OURS,
    parameters=(
        FLOOR,
        _level("F", "level per base-corpus loss: nats^(1−φ)", Scaling("phi", "q", -1.0)),
        _power("phi", "exponent of the base-corpus loss Q", start=(0.3, 2.5)),
        _level("B", "adaptation term", Scaling("beta", "d"), Scaling("kappa", "q", -1.0), Scaling("nu", "n", -1.0)),
        DECAY,
        SHARE,
        Parameter("kappa", "exponent of Q in the gate", EITHER_SIGN, (-0.5, 0.5)),
        Parameter("nu", "exponent of N in the gate", EITHER_SIGN, (-0.5, 0.5), axis="N"),
        *SHARE_FLOOR,
    ),
    needs=(*MIX, "quality"),
    terms=(
        E,
        Powers("F", (("phi", 1.0, "ln_q"),)),
        Powers("B", (("beta", -1.0, "ln_d"), ("kappa", 1.0, "ln_q"), ("nu", 1.0, "ln_n")), "eta"),
        C_SHARE,
    ),
    saw="its zero-shot loss on the base corpus",
)
QUALITY_LIMIT = ZeroShotForm(
    name="quality_limit",
    formula="L∞ + (L0 − L∞)·(1 + D/Dc)^(−β), L∞ = F·Q^φ·N^ν/(r+ε)^γ, Dc = K·N^a·Q^κ/(r+ε)^η",
    source=OURS,
    parameters=(
        _level("F", "asymptote: nats^(1−φ) / parameters^ν", Scaling("phi", "q", -1.0), Scaling("nu", "n", -1.0)),
        Parameter("phi", "exponent of the base-corpus loss Q in the asymptote", (0.01, 4.0), (0.3, 2.5)),
        Parameter("nu", "exponent of N in the asymptote", (-1.0, 1.0), (-0.1, 0.1), axis="N"),
        SHARE_FLOOR[1],
        Parameter("gamma", "exponent of the share in the asymptote", EITHER_SIGN, (0.0, 0.3), axis="r"),
        _scale(Scaling("kappa", "q", -1.0)),
        SCALE_SIZE,
        Parameter("kappa", "exponent of Q in the adaptation scale", (-15.0, 15.0), (-2.0, 6.0)),
        SCALE_SHARE,
        APPROACH,
    ),
    needs=(*MIX, "zero_shot_loss", "quality"),
    terms=(ShareFloor("F", exponents=(("phi", 1.0, "ln_q"), ("nu", 1.0, "ln_n"))),),
    exact_at_zero=True,
    saw="its zero-shot losses on both corpora",
    pretraining="ln_q",
)
QUALITY_SHARE = SumForm(
    name="quality_share",
    formula="E + B·Q^κ·N^ν·D^−β·(r+ε)^−(γ + g·ln Q)",
    source=OURS,
    parameters=(
        FLOOR,
        _level("B", "adaptation term", Scaling("beta", "d"), Scaling("kappa", "q", -1.0), Scaling("nu", "n", -1.0)),
        Parameter("kappa", "exponent of the base-corpus loss Q", (-4.0, 4.0), (-0.5, 1.5)),
        Parameter("nu", "exponent of N", EITHER_SIGN, (-0.5, 0.5), axis="N"),
        DECAY,
        SHARE_FLOOR[1],
        Parameter(
            "gamma", "exponent of the share", EITHER_SIGN, (-0.5, 0.5), axis="r", scaling=(Scaling("g", "q", -1.0),)
        ),
        Parameter("g", "how that exponent changes with ln Q", (-1.0, 1.0), (-0.2, 0.2), axis="r"),
    ),
    needs=(*MIX, "quality"),
    terms=(
        E,
        ShareFloor(
            "B", exponents=(("kappa", 1.0, "ln_q"), ("nu", 1.0, "ln_n"), ("beta", -1.0, "ln_d")), bend=("g", "ln_q")
        ),
    ),
    saw="its zero-shot loss on the base corpus",
)
REPLAY_ODDS = ReplayOddsForm(
    name="replay_odds",
    formula="L0·(1 + r·A/P)^−δ + G·(E − L0)·D^b·(P·N)^μ·((1−r)/(r·D + K·(P/P0)^c))^(b+μ)",
    source=OURS,
    parameters=(
        Parameter(
            "G",
            "forgetting: part of the way from L0 to E",
            (1e-4, 20.0),
            (0.05, 3.0),
            log=True,
            linear=True,
            scaling=(Scaling("mu", "d"), Scaling("mu", "pn", -1.0)),
        ),
        Parameter("E", "loss that forgetting leads to (nats)", (0.5, 20.0), (2.0, 12.0)),
        Parameter("b", "exponent of D without replay", (0.01, 2.0), (0.1, 0.8)),
        Parameter("mu", "exponent of the pretraining tokens P·N", EITHER_SIGN, (-0.1, 0.5)),
        Parameter(
            "K",
            "tokens that hold as replay does",
            (1e-6, 1e4),
            (1e-4, 1.0),
            log=True,
            axis="r",
            neutral=1.0,
            scaling=(Scaling("", "d"),),
        ),
        Parameter("c", "exponent of P in those tokens", EITHER_SIGN, (-1.0, 1.0), axis="P"),
        Parameter("delta", "exponent of pretraining gone on with", (0.0, 1.0), (0.02, 0.4), axis="r"),
    ),
    needs=(*MIX_P, "zero_shot_loss"),
    roles=("base",),
    exact_at_zero=True,
    saw="its zero-shot loss",
)
GADRE = SumForm(
    name="gadre",
    formula="E + (a·M^η + b·M^−η)·C^−η, M = D/N, C = 6·N·D",
    source="Gadre et al., arXiv 2403.08540, eq. 4",
    parameters=(
        FLOOR,
        _level("a", "size term", Scaling("eta", "n", 2.0), axis="N"),
        _level("b", "token term", Scaling("eta", "d", 2.0)),
        _power("eta", "exponent of the compute C", start=(0.02, 0.6)),
    ),
    needs=("n_params", "adapt_tokens"),
    # M^η·C^−η = 6^−η·N^−2η and M^−η·C^−η = 6^−η·D^−2η.
    terms=(
        E,
        Powers("a", (("eta", -2.0, "ln_n"), ("eta", -1.0, "ln_six"))),
        Powers("b", (("eta", -2.0, "ln_d"), ("eta", -1.0, "ln_six"))),
    ),
)
LIEW_KATO = SumForm(
    name="liew_kato",
    formula="A·D1^(−α1)·D^(−α2 + α3·ln D1) + E, D1 = P·N",
    source="Liew & Kato, arXiv 2510.06548",
    parameters=(
        FLOOR,
        _level("A", "scale", Scaling("alpha1", "pn"), Scaling("alpha2", "d"), Scaling("alpha3", "pn*d")),
        Parameter("alpha1", "exponent of D1", EITHER_SIGN, (-0.2, 0.6), scaling=(Scaling("alpha3", "d"),)),
        Parameter("alpha2", "exponent of D", EITHER_SIGN, (0.0, 0.6), scaling=(Scaling("alpha3", "pn"),)),
        Parameter("alpha3", "how the exponent of D falls with ln D1", (-1.0, 1.0), (-0.05, 0.05)),
    ),
    needs=("n_params", "ptpp", "adapt_tokens"),
    terms=(E, Powers("A", (("alpha1", -1.0, "ln_pn"), ("alpha2", -1.0, "ln_d"), ("alpha3", 1.0, "ln_pn_ln_d")))),
)
FORGETTING_PARAMETERS = (
    Parameter(
        "A",
        "rise of the base loss: nats × (parameters^α / tokens^β)",
        LEVEL,
        (0.05, 3.0),
        log=True,
        linear=True,
        scaling=(Scaling("beta", "d", -1.0), Scaling("alpha", "n")),
    ),
    _power("beta", "exponent of the adaptation tokens D"),
    _power("alpha", "exponent of the effective size (1 + Bρ)·N"),
    Parameter("B", "how replay counts as size", (1e-3, 1e6), (1.0, 1e4), log=True, axis="r"),
)
FORGETTING = ForgettingForm(
    name="forgetting",
    formula="L0 + A·D^β/((1 + B·ρ)·N)^α + E",
    source="Bethune et al., arXiv 2502.06042",
    parameters=(*FORGETTING_PARAMETERS, Parameter("E", "shift (nats)", (-2.0, 2.0), (0.0, 0.1), linear=True)),
    needs=("n_params", "adapt_tokens", "replay_ratio", "zero_shot_loss"),
    roles=("base",),
    saw="its zero-shot loss",
)
FORGETTING_PINNED = ForgettingForm(
    name="forgetting_pinned",
    formula="L0 + A·D^β/((1 + B·ρ)·N)^α",
    source="Bethune et al., arXiv 2502.06042, with E = 0 (exact at D = 0)",
    parameters=FORGETTING_PARAMETERS,
    needs=("n_params", "adapt_tokens", "replay_ratio", "zero_shot_loss"),
    roles=("base",),
    exact_at_zero=True,
    saw="its zero-shot loss",
    offset=False,
)

REGISTRY: dict[str, Form] = {
    form.name: form
    for form in (
        CHINCHILLA,
        D_CPT,
        PTPP_ADDITIVE,
        PTPP_GATED,
        PTPP_GATED_FLOOR,
        ZERO_SHOT,
        QUALITY,
        QUALITY_LIMIT,
        QUALITY_SHARE,
        REPLAY_ODDS,
        FORGETTING,
        FORGETTING_PINNED,
        GADRE,
        LIEW_KATO,
    )
}


def find_form(name: str) -> Form:
    """The form called ``name``; a LawError naming the nearest one otherwise."""
    if name in REGISTRY:
        return REGISTRY[name]
    raise LawError(f"There is no law form {name!r}.", suggest(name, REGISTRY, f"Forms: {', '.join(REGISTRY)}."))


def form_of(given: str | LawForm | Mapping[str, Any]) -> Form:
    """A form by its name in the registry, or by a user's definition (a ``LawForm`` or its content).

    Raises LawError for a name that is not there, one that is taken, and a formula that makes no sense.
    """
    if isinstance(given, str):
        return find_form(given)
    from engine.laws.formula import build_form
    from engine.spec.law_form import LawForm

    definition = given if isinstance(given, LawForm) else LawForm.model_validate(dict(given))
    if definition.name in REGISTRY:
        raise LawError(f"{definition.name!r} is a form of the registry.", "Give your form another name.")
    return build_form(definition)

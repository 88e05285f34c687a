"""The limits of a plan as typed text, and what they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.laws.planner import Limits
from odyssey_tui.services.format import count, parse_count
from odyssey_tui.services.plan import Asked
from store.errors import ConfigError

if TYPE_CHECKING:
    from odyssey_tui.services.plan import Problem
    from odyssey_tui.services.plan_basis import Model


@dataclass(frozen=True)
class Field:
    """One field of the form."""

    label: str
    example: str
    meaning: str

    @property
    def help(self) -> str:
        """What to type, for whoever is at the field."""
        return f"{self.meaning}; for example {self.example}"


NONE = "–"
"""Shown where a field is empty."""
FIELDS: dict[str, Field] = {
    "forgetting": Field("forget ≤", "0.05, 3%", "largest rise of the base loss: nats, or per cent of it"),
    "target": Field("target ≤", "2.6, -0.4", "largest target loss, or how far below its zero-shot value"),
    "flops": Field("compute ≤", "2e15, 10T", "largest compute 6·N·D, in FLOPs"),
    "tokens": Field("text ≤", "2M", "tokens of domain text there are"),
    "sure": Field("sure ≥", "90%", "least share of the draws in which the limits hold at the answer"),
    "size": Field("model", "8.1G", "size of the model: a label, or its parameters"),
    "ptpp": Field("PTPP", "64", "its pretraining tokens per parameter"),
    "atpp": Field("budget", "4", "ATPP at which the front is drawn"),
}


class FieldError(ConfigError):
    """A typed value that is none; ``field`` names it."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


def write_fields(asked: Asked, model: Model) -> dict[str, str]:
    """What was asked, as it would be typed."""
    limits = asked.limits
    return {
        "forgetting": as_percent(limits.forgetting_share) or typed(limits.forgetting),
        "target": f"-{asked.target_gain:g}" if asked.target_gain is not None else typed(limits.target_loss),
        "flops": "" if limits.flops is None else count(limits.flops),
        "tokens": "" if limits.target_tokens is None else count(limits.target_tokens),
        "sure": as_percent(limits.probability),
        "size": model.label,
        "ptpp": f"{model.ptpp:.6g}",
        "atpp": typed(asked.atpp),
    }


def typed(value: float | None) -> str:
    """A number as it is typed; nothing for None."""
    return "" if value is None else f"{value:g}"


def as_percent(share: float | None) -> str:
    """A share as it is typed; nothing for None."""
    return "" if share is None else f"{100 * share:.6g}%"


def read_fields(fields: Mapping[str, str], problem: Problem | None) -> Asked:
    """What the fields ask for. Raises FieldError for the first that is no number where one is needed."""
    forgetting, target = fields["forgetting"].strip(), fields["target"].strip().replace("−", "-")
    as_share = forgetting.endswith("%")
    rise = read_amount("forgetting", forgetting.removesuffix("%").strip(), least=0.0)
    reached = read_amount("target", target, least=None)
    gain = -reached if reached is not None and target.startswith("-") else None
    limits = Limits(
        forgetting=None if as_share else rise,
        forgetting_share=rise / 100 if as_share and rise is not None else None,
        target_loss=reached if gain is None else None,
        flops=read_amount("flops", fields["flops"], least=0.0),
        target_tokens=read_amount("tokens", fields["tokens"], least=0.0),
        probability=read_probability(fields["sure"]),
    )
    return Asked(
        limits,
        gain,
        problem,
        fields["size"].strip() or None,
        read_amount("ptpp", fields["ptpp"], above=0.0),
        read_amount("atpp", fields["atpp"], above=0.0),
    )


def read_probability(text: str) -> float | None:
    """``90%`` or ``0.9``."""
    percent = text.strip().endswith("%")
    value = read_amount("sure", text.strip().removesuffix("%"), least=0.0)
    if value is None:
        return None
    share = value / 100 if percent else value
    if share > 1:
        raise FieldError("sure", f"sure must be at most 100%, not {text}", f"For example {FIELDS['sure'].example}.")
    return share


def read_amount(field: str, text: str, *, least: float | None = None, above: float | None = None) -> float | None:
    """``2.5``, ``1e15``, ``10T``; None where nothing is typed."""
    text = text.strip()
    if not text:
        return None
    label, example = FIELDS[field].label.strip(" ≤≥"), FIELDS[field].example
    value = parse_count(text)
    if value is None:
        raise FieldError(field, f"{label} must be a number, not {text!r}", f"For example {example}.")
    if (least is not None and value < least) or (above is not None and value <= above):
        bound = f"at least {least:g}" if least is not None else f"above {above:g}"
        raise FieldError(field, f"{label} must be {bound}, not {text}", f"For example {example}.")
    return value

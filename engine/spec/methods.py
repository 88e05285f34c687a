"""The adapter methods there are, as plain data: what ``peft`` calls them and what they take of a ``Method``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.spec.run import MethodName

_LORA = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
_LYCORIS = {"rank": "r", "alpha": "alpha", "dropout": "rank_dropout"}


@dataclass(frozen=True)
class PeftMethod:
    """One method of the ``peft`` library."""

    config: str
    """Name of its configuration class in ``peft``."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Fields of ``Method`` it takes → arguments of ``config``; ``rank``, ``alpha`` and ``dropout`` not named here mean
    nothing to it."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``config``."""
    conv1d: bool = True
    """Whether it adapts GPT-2's transposed layers (Conv1D)."""
    quantized: bool = False
    """Whether it adapts layers whose weights bitsandbytes holds in 4 and in 8 bits, and is the same once it is merged
    into them dequantised: DoRA fails in 8 bits, and in 4 its losses moved by 0.2 % (peft 0.21, bitsandbytes 0.50)."""


PEFT_METHODS: dict[MethodName, PeftMethod] = {
    "lora": PeftMethod("LoraConfig", _LORA, quantized=True),
    "rslora": PeftMethod("LoraConfig", _LORA, {"use_rslora": True}, quantized=True),
    "dora": PeftMethod("LoraConfig", _LORA, {"use_dora": True}),
    "ia3": PeftMethod("IA3Config", quantized=True),
    "vera": PeftMethod("VeraConfig", {"rank": "r", "dropout": "vera_dropout"}, quantized=True),
    "loha": PeftMethod("LoHaConfig", _LYCORIS, conv1d=False),
    "lokr": PeftMethod("LoKrConfig", _LYCORIS, conv1d=False),
}
"""LoRA (2106.09685), rsLoRA (2312.03732), DoRA (2402.09353), (IA)³ (2205.05638), VeRA (2310.11454), LoHa (2108.06098),
LoKr (2309.14859)."""


def takes(name: MethodName, option: str) -> bool:
    """Whether a method knows ``rank``, ``alpha`` or ``dropout``; full fine-tuning knows none."""
    return name in PEFT_METHODS and option in PEFT_METHODS[name].options

"""Weights held in 4 or 8 bits by bitsandbytes while an adapter trains on them (QLoRA, 2305.14314)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from store.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engine.spec.run import Quantization


def quantized_loading(quantize: Quantization, device: str) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` that quantise while loading: 4 bits as in the paper (NF4, quantised constants,
    bfloat16 products), or 8 (LLM.int8, 2208.07339). ``ConfigError`` without bitsandbytes or a CUDA device."""
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"method.quantize: {quantize} needs bitsandbytes, which is not installed",
            "Install it (`pip install 'odyssey-tui[qlora]'`), or use quantize: none.",
        )
    if torch.device(device).type != "cuda":
        raise ConfigError(
            f"method.quantize: {quantize} needs a CUDA device, and this run is on {device}",
            "Give the run a GPU (resources.gpus_per_run), or use quantize: none.",
        )
    from transformers import BitsAndBytesConfig

    configs = {
        "4bit": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": torch.bfloat16,
        },
        "8bit": {"load_in_8bit": True},
    }
    return {"quantization_config": BitsAndBytesConfig(**configs[quantize]), "device_map": {"": device}}


def dequantize(model: PreTrainedModel) -> PreTrainedModel:
    """The same function with plain weights, which adapters can be merged into."""
    plain = model.dequantize()
    # What peft asks before it merges; transformers leaves them as they were.
    plain.is_loaded_in_4bit = plain.is_loaded_in_8bit = False
    return plain


def prepare_quantized(model: PreTrainedModel) -> None:
    """Freeze a quantised model and hold what is not quantised (norms, embeddings, output) in float32."""
    from peft import prepare_model_for_kbit_training

    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)

"""Where and in which precision a model computes, and what to say when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch

from store.errors import OdysseyError

Precision = Literal["fp32", "bf16"]


def compute_in(device: torch.device | str, precision: Precision) -> AbstractContextManager[None]:
    """Autocast to bfloat16 for ``bf16`` (weights stay float32), nothing for ``fp32``."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def explain_out_of_memory(hint: str) -> Iterator[None]:
    """Turn an accelerator that runs out of memory into an error with ``hint``."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OdysseyError(f"the device ran out of memory: {str(error).splitlines()[0]}", hint) from error

"""The example in docs/extending.md is a working measure."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from engine.similarity import measures
from engine.similarity.estimate import estimate

DOCUMENT = Path(__file__).parents[3] / "docs" / "extending.md"


def test_the_measure_in_the_documentation_works() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("## A similarity measure")[2].partition("\n## ")[0]
    example, entry = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names = dict(vars(measures))
    exec("from __future__ import annotations\n" + example, names)
    energy = eval(entry.strip().rstrip(","), names)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 12, 3))
    units = np.arange(12)
    found = estimate(energy, x, y + 1, units, units, measures.Scale(1.0, 0), resamples=50)

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.linalg.norm(p - q) for p in a for q in b]))

    assert found.value == pytest.approx(2 * mean(x, y + 1) - mean(x, x) - mean(y, y))
    assert found.low < found.value < found.high

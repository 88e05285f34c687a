"""The line that an adaptation in the foreground draws."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from odyssey_tui.services.adapt import progress_line

MOMENT = SimpleNamespace(
    spec=SimpleNamespace(name="adapt-poems-r0-p2-xs"),
    state=SimpleNamespace(state="running", phase="training", done=25, total=100, eta_s=130.0),
    values={"tokens_per_s": 39_100.0, "loss": 3.2141},
    note="",
)


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (None, "[4/4] adapt-poems-r0-p2-xs ███·········  25% training · 39.1k tokens/s · loss 3.214 · 2m10s left"),
        (96, "[4/4] adapt-poems-r0-p2-xs ███·········  25% training · 39.1k tokens/s · loss 3.214 · 2m10s left"),
        (90, "[4/4] adapt-poems-r0-p2-xs  25% training · 39.1k tokens/s · loss 3.214 · 2m10s left"),
        (79, "[4/4] adapt-poems-r0-p2-xs ███·········  25% training · loss 3.214 · 2m10s left"),
        (70, "[4/4] adapt-poems-r0-p2-xs  25% training · loss 3.214 · 2m10s left"),
        (20, "[4/4] adapt-poems-r0"),
    ],
)
def test_a_narrow_terminal_keeps_the_loss_and_the_time_left(width: int | None, told: str) -> None:
    assert progress_line(MOMENT, "[4/4]", width) == told

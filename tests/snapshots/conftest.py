"""Every picture is of a new session."""

from __future__ import annotations

import pytest

from odyssey_tui.plots.palette import RUNS


@pytest.fixture(autouse=True)
def _no_run_has_a_colour_yet() -> None:
    RUNS.clear()

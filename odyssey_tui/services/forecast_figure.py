"""A forecast as a figure, the same on the screen and on paper."""

from __future__ import annotations

from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.forecast import AXES, Forecast
from odyssey_tui.services.format import count


def draw_forecast(found: Forecast) -> Figure:
    """One curve per PTPP with its band; measured points filled, held-out ones hollow, anchors as diamonds."""
    figure = Figure(
        f"{found.role} loss on {found.domain} · {title_of(found)}",
        AXES[found.x],
        "loss (nats/token)",
        log_x=found.x != "replay_ratio",
        note=describe_slice(found),
    )
    for index, track in enumerate(found.tracks):
        if any(low == low for low in track.low):
            figure.band(track.x, track.low, track.high, color=index)
    for index, track in enumerate(found.tracks):
        label = f"P {track.ptpp:.3g}" + (" held out" if track.held_out else "")
        figure.line(track.x, track.loss, label, color=index, style="solid")
        for split, hollow, marker in (("fit", False, "●"), ("score", True, "●"), ("anchor", False, "◆")):
            marks = [mark for mark in found.marks if mark.track == index and mark.split == split]
            if marks:
                words = label if split != "anchor" else f"P {track.ptpp:.3g} anchors"
                x, y = [mark.x for mark in marks], [mark.loss for mark in marks]
                figure.scatter(x, y, words, color=index, hollow=hollow, marker=marker)
    return figure


def title_of(found: Forecast) -> str:
    """The form, and its anchors."""
    return f"{found.form} + {found.anchors} anchors" if found.anchors else found.form


def describe_slice(found: Forecast) -> str:
    """What is held fixed."""
    if found.at is None:
        return ""
    label = next((name for n, name in found.choices.sizes if n == found.at.n_params), count(found.at.n_params))
    parts = [] if found.x == "n_params" else [f"N {label}"]
    if found.x != "replay_ratio":
        parts.append(f"ρ {found.at.replay_ratio:g}")
    if found.x in ("replay_ratio", "n_params"):
        parts.append(f"ATPP {found.at.atpp:.3g}")
    return ", ".join(parts)

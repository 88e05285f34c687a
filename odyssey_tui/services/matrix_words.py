"""One cell of the matrix in full: what was measured, before and after, in every unit, and over which seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odyssey_tui.services.format import number, perplexity, signed
from odyssey_tui.services.matrix_values import VALUES

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.matrix import Entry, Matrix

NO_DOCUMENTS = "No interval: losses by document are not kept of every seed."


def tell_cell(matrix: Matrix, row: str, column: str) -> tuple[str, ...]:
    """The cell in sentences; of a blank one, why."""
    entry = matrix.entry(row, column)
    if row in matrix.zero_rows:
        return (tell_base(entry, row, column),)
    gap = next((gap.reason for gap in matrix.gaps if (row, column) in gap.places), "")
    if entry is None or gap:
        return (f"{name_cell(matrix, row, column)}: {gap or 'nothing was measured'}.",)
    per_token = matrix.fair is None or matrix.fair.per_token
    first = tell_losses(entry) if per_token else tell_bits(entry)
    further = [f"{tell_bits(entry)}."] if per_token else []
    return (f"{name_cell(matrix, row, column)}: {first}.", *further, tell_seeds(entry))


def name_cell(matrix: Matrix, row: str, column: str) -> str:
    """``adapted to law, on web``."""
    entry = matrix.entry(row, column)
    own = " (its own)" if entry is not None and entry.own else ""
    rows = f"adapted to {row}" if matrix.rows_by == "domain" else row
    return f"{rows}, on {column}{own}"


def tell_base(entry: Entry | None, row: str, column: str) -> str:
    """A base state on one text."""
    if entry is None:
        return f"{row} on {column}: nothing was measured."
    loss, bits = entry.summary(VALUES["zero-shot"]), entry.summary(VALUES["bits"])
    words = (
        [f"{row} on {column}: {number(loss.mean)} nats/token, PPL {number(perplexity(loss.mean), 2)}"] if loss else []
    )
    words += [f"{number(bits.mean)} bits/byte"] if bits else []
    models = len({score.run_id for score in entry.scores})
    return f"{', '.join(words) or f'{row} on {column}'}; {models} base model{'s' if models > 1 else ''}."


def tell_losses(entry: Entry) -> str:
    """``2.900 → 3.100 nats/token, ΔL +0.200, PPL 18.17 → 22.20 (× 1.221)``."""
    before, after, delta = (entry.summary(VALUES[name]) for name in ("zero-shot", "loss", "delta"))
    if after is None:
        return "the loss is not finite"
    if before is None or delta is None:
        return f"{number(after.mean)} nats/token, PPL {number(perplexity(after.mean), 2)}"
    ratio = perplexity(delta.mean)
    return (
        f"{number(before.mean)} → {number(after.mean)} nats/token, ΔL {signed(delta.mean)}, "
        f"PPL {number(perplexity(before.mean), 2)} → {number(perplexity(after.mean), 2)} (× {number(ratio)})"
    )


def tell_bits(entry: Entry) -> str:
    """``1.042 → 1.113 bits/byte (+0.072)``."""
    after, change = entry.summary(VALUES["bits"]), entry.summary(VALUES["delta-bits"])
    if after is None:
        return "bits per byte are not known"
    if change is None:
        return f"{number(after.mean)} bits/byte"
    return f"{number(after.mean - change.mean)} → {number(after.mean)} bits/byte ({signed(change.mean)})"


def tell_seeds(entry: Entry) -> str:
    """``ΔL by seed: 0 +0.180, 1 +0.200, 2 +0.220; sd .020``."""
    delta = entry.summary(VALUES["delta"])
    if len(entry.scores) == 1:
        seed = entry.scores[0].seed
        return "One seed." if seed is None else f"One seed ({seed})."
    each = ", ".join(f"{score.seed} {signed(score.delta)}" for score in entry.scores)
    apart = f"; sd {number(delta.sd)}" if delta is not None and delta.sd is not None else ""
    return f"ΔL by seed: {each}{apart}."


def tell_interval(entry: Entry, interval: MeanDifference | None) -> str:
    """``ΔL +0.200 [+0.189, +0.211]: 95 % bootstrap over 14 documents, the 3 seeds held fixed``."""
    if interval is None or interval.mean is None:
        return NO_DOCUMENTS if interval is None else f"No interval: {interval.reason}."
    if interval.low is None:
        return f"ΔL {signed(interval.mean)}, without an interval: {interval.reason}."
    seeds = f", the {len(entry.scores)} seeds held fixed" if len(entry.scores) > 1 else ""
    bounds = f"[{signed(interval.low)}, {signed(interval.high)}]"
    return f"ΔL {signed(interval.mean)} {bounds}: 95 % bootstrap over {interval.n} documents{seeds}."

"""What a comparison of repairs says in sentences, no stronger than its intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import number, signed
from odyssey_tui.services.matrix_export import cell_text
from odyssey_tui.services.matrix_values import VALUES, Summary
from odyssey_tui.services.repairs_against import OVER_SEEDS
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from odyssey_tui.services.figure_export import Exportable
    from odyssey_tui.services.repairs import Repair, Repairs
    from odyssey_tui.services.repairs_against import Against

BEST = "*"
"""Beside the lowest mean of a column."""
NO_PLAIN = (
    "Nothing among them is plain fine-tuning (no variant, no replay): --plain FILTER chooses what to compare with."
)


def tell_repairs(found: Repairs) -> list[str]:
    """The best on the domain and on the base text, what is known of their difference to plain fine-tuning, and where
    there is a trade."""
    if len(found.rows) < 2:
        return ["One way to adapt only: nothing to compare it with."] if found.rows else []
    sentences = [] if found.plain is not None else [NO_PLAIN]
    for text, name in (("target", found.text), ("base", "the base text")):
        best = found.best(text)
        if best is not None:
            sentences.append(tell_best(found, best, text, name))
    if found.plain is not None:
        sentences.append(tell_both(found))
    return sentences


def tell_best(found: Repairs, best: Repair, text: str, name: str) -> str:
    """``Lowest ΔL on law: kl (−1.050±.020); below plain, −0.050 [−0.080, −0.020] (t, 3 seeds).``"""
    summary = getattr(best, text)
    head = f"Lowest ΔL on {name}: {best.label} ({delta_text(summary)})"
    if best.is_plain:
        return f"{head}."
    against: Against | None = getattr(best, f"against_{text}")
    if against is None:
        return f"{head}."
    # The lowest of several is chosen by the same numbers that it is judged by.
    measured = sum(getattr(row, text) is not None for row in found.rows)
    chosen = f"; chosen of {measured} by the same numbers" if measured > 2 and against.differs else ""
    return f"{head}; {tell_against(against, found.called)}{chosen}."


def tell_row(found: Repairs, row: Repair) -> str:
    """One way beside the plain one, on both texts; of that one, what it is."""
    if row.is_plain or found.plain is None:
        return f"{row.label}: {row.words}."
    told = [
        f"on {name} {tell_against(against, found.called)}"
        for name, against in ((found.text, row.against_target), ("the base text", row.against_base))
        if against is not None
    ]
    return f"{row.label}: {'; '.join(told) or f'no seed in common with {found.called}'}."


def tell_against(against: Against, other: str) -> str:
    """``below plain, −0.050 [−0.080, −0.020] (t, 3 seeds)``."""
    numbers = against_text(against)
    if against.low is None:
        return f"{numbers} against {other}, without an interval ({against.how})"
    if not against.differs:
        return f"not told apart from {other}, {numbers} ({against.how})"
    return f"{'below' if against.mean < 0 else 'above'} {other}, {numbers} ({against.how})"


def tell_both(found: Repairs) -> str:
    """Which ways are below plain on both texts by their intervals."""
    both = [row.label for row in found.rows if _below(row.against_target) and _below(row.against_base)]
    if both:
        return f"Below {found.called} on both texts, by their intervals: {', '.join(both)}."
    return f"No way is below {found.called} on both texts by its intervals."


def _below(against: Against | None) -> bool:
    return against is not None and against.differs and against.mean < 0


def delta_text(summary: Summary | None, *, spread: bool = True) -> str:
    """``−1.000±.020``, the standard deviation over seeds beside the mean; ``–`` where there is nothing."""
    return cell_text(VALUES["delta"], summary, "sd" if spread else "none") or "–"


def against_text(against: Against | None) -> str:
    """``−0.050 [−0.080, −0.020]``."""
    if against is None:
        return "–"
    if against.low is None:
        return signed(against.mean)
    return f"{signed(against.mean)} [{signed(against.low)}, {signed(against.high)}]"


def record_of(row: Repair, found: Repairs) -> dict[str, Any]:
    """A row as plain values: means, standard deviations, differences with their intervals."""
    content: dict[str, Any] = {"repair": row.label, **row.ways, "plain": row.is_plain, "n_seeds": row.n_seeds}
    for name in ("target", "of_class", "rest", "base"):
        summary: Summary | None = getattr(row, name)
        content[name] = summary.mean if summary else None
        content[f"{name}_sd"] = summary.sd if summary else None
    content["ppl_ratio"] = row.ppl_ratio
    for text in ("target", "base"):
        against: Against | None = getattr(row, f"against_{text}")
        prefix = f"{text}_against_plain"
        content |= {
            prefix: against.mean if against else None,
            f"{prefix}_low": against.low if against else None,
            f"{prefix}_high": against.high if against else None,
            f"{prefix}_over": against.how if against else None,
        }
    return {
        **content,
        "best_target": row is found.best("target"),
        "best_base": row is found.best("base"),
        "before": row.before,
        "after": row.after,
        "runs": " ".join(row.run_ids),
    }


def head_of(found: Repairs) -> str:
    """What the rows are ways of."""
    return f"Ways to adapt to {found.domain}" + (f", scored on {found.text}" if found.text != found.domain else "")


def effect_columns(found: Repairs) -> list[Column]:
    """What each way did."""
    return [
        Column("repair", "repair"),
        Column("n_seeds", "seeds", drop=2),
        Column("target", f"ΔL {found.text}", right=True),
        Column("of_class", "+".join(found.classes), right=True),
        Column("rest", "rest", right=True),
        Column("base", "ΔL base", right=True),
        Column("ppl_ratio", "PPL ×", number, drop=1),
    ]


def against_columns(found: Repairs) -> list[Column]:
    """How each way differs from the plain one."""
    return [
        Column("repair", f"against {found.called}"),
        Column("against_target", "ΔL", right=True),
        Column("against_base", "ΔL base", right=True),
        Column("over", "over", drop=1),
    ]


def effect_rows(found: Repairs, *, aligned: bool = True) -> list[dict[str, Any]]:
    """Rows of texts; the lowest mean of each loss is starred, ``aligned`` keeps room for the star elsewhere."""
    best = {name: found.best(name) for name in ("target", "base")}
    rows = []
    for row in found.rows:
        stars = {name: BEST if row is best[name] and len(found.rows) > 1 else " " * aligned for name in best}
        against = [one for one in (row.against_target, row.against_base) if one is not None]
        over = dict.fromkeys(one.how if one.over == OVER_SEEDS else one.over for one in against)
        rows.append(
            {
                "repair": row.label,
                "n_seeds": row.n_seeds,
                "target": delta_text(row.target) + stars["target"],
                "of_class": delta_text(row.of_class, spread=False),
                "rest": delta_text(row.rest, spread=False),
                "base": delta_text(row.base) + stars["base"],
                "ppl_ratio": row.ppl_ratio,
                "against_target": against_text(row.against_target),
                "against_base": against_text(row.against_base),
                "over": ", ".join(over),
            }
        )
    return rows


def record(found: Repairs) -> dict[str, Any]:
    """The whole comparison as plain values."""
    return {
        "domain": found.domain,
        "set": found.text,
        "cell": dict(found.cell.values) if found.cell else None,
        "cell_text": found.cell_text,
        "classes": list(found.classes),
        "compared_with": found.plain.words if found.plain else None,
        "rows": [record_of(row, found) for row in found.rows],
        "sentences": tell_repairs(found),
        "notes": list(found.notes),
        "reason": found.reason,
        "hint": found.hint,
    }


def exportable(found: Repairs) -> Exportable:
    """What ``E`` writes: every value as CSV, the table as LaTeX, everything as JSON."""
    from odyssey_tui.services.figure_export import Exportable

    rows = [record_of(row, found) for row in found.rows]
    wide = [*effect_columns(found), *against_columns(found)[1:]], effect_rows(found, aligned=False)
    return Exportable(
        f"repairs-{found.domain}",
        columns=[Column(key) for key in rows[0]] if rows else (),
        rows=rows,
        record=record(found) if rows else None,
        wide=wide,
    )

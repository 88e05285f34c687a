"""The same questions by pandas on the same files, as people would: ``python -m bench.tokening.pandas_parquet SETTING``.

The columns that a question needs are read for every question. Rows are taken to correspond, without a check.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.harness import leave_result
from bench.storing.setting import CLASSES, VOCABULARY, Setting, token_types
from bench.tokening.questions import timed

PASSAGE = 64


def main() -> None:
    setting = Setting.read(sys.argv[1])
    names = [Path(setting.root) / f"{name}.parquet" for name in setting.texts[0].evaluations]
    leave_result(ask(names, int(token_types()[1][0])))


def ask(names: list[Path], token_id: int) -> dict[str, Any]:
    """Seconds of every question, and what the answers are compared by."""

    def read(*columns: str) -> pd.DataFrame:
        """Columns of the text, and ``delta`` in float64 where something was predicted."""
        frame = pd.read_parquet(names[0], columns=[*columns, "loss"]).rename(columns={"loss": "before"})
        frame["after"] = pd.read_parquet(names[1], columns=["loss"])["loss"]
        frame["delta"] = frame["after"].astype(np.float64) - frame["before"]
        return frame[frame["delta"].notna()]

    def ledger() -> pd.DataFrame:
        frame = read("token_id", "token")
        grouped = frame.astype({"before": np.float64, "after": np.float64}).groupby("token_id")
        found = grouped[["before", "after", "delta"]].sum()
        found["count"] = grouped.size()
        found["text"] = frame.drop_duplicates("token_id").set_index("token_id")["token"]
        return found.sort_values("delta", ascending=False)

    def passages(frame: pd.DataFrame) -> pd.Series:
        return frame.groupby(frame.index // PASSAGE)["delta"].sum().nlargest(200)

    def positions(frame: pd.DataFrame) -> pd.DataFrame:
        bucket = frame.index % 1024 // 16 * 16
        return frame.astype({"before": np.float64, "after": np.float64}).groupby(bucket)[["before", "after"]].mean()

    def classes(frame: pd.DataFrame) -> pd.DataFrame:
        classes = pd.Categorical.from_codes(np.arange(VOCABULARY) % len(CLASSES), CLASSES)
        own = classes[frame["token_id"].to_numpy()]
        return frame.groupby([frame["document"], own], observed=True)["delta"].agg(["count", "sum"])

    def details() -> None:
        frame = read("token_id", "document")
        passages(frame), positions(frame), classes(frame)

    def of_type() -> pd.Series:
        frame = read("token_id")
        return passages(frame[frame["token_id"] == token_id])

    ledger_s, types = timed(ledger)
    passages_s, worst = timed(lambda: passages(read()))
    positions_s, curve = timed(lambda: positions(read()))
    classes_s, by_class = timed(lambda: classes(read("token_id", "document")))
    details_s, _ = timed(details)
    type_s, changed = timed(of_type)
    predicted = int(types["count"].sum())
    return {
        "ledger_s": ledger_s,
        "passages_s": passages_s,
        "positions_s": positions_s,
        "classes_s": classes_s,
        "details_s": details_s,
        "type_s": type_s,
        "delta": float(types["delta"].sum() / predicted),
        "worst": float(worst.iloc[0]),
        "curve": float(curve["after"].mean()),
        "by_class": float(by_class.groupby(level=1, observed=True)["sum"].sum().abs().sum() / predicted),
        "type_worst": float(changed.iloc[0]),
    }


if __name__ == "__main__":
    main()

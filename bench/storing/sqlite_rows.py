"""SQLite as people would: a row for each predicted token under evaluation and place, tokens once for each text."""

from __future__ import annotations

import sqlite3
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import leave_result
from bench.storing.setting import CHUNK, CLASSES, VOCABULARY, Setting
from bench.storing.words import say

SCHEMA = """
CREATE TABLE texts.tokens (text INTEGER, place INTEGER, token_id INTEGER, document INTEGER, PRIMARY KEY (text, place))
    WITHOUT ROWID;
CREATE TABLE losses (evaluation INTEGER, place INTEGER, loss REAL, PRIMARY KEY (evaluation, place)) WITHOUT ROWID;
CREATE TABLE evaluations (evaluation INTEGER PRIMARY KEY, text INTEGER);
CREATE TABLE vocabulary (token_id INTEGER PRIMARY KEY, class TEXT);
"""
GROUPED = """
SELECT t.{key}, count(*), sum(b.loss), sum(a.loss) FROM tokens t
JOIN losses b ON b.evaluation = 0 AND b.place = t.place JOIN losses a ON a.evaluation = 1 AND a.place = t.place
WHERE t.text = 0 GROUP BY t.{key}
"""
QUESTIONS = {
    "ledger": GROUPED.format(key="token_id"),
    "documents": GROUPED.format(key="document"),
    "ppl": "SELECT evaluation, count(*), sum(loss) FROM losses GROUP BY evaluation",
    "masked": "SELECT evaluation, avg(loss) FROM losses JOIN evaluations USING (evaluation) "
    "JOIN tokens USING (text, place) JOIN vocabulary USING (token_id) "
    "WHERE class NOT IN ('newline', 'punctuation') GROUP BY evaluation",
    "passages": "SELECT b.place / 64 AS passage, sum(a.loss - b.loss) AS rise FROM losses b JOIN losses a USING (place)"
    " WHERE b.evaluation = 0 AND a.evaluation = 1 GROUP BY passage ORDER BY rise DESC LIMIT 100",
}


def main() -> None:
    setting = Setting.read(sys.argv[1])
    path = Path(setting.root) / "losses.sqlite"
    con = sqlite3.connect(path)
    con.execute("ATTACH ? AS texts", (str(path.with_name("texts.sqlite")),))
    con.execute("PRAGMA journal_mode = WAL")
    con.executescript(SCHEMA)
    con.executemany("INSERT INTO vocabulary VALUES (?, ?)", [(n, CLASSES[n % len(CLASSES)]) for n in range(VOCABULARY)])
    seconds = _fill(setting, con)
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    found: dict[str, Any] = {
        "ingest_s": seconds,
        "rows_per_s": setting.losses / seconds,
        "bytes_per_loss": size / setting.losses,
        "bytes_per_loss_with_sums": size / setting.losses,
    }
    answers = {}
    for name, question in QUESTIONS.items():
        times = []
        for _ in range(3):
            started = time.perf_counter()
            answers[name] = con.execute(question).fetchall()
            times.append(time.perf_counter() - started)
        found[f"{name}_s"] = statistics.median(times)
        say(f"SQLite, {name}: {found[f'{name}_s'] * 1000:,.0f} ms")
    ledger = np.array([row[1:] for row in answers["ledger"]])
    found["sum_loss"] = sum(row[2] for row in answers["ppl"])
    found["masked_loss"] = sum(row[1] for row in answers["masked"])
    found["delta"] = float((ledger[:, 2] - ledger[:, 1]).sum() / ledger[:, 0].sum())
    leave_result(found)


def _fill(setting: Setting, con: sqlite3.Connection) -> float:
    seconds, evaluation = 0.0, 0
    for text in setting.texts:
        for place in range(len(text.evaluations)):
            con.execute("INSERT INTO evaluations VALUES (?, ?)", (evaluation + place, text.number))
        for chunk in range(text.chunks):
            ids, documents = text.tokens(chunk)
            base = text.base(chunk, ids)
            places = np.arange(len(ids)) + chunk * CHUNK
            columns = (places.tolist(), ids.tolist(), documents.tolist())
            con.executemany(f"INSERT INTO tokens VALUES ({text.number}, ?, ?, ?)", zip(*columns, strict=True))
            for place in range(len(text.evaluations)):
                losses = text.losses(place, chunk, base)
                there = ~np.isnan(losses)
                rows = zip(places[there].tolist(), losses[there].tolist(), strict=True)
                started = time.perf_counter()
                con.executemany(f"INSERT INTO losses VALUES ({evaluation + place}, ?, ?)", rows)
                con.commit()
                seconds += time.perf_counter() - started
        evaluation += len(text.evaluations)
        say(f"SQLite: {text.name} written, {seconds:.1f} s so far")
    return seconds


if __name__ == "__main__":
    main()

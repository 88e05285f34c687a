"""The token ledger of a pair of long evaluations: the Tokens screen until its first rows, and every question behind it.

Generated losses (``bench.storing.setting``) of one text before and after, in a workspace and, the same, in two Parquet
files as ``odyssey evaluate --per-token`` writes them. pandas reads the files; ours reads the workspace, and the files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Comparison, Contender, Measured, Metric, alternate, arguments, conclude
from bench.storing.setting import Setting

ROOT = Path(__file__).resolve().parent.parent
SCREEN, STORED, FILES, PANDAS = "odyssey, screen", "odyssey, workspace", "odyssey, files", "pandas on Parquet"
SCRIPTS = {
    STORED: "bench.tokening.stored",
    FILES: "bench.tokening.files",
    PANDAS: "bench.tokening.pandas_parquet",
    SCREEN: "bench.tokening.screen",
}
GOAL = "first rows ≤ 0.5 s at 10 M tokens"
ASKED = (
    Metric("ledger_s", "ledger", "s", more_is_better=False),
    Metric("passages_s", "worst passages", "s", more_is_better=False),
    Metric("positions_s", "position curve", "s", more_is_better=False),
    Metric("classes_s", "documents by class", "s", more_is_better=False),
    Metric("details_s", "these three", "s", more_is_better=False),
    Metric("type_s", "passages of a type", "s", more_is_better=False),
    Metric("passage_s", "a passage's text", "s", more_is_better=False),
    Metric("process_peak_mib", "peak memory", "MiB", more_is_better=False),
)
SEEN = (
    Metric("first_rows_s", "first rows", "s", more_is_better=False),
    Metric("first_rows_cpu_s", "of it processor", "s", more_is_better=False),
    Metric("again_s", "rows of another visit", "s", more_is_better=False),
    Metric("mask_s", "a mask", "s", more_is_better=False),
    Metric("passage_shown_s", "worst passage", "s", more_is_better=False),
    Metric("interval_s", "intervals", "s", more_is_better=False),
    Metric("next_s", "J", "s", more_is_better=False),
    Metric("type_shown_s", "Enter on a type", "s", more_is_better=False),
    Metric("process_peak_mib", "peak memory", "MiB", more_is_better=False),
)
APART = ("delta", "worst", "curve", "by_class", "type_worst")


def main() -> None:
    parser = arguments("tokens", __doc__.splitlines()[0])
    parser.add_argument(
        "--tokens", metavar="N", type=lambda text: int(float(text)), default=10_000_000, help="of the text"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to work (a temporary folder without)")
    options = parser.parse_args()
    tokens = max(options.tokens // 10 if options.quick else options.tokens, 100_000)
    with tempfile.TemporaryDirectory(prefix="bench-tokens-", dir=options.folder) as folder:
        setting = Setting(2 * tokens, folder, sweep=False)
        setting.write()
        environment = {"PYTHONPATH": str(ROOT)}
        print("  … writing the evaluations", file=sys.stderr, flush=True)
        prepare = [sys.executable, "-m", "bench.tokening.prepare", str(setting.path)]
        subprocess.run(prepare, check=True, env={**os.environ, **environment})
        contenders = [
            Contender(name, (sys.executable, "-m", module, str(setting.path)), environment)
            for name, module in SCRIPTS.items()
        ]
        measured = {one.name: one for one in alternate(contenders, 1 if options.quick else 3)}
    asked = tuple(measured[name] for name in (STORED, FILES, PANDAS))
    title = f"two evaluations of {tokens:,} tokens"
    conclude(
        "tokens",
        [
            Comparison(f"{title}: the Tokens screen, from the key", (measured[SCREEN],), SEEN, "", GOAL),
            Comparison(f"{title}: questions", asked, ASKED, PANDAS, notes=tuple(_equality(asked))),
        ],
        options,
        tokens=tokens,
    )


def _equality(measured: tuple[Measured, ...]) -> Iterator[str]:
    """How far ours and the peer's answers are apart, in nats."""
    *ours, peer = measured
    for one in ours:
        if one.repetitions and peer.repetitions:
            apart = {key: abs((one.median(key) or 0) - (peer.median(key) or 0)) for key in APART}
            words = ", ".join(f"{key} {value:.1e}" for key, value in apart.items())
            yield f"difference of {one.name} and {peer.name}, nats: {words}"


if __name__ == "__main__":
    main()

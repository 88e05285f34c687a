"""A format audit of some megabytes of text: whole commands, with a tokenizer and without."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path

from bench.harness import Comparison, Contender, Metric, alternate, arguments, conclude
from engine.data.corpus import snapshot
from engine.data.tokenizer import load_tokenizer
from engine.spec.run import Corpus, Tokenizer
from store.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
GOAL = "10 MB in seconds"
METRICS = (Metric("wall_s", "wall", "s", more_is_better=False), Metric("cpu_s", "CPU", "s", more_is_better=False))


def main() -> None:
    parser = arguments("audit", __doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=10, help="of training text (default 10)")
    options = parser.parse_args()
    megabytes = options.megabytes / 10 if options.quick else options.megabytes
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as folder:
        tokenizer, n_bytes = _write(Path(folder), int(megabytes * 1e6))
        command = (sys.executable, "-m", "odyssey_tui", "audit", "--train", f"{folder}/train.jsonl")
        command = (*command, "--eval", f"{folder}/test.jsonl", "--csv")
        environment = {"PYTHONPATH": str(ROOT)}
        contenders = [
            Contender("pieces", command, environment, lambda finished: {}),
            Contender("BPE of 4,096", (*command, "--tokenizer", str(tokenizer)), environment, lambda finished: {}),
        ]
        measured = alternate(contenders, 1 if options.quick else 3)
    title = f"odyssey audit of {n_bytes / 1e6:.1f} MB of training text and a tenth of that to score, imports included"
    conclude("audit", [Comparison(title, tuple(measured), METRICS, "", GOAL)], options, n_bytes=n_bytes)


def _write(folder: Path, n_bytes: int) -> tuple[Path, int]:
    """Both splits of this interpreter's library as files, copies with other words where it has less than ``n_bytes``.

    Returns the folder of a tokenizer trained on it, and the bytes of training text.
    """
    workspace = Workspace.create(folder / "workspace")
    corpus = Corpus(name="source", source="installation:source", max_bytes=round(n_bytes * 1.15))
    taken = snapshot(corpus, workspace)
    sizes = {}
    for split, wanted in (("train", n_bytes), ("test", n_bytes // 10)):
        texts = [document.text for document in taken.documents(split)]
        written = 0
        with open(folder / f"{split}.jsonl", "w") as file:
            for number in itertools.count():
                text = texts[number % len(texts)]
                # Another round is other text: no word with an e is the same.
                text = text.replace("e", f"e{number // len(texts)}") if number >= len(texts) else text
                file.write(json.dumps({"text": text}) + "\n")
                written += len(text.encode())
                if written >= wanted:
                    break
        sizes[split] = written
    return load_tokenizer(Tokenizer(train_on=(corpus,), vocab_size=4096), workspace).path, sizes["train"]


if __name__ == "__main__":
    main()

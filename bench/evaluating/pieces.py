"""Our sum of losses under the convention of ``evaluate``: every piece for itself, after BOS. ``SETTING.json``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.evaluating.setting import Setting
from bench.harness import leave_result
from engine.data.encoding import ByteEncoder
from engine.evaluate.losses import per_token_losses
from engine.evaluate.standalone import Scorer
from engine.spec.run import Model, Scheme
from engine.spec.scoring import Scoring


def main() -> None:
    setting = Setting.read(sys.argv[1])
    scheme = Scheme(kind="blocks", window=setting.window, bos=True)
    scoring = Scoring(model=Model(source=setting.model), files=(), scheme=scheme, batch_tokens=8192, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        scorer = Scorer.prepare(scoring, Path(scratch))
        encoder = ByteEncoder.of(scorer.tokenizer)
        total = 0.0
        for piece in json.loads(setting.pieces.read_text()):
            ids, _ = encoder.encode(piece)
            total += float(per_token_losses(scorer.decoder, ids, scheme, bos_id=scorer.bos_id).sum(dtype="float64"))
    leave_result({"sum_loss": total})


if __name__ == "__main__":
    main()

"""Model folder, text and pieces of a setting. ``SETTING.json WORKSPACE``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from bench.evaluating.setting import Setting
from engine.data.corpus import snapshot
from engine.data.encoding import ByteEncoder
from engine.data.tokenizer import MANIFEST, LoadedTokenizer, load_tokenizer
from engine.models.build import build_model
from engine.spec.run import Architecture, Corpus, Tokenizer
from store.files import read_json, write_json
from store.workspace import Workspace

CORPUS = Corpus(name="docs", source="installation:docs", max_bytes=4_000_000, test_share=0.3)
TOKENIZER_TOKENS = 4096


def main() -> None:
    setting = Setting.read(sys.argv[1])
    workspace = Workspace.open_or_create(sys.argv[2])
    tokenizer = load_tokenizer(Tokenizer(train_on=(CORPUS,), vocab_size=TOKENIZER_TOKENS), workspace)
    architecture = Architecture(
        n_layer=setting.n_layer, n_embd=setting.n_embd, n_head=setting.n_head, context=setting.window
    )
    eos = tokenizer.eos_id
    model = build_model(architecture, setting.vocabulary, seed=0, bos_token_id=eos, eos_token_id=eos)
    folder = Path(setting.model)
    model.save_pretrained(folder)
    for file in tokenizer.path.iterdir():
        if file.name != MANIFEST:
            shutil.copyfile(file, folder / file.name)
    # `evaluate` pads, and asks for the token.
    config = read_json(folder / "tokenizer_config.json")
    write_json(folder / "tokenizer_config.json", {**config, "pad_token": config["eos_token"]})
    text = "".join(document.text for document in snapshot(CORPUS, workspace).documents("test"))
    text = text.encode()[: setting.text_bytes].decode(errors="ignore")
    setting.text.write_text(text)
    setting.pieces.write_text(json.dumps(_pieces(text, tokenizer, setting.window - 1)))


def _pieces(text: str, tokenizer: LoadedTokenizer, limit: int) -> list[str]:
    """The text cut at line ends into pieces of at most ``limit`` tokens, as long as they can be."""
    encoder = ByteEncoder.of(tokenizer)
    pieces, held = [""], 0
    for line in text.splitlines(keepends=True):
        length = len(encoder.encode(line)[0])
        if held + length > limit and pieces[-1]:
            pieces.append("")
            held = 0
        if length <= limit:
            pieces[-1] += line
            held += length
    return [piece for piece in pieces if 0 < len(encoder.encode(piece)[0]) <= limit]


if __name__ == "__main__":
    main()

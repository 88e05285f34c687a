"""Write the reference of an experiment's keys: ``python docs/configuration.py`` writes docs/configuration.md.

Keys, values and defaults are the models' own; meanings are their docstrings. A test compares the page with them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.spec import experiment, law_form, run
from engine.spec.experiment import Experiment
from engine.spec.reference import about, read_keys

PAGE = Path(__file__).with_suffix(".md")
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("experiment", Experiment),
    ("corpora.NAME", run.Corpus),
    ("tokenizer", experiment.TokenizerChoice),
    ("base (trained here)", experiment.PretrainedBase),
    ("base.sizes.NAME", experiment.Size),
    ("base (existing)", experiment.ExistingBase),
    ("base.training, adapt_training", run.Training),
    ("masks, in a training", run.LossMask),
    ("adapt", experiment.AdaptBlock),
    ("evaluate", experiment.EvaluateChoice),
    ("similarity", experiment.SimilarityChoice),
    ("laws", experiment.LawsChoice),
    ("laws.definitions", law_form.LawForm),
    ("laws.definitions.parameters.NAME", law_form.LawParameter),
    ("limits", experiment.Limits),
    ("resources", experiment.ResourcesChoice),
    ("resources.slurm", run.Slurm),
)
INTRODUCTION = """\
# The keys of an experiment

An experiment is one YAML file. `odyssey launch FILE --dry-run` says what it expands into and what that takes; every
mistake in it is reported with its line and what to do. `--set a.b=value` overrides a key for one launch (items of lists
by their number from 0, the next number adds one); the [Launch screen](launch.md) edits the same keys. Paths are
relative to the file. "or several" means that a value and a list of values are both understood; all axes of an `adapt`
block are crossed. `required` keys have no default. Paths may begin with a variable of the environment
(`$DATA/law.jsonl`).

*This page is written by `python docs/configuration.py` from the models in `engine/spec`.*

```yaml
name: first
corpora:
  wiki: {source: wiki/, max_bytes: 50MB}
  law: {source: law.jsonl}
base:
  corpora: wiki
  sizes: {s: {n_layer: 2, n_embd: 64, n_head: 2}, m: {n_layer: 4, n_embd: 128, n_head: 4}}
  context: 128
  ptpp: [8, 16, 32]
  training: {lr: 3e-3, sequence: 128}
adapt:
  - {domain: law, replay_ratio: [0, 0.25], atpp: [1, 2, 4]}
  - {domain: law, atpp: 4, method: lora, rank: [4, 16], lr: {lora: [1e-3, 5e-3]}}
adapt_training: {lr: 1e-3, sequence: 128, masks: [{classes: [newline], treat: kl, weight: 0.5}]}
evaluate: {max_tokens: 200000}
```

What a plan knows of an existing base (N, vocabulary, context) comes from its configuration and the headers of its
weights: from the folder, the Hugging Face cache, or the hub. Where N cannot be known, budgets are given as
`adapt_tokens`. Without `evaluate.window` an existing base is scored in windows of its context, 1,024 tokens at most.

With `share: true` all budgets lie along one trajectory: an annealed branch is trained at each. With `share: false` each
is a run of its own, under a name that ends in the budget (`adapt-law-r0-p8-s-atpp2`); schedules that decay towards one
end (`cosine`, `linear`) can serve several budgets only so.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for title, model in SECTIONS for line in _section(title, model))])


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{_plain(about(model))}\n"
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key in read_keys(model):
        if model is run.Corpus and key.name == "name":
            continue
        default = "required" if key.required else _default(key.default)
        yield f"| `{key.name}` | {key.values(LINKS.__getitem__)} | {default} | {_plain(key.meaning)} |"
    yield ""


def _plain(text: str) -> str:
    """One line, in Markdown's own quotes."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace('"\n"', '`"\\n"`')


def _anchor(title: str) -> str:
    """What a heading is linked by."""
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


LINKS = {model.__name__: f"[{title}](#{_anchor(title)})" for title, model in SECTIONS}
LINKS["TrainingChanges"] = f"keys of {LINKS['Training']}"


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ((), {}):
        return "–"
    if isinstance(value, tuple):
        return f"`{value[0] if len(value) == 1 else list(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}", file=sys.stderr)

"""What a researcher writes: one experiment, its corpora, base, adaptation grid, evaluation, similarity and laws.

Planning (``engine.plan``) expands it into runs. ``None`` in an axis means "all of the base's values".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
)

from engine.spec.law_form import LawForm
from engine.spec.run import (
    SENTENCE_MODEL,
    Corpus,
    Join,
    Method,
    MethodName,
    Newlines,
    PerParameter,
    Quantization,
    Ratio,
    Slurm,
    Training,
)
from engine.spec.strict import Strict

_BYTES = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kKMG]i?)?B\s*$")
_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "ki": 2**10, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
Tokens = Annotated[PositiveInt, Field(le=10**18)]


def parse_bytes(value: Any) -> Any:
    """``"3MB"`` → 3000000, ``"1MiB"`` → 1048576; numbers stay what they are."""
    if not isinstance(value, str):
        return value
    if match := _BYTES.match(value):
        return int(float(match[1]) * _UNITS[match[2] or ""])
    raise ValueError("is no size; write bytes as a number, or like 300kB, 3MB, 1GiB")


def _as_items(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value)
    return () if value is None else (value,)


def _all_as_none(value: Any) -> Any:
    return None if value is None or value == "all" else _as_items(value)


def _distinct(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if values is not None and len(set(values)) < len(values):
        repeated = next(value for value in values if values.count(value) > 1)
        raise ValueError(f"holds {repeated!r} twice")
    return values


def _filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("must hold at least one value")
    return values


def _by_method(value: Any) -> Any:
    """Learning rates: None, one, several, or several for each method."""
    if isinstance(value, dict):
        return {name: _as_items(rates) for name, rates in value.items()}
    return _all_as_none(value)


def _named(corpora: Any) -> Any:
    """Give each corpus the name it is listed under."""
    if not isinstance(corpora, dict):
        return corpora
    return {name: _name_one(name, entry) for name, entry in corpora.items()}


def _name_one(name: str, entry: Any) -> Any:
    return {"name": name, **entry} if isinstance(entry, dict) else entry


Names = Annotated[tuple[str, ...], BeforeValidator(_as_items), AfterValidator(_distinct)]
Several = (BeforeValidator(_as_items), AfterValidator(_filled), AfterValidator(_distinct))
AllOr = (BeforeValidator(_all_as_none), AfterValidator(_distinct))


class Written(Strict):
    """Part of an experiment: as strict as a run, and numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TokenizerChoice(Written):
    """A pretrained tokenizer (``model``), or one trained on corpora; by default the base's own, or its corpora."""

    model: str | None = None
    """A pretrained tokenizer: hub id or folder."""
    revision: str | None = None
    """Its branch, tag or commit."""
    train_on: Names = ()
    """Corpora (train splits) to train a byte-level BPE on; by default the base's."""
    vocab_size: PositiveInt = Field(default=512, ge=257, le=10_000_000)
    """Tokens of the trained one, the end-of-text token included."""
    train_bytes: PositiveInt = 4_000_000
    """Text it is trained on at most (a number, or like ``4MB``)."""


class Size(Written):
    """One model size; the bounds keep parameters and FLOPs countable, memory is a matter of the machine."""

    n_layer: PositiveInt = Field(le=10_000)
    """Blocks."""
    n_embd: PositiveInt = Field(le=1_000_000)
    """Width."""
    n_head: PositiveInt
    """Attention heads; they divide the width."""


class PretrainedBase(Written):
    """Base models trained here: one trajectory per size, a state at each PTPP."""

    tag: ClassVar[str] = "<pretrained>"
    corpora: Annotated[tuple[str, ...], *Several]
    """Text that base models are trained on; replayed in adaptation, and what forgetting is measured on."""
    sizes: dict[str, Size]
    """Name → dimensions of a model."""
    family: Literal["gpt2", "llama"] = "gpt2"
    """Architecture, with tied embeddings."""
    context: PositiveInt = Field(le=100_000_000)
    """Positions the model knows."""
    ptpp: Annotated[tuple[PerParameter, ...], *Several]
    """Pretraining tokens per parameter."""
    share: bool = True
    """One trajectory through all PTPP; false trains each from the start."""
    training: Training
    """Its optimisation."""


class ExistingBase(Written):
    """A base model that exists: a hub id or a folder. ``corpora`` serve as replay text and to measure forgetting."""

    tag: ClassVar[str] = "<existing>"
    model: str
    """Hub id, or a folder with config.json and weights."""
    revision: str | None = None
    """Branch, tag or commit."""
    corpora: Names = ()
    """Text to replay in adaptation and to measure forgetting on."""
    tokens_seen: NonNegativeInt | None = None
    """Pretraining tokens; by default known of Pythia, OLMo and LLaMA by revision (``engine.plan.ladders``)."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    allow_pickle: bool = False
    """Load weights that are not safetensors: they can run any code."""


def _kind_of_base(value: Any) -> str:
    if isinstance(value, dict):
        return ExistingBase.tag if "model" in value and "sizes" not in value else PretrainedBase.tag
    return getattr(value, "tag", PretrainedBase.tag)


Base = Annotated[
    Annotated[PretrainedBase, Tag(PretrainedBase.tag)] | Annotated[ExistingBase, Tag(ExistingBase.tag)],
    Discriminator(_kind_of_base),
]


class TrainingChanges(Training):
    """What a block of adaptations does otherwise than ``adapt_training``: any of its keys."""

    lr: PositiveFloat | None = None  # type: ignore[assignment]
    """The rate, where the block lists none under ``lr``."""

    def of(self, training: Training) -> Training:
        """``training`` with what was written here."""
        changed = {name: getattr(self, name) for name in self.model_fields_set}
        return training.model_copy(update={name: value for name, value in changed.items() if value is not None})


class AdaptBlock(Written):
    """One grid of adaptations: every axis is a value or a list, and all of them are crossed."""

    domain: Annotated[tuple[str, ...], *Several]
    """Corpora to adapt to."""
    replay_ratio: Annotated[tuple[Ratio, ...], *Several] = (0.0,)
    """Share of base text in the mix (ρ)."""
    ptpp: Annotated[tuple[PerParameter, ...] | None, *AllOr] = None
    """States of the pretrained base to start from; by default all."""
    size: Annotated[tuple[str, ...] | None, *AllOr] = None
    """Sizes of the pretrained base; by default all."""
    atpp: Annotated[tuple[PerParameter, ...], BeforeValidator(_as_items), AfterValidator(_distinct)] = ()
    """Adaptation tokens (whole mix) per parameter, all along one trajectory."""
    adapt_tokens: Annotated[tuple[Tokens, ...], BeforeValidator(_as_items), AfterValidator(_distinct)] = ()
    """Budgets in tokens of the whole mix, instead of ``atpp``."""
    method: Annotated[tuple[MethodName, ...], *Several] = ("full",)
    """Train all weights, or an adapter of PEFT."""
    rank: Annotated[tuple[PositiveInt, ...], *Several] = (8,)
    """Rank of an adapter, of the methods that have one."""
    alpha: PositiveFloat | None = None
    """Scale of an adapter; default ``2 * rank``."""
    dropout: Ratio = 0.0
    """Dropout in front of an adapter."""
    target_modules: str = Method().target_modules
    """``all-linear``, or names of layers separated by commas."""
    quantize: Quantization = "none"
    """Hold frozen weights in 8 or 4 bits (bitsandbytes, CUDA): QLoRA."""
    save: Literal["merged", "adapter", "both"] = "merged"
    """What a kept state's weights are: adapter merged in, adapter alone, or both."""
    lr: Annotated[
        Annotated[
            Annotated[tuple[PositiveFloat, ...], AfterValidator(_distinct), Tag("<rates>")]
            | Annotated[dict[MethodName, Annotated[tuple[PositiveFloat, ...], *Several]], Tag("<by method>")],
            Discriminator(lambda value: "<by method>" if isinstance(value, dict) else "<rates>"),
        ]
        | None,
        BeforeValidator(_by_method),
    ] = None
    """Peak learning rates, for all methods or ``{full: 5e-5, lora: [2e-4, 5e-4]}``; by default ``adapt_training``'s,
    also for a method that is not named."""
    variant: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """A word for what this block does otherwise, to name, group and compare its runs by."""
    newlines: Annotated[tuple[Newlines, ...] | None, *AllOr] = None
    """Line ends of the domain's training text, kept or stripped; by default as the corpus says. What is scored stays
    the text of the corpus."""
    training: TrainingChanges | None = None
    """Keys of ``adapt_training`` that differ here, such as masks or anneal_share; needs a ``variant``."""
    share: bool = True
    """One trajectory through all budgets; false trains each from the base."""
    wise_ft: Annotated[tuple[Ratio, ...], BeforeValidator(_as_items), AfterValidator(_distinct)] = ()
    """Also score the weights interpolated between base and adapted, at these shares of the adapted (WiSE-FT)."""
    keep: Literal["none", "final", "all"] = "final"
    """Which states' weights stay on disk; scores always do."""


class EvaluateChoice(Written):
    """How every state is scored: on its domain and the base corpora, optionally on the other domains too."""

    window: PositiveInt | None = None
    """Default: the context of the base, or 1,024."""
    scheme: Literal["blocks", "strided", "rolling"] = "blocks"
    """Non-overlapping windows, overlapping ones, or every token predicted once from as full a window as possible."""
    stride: PositiveInt | None = None
    """Of the strided scheme."""
    bos: bool = False
    """Begin windows with the beginning-of-text token."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the computation; losses are summed in float64."""
    split: Literal["valid", "test"] = "test"
    """Which split is scored."""
    max_tokens: PositiveInt | None = None
    """Tokens of each evaluation set; by default all of the split."""
    max_bytes: PositiveInt | None = None
    """Instead of ``max_tokens``: bytes of text of each set (a number, or like ``800kB``), so that models of different
    tokenizers are scored on the same text."""
    join: Annotated[tuple[Join, ...], *Several] = ("newline",)
    """How lines of the scored text are joined: as they are, or by spaces. Of several the first is the domain's own
    score, the others are further sets, named like ``law+space``."""
    other_domains: bool = False
    """Score every adapted state on all domains of the experiment."""
    drift: bool = False
    """Also compare the last state of every adaptation with its base on its domain: how far embeddings and hidden states
    moved by type of target token, and which of them changed the loss. Needs ``keep: final`` or ``all``."""
    batch_tokens: PositiveInt = 8192
    """Tokens computed at a time: memory, not results."""


class SimilarityChoice(Written):
    """Similarity of the domains to the base corpora."""

    measures: Annotated[tuple[str, ...], *Several] = ("jsd", "cosine")
    """Which statistics; see docs/similarity.md."""
    embedders: Annotated[tuple[Literal["ngrams", "model", "sentence"], ...], *Several] = ("ngrams",)
    """Hashed n-grams, hidden states of the base, or a sentence encoder (needs `odyssey-tui[sentence]`)."""
    sentence_model: str = SENTENCE_MODEL
    """Hub id or folder of the sentence encoder."""
    domains: Annotated[tuple[str, ...] | None, *AllOr] = None
    """Corpora compared; by default the adapted ones."""
    samples: PositiveInt = 256
    """Windows drawn of each corpus."""
    sample_tokens: PositiveInt | None = None
    """Length of a sample; by default 64, or the base's context if that is shorter."""
    bootstrap: NonNegativeInt = 200
    """Resamples for the intervals; 0 for none."""


class LawsChoice(Written):
    """Which laws to fit, on which PTPP values, scored where; by default the highest PTPP is held out."""

    domain: Annotated[tuple[str, ...], *Several]
    """Domains fitted, each by itself."""
    forms: Annotated[tuple[str, ...], *Several] = ("dcpt",)
    """Laws; see docs/laws.md. A file (`mine.yaml`) is a form of your own."""
    definitions: tuple[LawForm, ...] = ()
    """Forms of your own; those given as files are read into this."""
    fit_ptpp: Annotated[tuple[PositiveFloat, ...], BeforeValidator(_as_items), AfterValidator(_distinct)] = ()
    """PTPP whose points are fitted."""
    score_ptpp: Annotated[tuple[PositiveFloat, ...], BeforeValidator(_as_items), AfterValidator(_distinct)] = ()
    """PTPP that are held out and predicted."""
    roles: Annotated[tuple[Literal["target", "base"], ...], *Several] = ("target", "base")
    """Losses fitted: on the domain, on the base text."""
    delta: PositiveFloat = 1e-3
    """Of the Huber loss on log residuals."""
    starts: PositiveInt = 500
    """Starting points of the optimiser."""
    bootstrap: NonNegativeInt = 200
    """Refits for the intervals; 0 for none."""
    anchors: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_as_items), AfterValidator(_distinct)] = ()
    """Held-out points that a second fit may see; several numbers: a fit with each, scored on the same."""


class Limits(Written):
    """Default limits for planning, in nats per token."""

    forgetting: float | None = Field(default=None, ge=0)
    """Largest rise of the base loss."""
    target_loss: PositiveFloat | None = None
    """Largest target loss after adaptation."""
    target_gain: PositiveFloat | None = None
    """Least fall of the target loss below its zero-shot value."""


class ResourcesChoice(Written):
    """What each training run occupies; other runs take one GPU at most."""

    backend: Literal["local", "slurm"] = "local"
    """Who executes the runs: this machine's slots, or a Slurm cluster."""
    slurm: Slurm = Slurm()
    """How the cluster's queue is asked."""
    gpus_per_run: NonNegativeInt = 0
    """On each node."""
    nodes: PositiveInt = 1
    """Machines of a run."""
    processes: PositiveInt = 1
    """Data-parallel processes on each node of a run without GPUs."""
    cpu_threads: PositiveInt = 1
    """Threads of a process on a CPU; at least the slot's."""


class Experiment(Written):
    """One experiment, as written in a YAML file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Names the experiment in lists and files."""
    corpora: Annotated[dict[str, Corpus], BeforeValidator(_named)]
    """Name → text."""
    tokenizer: TokenizerChoice = TokenizerChoice()
    """By default an existing base's own, or one trained on the base's corpora."""
    base: Base
    """What is adapted: trained here, or existing."""
    adapt: tuple[AdaptBlock, ...] = ()
    """Grids of adaptations."""
    adapt_training: Training | None = None
    """Default: the base's training."""
    seeds: Annotated[tuple[NonNegativeInt, ...], *Several] = (0,)
    """Each repeats everything that is random: weights, data order, adapters."""
    evaluate: EvaluateChoice = EvaluateChoice()
    """How states are scored."""
    groups: dict[str, Names] = Field(default_factory=dict)
    """Groups of domains, like ``{wiki: [art, logic], s2orc: [cs]}``: similarity is correlated within them, too."""
    similarity: SimilarityChoice | None = None
    """Leave out for none."""
    laws: LawsChoice | None = None
    """Leave out for none."""
    limits: Limits = Limits()
    """Defaults for planning."""
    resources: ResourcesChoice = ResourcesChoice()
    """What runs occupy."""

    @property
    def domains(self) -> tuple[str, ...]:
        """The adapted domains, in the order they are first named."""
        return tuple(dict.fromkeys(name for block in self.adapt for name in block.domain))

    @property
    def training(self) -> Training | None:
        """Optimisation of the adaptations; None when an existing base is adapted without any given."""
        return self.adapt_training or (self.base.training if isinstance(self.base, PretrainedBase) else None)

    def training_of(self, block: AdaptBlock) -> Training | None:
        """Optimisation of a block's adaptations."""
        common = self.training
        return block.training.of(common) if common and block.training else common

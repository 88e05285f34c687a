"""The resolved, immutable description of one run: what a worker executes and nothing else.

An experiment (``engine.spec.experiment``) is what a researcher writes; planning expands it into these.
Symbols follow the scaling-law literature: N ``n_params``, P ``ptpp``, A ``atpp``, D ``adapt_tokens``,
rho ``replay_ratio``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from engine.spec.law_form import LawForm
from engine.spec.strict import Strict

RUN_FORMAT = 2
MethodName = Literal["full", "lora", "rslora", "dora", "ia3", "vera", "loha", "lokr"]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]
PerParameter = Annotated[PositiveFloat, Field(le=1e9)]
"""Tokens per parameter (PTPP, ATPP)."""
TokenClass = Literal["newline", "whitespace", "punctuation", "digits", "function", "word", "special", "other"]
Separator = Literal["eos", "newline", "none"]
Quantization = Literal["none", "8bit", "4bit"]
Join = Literal["newline", "space"]
Newlines = Literal["keep", "strip"]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


def _check_part(value: str) -> str:
    number, _, parts = value.partition("/")
    if number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts) <= 1000:
        return f"{int(number)}/{int(parts)}"
    raise ValueError(f"is {value!r}; write which of how many parts, like 1/2")


class Corpus(Strict):
    """One corpus: where its text comes from and how it is split. Its ``key()`` names its snapshot in the cache."""

    name: str
    """Its key under ``corpora``."""
    source: str
    """``installation:PART``, ``hf:DATASET_ID``, ``m2d2:DOMAIN``, or a path: a text file, a folder, ``.jsonl`` (also
    ``.gz``, ``.xz``, ``.zst``), ``.parquet``."""
    glob: str = "**/*"
    """Of a folder: which files."""
    config: str | None = None
    """Of a hub dataset: its configuration."""
    revision: str | None = None
    """Of a hub dataset or M2D2: branch, tag or commit."""
    hub_split: str | None = None
    """Of a hub dataset: read this split only and split it here; by default its own splits are kept."""
    text_field: str = "text"
    """Field of a record that holds the text."""
    group_field: str | None = None
    """Documents of one group never cross a split; without it the group is the document's file or package."""
    where: dict[str, str] = Field(default_factory=dict)
    """Keep only records whose fields have these values (JSONL, Parquet and hub sources)."""
    newlines: Newlines = "keep"
    """Keep line ends, or strip the lines and join them, after splitting."""
    max_bytes: PositiveInt | None = None
    """Read no more than this (a number, or like ``3MB``, ``1GiB``)."""
    part: Annotated[str, AfterValidator(_check_part)] | None = None
    """One of several disjoint parts of about the same bytes, like ``1/2``: whole groups, the same whatever is asked of
    the other parts. Half of a text can so be pretrained on and the other half adapted to."""
    test_share: Ratio = 0.1
    """Share of the bytes held out for evaluation."""
    valid_share: Ratio = 0.02
    """Share of the bytes held out for validation during training."""
    split_seed: int = 0
    """Another seed is another split."""


class Tokenizer(Strict):
    """A tokenizer: a pretrained one (hub id or folder), or a byte-level BPE trained on corpora (train splits)."""

    model: str | None = None
    revision: str | None = None
    train_on: tuple[Corpus, ...] = ()
    vocab_size: PositiveInt = 512
    train_bytes: PositiveInt = 4_000_000


class EvalSet(Strict):
    """A named evaluation text: one corpus, or several in equal shares, of one split, cut at ``max_tokens`` or
    ``max_bytes``."""

    name: str
    role: Literal["target", "base", "other"]
    corpora: tuple[Corpus, ...]
    split: Literal["valid", "test"] = "test"
    max_tokens: PositiveInt | None = None
    max_bytes: PositiveInt | None = None
    """Of text: the same whatever the tokenizer."""
    join: Join = "newline"
    """How the lines of a document are joined: as they are, or stripped and by one space."""


class Scheme(Strict):
    """How losses are computed. Two evaluations may be compared only when eval set and scheme are the same.

    ``blocks``: non-overlapping windows, the first token of a window is not predicted (M2D2's convention, each
    prediction counted once);
    ``strided``: windows advance by ``stride``, each token predicted once with the longest context available;
    ``rolling``: every token predicted, the first from BOS (lm-evaluation-harness's rolling log-likelihood).
    """

    kind: Literal["blocks", "strided", "rolling"] = "blocks"
    window: PositiveInt = 1024
    stride: PositiveInt | None = None
    bos: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"


class Evaluation(Strict):
    """What to evaluate a model state on, and how."""

    sets: tuple[EvalSet, ...]
    scheme: Scheme
    batch_tokens: PositiveInt = 8192


class Model(Strict):
    """A causal LM: by hub id or folder (``source``), or a state of another run here (``run``, ``state``)."""

    source: str | None = None
    revision: str | None = None
    run: str | None = None
    state: str | None = None
    """The checkpoint of ``run``: ``ptpp15``, ``atpp4``, ..."""
    tokens_seen: NonNegativeInt | None = None
    """Of pretraining, as the experiment or a public source says; 0 is a model at its initialisation."""
    trust_remote_code: bool = False
    allow_pickle: bool = False

    @property
    def model_id(self) -> str:
        """``RUN@STATE`` for a state of a run, else ``SOURCE@REVISION``: the primary key of the store's ``models``."""
        return f"{self.run}@{self.state}" if self.run else f"{self.source}@{self.revision or 'main'}"


class Architecture(Strict):
    """A decoder built from its configuration and trained from scratch."""

    family: Literal["gpt2", "llama"] = "gpt2"
    n_layer: PositiveInt
    n_embd: PositiveInt
    n_head: PositiveInt
    context: PositiveInt


class LossMask(Strict):
    """Targets that training treats apart, chosen by token class or one by one; of two masks the later one holds."""

    classes: tuple[TokenClass, ...] = ()
    """Classes of tokens."""
    tokens: tuple[str | NonNegativeInt, ...] = ()
    """Token ids, or texts: every token whose text is exactly this, like ``"\n"``."""
    treat: Literal["exclude", "weight", "kl"] = "exclude"
    """Leave these targets out of the loss, multiply their loss by ``weight``, or replace it by ``weight`` times the
    Kullback-Leibler divergence from the base model's prediction to the trained one's."""
    weight: float = Field(default=1.0, ge=0)
    """Factor of the loss, or of the divergence."""


class Training(Strict):
    """Optimisation: AdamW with warm-up, then a schedule; an annealed branch decays over its own tokens."""

    lr: PositiveFloat
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "linear", "wsd", "infinite"] = "constant"
    """``constant``, ``wsd`` and ``infinite`` serve any number of budgets along one trunk, each ended by an annealed
    branch (``wsd`` must have one); ``infinite`` first cools down to a constant rate (2403.08763, section 7.4)."""
    warmup_share: Ratio = 0.01
    """Linear warm-up as a share of the largest budget, at most half of the smallest trunk."""
    warmup_tokens: NonNegativeInt | None = None
    """Warm-up in tokens, the same whatever the budgets; replaces ``warmup_share``."""
    anneal_share: Ratio = 0.1
    """Tokens of an annealed branch as a share of the trunk's tokens at its point; 0 evaluates the trunk itself."""
    anneal_shape: Literal["linear", "cosine", "sqrt"] = "linear"
    """How the rate of an annealed branch falls."""
    min_lr_share: Ratio = 0.0
    """Where every decay ends, as a share of ``lr``."""
    cooldown_share: Ratio = 0.3
    """``infinite``: tokens of the cool-down as a share of the largest budget."""
    constant_lr_share: Ratio = 0.5
    """``infinite``: the constant rate after the cool-down, as a share of ``lr``."""
    sequence: PositiveInt = 1024
    """Tokens of a training sequence."""
    batch_sequences: PositiveInt = 16
    """Sequences computed at a time; with ``accumulate`` the sequences of a step, whatever the number of processes."""
    accumulate: PositiveInt = 1
    """Batches that make one step."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Of matrices; vectors do not decay."""
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """AdamW's."""
    clip: PositiveFloat = 1.0
    """Largest norm of the gradient."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """fp32, or bf16 mixed precision (weights and optimizer stay fp32)."""
    separator: Separator = "eos"
    """What stands after each document of the training text: the end-of-text token, a line end, nothing."""
    cross_document: bool = True
    """Whether tokens of a packed sequence attend to earlier documents in it."""
    masks: tuple[LossMask, ...] = ()
    """Targets treated apart."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more work."""
    compile: bool = False
    """Compile the model with torch.compile: pays for long runs."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """The attention kernel; flash_attention_2 needs its library, a GPU and bf16."""
    sharding: Literal["none", "full"] = "none"
    """With several processes: a whole copy of the model in each (DDP), or everything sharded (FSDP2)."""
    log_every: PositiveInt = 10
    """Steps between two metrics."""
    validate_every: NonNegativeInt = 0
    """Steps between two losses on held-out text (the valid split of what is adapted to); 0 for none."""
    validate_tokens: PositiveInt = 16_384
    """Held-out tokens scored each time."""
    checkpoint_every_s: PositiveFloat = 300.0
    """Seconds between two checkpoints to resume from."""

    @property
    def decays(self) -> bool:
        """Whether the trunk itself decays, and so serves one budget alone, without annealed branches."""
        return self.schedule in ("cosine", "linear")


class Method(Strict):
    """How weights are adapted: all of them, or a PEFT adapter."""

    name: MethodName = "full"
    rank: PositiveInt = 8
    alpha: PositiveFloat | None = None
    """Default ``2 * rank``."""
    dropout: Ratio = 0.0
    target_modules: str = "all-linear"
    quantize: Quantization = "none"
    """Hold the frozen weights quantised by bitsandbytes (QLoRA, 2305.14314); adapters only, saved as adapters only."""
    save: Literal["merged", "adapter", "both"] = "merged"
    """A kept state's weights: the adapter merged into the model, the adapter alone (PEFT's own folder), or both."""


class PrepareJob(Strict):
    """Snapshot corpora, train or load tokenizers, tokenise every split that later runs read."""

    kind: Literal["prepare"] = "prepare"
    corpora: tuple[Corpus, ...]
    tokenizer: Tokenizer
    sets: tuple[EvalSet, ...] = ()
    separators: tuple[Separator, ...] = Field(default=("eos",), min_length=1)
    """The forms in which later runs read the training splits; a corpus's tokens are counted in the first."""
    minimum_tokens: PositiveInt = 1
    """Every training split and evaluation set must hold at least one window of this many tokens."""


class PretrainJob(Strict):
    """Train a base model once along a constant-rate trunk; an annealed branch at each PTPP is a model state."""

    kind: Literal["pretrain"] = "pretrain"
    size: str
    architecture: Architecture
    tokenizer: Tokenizer
    corpora: tuple[Corpus, ...]
    ptpp: tuple[PositiveFloat, ...]
    training: Training
    evaluation: Evaluation


class AdaptJob(Strict):
    """Continue training a base state on a domain mixed with replayed base text; evaluate at each ATPP."""

    kind: Literal["adapt"] = "adapt"
    base: Model
    tokenizer: Tokenizer
    target: Corpus
    replay: tuple[Corpus, ...]
    replay_ratio: Ratio
    atpp: tuple[PositiveFloat, ...] = ()
    adapt_tokens: tuple[PositiveInt, ...] = ()
    """Budgets as tokens of the whole mix; exactly one of ``atpp`` and ``adapt_tokens`` is given."""
    method: Method = Method()
    training: Training
    evaluation: Evaluation
    wise_ft: tuple[Ratio, ...] = ()
    """Also score base + α·(adapted − base), the weights interpolated, at each of these α (WiSE-FT, 2109.01903)."""
    keep: Literal["none", "final", "all"] = "final"


class EvaluateJob(Strict):
    """Score an existing model (zero-shot): once per model, eval set and scheme, shared by every run."""

    kind: Literal["evaluate"] = "evaluate"
    model: Model
    tokenizer: Tokenizer
    evaluation: Evaluation


class DriftJob(Strict):
    """Compare two states of one model on evaluation texts, by type of target token: how far its embeddings and the
    hidden states that predict it moved, and which of the two changed the loss."""

    kind: Literal["drift"] = "drift"
    before: Model
    after: Model
    tokenizer: Tokenizer
    evaluation: Evaluation
    """Its scheme says what is fed and predicted; the precision is always float32."""
    max_tokens: PositiveInt = 100_000
    """Positions looked at in each set: whole windows that lie evenly over it."""


SENTENCE_MODEL = "all-MiniLM-L6-v2"
"""The sentence encoder where none is named: small, and one of the library's own."""


class SimilarityJob(Strict):
    """Similarity of each domain to the reference (pretraining) text, by several measures."""

    kind: Literal["similarity"] = "similarity"
    reference: tuple[Corpus, ...]
    domains: tuple[Corpus, ...]
    tokenizer: Tokenizer
    measures: tuple[str, ...]
    embedders: tuple[str, ...]
    """``ngrams`` (hashed, needs no model), ``model`` (mean-pooled last hidden state of ``encoder``) or ``sentence``
    (``sentence_model``, by sentence-transformers)."""
    encoder: Model | None = None
    sentence_model: str = SENTENCE_MODEL
    samples: PositiveInt = 256
    sample_tokens: PositiveInt = 64
    bootstrap: NonNegativeInt = 200


class FitJob(Strict):
    """Fit laws on the points of an experiment at some PTPP values and score them at held-out ones."""

    kind: Literal["fit"] = "fit"
    forms: tuple[str, ...]
    fit_ptpp: tuple[PositiveFloat, ...]
    score_ptpp: tuple[PositiveFloat, ...]
    domain: str
    roles: tuple[Literal["target", "base"], ...] = ("target", "base")
    delta: PositiveFloat = 1e-3
    starts: PositiveInt = 500
    bootstrap: NonNegativeInt = 200
    anchors: NonNegativeInt | tuple[NonNegativeInt, ...] = 0
    """Held-out points that join a further fit of each form; several numbers, several fits."""
    definitions: tuple[LawForm, ...] = ()
    """Of the forms that are not in the registry."""

    @property
    def anchor_counts(self) -> tuple[int, ...]:
        """The numbers above 0, ascending."""
        given = self.anchors if isinstance(self.anchors, tuple) else (self.anchors,)
        return tuple(sorted({count for count in given if count}))


class ImportedJob(Strict):
    """What another tool recorded: nothing is executed, its journal is written by ``odyssey import``."""

    kind: Literal["imported"] = "imported"
    tool: Literal["trackio", "tensorboard", "wandb", "table"]
    tool_version: str = ""
    source: str
    """Where it was read from."""
    source_id: str
    """What the tool calls the run; with ``tool`` its identity, wherever the source lies."""
    names: dict[str, str] = Field(default_factory=dict)
    """Metrics that have another name here: the name here → the name there."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Hyper-parameters as recorded there."""


Job = Annotated[
    PrepareJob | PretrainJob | AdaptJob | EvaluateJob | DriftJob | SimilarityJob | FitJob | ImportedJob,
    Field(discriminator="kind"),
]


class Slurm(Strict):
    """How a cluster's queue is asked: options of ``sbatch``, left to the cluster's defaults where they are absent."""

    partition: str | None = None
    """``--partition``: one, or several with commas."""
    account: str | None = None
    """``--account``: who pays."""
    qos: str | None = None
    """``--qos``."""
    time: str | None = None
    """``--time`` of a job, like ``4:00:00`` or ``2-0`` (days-hours); a run cut off goes on in a requeued job."""
    memory: str | None = None
    """``--mem`` on each node, like ``64G``."""
    constraint: str | None = None
    """``--constraint``: features of the nodes."""
    at_once: PositiveInt | None = None
    """Jobs of one array that may run at a time."""
    setup: tuple[str, ...] = ()
    """Shell lines before the worker starts, such as ``module load cuda``."""
    options: tuple[str, ...] = ()
    """Further options of ``sbatch``, such as ``--exclude=node7``."""


class Resources(Strict):
    """What one run occupies while it runs; training is data-parallel over ``nodes`` × ``ranks_per_node`` processes."""

    backend: Literal["local", "slurm"] = "local"
    """Who executes it: this machine's slots, or a Slurm cluster."""
    slurm: Slurm = Slurm()

    gpus: NonNegativeInt = 0
    """On each node, one process each."""
    nodes: PositiveInt = 1
    processes: PositiveInt = 1
    """On each node, where there are no GPUs."""
    cpu_threads: PositiveInt = 1

    @property
    def ranks_per_node(self) -> int:
        return self.gpus or self.processes

    @property
    def world(self) -> int:
        """Processes that train together."""
        return self.nodes * self.ranks_per_node


class RunSpec(Strict):
    """One run: identity, place in its experiment, what it needs, what it does."""

    format: int = RUN_FORMAT
    run_id: str
    name: str
    experiment: str
    """Name of the experiment (sweep) that first asked for the run."""
    needs: tuple[str, ...] = ()
    """Runs that must be done before this one starts."""
    labels: dict[str, str | int | float | None] = Field(default_factory=dict)
    """Axis values to group and filter by: domain, replay_ratio, ptpp, size, method, rank, lr, seed."""
    seed: int = 0
    resources: Resources = Resources()
    cost_flops: NonNegativeFloat = 0.0
    """Estimated work, 6·N per trained and 2·N per evaluated token: orders the queue and feeds the ETA."""
    job: Job

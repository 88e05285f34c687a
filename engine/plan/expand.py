"""Experiment → runs: one preparation, a trajectory per base model, a trajectory per adaptation cell, then analyses.

A run's identifier is readable and ends in a key of its content (job, seed, format), so that the same work has the
same identifier in every experiment and is never done twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from engine.plan.cells import Cell, cross
from engine.plan.cost import count_evaluated, count_parameters, estimate_flops, plan_trajectory
from engine.plan.plan import Plan, RunTokens
from engine.spec.check import cautions, law_ptpp
from engine.spec.experiment import Experiment, PretrainedBase
from engine.spec.run import (
    RUN_FORMAT,
    AdaptJob,
    Architecture,
    Corpus,
    EvalSet,
    EvaluateJob,
    Evaluation,
    FitJob,
    Job,
    Model,
    PrepareJob,
    PretrainJob,
    Resources,
    RunSpec,
    Scheme,
    SimilarityJob,
    Tokenizer,
    Training,
)
from engine.spec.strict import content_key
from store.errors import ConfigError

DEFAULT_WINDOW = 1024
DEFAULT_SAMPLE_TOKENS = 64
BASE_SET = "base"


def expand(experiment: Experiment) -> Plan:
    """The runs of an experiment in dependency order; pure, and the same experiment always gives the same plan."""
    builder = _Builder(experiment)
    builder.add_prepare()
    builder.add_bases()
    builder.add_adaptations()
    builder.add_similarity()
    builder.add_fits()
    return Plan(
        name=experiment.name,
        key=experiment.key(8),
        runs=tuple(builder.runs.values()),
        tokens=builder.tokens,
        cautions=cautions(experiment),
        document=dump_experiment(experiment),
    )


def dump_experiment(experiment: Experiment) -> str:
    """The experiment as YAML: only what was written, with overrides applied and paths absolute."""
    content = experiment.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def state_name(axis: str, value: float) -> str:
    """Name of the checkpoint at a budget: ``ptpp16``, ``atpp0.5``."""
    return f"{axis}{int(value) if value == int(value) else f'{value:g}'}"


def _seed_suffix(seed: int) -> str:
    return f"-seed{seed}" if seed else ""


@dataclass
class _Builder:
    experiment: Experiment
    runs: dict[str, RunSpec] = field(default_factory=dict)
    tokens: dict[str, RunTokens] = field(default_factory=dict)
    prepare_id: str = ""
    base_ids: dict[tuple[str | None, int], str] = field(default_factory=dict)
    """(size, seed) → the run a base state comes from; (None, seed) → the zero-shot evaluation of an existing base."""
    adapted: list[tuple[Cell, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base_corpora = self._corpora(self.experiment.base.corpora)
        self.tokenizer = self._tokenizer()

    def add_prepare(self) -> None:
        experiment = self.experiment
        similar = experiment.similarity.domains or () if experiment.similarity else ()
        trained_on = (corpus.name for corpus in self.tokenizer.train_on)
        names = dict.fromkeys((*trained_on, *experiment.base.corpora, *experiment.domains, *similar))
        sequences = [self._scheme().window]
        if isinstance(experiment.base, PretrainedBase):
            sequences.append(experiment.base.training.sequence)
        if experiment.training:
            sequences.append(experiment.training.sequence)
        job = PrepareJob(
            corpora=self._corpora(tuple(names)),
            tokenizer=self.tokenizer,
            sets=self._sets(experiment.domains),
            minimum_tokens=max(sequences),
        )
        self.prepare_id = self._add("prepare", job)

    def add_bases(self) -> None:
        base = self.experiment.base
        evaluation = self._evaluation(self._sets(self.experiment.domains))
        if not isinstance(base, PretrainedBase):
            job = EvaluateJob(model=self._existing(), tokenizer=self.tokenizer, evaluation=evaluation)
            labels = {"size": self._base_label()}
            run_id = self._add(f"evaluate-{self._base_label()}", job, needs=(self.prepare_id,), labels=labels)
            self.base_ids = {(None, seed): run_id for seed in self.experiment.seeds}
            return
        for seed in self.experiment.seeds:
            for size in base.sizes:
                self.base_ids[size, seed] = self._add_pretraining(base, size, seed, evaluation)

    def _add_pretraining(self, base: PretrainedBase, size: str, seed: int, evaluation: Evaluation) -> str:
        shape = base.sizes[size]
        job = PretrainJob(
            size=size,
            architecture=Architecture(
                family=base.family,
                n_layer=shape.n_layer,
                n_embd=shape.n_embd,
                n_head=shape.n_head,
                context=base.context,
            ),
            tokenizer=self.tokenizer,
            corpora=self.base_corpora,
            ptpp=tuple(sorted(base.ptpp)),
            training=base.training,
            evaluation=evaluation,
        )
        n_params = count_parameters(job.architecture, self.tokenizer)
        budgets = [ptpp * n_params for ptpp in job.ptpp]
        self._check_budgets("base.ptpp", job.ptpp, budgets, size, job.training)
        trajectory = plan_trajectory(budgets, job.training)
        run_id = self._add(
            f"pretrain-{size}{_seed_suffix(seed)}",
            job,
            seed=seed,
            needs=(self.prepare_id,),
            labels={"size": size, "lr": job.training.lr, "seed": seed},
            cost_flops=estimate_flops(n_params, trajectory.trained, len(job.ptpp) * count_evaluated(evaluation)),
        )
        self.tokens[run_id] = RunTokens(trajectory.trained, trajectory.separate, len(job.ptpp))
        return run_id

    def add_adaptations(self) -> None:
        for cell in cross(self.experiment):
            self.adapted.append((cell, self._add_adaptation(cell)))

    def _add_adaptation(self, cell: Cell) -> str:
        experiment = self.experiment
        source = self.base_ids[cell.size, cell.seed]
        base = self._existing() if cell.ptpp is None else Model(run=source, state=state_name("ptpp", cell.ptpp))
        others = tuple(name for name in experiment.domains if name != cell.domain)
        evaluation = self._evaluation(
            self._sets((cell.domain,), others if experiment.evaluate.other_domains else (), role="target")
        )
        job = AdaptJob(
            base=base,
            tokenizer=self.tokenizer,
            target=experiment.corpora[cell.domain],
            replay=self.base_corpora if cell.replay_ratio else (),
            replay_ratio=cell.replay_ratio,
            atpp=cell.atpp,
            adapt_tokens=cell.adapt_tokens,
            method=cell.method,
            training=experiment.training.model_copy(update={"lr": cell.lr}),
            evaluation=evaluation,
            keep=cell.keep,
        )
        n_params = self._n_params(cell.size)
        budgets = [atpp * n_params for atpp in cell.atpp] if cell.atpp else list(cell.adapt_tokens)
        axis = "atpp" if cell.atpp else "adapt_tokens"
        self._check_budgets(f"adapt: {axis}", cell.atpp or cell.adapt_tokens, budgets, cell.size, job.training)
        trajectory = plan_trajectory(budgets, job.training)
        run_id = self._add(
            self._cell_name(cell),
            job,
            seed=cell.seed,
            needs=(self.prepare_id, source),
            labels={**cell.labels, "size": cell.size or self._base_label()},
            cost_flops=estimate_flops(n_params, trajectory.trained, len(budgets) * count_evaluated(evaluation)),
        )
        self.tokens[run_id] = RunTokens(trajectory.trained, trajectory.separate, len(budgets))
        return run_id

    def add_similarity(self) -> None:
        experiment, chosen = self.experiment, self.experiment.similarity
        if chosen is None:
            return
        encoder = self._encoder() if "model" in chosen.embedders else None
        job = SimilarityJob(
            reference=self.base_corpora,
            domains=self._corpora(chosen.domains or experiment.domains),
            tokenizer=self.tokenizer,
            measures=chosen.measures,
            embedders=chosen.embedders,
            encoder=encoder,
            samples=chosen.samples,
            sample_tokens=chosen.sample_tokens or min(DEFAULT_SAMPLE_TOKENS, self._context()),
            bootstrap=chosen.bootstrap,
        )
        needs = (self.prepare_id, *((encoder.run,) if encoder and encoder.run else ()))
        self._add("similarity", job, seed=experiment.seeds[0], needs=needs)

    def add_fits(self) -> None:
        laws = self.experiment.laws
        if laws is None:
            return
        base = self.experiment.base
        fitted, scored = law_ptpp(laws, base) if isinstance(base, PretrainedBase) else (laws.fit_ptpp, laws.score_ptpp)
        for domain in laws.domain:
            adapted = self._fitted_runs(domain)
            sources = dict.fromkeys(need for run_id in adapted for need in self.runs[run_id].needs)
            job = FitJob(
                forms=laws.forms,
                fit_ptpp=fitted,
                score_ptpp=scored,
                domain=domain,
                roles=laws.roles,
                delta=laws.delta,
                starts=laws.starts,
                bootstrap=laws.bootstrap,
                anchors=laws.anchors,
            )
            needs = (*(need for need in sources if need != self.prepare_id), *adapted)
            self._add(f"fit-{domain}", job, needs=needs, labels={"domain": domain}, depends_on_needs=True)

    def _check_budgets(
        self, key: str, values: Sequence[float], budgets: Sequence[float], size: str | None, training: Training
    ) -> None:
        for value, budget in zip(values, budgets, strict=True):
            if budget < training.sequence:
                of_size = f" of size {size}" if size else ""
                raise ConfigError(
                    f"{self.experiment.name}: {key} {value:g}{of_size} is {budget:g} tokens, "
                    f"less than one sequence of {training.sequence}",
                    "Raise it, or shorten the training's sequence.",
                )

    def _fitted_runs(self, domain: str) -> tuple[str, ...]:
        """One population for the law: full fine-tuning at the experiment's learning rate, or all if there is none."""
        of_domain = [(cell, run_id) for cell, run_id in self.adapted if cell.domain == domain]
        lr = self.experiment.training.lr if self.experiment.training else None
        plain = [run_id for cell, run_id in of_domain if cell.method.name == "full" and cell.lr == lr]
        return tuple(plain or [run_id for _, run_id in of_domain])

    def _add(
        self,
        name: str,
        job: Job,
        *,
        seed: int = 0,
        needs: tuple[str, ...] = (),
        labels: dict[str, str | int | float | None] | None = None,
        cost_flops: float = 0.0,
        depends_on_needs: bool = False,
    ) -> str:
        name = re.sub(r"[^A-Za-z0-9._=+,-]+", "_", name)[:120]
        identity = [RUN_FORMAT, job.content(), seed, *([list(needs)] if depends_on_needs else [])]
        run_id = f"{name}-{content_key(identity, 8)}"
        chosen = self.experiment.resources
        spec = RunSpec(
            run_id=run_id,
            name=name,
            experiment=self.experiment.name,
            needs=tuple(dict.fromkeys(needs)),
            labels=labels or {},
            seed=seed,
            resources=Resources(gpus=chosen.gpus, cpu_threads=chosen.cpu_threads),
            cost_flops=cost_flops,
            job=job,
        )
        self.runs.setdefault(run_id, spec)
        return run_id

    def _corpora(self, names: tuple[str, ...]) -> tuple[Corpus, ...]:
        return tuple(self.experiment.corpora[name] for name in names)

    def _tokenizer(self) -> Tokenizer:
        chosen, base = self.experiment.tokenizer, self.experiment.base
        if chosen.model:
            return Tokenizer(model=chosen.model, revision=chosen.revision)
        if not isinstance(base, PretrainedBase):
            return Tokenizer(model=base.model, revision=base.revision)
        trained_on = self._corpora(chosen.train_on or base.corpora)
        return Tokenizer(train_on=trained_on, vocab_size=chosen.vocab_size, train_bytes=chosen.train_bytes)

    def _existing(self) -> Model:
        base = self.experiment.base
        return Model(
            source=base.model,
            revision=base.revision,
            tokens_seen=base.tokens_seen,
            trust_remote_code=base.trust_remote_code,
            allow_pickle=base.allow_pickle,
        )

    def _encoder(self) -> Model:
        """The strongest base there is: the largest size at the highest PTPP."""
        base = self.experiment.base
        if not isinstance(base, PretrainedBase):
            return self._existing()
        largest = max(base.sizes, key=self._n_params)
        source = self.base_ids[largest, self.experiment.seeds[0]]
        return Model(run=source, state=state_name("ptpp", max(base.ptpp)))

    def _n_params(self, size: str | None) -> int:
        """N of a size; 0 for an existing base, whose weights are only opened when a run starts."""
        if size is None:
            return 0
        base = self.experiment.base
        shape = base.sizes[size]
        architecture = Architecture(
            family=base.family, n_layer=shape.n_layer, n_embd=shape.n_embd, n_head=shape.n_head, context=base.context
        )
        return count_parameters(architecture, self.tokenizer)

    def _scheme(self) -> Scheme:
        chosen = self.experiment.evaluate
        return Scheme(
            kind=chosen.scheme,
            window=chosen.window or self._context(),
            stride=chosen.stride,
            bos=chosen.bos,
            precision=chosen.precision,
        )

    def _context(self) -> int:
        base = self.experiment.base
        return base.context if isinstance(base, PretrainedBase) else DEFAULT_WINDOW

    def _sets(self, domains: tuple[str, ...], others: tuple[str, ...] = (), role: str = "other") -> tuple[EvalSet, ...]:
        """The base corpora together, then each domain: the same sets for every run, whatever the role."""
        chosen = self.experiment.evaluate
        parts = [(BASE_SET, "base", self.base_corpora)] if self.base_corpora else []
        parts += [(name, role, self._corpora((name,))) for name in domains]
        parts += [(name, "other", self._corpora((name,))) for name in others]
        return tuple(
            EvalSet(name=name, role=part_role, corpora=corpora, split=chosen.split, max_tokens=chosen.max_tokens)
            for name, part_role, corpora in parts
        )

    def _evaluation(self, sets: tuple[EvalSet, ...]) -> Evaluation:
        return Evaluation(sets=sets, scheme=self._scheme(), batch_tokens=self.experiment.evaluate.batch_tokens)

    def _base_label(self) -> str:
        base = self.experiment.base
        revision = f"-{base.revision}" if base.revision else ""
        return f"{base.model.rstrip('/').rpartition('/')[2]}{revision}"

    def _cell_name(self, cell: Cell) -> str:
        """From the cell alone: a name that depended on the rest of the experiment would do the same work twice."""
        parts = [f"adapt-{cell.domain}-r{cell.replay_ratio:g}"]
        parts += [f"p{cell.ptpp:g}"] if cell.ptpp is not None else []
        parts += [cell.size or self._base_label()]
        parts += [f"{cell.method.name}{cell.method.rank}"] if cell.method.name != "full" else []
        return "-".join(parts) + _seed_suffix(cell.seed)

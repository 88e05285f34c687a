"""Experiment → runs: one preparation, a trajectory per base model, its zero-shot scores, a trajectory per adaptation
cell, then analyses.

A run's identifier is readable and ends in a key of its content (job, seed, format), so that the same work has the
same identifier in every experiment and is never done twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from engine.plan.cells import Cell, cross
from engine.plan.cost import count_evaluated, estimate_flops, plan_trajectory
from engine.plan.parts import Parts
from engine.plan.plan import Plan
from engine.spec.check import cautions, law_ptpp
from engine.spec.experiment import Experiment, PretrainedBase
from engine.spec.run import (
    RUN_FORMAT,
    AdaptJob,
    EvalSet,
    EvaluateJob,
    FitJob,
    Job,
    Model,
    PrepareJob,
    PretrainJob,
    Resources,
    RunSpec,
    SimilarityJob,
    Training,
)
from engine.spec.strict import content_key
from store.errors import ConfigError

DEFAULT_SAMPLE_TOKENS = 64


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
    tokens: dict[str, int] = field(default_factory=dict)
    prepare_id: str = ""
    base_ids: dict[tuple[str | None, int], str] = field(default_factory=dict)
    """(size, seed) → the run that its base states come from."""
    adapted: list[tuple[Cell, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = Parts(self.experiment)

    def add_prepare(self) -> None:
        experiment = self.experiment
        similar = experiment.similarity.domains or () if experiment.similarity else ()
        trained_on = (corpus.name for corpus in self.parts.tokenizer.train_on)
        names = dict.fromkeys((*trained_on, *experiment.base.corpora, *experiment.domains, *similar))
        sequences = [self.parts.scheme.window]
        if isinstance(experiment.base, PretrainedBase):
            sequences.append(experiment.base.training.sequence)
        if experiment.training:
            sequences.append(experiment.training.sequence)
        job = PrepareJob(
            corpora=self.parts.corpora(tuple(names)),
            tokenizer=self.parts.tokenizer,
            sets=(*self.parts.base_sets, *self.parts.domain_sets(experiment.domains, "other")),
            minimum_tokens=max(sequences),
        )
        self.prepare_id = self._add("prepare", job)

    def add_bases(self) -> None:
        """Only base text is scored here: what is adapted to later must not change what a base model is."""
        base = self.experiment.base
        if isinstance(base, PretrainedBase):
            for seed in self.experiment.seeds:
                for size in base.sizes:
                    self.base_ids[size, seed] = self._add_pretraining(base, size, seed)

    def _add_pretraining(self, base: PretrainedBase, size: str, seed: int) -> str:
        evaluation = self.parts.evaluation(self.parts.base_sets)
        job = PretrainJob(
            size=size,
            architecture=self.parts.architecture(size),
            tokenizer=self.parts.tokenizer,
            corpora=self.parts.base_corpora,
            ptpp=tuple(sorted(base.ptpp)),
            training=base.training,
            evaluation=evaluation,
        )
        n_params = self.parts.n_params(size)
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
        self.tokens[run_id] = trajectory.trained
        return run_id

    def add_adaptations(self) -> None:
        for cell in cross(self.experiment):
            self.adapted.append((cell, self._add_adaptation(cell)))

    def _add_adaptation(self, cell: Cell) -> str:
        experiment = self.experiment
        base = self._base_of(cell)
        others = tuple(name for name in experiment.domains if name != cell.domain)
        sets = (
            *self.parts.base_sets,
            *self.parts.domain_sets((cell.domain,), "target"),
            *self.parts.domain_sets(others if experiment.evaluate.other_domains else (), "other"),
        )
        unscored = [chosen for chosen in sets if base.run is None or chosen.role != "base"]
        zero_shots = [self._add_zero_shot(cell, base, chosen) for chosen in unscored]
        evaluation = self.parts.evaluation(sets)
        job = AdaptJob(
            base=base,
            tokenizer=self.parts.tokenizer,
            target=experiment.corpora[cell.domain],
            replay=self.parts.base_corpora if cell.replay_ratio else (),
            replay_ratio=cell.replay_ratio,
            atpp=cell.atpp,
            adapt_tokens=cell.adapt_tokens,
            method=cell.method,
            training=experiment.training.model_copy(update={"lr": cell.lr}),
            evaluation=evaluation,
            keep=cell.keep,
        )
        n_params = self.parts.n_params(cell.size)
        budgets = [atpp * n_params for atpp in cell.atpp] if cell.atpp else list(cell.adapt_tokens)
        axis = "atpp" if cell.atpp else "adapt_tokens"
        self._check_budgets(f"adapt: {axis}", cell.atpp or cell.adapt_tokens, budgets, cell.size, job.training)
        trajectory = plan_trajectory(budgets, job.training)
        run_id = self._add(
            self._cell_name(cell),
            job,
            seed=cell.seed,
            needs=(self.prepare_id, *([base.run] if base.run else []), *zero_shots),
            labels={**cell.labels, "size": cell.size or self.parts.base_label},
            cost_flops=estimate_flops(n_params, trajectory.trained, len(budgets) * count_evaluated(evaluation)),
        )
        self.tokens[run_id] = trajectory.trained
        return run_id

    def _base_of(self, cell: Cell) -> Model:
        if cell.ptpp is None:
            return self.parts.existing_model()
        return Model(run=self.base_ids[cell.size, cell.seed], state=state_name("ptpp", cell.ptpp))

    def _add_zero_shot(self, cell: Cell, base: Model, chosen: EvalSet) -> str:
        """The base state scored on one set before adaptation: one run, however many cells start from it."""
        job = EvaluateJob(
            model=base,
            tokenizer=self.parts.tokenizer,
            evaluation=self.parts.evaluation((chosen.model_copy(update={"role": "other"}),)),
        )
        state = [f"p{cell.ptpp:g}", cell.size] if cell.ptpp is not None else [self.parts.base_label]
        labels = {"domain": chosen.name, "ptpp": cell.ptpp, "size": cell.size or self.parts.base_label}
        return self._add(
            "-".join(["evaluate", chosen.name, *state]) + (_seed_suffix(cell.seed) if base.run else ""),
            job,
            needs=(self.prepare_id, *([base.run] if base.run else [])),
            labels={**labels, "seed": cell.seed} if base.run else labels,
            cost_flops=estimate_flops(self.parts.n_params(cell.size), 0, count_evaluated(job.evaluation)),
        )

    def add_similarity(self) -> None:
        experiment, chosen = self.experiment, self.experiment.similarity
        if chosen is None:
            return
        encoder = self._encoder() if "model" in chosen.embedders else None
        job = SimilarityJob(
            reference=self.parts.base_corpora,
            domains=self.parts.corpora(chosen.domains or experiment.domains),
            tokenizer=self.parts.tokenizer,
            measures=chosen.measures,
            embedders=chosen.embedders,
            encoder=encoder,
            samples=chosen.samples,
            sample_tokens=chosen.sample_tokens or min(DEFAULT_SAMPLE_TOKENS, self.parts.context),
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

    def _encoder(self) -> Model:
        """The strongest base there is: the largest size at the highest PTPP."""
        base = self.experiment.base
        if not isinstance(base, PretrainedBase):
            return self.parts.existing_model()
        largest = max(base.sizes, key=self.parts.n_params)
        source = self.base_ids[largest, self.experiment.seeds[0]]
        return Model(run=source, state=state_name("ptpp", max(base.ptpp)))

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
        identity = [RUN_FORMAT, job.kind, job.essence(), seed, *([list(needs)] if depends_on_needs else [])]
        run_id = f"{name}-{content_key(identity, 8)}"
        spec = RunSpec(
            run_id=run_id,
            name=name,
            experiment=self.experiment.name,
            needs=tuple(dict.fromkeys(needs)),
            labels=labels or {},
            seed=seed,
            resources=self._resources(job),
            cost_flops=cost_flops,
            job=job,
        )
        self.runs.setdefault(run_id, spec)
        return run_id

    def _resources(self, job: Job) -> Resources:
        """Only training is spread over several processes."""
        chosen = self.experiment.resources
        if job.kind in ("pretrain", "adapt"):
            return Resources(
                gpus=chosen.gpus_per_run,
                nodes=chosen.nodes,
                processes=chosen.processes,
                cpu_threads=chosen.cpu_threads,
            )
        return Resources(gpus=min(chosen.gpus_per_run, 1), cpu_threads=chosen.cpu_threads)

    def _cell_name(self, cell: Cell) -> str:
        """From the cell alone: a name that depended on the rest of the experiment would do the same work twice."""
        parts = [f"adapt-{cell.domain}-r{cell.replay_ratio:g}"]
        parts += [f"p{cell.ptpp:g}"] if cell.ptpp is not None else []
        parts += [cell.size or self.parts.base_label]
        parts += [f"{cell.method.name}{cell.method.rank}"] if cell.method.name != "full" else []
        return "-".join(parts) + _seed_suffix(cell.seed)

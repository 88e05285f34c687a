"""Experiment → runs: one preparation, a trajectory per base model, its zero-shot scores, a trajectory per adaptation
cell, then analyses.

A run's identifier is readable and ends in a key of its content (job, seed, format), so that the same work has the
same identifier in every experiment and is never done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from engine.plan.cells import Cell, cross
from engine.plan.cost import count_evaluated
from engine.plan.drift import count_compared, plan_drift
from engine.plan.fitted import choose_fitted
from engine.plan.identity import identify
from engine.plan.known import Known
from engine.plan.parts import Parts
from engine.plan.plan import Plan
from engine.plan.refusals import refuse_unfitting, unknowns
from engine.plan.trajectory import state_name
from engine.plan.work import Work, plan_training
from engine.spec.check import cautions, law_ptpp
from engine.spec.experiment import Experiment, PretrainedBase
from engine.spec.run import (
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
from store.errors import ConfigError

DEFAULT_SAMPLE_TOKENS = 64


def expand(experiment: Experiment, known: Known | None = None) -> Plan:
    """The runs of an experiment in dependency order; pure: the same experiment, and the same known, give the same plan.

    ``ConfigError`` for what does not fit the base: budgets in ATPP of unknown N, sequences beyond its context.
    """
    known = known or Known()
    refuse_unfitting(experiment, known)
    builder = _Builder(experiment, known)
    builder.add_prepare()
    builder.add_bases()
    builder.add_adaptations()
    builder.add_drifts()
    builder.add_similarity()
    builder.add_fits()
    return Plan(
        name=experiment.name,
        key=experiment.key(8),
        runs=tuple(builder.runs.values()),
        work=builder.work,
        known=known,
        cautions=(*cautions(experiment), *unknowns(experiment, known), *builder.cautions),
        document=dump_experiment(experiment),
        blocks=builder.blocks,
    )


def dump_experiment(experiment: Experiment) -> str:
    """The experiment as YAML: only what was written, with overrides applied and paths absolute."""
    content = experiment.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _seed_suffix(seed: int) -> str:
    return f"-seed{seed}" if seed else ""


@dataclass
class _Builder:
    experiment: Experiment
    known: Known
    runs: dict[str, RunSpec] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    prepare_id: str = ""
    base_ids: dict[tuple[str | None, float, int], str] = field(default_factory=dict)
    """(size, PTPP, seed) → the run that the base state comes from."""
    adapted: list[tuple[Cell, str]] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    blocks: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = Parts(self.experiment, self.known.base, self.known.vocabulary)
        self.cells = cross(self.experiment)

    def add_prepare(self) -> None:
        experiment = self.experiment
        similar = experiment.similarity.domains or () if experiment.similarity else ()
        trained_on = (corpus.name for corpus in self.parts.tokenizer.train_on)
        names = dict.fromkeys((*trained_on, *experiment.base.corpora, *experiment.domains, *similar))
        corpora = (*self.parts.corpora(tuple(names)), *(self.parts.trained_on(cell) for cell in self.cells))
        sequences = [self.parts.scheme.window, *(training.sequence for training in self._trainings())]
        job = PrepareJob(
            corpora=tuple({corpus.key(): corpus for corpus in corpora}.values()),
            tokenizer=self.parts.tokenizer,
            sets=(*self.parts.base_sets, *self.parts.domain_sets(experiment.domains, "other")),
            separators=tuple(sorted({training.separator for training in self._trainings()})) or ("eos",),
            minimum_tokens=max(sequences),
        )
        self.prepare_id = self._add("prepare", job)

    def _trainings(self) -> tuple[Training, ...]:
        base = self.experiment.base
        own = (base.training,) if isinstance(base, PretrainedBase) else ()
        return (*own, *(cell.training for cell in self.cells))

    def add_bases(self) -> None:
        """Only base text is scored here: what is adapted to later must not change what a base model is."""
        base = self.experiment.base
        if isinstance(base, PretrainedBase):
            ptpp = tuple(sorted(base.ptpp))
            for seed in self.experiment.seeds:
                for size in base.sizes:
                    for budgets in [ptpp] if base.share else [(budget,) for budget in ptpp]:
                        run_id = self._add_pretraining(base, size, seed, budgets)
                        self.base_ids.update({(size, budget, seed): run_id for budget in budgets})

    def _add_pretraining(self, base: PretrainedBase, size: str, seed: int, ptpp: tuple[float, ...]) -> str:
        evaluation = self.parts.evaluation(self.parts.base_sets)
        job = PretrainJob(
            size=size,
            architecture=self.parts.architecture(size),
            tokenizer=self.parts.tokenizer,
            corpora=self.parts.base_corpora,
            ptpp=ptpp,
            training=base.training,
            evaluation=evaluation,
        )
        n_params = self.parts.n_params(size)
        self._check_budgets("base.ptpp", ptpp, n_params, size, job.training)
        work = plan_training(
            "ptpp",
            ptpp,
            n_params,
            job.training,
            n_params=n_params,
            evaluation=evaluation,
            shape=self.parts.shape(size),
        )
        labels = {"size": size, "lr": job.training.lr, "seed": seed}
        return self._add(
            f"pretrain-{size}{_seed_suffix(seed)}",
            job,
            seed=seed,
            needs=(self.prepare_id,),
            labels=labels if base.share else {**labels, "ptpp": ptpp[0]},
            work=work,
            apart="" if base.share else state_name("ptpp", ptpp[0]),
        )

    def add_adaptations(self) -> None:
        rates: dict[str, set[float]] = {}
        for cell in self.cells:
            rates.setdefault(self._cell_name(cell), set()).add(cell.lr)
        for cell in self.cells:
            apart = [f"lr{cell.lr:g}"] if len(rates[self._cell_name(cell)]) > 1 else []
            apart += [] if cell.share else [state_name(cell.budgets[0], cell.budgets[1][0])]
            run_id = self._add_adaptation(cell, "-".join(apart))
            self.adapted.append((cell, run_id))
            self._note_blocks(run_id, cell)

    def _note_blocks(self, run_id: str, cell: Cell) -> None:
        self.blocks[run_id] = tuple(dict.fromkeys((*self.blocks.get(run_id, ()), *cell.blocks)))

    def _add_adaptation(self, cell: Cell, apart: str) -> str:
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
            target=self.parts.trained_on(cell),
            replay=self.parts.base_corpora if cell.replay_ratio else (),
            replay_ratio=cell.replay_ratio,
            atpp=cell.atpp,
            adapt_tokens=cell.adapt_tokens,
            method=cell.method,
            training=cell.training,
            evaluation=evaluation,
            wise_ft=cell.wise_ft,
            keep=cell.keep,
        )
        n_params = self.parts.n_params(cell.size)
        kind, budgets = cell.budgets
        per_unit = n_params if cell.atpp else 1
        axis = "atpp" if cell.atpp else "adapt_tokens"
        self._check_budgets(f"adapt: {axis}", budgets, per_unit, cell.size, job.training)
        work = plan_training(
            kind,
            budgets,
            per_unit,
            job.training,
            n_params=n_params,
            evaluation=evaluation,
            shape=self.parts.shape(cell.size),
            scored_models=1 + len(cell.wise_ft),
            method=cell.method,
        )
        return self._add(
            self._cell_name(cell),
            job,
            seed=cell.seed,
            needs=(self.prepare_id, *([base.run] if base.run else []), *zero_shots),
            labels={**cell.labels, "size": cell.size or self.parts.base_label},
            work=work,
            apart=apart,
        )

    def _base_of(self, cell: Cell) -> Model:
        if cell.ptpp is None:
            return self.parts.existing_model()
        return Model(run=self.base_ids[cell.size, cell.ptpp, cell.seed], state=state_name("ptpp", cell.ptpp))

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
            work=Work(
                self.parts.n_params(cell.size),
                self.parts.shape(cell.size),
                evaluated_tokens=count_evaluated(job.evaluation),
            ),
        )

    def add_drifts(self) -> None:
        """Of the last state of every adaptation, on its domain."""
        if not self.experiment.evaluate.drift:
            return
        for cell, run_id in self.adapted:
            adaptation = self.runs[run_id]
            planned = plan_drift(adaptation)
            drift_id = self._add(
                planned.stem,
                planned.job,
                needs=planned.needs,
                labels=adaptation.labels,
                work=Work(
                    self.parts.n_params(cell.size),
                    self.parts.shape(cell.size),
                    evaluated_tokens=2 * count_compared(planned.job),
                ),
                title=planned.name,
            )
            self._note_blocks(drift_id, cell)

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
            sentence_model=chosen.sentence_model,
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
            population = choose_fitted(self.experiment, self.adapted, domain)
            self.cautions += population.cautions
            adapted = population.runs
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
                anchors=laws.anchors if len(laws.anchors) > 1 else sum(laws.anchors),
                definitions=tuple(form for form in laws.definitions if form.name in laws.forms),
            )
            needs = (*(need for need in sources if need != self.prepare_id), *adapted)
            self._add(f"fit-{domain}", job, needs=needs, labels={"domain": domain}, depends_on_needs=True)

    def _encoder(self) -> Model:
        """The strongest base there is: the largest size at the highest PTPP."""
        base = self.experiment.base
        if not isinstance(base, PretrainedBase):
            return self.parts.existing_model()
        largest = max(base.sizes, key=self.parts.n_params)
        source = self.base_ids[largest, max(base.ptpp), self.experiment.seeds[0]]
        return Model(run=source, state=state_name("ptpp", max(base.ptpp)))

    def _check_budgets(
        self, key: str, budgets: Sequence[float], tokens_per_unit: int, size: str | None, training: Training
    ) -> None:
        for budget in budgets:
            if budget * tokens_per_unit < training.sequence:
                of_size = f" of size {size}" if size else ""
                raise ConfigError(
                    f"{self.experiment.name}: {key} {budget:g}{of_size} is {budget * tokens_per_unit:g} tokens, "
                    f"less than one sequence of {training.sequence}",
                    "Raise it, or shorten the training's sequence.",
                )

    def _add(
        self,
        name: str,
        job: Job,
        *,
        seed: int = 0,
        needs: tuple[str, ...] = (),
        labels: dict[str, str | int | float | None] | None = None,
        work: Work | None = None,
        apart: str = "",
        depends_on_needs: bool = False,
        title: str = "",
    ) -> str:
        """``apart`` tells names apart that would be the same; identifiers need no more than the job's key. ``title`` is
        the whole name, where that is not what the identifier begins with."""
        name, run_id = identify(name, job, seed, needs if depends_on_needs else None)
        spec = RunSpec(
            run_id=run_id,
            name=title or (f"{name}-{apart}" if apart else name),
            experiment=self.experiment.name,
            needs=tuple(dict.fromkeys(needs)),
            labels=labels or {},
            seed=seed,
            resources=self._resources(job),
            cost_flops=work.flops if work else 0.0,
            job=job,
        )
        self.runs.setdefault(run_id, spec)
        if work:
            self.work[run_id] = work
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
                backend=chosen.backend,
                slurm=chosen.slurm,
            )
        gpus = min(chosen.gpus_per_run, 1)
        return Resources(gpus=gpus, cpu_threads=chosen.cpu_threads, backend=chosen.backend, slurm=chosen.slurm)

    def _cell_name(self, cell: Cell) -> str:
        """From the cell alone: a name that depended on the rest of the experiment would do the same work twice."""
        parts = [f"adapt-{cell.domain}-r{cell.replay_ratio:g}"]
        parts += [f"p{cell.ptpp:g}"] if cell.ptpp is not None else []
        parts += [cell.size or self.parts.base_label]
        parts += [f"{cell.method.name}{cell.method.rank}"] if cell.method.name != "full" else []
        parts += [] if cell.newlines == self.experiment.corpora[cell.domain].newlines else [f"nl-{cell.newlines}"]
        parts += [cell.variant] if cell.variant else []
        return "-".join(parts) + _seed_suffix(cell.seed)

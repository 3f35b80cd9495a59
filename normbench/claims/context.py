"""What the examinations share: the config, the studies trained once, and networks to look into."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from normbench.claims import pace, studies
from normbench.claims.studies import STUDIES, Load, Origin, label_of
from normbench.claims.study import Study
from normbench.models.assemble import anatomy
from normbench.norms import NormSlot
from normbench.plan import expand
from normbench.training.run import Run

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.plan import PlannedRun
    from normbench.results.experiment import ExperimentResult


class Interrupted(Exception):
    """Ctrl-C or SIGTERM while a study trained."""

    def __init__(self, signal: int | None):
        super().__init__("interrupted")
        self.signal = signal


class Context:
    """One run of ``normbench claims``. Everything is made when first asked for.

    load: overrides -> config; train: config -> its tables, training what is not done yet;
    prepare: config -> dataset; say: what is being done; left: config -> the runs that are not done;
    jobs: runs at a time.
    """

    def __init__(
        self,
        load: Load,
        train: Callable[[ExperimentConfig], ExperimentResult],
        prepare: Callable[[ExperimentConfig], Dataset],
        origin: Origin,
        *,
        quick: bool,
        say: Callable[[str], None] = lambda _: None,
        left: Callable[[ExperimentConfig], list[PlannedRun]] = expand,
        jobs: int = 1,
    ):
        self._load, self._train, self._prepare = load, train, prepare
        self.origin, self.quick, self.say = origin, quick, say
        self._left, self.jobs = left, jobs
        self.original = load([])
        given = {text.partition("=")[0].strip() for text in origin.overrides}
        own, notes = studies.quick_settings(self.original, given) if quick else ([], [])
        self.settings, more = studies.shared_settings(load, own, quick=quick, given=given)
        self.notes = notes + more
        self.failed: list[tuple[PlannedRun, str]] = []
        self._studies: dict[str, Study | None] = {}
        self._plans: dict[str, Any] = {}
        self._started = self._expected = 0

    @cached_property
    def config(self) -> ExperimentConfig:
        """The setting that every study starts from: the user's, or made small."""
        return self._load(self.settings)

    @cached_property
    def dataset(self) -> Dataset:
        """The images of ``config``."""
        return self._prepare(self.config)

    @property
    def seeds(self) -> list[int]:
        """The reporting seeds."""
        return self.config.seed_list

    def label(self, kind: str) -> str:
        """The label of the norm of a kind."""
        return label_of(self.config, kind)

    def direct(self, number: int) -> list[str]:
        """The command that repeats the measurement of one statement."""
        words = [*(["--quick"] if self.quick else []), "--only", str(number)]
        return [self.origin.command("claims", *words)]

    # -- studies ------------------------------------------------------------------------------

    def study(self, name: str) -> Study | None:
        """The experiment of ``studies.STUDIES`` with this name, trained when first asked for.

        None where the config gives no room for it, such as a network without a depth.
        """
        if name not in self._studies:
            config = self.planned(name)
            self._studies[name] = None if config is None else self._trained(*config)
        return self._studies[name]

    def core_minutes(self, names: Iterable[str]) -> float:
        """Minutes of training of these studies, each run on one core; NaN without any."""
        studies = [study for name in names if (study := self._studies.get(name)) is not None]
        seconds = [float(study.comparison.results.runs["train_seconds"].sum()) for study in studies]
        return sum(seconds) / 60 if studies else math.nan

    @property
    def base(self) -> Study:
        """The config's own setting under several initializations, shared and own best rates."""
        study = self.study("base")
        assert study is not None
        return study

    def planned(self, name: str) -> tuple[ExperimentConfig, list[str]] | None:
        """The config of a study and the overrides that make it; None where there is no room."""
        if name not in self._plans:
            overrides = STUDIES[name](self)
            if overrides is not None:
                suffix = "" if name == "base" else name
                own = f"name={studies.name_of(self.original, suffix, quick=self.quick)}"
                overrides = _last([*self.settings, *overrides, own])
            self._plans[name] = overrides and (self._load(overrides), overrides)
        return self._plans[name]

    def forecast(self, names: Iterable[str]) -> None:
        """Say how many experiments, runs and updates these studies are, and about how long."""
        wanted = [name for name in STUDIES if name in set(names) and self.planned(name)]
        self._expected = len(wanted)
        runs, updates, seconds = 0, 0, 0.0
        for name in wanted:
            plan = self.planned(name)
            assert plan is not None
            left = self._left(plan[0])
            expected = pace.forecast(plan[0], left, self.dataset)
            runs, updates = runs + expected.runs, updates + expected.updates
            seconds += expected.core_seconds
        if runs:
            minutes = max(1, round(seconds / self.jobs / 60))
            self.say(
                f"{self._expected} experiments, {runs} runs of {updates:,} updates together: "
                f"about {minutes} min with {self.jobs} at a time on an idle machine"
            )

    def _trained(self, config: ExperimentConfig, overrides: Sequence[str]) -> Study:
        self._started += 1
        count = f" {self._started} of {self._expected}" if self._expected else ""
        self.say(f"experiment{count}: {config.name}")
        comparison = self._train(config)
        outcome = comparison.outcome
        if outcome is not None:
            self.failed += outcome.failed
            if outcome.stopped:
                raise Interrupted(outcome.signal)
        comparison.require_fairness()
        return Study(comparison, self.origin.train(overrides, config.name))

    @property
    def examples(self) -> int:
        """Images in the training split."""
        return self.dataset.examples(self.config.data.validation)

    def override(self, texts: Sequence[str]) -> ExperimentConfig:
        """The config with more overrides. Raises ConfigError."""
        return self._load(texts)

    @property
    def setting(self) -> str:
        """What the statements are measured on, in words."""
        config = self.config
        model, optimizer = config.model, config.optimizer
        depth = f" of {model.depth} layers" if hasattr(model, "depth") else ""
        init = f", init {model.init}" if hasattr(model, "init") else ""
        return (
            f"{config.data.dataset}, {model.kind}{depth}{init}, {optimizer.kind} at rate "
            f"{optimizer.lr:g}, batch size {config.data.batch_size}, {len(self.seeds)} seeds"
        )

    # -- networks to look into ----------------------------------------------------------------

    def network_run(self, kind: str, seed: int | None = None, overrides: Sequence[str] = ()) -> Run:
        """A network of the config under one norm at step 0, with its first epoch drawn."""
        config = self._load([*self.settings, *overrides]) if overrides else self.config
        label, own = self.label(kind), self.seeds[0] if seed is None else seed
        run = Run(config.run({}, label, own), self.dataset)
        run.start_epoch()
        run.network.train()
        return run

    def slot(self) -> NormSlot:
        """The first norm of the network."""
        return anatomy(self.config.model.blueprint(), self.dataset.image_shape).slots[0]


def first_batch(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """The first batch of the run, without augmentation: x and labels."""
    assert run.order is not None
    return run.data.batch(run.order[: run.config.data.batch_size])


def steps(run: Run, count: int) -> None:
    """Make up to ``count`` updates, no further than the end of the epoch."""
    for _ in range(min(count, run.per_epoch - run.step)):
        run.first_loss_step = run.step
        run.update()


def _last(overrides: Iterable[str]) -> list[str]:
    """Each key once, with its last value; a section that is given whole replaces its keys."""
    texts = {text.partition("=")[0]: text for text in overrides}
    given = list(texts)
    return [
        text
        for index, (key, text) in enumerate(texts.items())
        if key.partition(".")[0] not in given[index + 1 :]
    ]

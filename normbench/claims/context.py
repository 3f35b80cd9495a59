"""What the examinations share: the config, the studies trained once, and networks to look into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from normbench.comparison import Comparison
from normbench.norms import Site
from normbench.claims import studies
from normbench.claims.studies import Load, Place, label_of
from normbench.training.run import Run

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.plan import PlannedRun

NOTHING = pd.DataFrame()


class Interrupted(Exception):
    """Ctrl-C or SIGTERM while a study trained."""

    def __init__(self, signal: int | None):
        super().__init__("interrupted")
        self.signal = signal


@dataclass(frozen=True)
class Study:
    """An experiment behind the statements, trained or read back, and what reproduces it."""

    comparison: Comparison
    command: str

    def paired(self, norm: str, metric: str, *, best: bool = False, **point: Any) -> Any:
        """The row of a norm against the baseline; None where there is none.

        best: at each norm's own best learning rate. point: values of sweep keys, "." as "__".
        """
        tables = self.comparison.best if best else self.comparison.reported
        table = tables.comparisons if tables is not None else NOTHING
        return one_row(table, norm=norm, metric=metric, **point)

    def converged(self, norm: str, *, best: bool = False, **point: Any) -> Any:
        """The row of the convergence table; None where there is none."""
        tables = self.comparison.best if best else self.comparison.reported
        return one_row(tables.convergence if tables is not None else NOTHING, norm=norm, **point)


def one_row(table: pd.DataFrame, **values: Any) -> Any:
    """The row with these values, as a dict; None where there is none."""
    for key, value in values.items():
        if table.empty:
            return None
        table = table[table[key.replace("__", ".")] == value]
    return None if table.empty else table.iloc[0].to_dict()


class Context:
    """One run of ``normbench claims``. Everything is made when first asked for.

    load: overrides -> config; train: config -> its tables, training what is not done yet;
    prepare: config -> dataset; say: what is being done.
    """

    def __init__(
        self,
        load: Load,
        train: Callable[[ExperimentConfig], Comparison],
        prepare: Callable[[ExperimentConfig], Dataset],
        place: Place,
        *,
        quick: bool,
        say: Callable[[str], None] = lambda _: None,
    ):
        self._load, self._train, self._prepare = load, train, prepare
        self.place, self.quick, self.say = place, quick, say
        self.original = load([])
        given = {text.partition("=")[0].strip() for text in place.overrides}
        own, notes = studies.quick_settings(self.original, given) if quick else ([], [])
        self.settings, more = studies.shared_settings(load, own, quick=quick, given=given)
        self.notes = notes + more
        self.failed: list[tuple[PlannedRun, str]] = []
        self._studies: dict[str, Study | None] = {}

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
        return [self.place.command("claims", *words)]

    # -- studies ------------------------------------------------------------------------------

    @property
    def base(self) -> Study:
        """The config's own setting, and each norm at its own best learning rate."""
        found = self._study("", lambda: studies.base(self.config, self.original, quick=self.quick))
        assert found is not None
        return found

    @property
    def depth(self) -> Study | None:
        """Deeper networks."""
        make = lambda: studies.depth(self._load, self.settings, self.config)  # noqa: E731
        return self._study("depth", make)

    @property
    def batch_size(self) -> Study | None:
        """Smaller batches."""

        def make() -> list[str] | None:
            examples = len(self.dataset.train_labels) - self.config.data.validation
            return studies.batch_size(self.config, examples, quick=self.quick)

        return self._study("batch-size", make)

    @property
    def other_model(self) -> Study | None:
        """Another kind of network; only in small, since nobody asked for it in full."""
        make = lambda: studies.other_model(self.config) if self.quick else None  # noqa: E731
        return self._study("other-model", make)

    def _study(self, suffix: str, make: Callable[[], list[str] | None]) -> Study | None:
        if suffix not in self._studies:
            overrides = make()
            found = None
            if overrides is not None:
                name = studies.name_of(self.original, suffix, quick=self.quick)
                found = self._trained([*self.settings, *overrides, f"name={name}"], name)
            self._studies[suffix] = found
        return self._studies[suffix]

    def _trained(self, overrides: Sequence[str], name: str) -> Study:
        overrides = _last(overrides)
        config = self._load(overrides)
        self.say(f"experiment {name}")
        comparison = self._train(config)
        outcome = comparison.outcome
        if outcome is not None:
            self.failed += outcome.failed
            if outcome.stopped:
                raise Interrupted(outcome.signal)
        comparison.require_fairness()
        return Study(comparison, self.place.train(overrides, name))

    # -- networks to look into ----------------------------------------------------------------

    def network_run(self, kind: str, seed: int | None = None) -> Run:
        """A network of the config under one norm at step 0, with its first epoch drawn."""
        label, own = self.label(kind), self.seeds[0] if seed is None else seed
        run = Run(self.config.run({}, label, own), self.dataset)
        run.start_epoch()
        run.network.train()
        return run

    def site(self) -> Site:
        """The first place of a norm in the network."""
        model = self.config.model
        return model.network().sites(model.options(), self.dataset.image_shape)[0]


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
        for place, (key, text) in enumerate(texts.items())
        if key.partition(".")[0] not in given[place + 1 :]
    ]

"""Which norm to use, each at its own best learning rate, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.constants import RESULTS
from normbench.store import ExperimentStore

if TYPE_CHECKING:
    from normbench.api import Config
    from normbench.config import ExperimentConfig
    from normbench.data.catalog import Note, Progress
    from normbench.execution import Observer
    from normbench.report.recommendation import Recommendation

BUDGET = "10m"


def recommend(
    config: Config | None = None,
    *,
    budget: str = BUDGET,
    overrides: Sequence[str] = (),
    results: str | Path = RESULTS,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    fresh: bool = False,
    watch: Observer | None = None,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
    say: Callable[[ExperimentConfig, str], None] = lambda *_: None,
) -> Recommendation:
    """Say which norm a network should use, each at its own best learning rate, within a budget.

    A grid of learning rates around the config's own (or what its ``tune`` lists) is searched by
    halving, at the same number of runs for every norm; the best two rates of each race under more
    seeds until one norm is left, or all that are left are similar, or nothing more is afforded. The
    number of seeds and the rest of the design follow from the budget before the first run.

    budget: time of one core, as in 10m or 2h, or runs, as in 200runs. The runs are those of an
    ordinary experiment called after the config's, which the same call continues, with a larger
    budget beyond where it ended. say: hears of the experiment, and in words what is going to be
    done. The rest, and what it raises, as for ``api.train``; ConfigError also where the budget
    affords no comparison.
    """
    from normbench.execution import processes
    from normbench.execution.recommend import name_of, parse_budget, plan_within

    spend = parse_budget(budget)
    if executor == "local":
        processes.prepare()  # they import while this process does
    from normbench import api
    from normbench.report.recommendation import of, plan_text

    asked = api.load_config(config, overrides=overrides)
    store = ExperimentStore(Path(results), name_of(asked))
    dataset = api.prepare_data(asked, data_dir, progress=progress, note=note)
    experiment, purse = plan_within(asked, spend, dataset, store, fresh=fresh)
    say(experiment, plan_text(experiment, purse))
    trained = api.train(
        experiment,
        results=results,
        data_dir=data_dir,
        jobs=jobs,
        executor=executor,
        ray_address=ray_address,
        fresh=fresh,
        watch=watch,
        progress=progress,
        note=note,
        affords=purse.affords,
    )
    return of(trained, purse)

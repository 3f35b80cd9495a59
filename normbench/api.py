"""What a notebook uses, and what the command line is a thin shell around.

import normbench as nb
result = nb.train("configs/digits.yaml")
result.convergence            # a DataFrame
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from normbench.constants import RESULTS
from normbench.errors import ConfigError, Problem, suggest
from normbench.execution.fit import check_fit, default_jobs, usable
from normbench.interrupts import Interrupts
from normbench.results.load import compare as compare
from normbench.results.load import load as load
from normbench.results.load import load_each
from normbench.store import ExperimentStore, locate, results_folder

if TYPE_CHECKING:
    from normbench.analysis.propagation import Propagation
    from normbench.claims import Claims
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.data.catalog import Note, Progress
    from normbench.execution import Observer
    from normbench.measure.checked import Checked
    from normbench.measure.layer_cost import CostRow, Mode
    from normbench.plan import PlannedRun
    from normbench.report.cost import Costs
    from normbench.results.experiment import ExperimentResult

Config: TypeAlias = "str | Path | Mapping[str, Any] | ExperimentConfig"
"""A file, the name of a bundled one, what a file would hold, or a finished config."""

COST_SHAPES = ("128x256", "128x32x16x16")


def load_config(
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    sweeps: Sequence[str] = (),
) -> ExperimentConfig:
    """The experiment of a YAML file, of a bundled config by its name, or the bundled digits one.

    A mapping is what the file would hold: ``{"data": "digits", "norms": ["batch", "layer"]}``.
    overrides: ``key=value``; sweeps: ``key=value,value``, both by the YAML rules. Raises
    ConfigError with every mistake at once.
    """
    from normbench.config import ExperimentConfig, find_config, load, written

    if isinstance(config, ExperimentConfig):
        if overrides or sweeps:
            raise TypeError("overrides and sweeps go with a file, not with a finished config")
        return config
    if isinstance(config, Mapping):
        return load(written(config), overrides, sweeps)
    return load(find_config(str(config) if config is not None else None), overrides, sweeps)


def prepare_data(
    experiment: ExperimentConfig,
    data_dir: str | Path | None = None,
    *,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
) -> Dataset:
    """Fetch, check and memory-map the experiment's dataset. Raises DataError."""
    from normbench.data import prepare

    return prepare(
        experiment.data.dataset,
        data_dir=Path(data_dir) if data_dir is not None else None,
        options=experiment.data.options(),
        progress=progress,
        note=note,
    )


def train(
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    results: str | Path = RESULTS,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    fresh: bool = False,
    accept_changes: bool = False,
    watch: Observer | None = None,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
    affords: Callable[[Sequence[PlannedRun]], bool] = lambda _: True,
) -> ExperimentResult:
    """Train every run of an experiment that is not done yet, and compare the norms.

    config, overrides: see ``load_config``. results: the results folder. data_dir: where the
    datasets are. jobs: runs at a time, by default as many as fill the cores. executor: ``local``
    processes, or ``ray`` with the cluster at ``ray_address``, else that of ``RAY_ADDRESS``, else
    one started here. fresh: forget every earlier run of this experiment. watch, progress, note:
    see what happens. affords, accept_changes: see ``execution.carry_out``.

    Ctrl-C or SIGTERM lets every running run finish its step and checkpoint; the result's
    ``outcome.stopped`` tells. Raises ConfigError, DataError, StoreError.
    """
    from normbench.execution import processes

    if executor == "local":
        processes.prepare()  # first of all: they import while this process does
    from normbench.execution import carry_out, make_executor
    from normbench.plan import expand
    from normbench.report.earlier import what_becomes

    experiment = load_config(config, overrides=overrides)
    workers = make_executor(
        executor,
        experiment.runtime,
        jobs=jobs,
        fill=default_jobs(experiment),
        ray_address=ray_address,
        note=note,
    )
    store = ExperimentStore(Path(results), experiment.name)
    try:
        dataset = prepare_data(experiment, data_dir, progress=progress, note=note)
        check_fit(expand(experiment), dataset, here=executor == "local")
        store.lock()
        with Interrupts(kill=workers.close) as interrupts:
            store.check()
            if fresh:
                store.clear()
            elif told := what_becomes(store, experiment):
                note(told)
            result = carry_out(
                experiment,
                store,
                dataset,
                workers,
                watch=watch,
                should_stop=interrupts.requested,
                accept_changes=accept_changes,
                planned=lambda: processes.meanwhile("normbench.results.experiment"),
                affords=affords,
            )
        if result.outcome is not None:
            result.outcome.signal = interrupts.signal
    finally:
        workers.close()
        store.unlock()
    return result


def probe(
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    seeds: int = 3,
    steps: int | None = None,
    landscape: bool = False,
    gradient: Literal["loss", "independent"] | None = None,
    data_dir: str | Path | None = None,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
) -> Propagation:
    """How signals and gradients pass through the network under every norm, beside theory.

    At initialization on one batch of real data, and with ``steps`` again after that many steps of
    training; nothing is stored. seeds: how many, the config's first and those that follow.
    landscape: also the loss around the weights at the start, two points between and the end of
    ``steps`` (60 unless given). gradient: what goes backward at step 0, the loss's gradient or
    numbers drawn for each example, as theory takes them; None draws them unless ``steps`` follow,
    whose gradient is the loss's. Raises ConfigError, DataError.
    """
    from normbench import probing

    experiment = load_config(config, overrides=overrides)
    return probing.measured(
        experiment,
        prepare_data(experiment, data_dir, progress=progress, note=note),
        seeds=seeds,
        steps=steps,
        landscape=landscape,
        gradient=gradient,
        progress=lambda done, of: progress(done, of, "probing"),
    )


def theory(
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    seeds: int = 3,
    data_dir: str | Path | None = None,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
) -> Propagation:
    """What theory says of the network under every norm at initialization, measuring nothing.

    The arguments and exceptions are those of ``probe``.
    """
    from normbench import probing

    experiment = load_config(config, overrides=overrides)
    return probing.expected(
        experiment,
        prepare_data(experiment, data_dir, progress=progress, note=note),
        seeds=seeds,
        progress=lambda done, of: progress(done, of, "working out"),
    )


def cost(
    shapes: Sequence[str | tuple[int, ...]] = COST_SHAPES,
    *,
    norms: Sequence[str] | None = None,
    threads: int = 1,
    device: str = "cpu",
    dtype: Literal["fp32", "bf16"] = "fp32",
    compiled: bool = True,
    watch: Callable[[CostRow], None] = lambda _: None,
) -> Costs:
    """Measure norm layers at each shape: time, memory, bytes and operations.

    shapes: [N, F] or [N, C, H, W], or texts such as 128x256. norms: all by default; PyTorch's own
    LayerNorm and RMSNorm stand beside them. compiled: measure under torch.compile too. watch: sees
    each row as it is measured. Raises ConfigError with every mistake at once.
    """
    import torch

    from normbench.measure.layer_cost import measure, parse_shape
    from normbench.norms import NORMS
    from normbench.registry import UnknownName
    from normbench.report.cost import Costs, shape_text

    problems: list[Problem] = []
    sizes: dict[tuple[int, ...], None] = {}  # as an ordered set: nothing is measured twice
    names: dict[str, None] = {}
    for shape in shapes:
        try:
            sizes[parse_shape(shape if isinstance(shape, str) else shape_text(shape))] = None
        except ValueError as error:
            problems.append(Problem("shape", str(error)))
    for name in norms if norms is not None else NORMS.names():
        try:
            names[NORMS.canonical(name)] = None
        except UnknownName as error:
            problems.append(Problem("norm", error.message, error.hint))
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if dtype not in dtypes:
        problems.append(Problem("dtype", f"unknown dtype {dtype!r}", suggest(dtype, dtypes)))
    if not usable(device):
        problems.append(Problem("device", f"{device!r} is not there", "known: cpu, cuda, cuda:0"))
    if problems:
        raise ConfigError(problems)
    modes: list[Mode] = ["eager", "compiled"] if compiled else ["eager"]
    rows: list[CostRow] = []
    try:
        for row in measure(
            list(sizes),
            norms=list(names),
            modes=modes,
            device=device,
            dtype=dtypes[dtype],
            threads=threads,
        ):
            watch(row)
            rows.append(row)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise ConfigError([Problem("shape", "too large for the memory of this machine")]) from None
    return Costs(tuple(rows))


def check(
    target: str, *, image_shape: tuple[int, int, int] = (32, 32, 3), num_classes: int = 10
) -> Checked:
    """Try a norm or a network of your own: ``file.py:Name``, ``package.module:Name`` or a name.

    Runs its code. image_shape: (H, W, C) of the images that a network is tried on. Raises
    ConfigError where there is no such thing, or a network cannot be run.
    """
    from normbench.measure.checked import check as checked

    return checked(target, image_shape=image_shape, num_classes=num_classes)


def claims(
    config: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    quick: bool = False,
    only: Sequence[int] = (),
    results: str | Path = RESULTS,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    watch: Observer | None = None,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Claims:
    """Put statements about normalization to the test on the config's own network.

    config, overrides, results, data_dir, jobs, executor, ray_address, watch, progress, note: as
    for ``train``. quick: small networks on the digits, minutes in place of hours. only: the
    numbers of the statements, all by default. say: what is being done. Training goes into
    experiments of its own below ``results``; what they hold already is not trained again.

    Ctrl-C or SIGTERM stops as in ``train``; the result's ``stopped`` tells, and its rows are those
    that were complete. Raises ConfigError, DataError, StoreError.
    """
    from normbench.claims import CLAIMS, examine
    from normbench.claims.context import Context
    from normbench.claims.studies import Origin
    from normbench.plan import unfinished

    known = sorted(CLAIMS[name].number for name in CLAIMS)
    if wrong := [number for number in only if number not in known]:
        hint = f"known: {known[0]} to {known[-1]}"
        raise ConfigError([Problem("only", f"there is no statement {n}", hint) for n in wrong])
    options: list[str] = []
    if Path(results) != RESULTS:
        options += ["--results", str(results)]
    if data_dir is not None:
        options += ["--data-dir", str(data_dir)]
    context = Context(
        lambda more: load_config(config, overrides=[*overrides, *more]),
        lambda experiment: train(
            experiment,
            results=results,
            data_dir=data_dir,
            jobs=jobs,
            executor=executor,
            ray_address=ray_address,
            watch=watch,
            progress=progress,
            note=note,
        ),
        lambda experiment: prepare_data(experiment, data_dir, progress=progress, note=note),
        Origin(None if config is None else str(config), overrides, options),
        quick=quick,
        say=say,
        left=lambda experiment: unfinished(experiment, results),
        jobs=jobs or default_jobs(load_config(config, overrides=overrides)),
    )
    return examine(context, only)


def report(
    names: str | Sequence[str],
    *,
    results: str | Path = RESULTS,
    form: Literal["html", "png", "svg"] = "html",
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> list[Path]:
    """Write experiments as one page, or their charts as pictures, and return the paths.

    out: the page's file or folder, or the pictures' folder; by default report.html and charts/ in
    the experiment's own folder, for several experiments report-<names>.html in ``results``.
    data_dir: where the images that came out wrong are, for a config that shows some. Raises
    StoreError for an experiment that cannot be read or has no finished run, and, once everything
    is written, when the norms were not compared on equal terms; ConfigError for several that
    cannot be compared.
    """
    from normbench.report.files import write

    comparisons = load_each([names] if isinstance(names, str) else names, results)
    target, data = (None if path is None else Path(path) for path in (out, data_dir))
    files = write(comparisons, form, results_folder(results), target, data)
    for comparison in comparisons:
        comparison.require_fairness()
    return files


def export(
    name: str, to: str, *, out: str | Path | None = None, results: str | Path = RESULTS
) -> list[Path]:
    """Write a trained experiment for other tools; see ``normbench.exporters.export``.

    to: a name of ``normbench list exporters``. Raises ConfigError, StoreError.
    """
    from normbench import exporters
    from normbench.store import read_results

    store = locate(results, name)
    saved = read_results(store.results, store.name, probes=False)
    return exporters.export(saved, to, Path(out) if out is not None else None)

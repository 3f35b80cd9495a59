"""What the shell offers after a TAB: names of components, configs, experiments, runs and keys.

A TAB must be answered at once, so nothing here imports torch where it can be helped: what only the
schema knows is kept in the cache until normbench's own files change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from normbench.atomic import replace_with
from normbench.bundled import bundled, bundled_for_claims
from normbench.constants import RESULTS


def norms(incomplete: str) -> list[str]:
    """Names of norms."""
    return _beginning(incomplete, _vocabulary()["norms"])


def norm_list(incomplete: str) -> list[str]:
    """Names of norms with commas between: the last one is being typed."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{norm}" for norm in norms(last) if norm not in before.split(",")]


def datasets(incomplete: str) -> list[str]:
    """Names of datasets."""
    return _beginning(incomplete, _vocabulary()["datasets"])


def models(incomplete: str) -> list[str]:
    """Names of models."""
    return _beginning(incomplete, _vocabulary()["models"])


def exporters(incomplete: str) -> list[str]:
    """Names of exporters."""
    return _beginning(incomplete, _vocabulary()["exporters"])


def executors(incomplete: str) -> list[str]:
    """Names of executors."""
    return _beginning(incomplete, _vocabulary()["executors"])


def keys(incomplete: str) -> list[str]:
    """``KEY=`` for every key of a config."""
    return _beginning(incomplete, [f"{key}=" for key in _vocabulary()["keys"]])


def sweep_keys(incomplete: str) -> list[str]:
    """``KEY=`` for every key that can be swept."""
    return _beginning(incomplete, [f"{key}=" for key in _vocabulary()["sweep"]])


def swept(incomplete: str) -> list[str]:
    """Every key that can be swept."""
    return _beginning(incomplete, _vocabulary()["sweep"])


def configs(incomplete: str) -> list[str]:
    """Bundled configs, config files and the folders on the way to one."""
    known = [*(path.stem for path in bundled()), *bundled_for_claims()]
    return _beginning(incomplete, known) + _files(incomplete)


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Experiments in the results folder of the command line, less those that stand there."""
    known = _experiments(ctx)
    return _beginning(incomplete, [name for name in known if name not in _given(ctx)])


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The runs of the experiment that stands on the command line."""
    given = _given(ctx)
    return _beginning(incomplete, _runs(ctx, given[0]) if given else [])


def configs_or_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Configs, and ``EXPERIMENT/RUN``: first the experiment, then its runs."""
    name, slash, _ = incomplete.partition("/")
    if slash:
        names = [f"{name}/{run}" for run in _runs(ctx, name)]
    else:
        names = [f"{known}/" for known in _experiments(ctx)]
    return _beginning(incomplete, names) + configs(incomplete)


def _beginning(incomplete: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]


def _given(ctx: typer.Context) -> list[str]:
    """The arguments before the word that is being completed."""
    values: list[str] = []
    for name in ("name", "names", "runs"):
        value = ctx.params.get(name)
        values += [value] if isinstance(value, str) else list(value or ())
    return values


def _results(ctx: typer.Context) -> Path:
    from normbench.store import results_folder

    return results_folder(ctx.params.get("results") or RESULTS)


def _experiments(ctx: typer.Context) -> list[str]:
    from normbench.store.experiment import experiments

    return _quietly(lambda: experiments(_results(ctx)))


def _runs(ctx: typer.Context, name: str) -> list[str]:
    from normbench.store.experiment import ExperimentStore

    return _quietly(lambda: ExperimentStore(_results(ctx), name).folders())


def _quietly(read: Callable[[], list[str]]) -> list[str]:
    """What ``read`` finds; nothing where it finds a mistake, which the command itself will tell."""
    from normbench.errors import NormbenchError

    try:
        return read()
    except NormbenchError:
        return []


def _files(incomplete: str) -> list[str]:
    folder, slash, begin = incomplete.rpartition("/")
    parent = Path(folder + slash or ".")
    try:
        inside = sorted(path for path in parent.iterdir() if path.name.startswith(begin))
    except OSError:
        return []
    shown = [path for path in inside if begin.startswith(".") or not path.name.startswith(".")]
    return [
        f"{folder}{slash}{path.name}" + "/" * path.is_dir()
        for path in shown
        if path.is_dir() or path.suffix in (".yaml", ".yml")
    ]


def _vocabulary() -> dict[str, list[str]]:
    """What only the registries and the schema know, from the cache if it is as new as they are."""
    from normbench.data.folders import cache_root

    package = Path(__file__).resolve().parents[1]
    stats = [(str(path), path.stat()) for path in sorted(package.rglob("*.py"))]
    state = json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
    digest = hashlib.sha256(state.encode()).hexdigest()
    path = cache_root(lambda _: None) / "completion.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_bytes())
        if kept["digest"] == digest:
            return kept["vocabulary"]
    words = _ask()
    with contextlib.suppress(OSError):  # then the next TAB asks again
        replace_with(path, json.dumps({"digest": digest, "vocabulary": words}).encode())
    return words


def _ask() -> dict[str, list[str]]:
    from normbench.config.grid import sweepable
    from normbench.config.keys import dotted_keys
    from normbench.data import DATASETS
    from normbench.execution.executors import EXECUTORS
    from normbench.exporters import EXPORTERS
    from normbench.models import MODELS
    from normbench.norms import NORMS

    return {
        "norms": NORMS.names(),
        "models": MODELS.names(),
        "datasets": DATASETS.names(),
        "exporters": EXPORTERS.names(),
        "executors": list(EXECUTORS),
        "keys": dotted_keys(),
        "sweep": sorted(sweepable()),
    }

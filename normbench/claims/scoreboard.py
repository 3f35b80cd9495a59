"""The scoreboard: every claim with its verdict, from stored results alone.

A folder holds ``runs/NAME.csv`` (the runs of an experiment) with ``runs/NAME.yaml`` (its config),
and ``article.json`` (what ``normbench claims`` found of the article's statements). The rows, and so
the page, are a function of these files.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from normbench.atomic import replace_with
from normbench.bundled import bundled_for_claims
from normbench.claims import runs
from normbench.claims.base import Claims
from normbench.claims.family import sentence
from normbench.claims.published import LITERATURE, NOT_RUN, Published, in_order
from normbench.claims.verdicts import Judgement, Piece
from normbench.config import ExperimentConfig, load
from normbench.constants import OUTCOME_STATES
from normbench.errors import StoreError
from normbench.results.load import compare
from normbench.store.files import finite

if TYPE_CHECKING:
    from normbench.results.experiment import ExperimentResult

RUNS, ARTICLE = "runs", "article.json"
TITLE = "literature"


@functools.cache
def config_of(name: str) -> ExperimentConfig:
    """The bundled config of an experiment."""
    return load(bundled_for_claims()[f"claims/{name}"])


def names_of_configs() -> list[str]:
    """The experiments of all claims of the literature, each once, in the claims' order."""
    return list(dict.fromkeys(name for _, claim in in_order() for name in claim.configs))


# -- into the store -------------------------------------------------------------------------------


def keep(result: ExperimentResult, folder: Path) -> str:
    """Store the runs of an experiment; returns why not, empty where it was stored.

    Only an experiment that is complete, and of the bundled config as it stands, is stored: a
    verdict on part of the runs would be one of a rule that nobody fixed.
    """
    config = config_of(result.name)
    if _less_runtime(config) != _less_runtime(_read(result.results.config)):
        return f"{result.name}: trained by another config than the bundled one"
    lacking = int((~result.results.runs["state"].isin(OUTCOME_STATES)).sum())
    if lacking or (config.tune is not None and result.best is None):
        return f"{result.name}: {lacking or 'some'} runs are not done"
    result.require_fairness()
    runs.store(folder / RUNS, result.name, runs.table_of(result))
    given = yaml.safe_dump(config.given(), sort_keys=False, width=96, default_flow_style=None)
    replace_with(folder / RUNS / f"{result.name}.yaml", given.encode())
    return ""


def _read(config: Mapping[str, Any]) -> ExperimentConfig:
    """The config of a plan on disk; a key that it is older than has its default."""
    return ExperimentConfig.model_validate(dict(config))


def _less_runtime(config: ExperimentConfig) -> dict[str, Any]:
    return {key: value for key, value in config.resolved().items() if key != "runtime"}


def collect(results: Path, folder: Path) -> list[str]:
    """Store every experiment of the literature's claims that is complete below ``results``.

    Returns why one that is there was not stored.
    """
    told = []
    for name in names_of_configs():
        if not (results / name).is_dir():
            continue
        try:
            result = compare(name, results=results)
        except StoreError as error:
            told.append(f"{name}: {error}")
            continue
        told += [why] if (why := keep(result, folder)) else []
    return told


def keep_article(examined: Claims, folder: Path) -> None:
    """Store what was found of the article's statements."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = finite(examined.to_dict())
    claims = ",\n".join(map(json.dumps, whole.pop("claims")))  # a line a statement, for a diff
    text = f'{json.dumps(whole)[:-1]}, "claims": [\n{claims}\n]}}\n'
    replace_with(folder / ARTICLE, text.encode())


# -- out of it ------------------------------------------------------------------------------------


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every row of the scoreboard: the article's statements, where they are stored, and the claims
    of the literature, also those whose experiments have not been run."""
    tables = runs.stored(folder / RUNS, names_of_configs())
    literature = [literature_row(name, claim, tables) for name, claim in in_order()]
    return [*_article(folder), *literature]


def literature_row(name: str, claim: Published, tables: Mapping[str, Any]) -> dict[str, Any]:
    """A claim with the verdict of its rule on these runs; "not run" where one of its experiments
    is missing."""
    ready = claim.ready(tables)
    judgement = claim.decide(tables) if ready else None
    configs = [config_of(config) for config in claim.configs]
    own = [tables[config] for config in claim.configs] if ready else []
    return {
        "name": name,
        "from": "literature",
        "number": claim.number,
        "short": claim.short,
        "statement": claim.statement,
        "source": claim.source,
        "verdict": judgement.verdict.value if judgement else NOT_RUN,
        "conditions": judgement.words if judgement else _why_not(claim),
        "expected": claim.expected,
        "setting": "; ".join(map(setting, configs)),
        "seeds": _seeds(configs),
        "core_minutes": runs.cost(own) if ready else math.nan,
        "changes": claim.changes,
        "amended": claim.amended,
        "experiment": "; ".join(map(setting, configs)),
        "evidence": [sentence(piece) for piece in judgement.pieces] if judgement else [],
        "commands": [f"normbench train claims/{config}" for config in claim.configs],
        "parts": _parts(judgement),
        "table": [],
    }


def _why_not(claim: Published) -> str:
    return "needs a GPU" if claim.gpu else "its experiment has not been trained"


def setting(config: ExperimentConfig) -> str:
    """An experiment in a line: data, network, optimizer, budget."""
    model, optimizer, training = config.model, config.optimizer, config.training
    resize = getattr(config.data, "resize", None)
    pixels = f" at {resize} pixels" if resize else ""
    size = [f"{word} {getattr(model, word)}" for word in ("depth", "width") if hasattr(model, word)]
    budget = f"{training.steps} steps" if training.steps else f"{training.epochs:g} epochs"
    swept = [f"{key.rpartition('.')[2]} {_listed(values)}" for key, values in config.sweep.items()]
    tuned = [f"rate of {_listed(config.tune.values)}"] if config.tune else []
    return ", ".join(
        [
            *(config.data.dataset + pixels, f"{model.kind} of {' and '.join(size)}"),
            *(f"{optimizer.kind}", f"batches of {config.data.batch_size}", budget),
            *swept,
            *tuned,
        ]
    )


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _seeds(configs: Sequence[ExperimentConfig]) -> str:
    told = {
        f"{len(config.seed_list)}"
        + (f", and {len(config.tune_seeds)} to choose rates" if config.tune else "")
        for config in configs
    }
    return "; ".join(sorted(told))


def _parts(judgement: Judgement | None) -> list[dict[str, Any]]:
    return [part(piece) for piece in judgement.pieces] if judgement else []


def part(piece: Piece) -> dict[str, Any]:
    """A piece for JSON and for the picture."""
    return {
        "part": piece.part,
        "situation": dict(piece.situation),
        "holds": piece.holds,
        **{key: value for key, value in piece.numbers.items() if key != "differences"},
    }


def _article(folder: Path) -> list[dict[str, Any]]:
    file = folder / ARTICLE
    if not file.is_file():
        return []
    stored = json.loads(file.read_text(encoding="utf-8"))
    return [
        {
            **row,
            "from": "article",
            "expected": "as the statement says",
            "setting": stored["setting"],
            "seeds": stored["setting"].rpartition(", ")[2],
            "changes": "another network or data: `normbench claims CONFIG`",
        }
        for row in stored["claims"]
    ]


# -- by training ----------------------------------------------------------------------------------


def trained(
    names: Sequence[str],
    train: Callable[[ExperimentConfig], ExperimentResult],
    say: Callable[[str], None] = lambda _: None,
) -> Claims:
    """Train what claims of the literature rest on, and judge them.

    train: config -> its results, training what is not done yet. An interruption ends it: its claims
    are then those that were complete.
    """
    tables: dict[str, Any] = {}
    failed: list[Any] = []
    asked = [(name, LITERATURE[name]) for name in names]
    for config in dict.fromkeys(config for _, claim in asked for config in claim.configs):
        say(f"experiment: {config}")
        result = train(config_of(config))
        if result.outcome is not None:
            failed += result.outcome.failed
            if result.outcome.stopped:
                rows = [literature_row(*one, tables) for one in asked if one[1].ready(tables)]
                signal = result.outcome.signal
                return Claims(TITLE, False, [], "", [], failed, True, signal, literature=rows)
        result.require_fairness()
        tables[config] = runs.table_of(result)
    rows = [literature_row(*one, tables) for one in asked]
    return Claims(TITLE, False, [], "", [], failed, literature=rows)

"""What becomes of the earlier runs when a config changes under the same name, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from normbench.dotted import flatten_config
from normbench.report.wording import counted, norms
from normbench.store import ExperimentStore
from normbench.store.earlier import left_behind
from normbench.store.files import to_json

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig

MOST_KEYS = 3  # that are shown with their values


def what_becomes(store: ExperimentStore, experiment: ExperimentConfig) -> str:
    """Which runs still count, which do not, and how to keep both; "" where all still count.

    Raises StoreError.
    """
    if not store.is_at(store.path):
        return ""
    from normbench.plan import expand, reuse_folders

    config = from_json(to_json(experiment.resolved()))  # as what is on record was written
    plan = reuse_folders(expand(experiment), store.folders())
    left = left_behind(store, config, [run.record() for run in plan])
    if left is None:
        return ""
    changed = _changed((store.known_plan() or {"config": {}})["config"], config)
    number = len(left.count) + len(left.stale)
    share = f"{len(left.count)} still count and {len(left.stale)} no longer do"
    if not left.count:
        share = "none counts any more"
    return (
        f"{store.name} was trained before with another config ({changed}): of its "
        f"{counted(number, 'run')} {share} ({norms(left.norms)})\n"
        f"    they stay on disk; --set name={store.name}-2 keeps both apart, `normbench rm --stale "
        f"{store.name}` deletes what no longer counts"
    )


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    was, has = _flat(before), _flat(now)
    keys = [key for key in {**was, **has} if was.get(key) != has.get(key)]
    shown = [
        f"the file of {key.removesuffix('.source')} was edited"
        if key.endswith(".source") and was.get(key) and has.get(key)
        else f"{key} {was.get(key)}, now {has.get(key)}"
        for key in keys[:MOST_KEYS]
    ]
    return "; ".join(shown) + (f"; {len(keys) - MOST_KEYS} keys more" if keys[MOST_KEYS:] else "")


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys -> values; of norms what is given of each, and their sources apart."""
    flat = flatten_config(config)
    told = []
    for norm in config.get("norms") or ():
        kind = norm.get("kind")
        if norm.get("source"):
            flat[f"norm {kind}.source"] = norm["source"]
        given = {k: v for k, v in norm.items() if k not in ("kind", "source")}
        given = {k: v for k, v in given.items() if v is not None and v is not False}
        told.append(" ".join([str(kind), *(f"{key}={value}" for key, value in given.items())]))
    flat["norms"] = ", ".join(told)
    return flat

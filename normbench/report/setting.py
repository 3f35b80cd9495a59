"""What an experiment compared, on what, and where it ran: facts as pairs of word and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from normbench.analysis.fairness import fairness_line
from normbench.comparison import Comparison
from normbench.report.columns import count, percent
from normbench.store import RunStore

Facts = list[tuple[str, str]]


def setting(comparison: Comparison) -> Facts:
    """Dataset, network, norms, optimizer, budget, target, seeds and what was swept or tuned."""
    config, runs = comparison.results.config, comparison.reported.results.runs
    data, optimizer = dict(config["data"]), dict(config["optimizer"])
    seeds = sorted(set(runs["seed"]))
    budgets = sorted(set(runs["steps_planned"].dropna()))
    facts = [
        ("norms", ", ".join(comparison.reported.norms)),
        ("baseline", str(config["baseline"])),
        ("data", _section(data, ("dataset", "path", "validation", "batch_size", "augment"))),
        ("network", _section(config["model"])),
        ("normalization", _section(config["normalization"])),
        ("optimizer", _section(optimizer)),
        ("budget", " or ".join(f"{count(budget)} steps" for budget in budgets) or "–"),
        ("target", ", ".join(f"{percent(t)} % validation accuracy" for t in comparison.targets)),
        ("seeds", f"{len(seeds)} ({_listed(seeds)})"),
    ]
    for key, values in (config.get("sweep") or {}).items():
        facts.append(("sweep", f"{key}: {', '.join(map(str, values))}"))
    if comparison.tuned_key:
        grid = config["tune"][comparison.tuned_key]
        facts.append(("tuning", f"{comparison.tuned_key}: {', '.join(map(str, grid))}"))
    return facts


def environment(comparison: Comparison) -> Facts:
    """Fairness, and the versions and machines behind the runs, each with how many of how many."""
    folders = list(dict.fromkeys(comparison.results.runs["run"]))
    manifests = [RunStore(comparison.results.path / folder).read_manifest() for folder in folders]
    known = [manifest for manifest in manifests if manifest]
    facts = [("fairness", fairness_line(comparison.fairness).removeprefix("fairness: "))]
    for word in ("normbench", "python", "packages", "system", "processor", "cores"):
        facts += _counted(word, [m.get("environment", {}).get(word) for m in known])
    for word in ("device", "threads"):
        facts += _counted(word, [m.get(word) for m in known])
    facts += _counted("data fingerprint", [m.get("data", {}).get("fingerprint") for m in known])
    return facts


def _counted(word: str, values: list[Any]) -> Facts:
    """One fact, with the number of runs beside each value where runs differ."""
    texts = Counter(_text(value) for value in values if value is not None)
    if len(texts) < 2:
        return [(word, text) for text in texts]
    return [(word, "; ".join(f"{text} ({n} runs)" for text, n in texts.items()))]


def _section(section: Mapping[str, Any], keys: tuple[str, ...] | None = None) -> str:
    """A section of the config in one line: what is off or not given is left out."""
    shown = {key: section[key] for key in keys or section if section.get(key) is not None}
    kind = [str(shown.pop(name)) for name in ("kind", "dataset") if name in shown]
    return ", ".join([*kind, *(f"{key} {_text(value)}" for key, value in shown.items())])


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _listed(seeds: list[Any]) -> str:
    """0 to 7, or one by one where there are gaps."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds[:20])) + (", …" if len(seeds) > 20 else "")

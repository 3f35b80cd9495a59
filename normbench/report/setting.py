"""What an experiment compared, on what, and where it ran: facts as pairs of word and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.analysis.fairness import fairness_line
from normbench.comparison import Comparison
from normbench.report.columns import count, percent
from normbench.store import RunStore

Facts = list[tuple[str, str]]


def setting(comparison: Comparison) -> Facts:
    """Everything in the config that changes the numbers, and the budget and target it led to."""
    config, runs = comparison.results.config, comparison.reported.results.runs
    seeds = sorted(set(runs["seed"]))
    budgets = sorted(set(runs["steps_planned"].dropna()))
    data = dict(config["data"])
    fixed = data.pop("split_seed", None)
    split = "each seed's own" if fixed is None else f"one for all seeds (split_seed {fixed})"
    facts = [
        ("norms", ", ".join(comparison.reported.norms)),
        ("baseline", str(config["baseline"])),
        ("data", _section(data)),
        ("validation split", split),
        ("network", _section(config["model"])),
        ("normalization", _section(config["normalization"])),
        ("optimizer", _section(config["optimizer"])),
        ("training", _section(config["training"])),
        ("budget", " or ".join(f"{count(budget)} steps" for budget in budgets) or "–"),
        ("target", _target(config["target"], comparison.targets)),
        ("seeds", f"{len(seeds)} ({_listed(seeds)})"),
        ("probes", _section(config["probes"])),
        ("runtime", _section(config["runtime"])),
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
    runs = {text: f"{n} run{'' if n == 1 else 's'}" for text, n in texts.items()}
    return [(word, "; ".join(f"{text} ({n})" for text, n in runs.items()))]


def _target(target: Mapping[str, Any], values: Sequence[float]) -> str:
    """The targets, and how they came to be."""
    text = ", ".join(f"{percent(value)} % validation accuracy" for value in values)
    if "from" in target:
        return (
            f"{text}: the median final accuracy of {target['pilot_seeds']} pilot runs of "
            f"{target['from']}, on seeds of their own"
        )
    return f"{text}, as configured"


def _section(section: Mapping[str, Any]) -> str:
    """A section of the config in one line; what is not given is left out."""
    shown = {key: value for key, value in section.items() if value is not None}
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

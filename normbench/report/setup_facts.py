"""What an experiment compared, on what, and where it ran: facts as pairs of word and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.report.columns import count, percent
from normbench.results.experiment import ExperimentResult
from normbench.store import RunStore

Facts = list[tuple[str, str]]


def setup_facts(comparison: ExperimentResult) -> Facts:
    """What the config led to: budget, target, seeds and split, which it need not name."""
    config, runs = comparison.results.config, comparison.answered.results.runs
    seeds = sorted(set(runs["seed"]))
    budgets = sorted(set(runs["steps_planned"].dropna()))
    fixed = (config.get("data") or {}).get("split_seed")
    split = "each seed's own" if fixed is None else f"one for all seeds (split_seed {fixed})"
    return [
        ("norms", ", ".join(comparison.reported.norms)),
        ("baseline", str(config["baseline"])),
        ("validation split", split),
        ("budget", " or ".join(f"{count(budget)} steps" for budget in budgets) or "–"),
        ("target", _target(config["target"], comparison.targets)),
        ("seeds", f"{len(seeds)} ({_listed(seeds)})"),
    ]


def as_yaml(comparison: ExperimentResult) -> tuple[str, str]:
    """The config as a file has it, and a sentence that says whether that is all of it."""
    import yaml

    given = comparison.results.given
    text = yaml.safe_dump(
        dict(given or comparison.results.config),
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=88,
    )
    if given:
        return text, "The config; every key that is not here has its default."
    return text, "The config with every key, as its runs were trained by an earlier normbench."


def environment(comparison: ExperimentResult) -> Facts:
    """Fairness, and the versions and machines behind the runs, each with how many of how many."""
    folders = list(dict.fromkeys(comparison.results.runs["run"]))
    manifests = [RunStore(comparison.results.path / folder).known_manifest() for folder in folders]
    known = [manifest for manifest in manifests if manifest]
    facts = [("fairness", comparison.fairness_text().removeprefix("fairness: "))]
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

"""The columns of every printed table: where each comes from, its heading, and how it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = "▁▂▃▄▅▆▇█"
Row = Mapping[str, Any]

METRICS = {
    "steps_to_target": "steps",
    "auc": "AUC",
    "val_accuracy": "val acc.",
    "test_accuracy": "test acc.",
}


@dataclass(frozen=True)
class Column:
    """heading: in the field's terms, with units; text: a row's cell.

    weight: which columns go first when the terminal is narrow (0 never does). left: align left.
    names_norm: the text is a norm's label and has its colour. picture: the text is a small chart
    of characters, for terminals only.
    """

    heading: str
    text: Callable[[Row], str]
    weight: int = 0
    left: bool = False
    names_norm: bool = False
    picture: bool = False


def count(value: float) -> str:
    """12345 -> 12345; a missing one is a dash."""
    return "–" if not math.isfinite(value) else f"{value:.0f}"


def percent(value: float, spread: float = math.nan) -> str:
    """0.9712, 0.0031 -> 97.1 ±0.3, in percent."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * value:.1f}"
    return f"{text} ±{100 * spread:.1f}" if math.isfinite(spread) else text


def number(value: float, digits: int = 3) -> str:
    """A quantity that may span decades: 0.0123, 1.2e-09, inf."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value != 0 and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.{max(digits - 2, 1)}e}"
    return f"{value:.{digits}g}"


def steps(value: float, budget: float) -> str:
    """A median time to target; a miss by more than half shows the budget it was censored at."""
    if math.isnan(value):
        return "–"
    return count(value) if math.isfinite(value) else f"> {count(budget)}"


def seconds(value: float) -> str:
    """A duration in the unit that reads best."""
    if not math.isfinite(value):
        return "–"
    value = float(f"{value:.3g}")  # what is shown decides the unit
    for limit, scale, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if value < limit:
            return f"{value * scale:.3g} {unit}"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def timed(value: float) -> str:
    """A duration that was estimated; what was not timed says so and is never zero."""
    return seconds(value) if value > 0 else "not timed"


def data_size(value: float) -> str:
    """Bytes in the unit that reads best: 1,234,567 -> 1.23 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def share(value: float) -> str:
    """0.071 -> 7.1 %; two digits are enough."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.2g} %"


def difference(metric: str, value: float, *, unit: bool = True) -> str:
    """A signed difference in the metric's unit: steps, percentage points, or a plain number.

    An infinite one, in steps, has no size: one of the two never reached the target.
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "+∞" if value > 0 else "-∞"
    if metric.endswith("accuracy"):
        return _signed(100 * value, 1) + " pp" * unit
    return _signed(value, 0 if metric == "steps_to_target" else 3)


def _signed(value: float, digits: int) -> str:
    """With its sign, but for what rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def interval(metric: str, low: float, high: float, *, unit: bool = True) -> str:
    """-0.012 to -0.004, the unit once; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{interval_end(metric, low, unit=False)} to {interval_end(metric, high, unit=unit)}"


def interval_end(metric: str, value: float, *, unit: bool = True) -> str:
    """As ``difference``, but one that rounds to zero tells its side of it: <0, >0."""
    told = difference(metric, value, unit=unit)
    if math.isnan(value) or value == 0 or told.strip("+-0. p"):
        return told
    return ("<0" if value < 0 else ">0") + told.lstrip("+-0.")


def size(metric: str, value: float) -> str:
    """A difference without its sign, as a sentence takes it: 0.031, 3.1 pp, 40 steps."""
    text = difference(metric, abs(value)).removeprefix("+")
    return f"{text} steps" if metric == "steps_to_target" and math.isfinite(value) else text


def judged(metric: str, value: float, budget: float = math.nan) -> str:
    """A value of the judged metric in a table: 0.923, 95.1 (percent), 120 or > 500 (steps)."""
    if metric == "steps_to_target":
        return steps(value, budget)
    if metric.endswith("accuracy"):
        return percent(value)
    return "–" if math.isnan(value) else f"{value:.3f}"


def metric_name(row: Row) -> str:
    """A compared metric as a table names it; time to target with its target."""
    name = METRICS.get(row["metric"], str(row["metric"]))
    return f"{name} to {percent(row['target'])}%" if row["metric"] == "steps_to_target" else name


def sparkline(
    values: ArrayLike,
    width: int = 10,
    *,
    log: bool = True,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """A row of blocks from the first value to the last.

    values: [L]; more than ``width`` are sampled. The height spans ``low`` to ``high``, by default
    the values' own range (under ``log`` at least a factor of ten, so that what is flat looks
    flat). A value that is not finite, or under ``log`` not positive, is a dot.
    """
    given = np.asarray(values, dtype=float)
    if len(given) > width:
        given = given[np.linspace(0, len(given) - 1, width).round().astype(int)]
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log10(given) if log else given
    good = np.isfinite(shown)
    if not good.any():
        return "·" * len(given)
    bottom = shown[good].min() if low is None else low
    top = shown[good].max() if high is None else high
    share = (shown - bottom) / max(top - bottom, 1.0 if log else 1e-12)
    level = np.round(np.where(good, share, 0).clip(0, 1) * (len(BLOCKS) - 1)).astype(int)
    return "".join(BLOCKS[i] if ok else "·" for i, ok in zip(level, good, strict=True))


def norm_column() -> Column:
    """The norm's label."""
    return Column("norm", lambda row: str(row["norm"]), left=True, names_norm=True)


def key_columns(keys: list[str]) -> list[Column]:
    """One column a sweep key, headed by the key's last word."""
    return [
        Column(key.rsplit(".", 1)[-1], lambda row, key=key: str(row[key]))  # type: ignore[misc]
        for key in keys
    ]


def convergence_columns(
    keys: list[str], target: str, table: pd.DataFrame | None = None
) -> list[Column]:
    """The convergence table. target: how the target reads, such as 97%.

    table: leave out the columns that have no value in it, of those that not every run has.
    """
    columns = [
        norm_column(),
        *key_columns(keys),
        Column("reached", lambda row: f"{row['reached']}/{row['runs']}"),
        Column(f"steps to {target}", lambda r: steps(r["steps_to_target"], r["budget_steps"])),
        Column("val %", lambda r: percent(r["val_accuracy_mean"], r["val_accuracy_std"])),
        Column(
            "best val %",
            lambda r: percent(r["best_val_accuracy_mean"], r["best_val_accuracy_std"]),
            weight=3,
        ),
        Column(
            "test %", lambda r: percent(r["test_accuracy_mean"], r["test_accuracy_std"]), weight=1
        ),
        Column(
            "train %",
            lambda r: percent(r["train_accuracy_mean"], r["train_accuracy_std"]),
            weight=4,
        ),
        Column(
            "precise %",
            lambda r: percent(r["val_accuracy_precise_mean"], r["val_accuracy_precise_std"]),
            weight=5,
        ),
        Column("AUC", lambda r: number(r["auc_mean"]), weight=1),
        Column("time/step", lambda r: seconds(r["train_seconds_per_step"]), weight=2),
        Column("ended", lambda row: ended(row) or "ok", left=True),
    ]
    some = {"train %": "train_accuracy_mean", "precise %": "val_accuracy_precise_mean"}
    return _measured(columns, some, table)


def _measured(
    columns: list[Column], some: Mapping[str, str], table: pd.DataFrame | None
) -> list[Column]:
    """Without those of ``some`` (heading -> name) that have no value in the table."""
    # Without any probe the table has not even the column.
    lacking = {
        heading
        for heading, name in some.items()
        if table is not None and (name not in table or table[name].isna().all())
    }
    return [column for column in columns if column.heading not in lacking]


def target_columns(keys: list[str]) -> list[Column]:
    """Time to every target, with what did not reach it counted as censored."""
    return [
        norm_column(),
        *key_columns(keys),
        Column("target", lambda row: f"{percent(row['target'])}%"),
        Column("reached", lambda row: f"{row['reached']}/{row['runs']}"),
        Column("median steps", lambda r: steps(r["steps_to_target"], r["budget_steps"])),
        Column("restricted mean", lambda row: count(row["restricted_mean_steps"]), weight=1),
        Column("ERT", lambda row: number(row["expected_running_time"], 4)),
        Column("seconds", lambda row: number(row["seconds_to_target"]), weight=2),
        Column("log-rank p", lambda row: number(row["logrank_p"], 2), weight=1),
        Column("p (Holm)", lambda row: number(row["logrank_p_adjusted"], 2)),
    ]


def ended(row: Row) -> str:
    """What became of a norm's runs that did not simply learn: 1 diverged, 8 at chance; else "".

    "no result" where none has one.
    """
    words = {"at_chance": "at chance", "diverged": "diverged", "failed": "failed"}
    words |= {"interrupted": "interrupted", "missing": "not run"}
    parts = [f"{row[state]:.0f} {word}" for state, word in words.items() if row.get(state, 0) > 0]
    text = ", ".join(parts)
    return (
        text
        if row.get("finished", 0) + row.get("diverged", 0) > 0
        else f"no result ({text or 'not run'})"
    )


def gradient_columns(keys: list[str], table: pd.DataFrame | None = None) -> list[Column]:
    """The gradient table: a row for the first and the last probed step of each norm.

    table: leave out the effective rank where no run has one.
    """
    columns = [
        norm_column(),
        *key_columns(keys),
        Column("step", lambda row: count(row["step"])),
        Column("growth/layer", lambda row: number(row["growth_per_layer"])),
        Column("first layer", lambda row: number(row["first_layer_grad_norm"])),
        Column("last layer", lambda row: number(row["last_layer_grad_norm"])),
        Column(
            "by layer", lambda row: sparkline(row["by_layer"]), left=True, weight=2, picture=True
        ),
        Column("rank", lambda row: number(row["effective_rank"]), weight=3),
        Column("dead", lambda row: share(row["dead_units"]), weight=1),
    ]
    return _measured(columns, {"rank": "effective_rank"}, table)


def _p(row: Row) -> float:
    """By Holm where the metric carries the verdict; else of the one comparison."""
    return float(row["p_value"] if math.isnan(row["p_adjusted"]) else row["p_adjusted"])


def comparison_columns(keys: list[str], *, all_pairs: bool = False) -> list[Column]:
    """The paired comparisons."""
    against = Column("against", lambda row: str(row["baseline"]), left=True, names_norm=True)
    return [
        norm_column(),
        *([against] if all_pairs else []),
        *key_columns(keys),
        Column("metric", metric_name),
        Column("pairs", lambda row: count(row["pairs"])),
        Column("diff.", lambda row: difference(row["metric"], row["difference"])),
        Column(
            "95 % interval",
            lambda row: interval(row["metric"], row["ci_low"], row["ci_high"]) or "–",
            weight=1,
        ),
        Column("p", lambda row: number(_p(row), 2)),
        Column("P(better)", lambda row: number(row["p_better"], 2), weight=2),
        Column("verdict", lambda row: str(row["verdict"]), left=True),
    ]

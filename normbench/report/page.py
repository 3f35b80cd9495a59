"""An experiment, or several side by side, as one HTML page that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from normbench.charts.base import CHARTS, ChartData, chart_order
from normbench.charts.marks import Drawn, theme
from normbench.environment import package_version
from normbench.plain import shown, shown_within
from normbench.report.answer import answer
from normbench.report.columns import Column, key_columns, norm_column, number
from normbench.report.exchanged import layer_sections, pytorch_line
from normbench.report.glossary import GLOSSARY, anchor, entry
from normbench.report.misclassified import mistakes
from normbench.report.parts import Cell, Figure, Heading, Link, Part, Table
from normbench.report.scripts import library, packed
from normbench.report.sections import (
    Section,
    by_key,
    side_by_side,
    table_sections,
    tuning_sections,
)
from normbench.report.setup_facts import Facts, as_yaml, environment, setup_facts
from normbench.report.summary import summary
from normbench.report.tables import cells, row_styles
from normbench.results.differences import differing_keys
from normbench.results.experiment import ExperimentResult

AXES = {"x": "horizontal axis", "y": "vertical axis"}
GROWTH_NOTE = (
    "geometric means over seeds, theory's too, which takes the weights that each seed drew; theory "
    "assumes wide layers at initialization and, without a norm, layers far from the input, whose "
    "own spread is not stored"
)
VERDICT_DEFINES = ("best set", "leader", "verdict", "target", "ended")


def render(comparisons: Sequence[ExperimentResult], data_dir: Path | None = None) -> str:
    """The page. Raises ConfigError when several experiments cannot be compared.

    data_dir: where the images that come out wrong are looked for.
    """
    several = len(comparisons) > 1
    differing = differing_keys(comparisons) if several else {}
    specs: dict[str, Any] = {}
    stories = [_parts(c, f"e{i}-", specs, data_dir) for i, c in enumerate(comparisons)]
    experiments = [
        {"id": f"e{i}", "name": c.name, "about": c.chart_data.about, "parts": parts}
        for i, (c, parts) in enumerate(zip(comparisons, stories, strict=True))
    ]
    if several:
        contents = [
            ("side", "Side by side"),
            *((f"e{i}", c.name) for i, c in enumerate(comparisons)),
        ]
    else:
        contents = [(part.id, part.title) for part in stories[0]]
    return _template().render(
        title=" and ".join(c.name for c in comparisons),
        version=package_version("normbench"),
        contents=[*contents, ("glossary", "What the numbers mean")],
        side=_table(side_by_side(comparisons)) if several else None,
        differing=_differing(differing, [c.name for c in comparisons]) if differing else None,
        experiments=experiments,
        glossary=[{"name": n, "text": t, "anchor": anchor(n)} for n, t in GLOSSARY.items()],
        specs=shown_within(specs),
        library=library(),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("normbench.report"),
        autoescape=True,
        # Markup is what the template itself and the library are made of.
        finalize=lambda value: shown(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _parts(
    comparison: ExperimentResult, prefix: str, specs: dict[str, Any], data_dir: Path | None
) -> list[Part]:
    """The story of one experiment; the charts' specifications go into ``specs``."""
    chart_data, tables, key = comparison.chart_data, comparison.answered, comparison.tuned_key
    figures = dict(_figures(chart_data, prefix, specs))
    convergence, targets, gradients, paired = table_sections(
        tables, _named(comparison, own=comparison.at_own_best), chart_data.norms
    )

    def charts(*names: str) -> list[Figure]:
        return [figures.pop(name) for name in names if name in figures]

    told = answer(comparison)
    matrix = charts("matrix")
    parts = [
        Part(
            "verdict",
            "The answer",
            [*matrix, *_tables(summary(told)), *(charts("curves") if chart_data.keys else [])],
            verdict=told.sentences,
            notes=[*filter(None, [pytorch_line(comparison, told)])],
            caveats=told.caveats,
            beside=[] if chart_data.keys else charts("forest", "curves"),
            defines=_links(VERDICT_DEFINES),
        ),
        Part(
            "convergence",
            "How fast each converges",
            [*_tables([convergence]), *charts("loss", "survival"), *_tables([targets])],
        ),
        Part(
            "chance",
            "Is the difference more than chance?",
            [*charts("forest", "seeds"), *_tables([paired])],
        ),
        Part(
            "signals",
            "What gradients and activations do",
            [
                *charts("gradients"),
                *_tables([gradients]),
                *charts("growth"),
                *_tables([_growth(chart_data)]),
                *charts("activations", "quantiles", "likeness"),
            ],
            notes=_theory_notes(chart_data),
        ),
    ]
    if key:
        as_configured = table_sections(
            comparison.reported, _named(comparison, own=False), chart_data.norms
        )
        beside = comparison.at_own_best and comparison.shared is not None
        parts.append(
            Part(
                "tuning",
                f"Tuning {key}",
                [
                    *charts("sensitivity"),
                    *_tables(tuning_sections(comparison, key)),
                    *_tables(as_configured if beside else []),
                ],
            )
        )
    if chart_data.keys:
        pivots = [
            by_key(comparison, swept, metric, comparison.value(swept), best=best)
            for swept in chart_data.keys
            for metric in ("val_accuracy", "steps_to_target")
            for best in [
                *[False] * (comparison.shared is not None),
                *[True] * bool(comparison.best),
            ]
        ]
        parts.append(Part("sweep", "Along the sweep", [*charts("sweep"), *_tables(pivots)]))
    grids, said = mistakes(comparison, data_dir)
    parts.append(Part("mistakes", "What comes out wrong", grids=grids, notes=said))
    parts.append(Part("cost", "What it costs", charts("cost")))
    parts.append(Part("further", "Further charts", charts(*list(figures))))
    text, note = as_yaml(comparison)
    parts += [
        Part(
            "setting",
            "Configuration",
            facts=_facts(setup_facts(comparison)),
            code=text,
            notes=[note],
            closed=True,
        ),
        Part(
            "environment",
            "Fairness and environment",
            facts=_facts(environment(comparison)),
            items=_tables(layer_sections(comparison)),
            closed=True,
        ),
    ]
    # Where pictures were asked for and there are none, their place says why.
    shown = [p for p in parts if p.items or p.facts or p.verdict or (p.id == "mistakes" and said)]
    return [replace(p, id=prefix + p.id) for p in shown]


def _named(comparison: ExperimentResult, *, own: bool) -> str:
    """The experiment, and after a tuning at which value of the tuned key."""
    key = comparison.tuned_key
    if not key:
        return comparison.name
    how = f"{key} at each norm's own best" if own else f"{key} as configured"
    return f"{comparison.name}, {how}"


def _figures(
    chart_data: ChartData, prefix: str, specs: dict[str, Any]
) -> Iterable[tuple[str, Figure]]:
    themes = {scheme: theme(chart_data.norms, scheme) for scheme in ("light", "dark")}
    for name in chart_order():
        chart = CHARTS[name]
        drawn = chart.draw(chart_data)
        if drawn is None:
            continue
        others = {view: draw(chart_data) for view, draw in chart.views.items()}
        views = {chart.view: drawn} | {view: one for view, one in others.items() if one is not None}
        by_view = {view: _spec(one) for view, one in views.items()}
        id_ = f"{prefix}chart-{name}"
        specs[id_] = {"views": by_view, "themes": themes, "data": packed(by_view.values())}
        spec = by_view[chart.view]
        scales = [
            {"axis": axis, "label": AXES[axis], "kind": _scale(spec, axis)} for axis in chart.scales
        ]
        described = spec.get("description", "")
        choice = list(by_view) if len(by_view) > 1 else []
        yield (
            name,
            Figure(id_, chart.title, chart.about, described, choice, scales, _links(chart.defines)),
        )


def _spec(drawn: Drawn) -> dict[str, Any]:
    # Altair holds every part against its schema, which takes longer than all else a page needs;
    # that the charts are valid is what their tests are for.
    spec: dict[str, Any] = drawn.to_dict(validate=False)
    spec.pop("config", None)  # Altair's own; the page has one a scheme
    return spec


def _scale(view: Mapping[str, Any], axis: str) -> str:
    """The scale that the first view with this axis has."""
    kind = view.get("encoding", {}).get(axis, {}).get("scale", {}).get("type")
    parts = [*view.get("layer", []), *([view["spec"]] if "spec" in view else [])]
    return kind or next((k for k in (_scale(p, axis) for p in parts) if k != "linear"), "linear")


def _tables(sections: Iterable[Section]) -> list[Table]:
    return [_table(section) for section in sections if len(section.rows)]


def _table(section: Section) -> Table:
    """A section of the terminal as a table of the page, less its charts of characters."""
    columns = _deciding_first([column for column in section.columns if not column.picture])
    look = row_styles(section.rows, section.norms)
    return Table(
        section.title,
        [_heading(column) for column in columns],
        [
            [
                Cell(text, look[text] if column.names_norm else None)
                for text, column in zip(row, columns, strict=True)
            ]
            for row in cells(section.rows, columns)
        ],
        section.note,
        _links(section.defines),
        section.bold,
    )


def _deciding_first(columns: list[Column]) -> list[Column]:
    """The verdict before the numbers behind it, where a narrow screen shows it."""
    words = [column.heading for column in columns]
    if not {"verdict", "metric"} <= set(words):
        return columns
    rest = [column for column in columns if column.heading not in ("verdict", "diff.")]
    at = words.index("metric") + 1
    first = [column for column in columns if column.heading in ("verdict", "diff.")]
    return [*rest[:at], *reversed(first), *rest[at:]]


def _heading(column: Column) -> Heading:
    return Heading(column.heading, _link(column.heading).anchor, column.left)


def _link(word: str) -> Link:
    known = entry(word)
    return Link(word, anchor(known) if known else None)


def _links(words: Iterable[str]) -> list[Link]:
    return [_link(word) for word in words]


def _facts(facts: Facts) -> list[tuple[Link, str]]:
    return [(_link(word), text) for word, text in facts]


def _growth(chart_data: ChartData) -> Section:
    """Growth per layer at step 0, over seeds, and what theory says."""
    by = ["norm", *chart_data.keys]
    table = chart_data.growth
    with np.errstate(divide="ignore"):
        logs = np.log(table[["growth", "theory"]].astype(float))
    means = logs.join(table[by]).groupby(by, sort=False, dropna=False)[["growth", "theory"]].mean()
    rows = np.exp(means).reset_index()
    columns = [
        norm_column(),
        *key_columns(chart_data.keys),
        Column("growth", lambda row: number(row["growth"])),
        Column("theory", lambda row: _or_empty(row["theory"])),
        Column("ratio", lambda row: _or_empty(row["growth"] / row["theory"])),
    ]
    title = "growth per layer at step 0, beside theory"
    return Section(title, rows, columns, GROWTH_NOTE, chart_data.norms)


def _or_empty(value: float) -> str:
    return "" if np.isnan(value) else number(value)


def _theory_notes(chart_data: ChartData) -> list[str]:
    """Why there is no theory, one line a reason."""
    table = chart_data.growth
    lacking = table[table["theory"].isna()]
    return [
        f"No theory for {', '.join(dict.fromkeys(group['norm']))}: {reason}."
        for reason, group in lacking.groupby("theory_note", sort=False)
    ]


def _differing(differing: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Table:
    rows = pd.DataFrame([{"key": key, **dict(values)} for key, values in differing.items()])
    columns = [
        Column("key", lambda row: str(row["key"]), left=True),
        *(Column(name, lambda row, name=name: str(row[name])) for name in names),  # type: ignore[misc]
    ]
    return _table(Section("keys in which the configs differ", rows, columns))

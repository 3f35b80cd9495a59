"""The page of the scoreboard: rows in, Markdown, CSV and pictures out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from normbench.atomic import replace_with
from normbench.charts.answers import drawable, picture
from normbench.report.columns import number

PAGE, VERDICTS, PARTS, PICTURES = "README.md", "verdicts.csv", "parts.csv", "pictures"

HEAD = """\
# The scoreboard: what is claimed of normalization, and what was found

Each row is a claim with a rule that stood before its experiment ran; where rule or setting was
changed after an earlier result, the row says so. *Supported* and *refuted* need an effect beyond
chance, or one proven too small to matter; *depends* names what it depends on; the rest is *not
enough evidence*. All comparisons of a row are one family (Holm), paired by seed. The settings are
small, so that two cores decide them: a verdict is about the setting in its row, and what would
change it stands there.

This page is written by `normbench claims --report` from the files beside it: the runs in `runs/`,
{article}the verdicts in [{verdicts}]({verdicts}), every comparison in [{parts}]({parts}).
"""
TITLES = {
    "article": "The article behind the project",
    "literature": "The literature",
}
COLUMNS = (
    *("from", "number", "name", "short", "verdict", "conditions", "source", "expected", "setting"),
    *("seeds", "core_minutes", "changes"),
)
NUMBERS = ("first", "second", "quantity", "pairs", "difference", "ci_low", "ci_high", "within")


def write(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the page, its tables and a picture a row that has comparisons; returns the files."""
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    texts = {PAGE: page(rows), VERDICTS: csv_of(verdicts(rows)), PARTS: csv_of(parts(rows))}
    for name, text in texts.items():
        replace_with(folder / name, text.encode())
    drawn = {}
    for row in rows:
        if (svg := picture(row["parts"], row["short"])) is not None:
            drawn[f"{PICTURES}/{file_of(row)}"] = svg
    for name, svg in drawn.items():
        replace_with(folder / name, svg.encode())
    for old in (folder / PICTURES).glob("*.svg"):
        if f"{PICTURES}/{old.name}" not in drawn:
            old.unlink()
    return [folder / name for name in (*texts, *drawn)]


def file_of(row: Mapping[str, Any]) -> str:
    """The file of a row's picture."""
    return f"{row['from']}-{row['name']}.svg"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page in Markdown: a table of all rows, then each row with its numbers."""
    article = "the article's statements in `article.json`, "
    has_article = any(row["from"] == "article" for row in rows)
    lines = [HEAD.format(article=article if has_article else "", verdicts=VERDICTS, parts=PARTS)]
    counts = Counter(row["verdict"] for row in rows)
    told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    lines.append(f"{len(rows)} claims: {told}. The experiments are shared between rows.\n")
    for source, title in TITLES.items():
        own = [row for row in rows if row["from"] == source]
        if not own:
            continue
        lines += [
            f"## {title}\n",
            "| | claim | verdict | on what, and where |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {row['number']} | [{_cell(row['short'])}](#{_anchor(row)}) | **{row['verdict']}** "
            f"| {_cell(row['conditions'])} |"
            for row in own
        ]
        lines.append("")
    for row in rows:
        lines += _section(row)
    return "\n".join(lines).rstrip() + "\n"


def _known(value: Any) -> bool:
    return value is not None and not math.isnan(value)


def _anchor(row: Mapping[str, Any]) -> str:
    return f"{row['from']}-{row['name']}"


def _section(row: Mapping[str, Any]) -> list[str]:
    cost = row["core_minutes"]
    facts = {
        "source": row["source"] or "the article",
        "expected by the source": row["expected"],
        "found here": f"{row['verdict']}" + (f": {row['conditions']}" * bool(row["conditions"])),
        "setting": row["setting"],
        "seeds": row["seeds"],
        "cost": f"{number(cost, 2)} core-minutes of training" if _known(cost) else "–",
        "what would change the answer": row["changes"],
    }
    if row.get("amended"):
        facts["amended"] = row["amended"]
    lines = [f'<a id="{_anchor(row)}"></a>', "", f"### {row['number']}. {row['short']}", ""]
    lines += [row["statement"], "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in facts.items()]
    lines.append("")
    if drawable(row["parts"]):
        lines += [f"![{row['short']}]({PICTURES}/{file_of(row)})", ""]
    lines += [f"- {_line(text)}" for text in row["evidence"]]
    lines += ["", "To repeat it: " + ", ".join(f"`{text}`" for text in row["commands"]) + ".", ""]
    return lines


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|") or "–"


def _line(text: str) -> str:
    return " ".join(str(text).split())


def verdicts(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a claim."""
    return pd.DataFrame([{key: row[key] for key in COLUMNS} for row in rows])


def parts(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a comparison, or a measurement: the claim, the part, where, whether it holds, and the
    numbers of a comparison."""
    table = []
    for row in rows:
        for part in row["parts"]:
            where = ", ".join(f"{key} {value}" for key, value in part["situation"].items())
            word = {True: "yes", False: "no", None: "open"}[part["holds"]]
            own = {key: part.get(key) for key in (*NUMBERS, "p_adjusted")}
            table.append(
                {"claim": row["name"], "part": part["part"], "where": where, "holds": word, **own}
            )
    return pd.DataFrame(table)


def csv_of(table: pd.DataFrame) -> str:
    """A table as CSV, numbers to four digits."""
    return str(table.to_csv(index=False, float_format="%.4g", lineterminator="\n"))

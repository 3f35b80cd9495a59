"""The scoreboard's page is what the stored results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up import Fate, tell
from test_published import by_story, made_up

from normbench.claims import runs, scoreboard
from normbench.claims.family import Duel, judged
from normbench.claims.published import LITERATURE, NOT_RUN
from normbench.claims.verdicts import Piece, judge
from normbench.config import load
from normbench.plan import expand
from normbench.report import scoreboard as report

FOLDER = Path(__file__).parents[2] / "results" / "scoreboard"
STORED = sorted(file.stem for file in (FOLDER / scoreboard.RUNS).glob("*.csv"))
needs_results = pytest.mark.skipif(not FOLDER.is_dir(), reason="the results are not here")


@needs_results
def test_the_page_and_its_tables_are_what_the_stored_runs_say(tmp_path: Path):
    rows = scoreboard.rows(FOLDER)
    stored = {
        report.PAGE: report.page(rows),
        report.VERDICTS: report.csv_of(report.verdicts(rows)),
        report.PARTS: report.csv_of(report.parts(rows)),
    }
    for name, text in stored.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} is not up to date"
    drawn = {report.file_of(row) for row in rows if report.drawable(row["parts"])}
    assert {file.name for file in (FOLDER / report.PICTURES).glob("*.svg")} == drawn


@needs_results
@pytest.mark.parametrize("name", STORED)
def test_the_stored_runs_are_all_those_of_the_bundled_config(name: str):
    config = scoreboard.config_of(name)
    written = load((FOLDER / scoreboard.RUNS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert written == config
    table = runs.stored(FOLDER / scoreboard.RUNS, [name])[name]
    keys = list(config.sweep)
    columns = ["role", "norm", "seed", *keys]
    planned = pd.DataFrame(
        [
            {"role": run.role, "norm": run.norm, "seed": run.seed, **run.sweep_point}
            for run in expand(config)
        ]
    )[columns]
    if config.tune:
        best = planned[planned["role"] == "report"].assign(role="best")
        planned = pd.concat([planned, best])
    order = {"by": columns, "ignore_index": True}
    found = table[columns].sort_values(**order)
    pd.testing.assert_frame_equal(found, planned.sort_values(**order), check_dtype=False)
    assert set(table["state"]) <= {"finished", "diverged"}


@needs_results
def test_verdicts_of_the_article_follow_from_the_differences_by_seed():
    rows = [row for row in scoreboard.rows(FOLDER) if row["from"] == "article"]
    if not rows:
        pytest.skip("the article's statements are not stored")
    compared = 0
    for row in rows:
        duels = [duel for part in row["parts"] for duel in part.get("duels") or [part]]
        duels = [duel for duel in duels if "differences" in duel]
        again = iter(judged([_duel(duel) for duel in duels]))
        pieces = []
        for part in row["parts"]:
            holds = part["holds"]
            if "differences" in part:
                found = next(again)
                assert found.word == part["verdict"]
                assert found.holds == holds
                compared += 1
            else:
                for duel in part.get("duels") or []:
                    assert next(again).word == duel["verdict"]
            pieces.append(Piece(part["part"], part["situation"], holds))
        assert judge(pieces).verdict.value == row["verdict"]
    assert compared > 20


def _duel(numbers: dict[str, Any]) -> Duel:
    known = [float("nan") if d is None else d for d in numbers["differences"]]
    names = (numbers["first"], numbers["second"], numbers["quantity"])
    return Duel("", {}, *names, known, numbers["within"], numbers["asks"])


@needs_results
def test_the_front_page_has_the_numbers_of_the_stored_runs():
    text = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    section = text[text.index("scoreboard/README.md") :].partition("## ")[0]
    tables = runs.stored(FOLDER / scoreboard.RUNS, scoreboard.names_of_configs())

    def mean(config: str, norm: str, metric: str = "auc", **at: int) -> float:
        point = {key.replace("__", "."): value for key, value in at.items()}
        return float(runs.select(tables[config], norm, "best", point)[metric].mean())

    divides = mean("recentring", "variance_only")
    told = [
        f"falls {mean('recentring', 'batch') - divides:.3f} (AUC)",
        f"and {mean('recentring', 'mean_only') - divides:.3f} behind",
        f"AUC {mean('norms-in-vit', 'dyt'):.3f} from",
        f"{mean('norms-in-vit', 'dyt from alpha 2'):.3f} from alpha 2",
        f"against {mean('norms-in-vit', 'layer'):.3f}",
        *(
            f"{mean(config, norm, 'val_accuracy', data__batch_size=2):.1%}"
            for config in ("small-batches-mlp", "small-batches")
            for norm in ("batch", "group")
        ),
    ]
    joined = " ".join(section.split()).replace(" %", "%")
    assert [number for number in told if number not in joined] == []


def test_an_experiment_and_its_csv_give_the_same_verdict(tmp_path: Path):
    config = scoreboard.config_of("deep-residual")
    result = tell(config, lambda run: Fate(101 if run.norm == "none" else 30 + run.seed))
    assert scoreboard.keep(result, tmp_path) == ""
    made = {"deep-residual": runs.table_of(result)}
    read = runs.stored(tmp_path / scoreboard.RUNS, ["deep-residual"])
    pd.testing.assert_frame_equal(made["deep-residual"], read["deep-residual"])
    claim = LITERATURE["deep-residual"]
    assert claim.decide(made) == claim.decide(read)
    assert set(made["deep-residual"]["norm"]) == {"none", "batch", "fixup", "skipinit"}


def test_part_of_an_experiment_or_a_changed_config_is_not_stored(tmp_path: Path):
    config = scoreboard.config_of("deep-residual")
    result = tell(config, lambda run: Fate())
    state = result.results.runs["state"].copy()
    result.results.runs.loc[0, "state"] = "interrupted"
    assert "1 runs are not done" in scoreboard.keep(result, tmp_path)
    result.results.runs["state"] = state
    other = tell(config.model_copy(update={"seeds": 13}), lambda run: Fate())
    assert "another config" in scoreboard.keep(other, tmp_path)
    assert not (tmp_path / scoreboard.RUNS).exists()


def test_a_row_without_its_experiment_is_not_run_and_stays_on_the_page(tmp_path: Path):
    runs.store(tmp_path / scoreboard.RUNS, "deep-residual", made_up("deep-residual", by_story({})))
    rows = {row["name"]: row for row in scoreboard.rows(tmp_path)}
    assert list(rows) == [*dict.fromkeys(rows)]
    assert rows["deep-residual"]["verdict"] != NOT_RUN
    assert rows["warmup"]["verdict"] == NOT_RUN
    assert rows["seed-noise"]["conditions"] == "needs a GPU"
    files = report.write([*rows.values()], tmp_path)
    page = (tmp_path / report.PAGE).read_text(encoding="utf-8")
    assert all(row["short"] in page for row in rows.values())
    assert [file.suffix for file in files].count(".svg") == 1
    assert "nan" not in (tmp_path / report.VERDICTS).read_text(encoding="utf-8").lower().split(",")


def test_a_run_in_two_roles_costs_once():
    table = made_up("warmup", by_story({}))
    twice = pd.concat([table, table.assign(role="best")])
    assert runs.cost([table]) == pytest.approx(runs.cost([twice]))


def test_what_the_article_found_is_read_back(tmp_path: Path):
    (tmp_path / scoreboard.ARTICLE).write_text(
        json.dumps({"setting": "digits", "claims": [_stated()]}), encoding="utf-8"
    )
    first = scoreboard.rows(tmp_path)[0]
    assert (first["from"], first["number"]) == ("article", 1)
    report.write(scoreboard.rows(tmp_path), tmp_path)
    page = (tmp_path / report.PAGE).read_text(encoding="utf-8")
    assert page.index("The article behind the project") < page.index("The literature")


def _stated() -> dict[str, Any]:
    part = {"part": "it holds", "situation": {}, "holds": True}
    return {
        **{"number": 1, "name": "one", "short": "one", "statement": "One.", "source": ""},
        **{"verdict": "supported", "conditions": "", "experiment": "", "evidence": ["it holds"]},
        **{"commands": ["normbench claims one"], "parts": [part], "table": []},
        "core_minutes": None,
    }

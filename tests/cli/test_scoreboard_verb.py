"""``normbench claims`` with claims of the literature, ``--list`` and ``--report``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from normbench.claims import scoreboard
from normbench.claims.chosen import choose
from normbench.claims.published import LITERATURE, Published
from normbench.cli import app
from normbench.config import ExperimentConfig, find_config, load
from normbench.errors import ConfigError
from normbench.report.claims import print_claims


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ("claims", *words))
    return result.exit_code, result.output


def test_the_list_names_every_claim_and_what_it_rests_on():
    code, text = call("--list", "--json")
    listed = json.loads(text)["claims"]
    assert code == 0
    assert [row["number"] for row in listed] == list(range(1, len(listed) + 1))
    (row,) = [row for row in listed if row["name"] == "warmup"]
    assert row["configs"] == ["claims/warmup"]
    _, text = call("--list", "--format", "csv")
    table = list(csv.reader(io.StringIO(text)))
    assert len(table) == len(listed) + 1
    _, text = call("--list")
    assert "small-batches" in text


def test_a_word_that_is_no_claim_is_taken_for_a_config_and_a_number_must_be_known():
    for words, told in ((["no-such-claim"], "no such config"), (["--only", "99"], "statement 99")):
        with pytest.raises(ConfigError, match=told):
            CliRunner().invoke(app, ("claims", *words), catch_exceptions=False)


def test_a_claim_that_is_nearly_named_is_guessed():
    with pytest.raises(ConfigError, match="neither a claim nor a config") as error:
        choose(["he-xavier"], [], literature=False)
    assert "did you mean 'he-or-xavier'" in str(error.value)
    with pytest.raises(ConfigError, match="did you mean 'claims/he-or-xavier'"):
        find_config("claims/he-xavier")


def test_a_report_of_nothing_says_that_nothing_is_run(tmp_path: Path):
    code, text = call("--report", "--results", str(tmp_path))
    assert code == 0
    assert f"{len(LITERATURE.names())} claims, 0 of them run" in text
    page = (tmp_path / "scoreboard" / "README.md").read_text(encoding="utf-8")
    assert page.count("**not run**") == len(LITERATURE.names())


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ExperimentConfig:
    """The experiment of a claim, made so small that it decides nothing."""
    config = load(
        "name: deep-residual\n"
        "data: {dataset: digits, validation: 300, batch_size: 64}\n"
        "model: {kind: residual_mlp, depth: 2, width: 8}\n"
        "norms: [none, batch, fixup, skipinit]\n"
        "optimizer: {kind: sgd, lr: 0.01}\n"
        "training: {steps: 2, evaluations: 1}\n"
        "target: {val_accuracy: 0.9}\n"
        "seeds: 2\n"
        "tune: {optimizer.lr: [0.01, 0.1], seeds: 3}\n"
        "probes: {steps: none}\n"
        "runtime: {stack: 3}\n"
    )
    monkeypatch.setattr(scoreboard, "config_of", lambda name: config)
    return config


def test_a_claim_by_name_trains_its_experiment_and_the_page_holds_it(
    tmp_path: Path, tiny: ExperimentConfig, capsys: pytest.CaptureFixture[str]
):
    at = ("--results", str(tmp_path), "--jobs", "1", "-q")
    code, text = call("deep-residual", "--report", "--json", *at)
    start, end = text.index("{"), text.rindex("}") + 1
    found = json.loads(text[start:end])
    (row,) = found["claims"]
    claim: Published = LITERATURE["deep-residual"]
    assert (code, row["name"], row["number"]) == (0, "deep-residual", claim.number)
    assert row["verdict"] == "not enough evidence"
    assert len(row["parts"]) == 3
    kept = scoreboard.rows(tmp_path / "scoreboard")
    (again,) = [one for one in kept if one["name"] == "deep-residual"]
    assert again["evidence"] == row["evidence"]
    print_claims(found, verbose=True)
    assert "normbench train claims/deep-residual" in capsys.readouterr().out

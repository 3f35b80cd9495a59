"""What the charts are drawn from: theory beside the growth that was measured at step 0."""

from __future__ import annotations

import json

import pytest
from scripted import finishes, play, probed
from tiny import CNN, experiment, only, run_config, trained

from normbench.analysis.expected import expected
from normbench.api import compare
from normbench.charts.base import CHARTS
from normbench.training.events import Checkpointed, Started
from normbench.training.run import Run


def growth(results, config, digits):
    """Train the experiment through the driver and read its growth at step 0."""
    play(results, config, digits, lambda run: trained(run.config, digits))
    return compare(config.name, results=results).chart_data.growth


@pytest.mark.parametrize("more", [(), CNN], ids=["mlp", "cnn"])
def test_theory_is_that_of_the_weights_that_a_run_drew(tmp_path, digits, more):
    config = experiment("norms=[none, batch, layer]", *more)
    found = growth(tmp_path, config, digits)
    assert len(found) == 6
    assert (found["theory_note"] == "").all()
    for row in found.to_dict("records"):
        norm = config.labels.index(row["norm"])
        known = vars(Run(config.run({}, norm, row["seed"]), digits).theory_inputs)
        assert row["theory"] == pytest.approx(expected(**known).growth, rel=1e-12)
    assert found.groupby("norm")["theory"].nunique()["none"] == 2
    kinds = {"none": "no statistics", "batch": "over the batch", "layer": "over an example"}
    assert compare(config.name, results=tmp_path).chart_data.families == kinds


def test_of_a_residual_network_both_are_per_block_and_batch_norm_has_a_caveat(tmp_path, digits):
    model = "model={kind: residual_mlp, depth: 5, width: 64}"
    config = experiment("norms=[layer, batch]", model, "seeds=1")
    found = growth(tmp_path, config, digits).set_index("norm")
    layer = found.loc["layer"]
    # 1 + 1 / (1 + b l) over the three middle blocks, with a branch of about b = 2.
    assert 1.1 < layer["theory"] < 1.6
    assert layer["growth"] == pytest.approx(layer["theory"], rel=0.2)
    assert "nearly the same for all examples" in found.loc["batch"]["theory_note"]
    assert found.loc["batch"]["growth"] > 1


def test_theory_of_batch_norm_is_near_its_closed_form(tmp_path, digits):
    config = experiment("norms=[none, batch]", "model.width=64", "seeds=1")
    found = growth(tmp_path, config, digits).set_index("norm")["theory"]
    assert 1.4 < found["batch"] < 1.7
    assert found["none"] == pytest.approx(1, abs=0.2)


def test_a_run_that_continues_keeps_the_conditions_of_its_step_0(digits):
    config = run_config(norm="none")
    whole = only(trained(config, digits), Started)[0]
    stopped = only(trained(config, digits, stop_at=7), Checkpointed)[-1]
    again = only(trained(config, digits, resume=stopped.state), Started)[0]
    assert again.step == 7
    assert again.theory_inputs == whole.theory_inputs
    assert whole.theory_inputs["gains"][1] == pytest.approx(2.0, rel=0.5)


def test_the_manifest_holds_nothing_that_grows_with_the_batch(tmp_path, digits):
    play(tmp_path, experiment("seeds=1"), digits, lambda run: trained(run.config, digits))
    for path in tmp_path.glob("tiny/*/manifest.json"):
        known = json.loads(path.read_text())["conditions"]
        assert len(json.dumps(known)) < 1000
        assert known["input_products"] is None


def test_runs_of_an_older_normbench_have_no_theory_and_the_frame_says_why(tmp_path, digits):
    play(tmp_path, experiment(), digits, lambda _: finishes({12: 0.5}, probes=[probed(0)]))
    chart_data = compare("tiny", results=tmp_path).chart_data
    assert chart_data.growth["theory"].isna().all()
    assert chart_data.growth["theory_note"].str.contains("another normbench").all()
    assert chart_data.growth["growth"].notna().all()
    assert CHARTS["growth"].draw(chart_data) is not None


def test_a_record_that_cannot_be_read_has_no_theory(tmp_path, digits):
    play(tmp_path, experiment("seeds=1"), digits, lambda run: trained(run.config, digits))
    for path in tmp_path.glob("tiny/*/manifest.json"):
        record = json.loads(path.read_text())
        record["conditions"] = {"activation": "relu"}
        path.write_text(json.dumps(record))
    chart_data = compare("tiny", results=tmp_path).chart_data
    assert chart_data.growth["theory_note"].str.contains("did not record").all()

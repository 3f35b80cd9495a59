"""Lion and Muon against their formulas, whose weights are decayed, and what papers fix of it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import CNN, only, run_config, same, state, trained, weights

from normbench.analysis.fairness import fairness, fairness_line
from normbench.errors import ConfigError
from normbench.seeding import stream
from normbench.training import events
from normbench.training.loop import train_together
from normbench.training.optimizers import make_optimizer, own_terms
from normbench.training.run import Run

DECAYED = "weight_decay: 0.3"
LION = f"optimizer={{kind: lion, lr: 0.01, {DECAYED}}}"
MUON = f"optimizer={{kind: muon, lr: 0.01, {DECAYED}}}"
SHORT = ("training={steps: 8, evaluate_every: 4}", "probes.steps=none")


def updated(text: str, shape: tuple[int, ...], *, times: int = 3, **group) -> list[np.ndarray]:
    """(the parameter before, each gradient, the parameter after) in float64."""
    rng = stream(0, "update")
    start, *gradients = (rng.standard_normal(shape, dtype=np.float32) for _ in range(times + 1))
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    settings = run_config(text).optimizer
    other = {"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": 0.0, "rate": 1.0}
    groups = [{"params": [parameter], "weight_decay": 0.3, "rate": 1.0, **group}, other]
    optimizer = make_optimizer(groups, settings)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    return [a.astype(np.float64) for a in (start, *gradients, parameter.detach().numpy())]


def test_lion_steps_by_the_sign_of_its_momentum():
    start, *gradients, end = updated(LION, (4, 3))
    w, m = start, 0.0
    for g in gradients:
        w = w - 0.01 * (np.sign(0.9 * m + 0.1 * g) + 0.3 * w)
        m = 0.99 * m + 0.01 * g
    np.testing.assert_allclose(end, w, atol=1e-6)


def orthogonalized(g: np.ndarray) -> np.ndarray:
    """Five steps of the quintic p(x) = 3.4445 x - 4.775 x^3 + 2.0315 x^5 on singular values."""
    u, s, v = np.linalg.svd(g / np.linalg.norm(g), full_matrices=False)
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    return (u * s) @ v


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
@pytest.mark.parametrize(("match", "nesterov"), [("adamw", True), ("none", False)])
def test_muon_orthogonalizes_its_momentum(shape, match, nesterov):
    text = f"optimizer={{kind: muon, lr: 0.01, match: {match}, nesterov: {str(nesterov).lower()}}}"
    start, *gradients, end = updated(text, shape, matrix=True)
    rows, columns = shape
    size = 0.2 * math.sqrt(max(shape)) if match == "adamw" else math.sqrt(max(1, rows / columns))
    w, m = start, np.zeros(shape)
    for g in gradients:
        m = 0.95 * m + 0.05 * g
        update = 0.05 * g + 0.95 * m if nesterov else m
        w = w * (1 - 0.01 * 0.3) - 0.01 * size * orthogonalized(update)
    # PyTorch iterates in bfloat16.
    np.testing.assert_allclose(end, w, atol=0.05 * 0.01 * size * len(gradients))


def test_muon_takes_the_matrices_of_hidden_layers_and_adamw_the_rest(digits):
    text = "optimizer={kind: muon, lr: 0.01, adamw_lr: 0.002}"
    run = Run(run_config(text, norm="batch"), digits)
    names = {id(p): name for name, p in run.network.named_parameters()}
    muon, adamw = (
        {names[id(p)] for group in run.optimizer.parts[kind].param_groups for p in group["params"]}
        for kind in ("muon", "adamw")
    )
    assert muon == {"blocks.1.linear.weight", "blocks.2.linear.weight"}
    assert adamw == set(names.values()) - muon
    run.start_epoch()
    run.update()
    rates = {kind: part.param_groups[0]["lr"] for kind, part in run.optimizer.parts.items()}
    assert rates == pytest.approx({"muon": 0.01, "adamw": 0.002})


def test_under_a_method_of_weights_muon_takes_what_is_the_matrix(digits):
    run = Run(run_config(MUON, norm="weight_norm"), digits)
    held = ".linear.parametrizations.weight.original1"
    assert run.assembled.hidden_matrices() == {f"blocks.{i}{held}" for i in (1, 2)}


@pytest.mark.parametrize(("norm", "text"), [("batch", LION), ("batch", MUON), ("dyt", MUON)])
def test_a_resumed_run_is_the_undisturbed_one(digits, norm, text):
    config = run_config(text, *SHORT, norm=norm)
    before = trained(config, digits, stop_at=5)
    saved = only(before, events.Checkpointed)[-1]
    assert state(before)["step"] == 5
    after = trained(config, digits, resume=saved.state)
    assert same(weights(after), weights(trained(config, digits)))


@pytest.mark.parametrize(
    ("text", "first_off"),
    # The signs of a first step; later ones turn where rounding decides on them. Muon iterates in
    # bfloat16 with other kernels.
    [(LION, 1e-5), (MUON, 1e-3)],
    ids=["lion", "muon"],
)
def test_a_rule_in_a_stack_is_that_of_each_run_and_resumes_as_itself(digits, text, first_off):
    def stack(resume, stop=lambda: False):
        configs = [
            run_config(text, "runtime.stack=2", *SHORT, norm="layer", seed=s) for s in (0, 1)
        ]
        told: list[list[events.Event]] = [[], []]
        for index, event in train_together(configs, digits, resume=resume, should_stop=stop):
            told[index].append(event)
        return told

    whole = stack([None, None])
    for seed, found in enumerate(whole):
        alone = trained(run_config(text, *SHORT, norm="layer", seed=seed), digits)
        first, same_first = only(found, events.Evaluated)[0], only(alone, events.Evaluated)[0]
        assert first.val_loss == pytest.approx(same_first.val_loss, rel=first_off)
        last, other = only(found, events.Evaluated)[-1], only(alone, events.Evaluated)[-1]
        assert last.val_loss == pytest.approx(other.val_loss, rel=0.05)
    asked = iter(range(100))
    saved = [only(f, events.Checkpointed)[-1] for f in stack([None] * 2, lambda: next(asked) == 5)]
    assert {step.step for step in saved} == {5}
    for found, again in zip(whole, stack([one.state for one in saved]), strict=True):
        assert same(weights(found), weights(again))


def test_lion_of_stacked_parameters_is_lion_of_each_to_the_last_bit():
    start, *gradients, _ = updated(LION, (2, 4, 3))
    ends = []
    for part in (slice(None), 0, 1):
        p = torch.nn.Parameter(torch.from_numpy(start[part]).float())
        optimizer = make_optimizer(
            [{"params": [p], "weight_decay": 0.3, "rate": 1.0}], run_config(LION).optimizer
        )
        for g in gradients:
            p.grad = torch.from_numpy(g[part]).float()
            optimizer.step()
        ends.append(p.detach())
    assert torch.equal(ends[0], torch.stack(ends[1:]))


@pytest.mark.parametrize(("match", "nesterov"), [("adamw", True), ("none", False)])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_muon_of_stacked_matrices_is_muon_of_each(shape, match, nesterov):
    text = f"optimizer={{kind: muon, lr: 0.01, match: {match}, nesterov: {str(nesterov).lower()}}}"
    start, *gradients, end = updated(text, (3, *shape), matrix=True)
    for run in range(3):
        p = torch.nn.Parameter(torch.from_numpy(start[run]).float())
        other = {"params": [torch.nn.Parameter(torch.ones(2))], "weight_decay": 0.0, "rate": 1.0}
        own = {"params": [p], "weight_decay": 0.3, "rate": 1.0, "matrix": True}
        optimizer = make_optimizer([own, other], run_config(text).optimizer)
        for g in gradients:
            p.grad = torch.from_numpy(g[run]).float()
            optimizer.step()
        # Both iterate in bfloat16, with other kernels.
        size = np.abs(end[run] - start[run]).max()
        np.testing.assert_allclose(end[run], p.detach().numpy(), atol=0.02 * size)


def test_muon_without_a_hidden_matrix_is_refused():
    with pytest.raises(ConfigError, match="this network has none"):
        run_config(MUON, *CNN)


# --- decay, by role ---


def decayed(digits, norm: str, *overrides: str) -> set[str]:
    """Last parts of the names of what weight decay pulls on, less the weights of layers."""
    run = Run(
        run_config(f"optimizer={{kind: sgd, lr: 0.1, {DECAYED}}}", *overrides, norm=norm), digits
    )
    pulled = {
        id(p)
        for group in run.optimizer.param_groups
        if group["weight_decay"]
        for p in group["params"]
    }
    names = {name for name, p in run.network.named_parameters() if id(p) in pulled}
    layers = {name for name, role in run.assembled.roles.items() if role == "weight"}
    assert layers <= names
    return {name.rpartition(".")[2] for name in names - layers}


@pytest.mark.parametrize(
    ("norm", "off", "on", "strict"),
    [
        ("batch", set(), {"weight", "bias"}, {"weight", "bias"}),
        ("rms", set(), {"weight"}, {"weight"}),
        ("dyt", set(), set(), {"alpha", "weight", "bias"}),
        (
            "seednorm",
            {"alpha", "direction"},
            {"alpha", "direction"},
            {"alpha", "direction", "weight"},
        ),
        ("zero_centered_rms", set(), {"weight"}, {"weight"}),
    ],
)
def test_decay_of_norms_is_one_choice_for_all_but_what_papers_fix(digits, norm, off, on, strict):
    both = "optimizer.decay_norms=true"
    assert decayed(digits, norm) == off
    assert decayed(digits, norm, both) == on
    assert decayed(digits, f"{{kind: {norm}, strict: true}}", both) == strict
    assert decayed(digits, f"{{kind: {norm}, strict: true}}") == set()


def test_zero_centred_rms_differs_from_rms_norm_under_decay_alone(digits):
    def end(norm: str, decay: bool) -> torch.Tensor:
        text = f"{{kind: sgd, lr: 0.1, {DECAYED}, decay_norms: {str(decay).lower()}}}"
        found = weights(trained(run_config(f"optimizer={text}", *SHORT, norm=norm), digits))
        return found["blocks.1.linear.weight"]

    torch.testing.assert_close(end("rms", False), end("zero_centered_rms", False))
    apart = (end("rms", True) - end("zero_centered_rms", True)).abs().max()
    assert float(apart) > 1e-3


def test_its_default_changes_no_identity_and_the_choice_does():
    plain, off, on = (
        run_config(f"optimizer={{kind: sgd, lr: 0.1{text}}}")
        for text in ("", ", decay_norms: false", ", decay_norms: true")
    )
    assert plain.identity() == off.identity() != on.identity()


# --- what is told of it ---


def told(digits, norm: str, optimizer: str = "sgd, lr: 0.1", *overrides: str) -> tuple[str, ...]:
    run = Run(run_config(f"optimizer={{kind: {optimizer}}}", *overrides, norm=norm), digits)
    assert run.started().own_terms == own_terms(run.assembled, run.config.optimizer)
    return run.started().own_terms


def test_what_a_paper_fixes_is_told_where_it_acts(digits):
    gate = "gate with 10 times the learning rate, at least 0, at most 1"
    all_decayed = f"sgd, lr: 0.1, {DECAYED}, decay_norms: true"
    assert told(digits, "batch_instance", "sgd, lr: 0.1", *CNN) == (gate,)
    assert told(digits, "batch_instance", all_decayed, *CNN) == (f"{gate}, no weight decay",)
    assert told(digits, "dyt") == told(digits, "batch", all_decayed) == ()
    assert told(digits, "dyt", all_decayed) == ("weight and bias and alpha with no weight decay",)
    assert told(digits, "seednorm", f"sgd, lr: 0.1, {DECAYED}") == (
        "alpha and direction with weight decay",
    )
    assert told(digits, "{kind: dyt, strict: true}", all_decayed) == ()


def test_other_initial_values_are_told_with_what_they_are(digits):
    (text,) = told(digits, "selu")
    assert text == (
        "other values at the start of 4 parameters: the variance of LeCun, at which its fixed "
        "point holds"
    )
    (text,) = told(digits, "{kind: batch, weights: weight_standardization}")
    assert text == "other values at the start of 3 parameters: by its own formula"
    assert told(digits, "weight_norm") == ()


def test_the_line_on_fairness_says_what_norms_bring_along():
    rows = [("a", "batch", "w"), ("b", "selu", "w"), ("c", "selu", "w")]
    runs = pd.DataFrame(rows, columns=["run", "norm", "backbone_sha256"]).assign(
        seed=0, batch_order_sha256="o", epochs_started=1, own_terms=[None, "other values", None]
    )
    line = fairness_line(fairness(runs, []))
    assert line == (
        "fairness: backbones and batch orders identical across norms (3 runs); on the terms of its "
        "paper: selu (other values)"
    )

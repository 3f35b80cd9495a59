"""What every number in a table means: the definitions that a page has one click away."""

from __future__ import annotations

import re

from normbench.analysis.statistics import EXACT_PAIRS, RANDOM_FLIPS

GLOSSARY = {
    "norm": (
        "The normalization layer. All else is the same under every norm: for one seed the initial "
        "weights outside the norm layers and the order of the batches, bit for bit."
    ),
    "seed": (
        "Fixes the split, the initial weights, the batch order and the augmentation. Norms are "
        "compared seed by seed."
    ),
    "best set": (
        "The norms that cannot be told from the best at 95 %: a model confidence set (Hansen, "
        "Lunde and Nason 2011) of the judged metric, paired by seed. The probability that it lacks "
        "the truly best norm is at most 5 %; in a sweep over all its points together."
    ),
    "leader": (
        "The norm with the best value of the judged metric, which the config fixes before the "
        "first run. The others are given as differences to it with a simultaneous 95 % interval."
    ),
    "target": (
        "The validation accuracy to reach, as the config gives it, or the median final accuracy of "
        "pilot runs on seeds of their own."
    ),
    "reached": (
        "Runs whose validation accuracy reached the target, of all runs. A run that did not is "
        "counted as a miss and never left out."
    ),
    "steps to target": (
        "Steps (updates of the weights) until the first evaluation at or above the target: the "
        "median over runs, a miss counting as infinite. “> 500” means that half or more missed it "
        "within a budget of 500 steps."
    ),
    "val %": (
        "Accuracy on the validation images at the end of training, in percent: mean ± standard "
        "deviation over seeds. After a divergence accuracy counts as chance."
    ),
    "best val %": (
        "The best validation accuracy of a run at any evaluation: mean ± standard deviation over "
        "seeds."
    ),
    "test %": "Accuracy on the test images, evaluated once at the end and used for no choice.",
    "train %": (
        "Accuracy on a fixed part of the training images at the end, in evaluation mode and "
        "without augmentation. What it is above the validation accuracy is overfitting."
    ),
    "precise %": (
        "Validation accuracy with the mean and variance of training images in place of the "
        "running averages that were gathered while the weights moved. What it is above the "
        "validation accuracy is lost in evaluation, not in training. Batch norm's alone."
    ),
    "AUC": (
        "Area under the curve of validation accuracy over the whole budget, between 0 and 1. It "
        "is defined for every run, also one that never reached the target."
    ),
    "time/step": (
        "Training time of one step: forward, backward and update, without loading data, "
        "evaluating or probing. The median over runs."
    ),
    "ended": (
        "What became of the runs: “ok” where all finished and learned. One is at chance when its "
        "final validation accuracy cannot be told from guessing; it diverged when its training "
        "loss was no longer finite. Both are results; it failed when it crashed, which is none."
    ),
    "restricted mean": "The mean over runs of min(steps to target, budget).",
    "ERT": (
        "Expected running time: the steps that all runs with a result spent, misses and "
        "divergences included, over the number of them that reached the target."
    ),
    "seconds": "Training seconds until the target, the median over runs.",
    "log-rank p": (
        "Log-rank test that the norm and the baseline reach the target equally fast, misses "
        "counted as censored at the budget. It does not use the pairing by seed."
    ),
    "step": "Updates of the weights before the measurement.",
    "growth/layer": (
        "How the squared norm of the gradient dL/dz changes per layer toward the input: the "
        "exponential of the slope of a straight line through ln(norm²) over the middle layers. 1 "
        "preserves, below 1 vanishes, above 1 explodes. In a CNN the line has one slope but a "
        "height of its own in each stage."
    ),
    "theory": (
        "The growth per layer that mean field theory gives for wide layers at initialization; "
        "empty where it has no value."
    ),
    "ratio": "Measured growth over the theory's.",
    "first layer": "Norm of dL/dz of the hidden layer next to the input; the median over runs.",
    "last layer": "Norm of dL/dz of the hidden layer next to the classifier; the median over runs.",
    "dead": "Share of units that give zero for every example of the batch.",
    "metric": (
        "What is compared: steps to target, area under the curve, validation accuracy or test "
        "accuracy at the end."
    ),
    "pairs": "Seeds with an outcome under both norms.",
    "diff.": (
        "Mean over pairs of the norm's value minus the baseline's; in steps the Hodges-Lehmann "
        "shift, a miss being infinite. pp are percentage points."
    ),
    "95 % interval": "Of the inverted test, bootstrap-t where wider; simultaneous or unadjusted.",
    "to leader": (
        "The norm's value minus the leader's, over the seeds of both; the leader is the norm that "
        "the model confidence set would eliminate last. The interval beside it holds for all norms "
        "at once."
    ),
    "p": (
        "As p (Holm) for the metric that carries the verdicts; for any other metric of the same "
        "test, not corrected for how many norms are compared."
    ),
    "p (Holm)": (
        "Two-sided sign-flip test over the pairs, of the differences (of their signed ranks for "
        "steps to target), corrected by Holm for the number of norms compared. Up to "
        f"{EXACT_PAIRS} pairs all flips are counted, and with n pairs it cannot be below 2/2^n; "
        f"above, {RANDOM_FLIPS:,} random ones."
    ),
    "P(better)": "Share of pairs in which the norm is better, ties counting half.",
    "verdict": (
        "similar where the interval lies inside the margin; better or worse where p (Holm) is at "
        "most 0.05; too few seeds where no outcome of so few pairs could have been; else undecided."
    ),
    "largest that trains": (
        "The largest tuned value at which the norm gains over chance at least half of what the "
        "best norm and value gain."
    ),
    "best": (
        "The tuned value with the highest mean validation accuracy on the tuning seeds, which are "
        "never reported."
    ),
    "Kaplan-Meier": (
        "Estimate of the share of runs that have not reached the target yet, in which runs that "
        "missed it count as censored at the budget."
    ),
    "effective rank": (
        "Of a batch's activations at a layer: the exponential of the entropy of their normalized "
        "squared singular values, over at most 128 examples. 1 if all examples point one way, at "
        "most the number of examples or units."
    ),
    "example cosine": (
        "Mean cosine between the activations of two different examples of a batch. 1 if all are "
        "alike."
    ),
    "activation std": "Standard deviation of the activation function's output over a batch.",
    "activation quantiles": (
        "Of the values that enter the activation function of a layer, over a batch and all units: "
        "below the 5 % quantile lie 5 % of them, below the median half."
    ),
    "fairness": (
        "For every seed, SHA-256 hashes of the initial weights outside the norm layers, and of "
        "the batches that were drawn, are compared across the norms."
    ),
}
"""Heading -> definition."""

_PATTERNS = (
    (re.compile(r"steps to |median steps|steps$"), "steps to target"),
    (re.compile(r"to leader$"), "leader"),
    (re.compile(r"step time$"), "time/step"),
    (re.compile(r"own "), "best"),
    (re.compile(r"shared AUC$"), "AUC"),
    (re.compile(r"shared val"), "val %"),
    (re.compile(r"shared test"), "test %"),
    (re.compile(r"shared steps"), "steps to target"),
    (re.compile(r"best (?!val)|tuning$"), "best"),
    (re.compile(r"growth$"), "growth/layer"),
    (re.compile(r"rank$"), "effective rank"),
    (re.compile(r"norms$"), "norm"),
    (re.compile(r"seeds$"), "seed"),
    # metrics as JSON and --by name them
    (re.compile(r"steps_to_target$"), "steps to target"),
    (re.compile(r"val_accuracy(_mean)?$"), "val %"),
    (re.compile(r"train_accuracy(_mean)?$"), "train %"),
    (re.compile(r"val_accuracy_precise(_mean)?$"), "precise %"),
    (re.compile(r"test_accuracy(_mean)?$"), "test %"),
    (re.compile(r"best_val_accuracy(_mean)?$"), "best val %"),
    (re.compile(r"auc(_mean)?$"), "AUC"),
)


def entry(heading: str) -> str | None:
    """The glossary's name for a heading, a fact or a metric; None for a swept key or plain word."""
    if heading in GLOSSARY:
        return heading
    return next((name for pattern, name in _PATTERNS if pattern.match(heading)), None)


def anchor(name: str) -> str:
    """The id of an entry on a page."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("%", "percent")).strip("-")
    return f"def-{words}"

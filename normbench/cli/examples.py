"""Command lines that show what a verb is for: each ``--help`` ends with those of its verb."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "init": (
        ("normbench init", "ask, and write normbench.yaml"),
        (
            "normbench init my.yaml --dataset mnist --model mlp --norms none,batch --yes",
            "ask nothing",
        ),
    ),
    "train": (
        ("normbench train", "the bundled digits experiment, offline"),
        ("normbench train --data mnist --norms batch,layer,rms --seeds 8", "without a file"),
        ("normbench train mnist-mlp --set optimizer.lr=0.1 --set name=faster", "a key changed"),
        ("normbench train my.yaml --dry-run", "what would be trained, and how long it takes"),
    ),
    "recommend": (
        ("normbench recommend", "which norm for the bundled digits network, in ten core-minutes"),
        ("normbench recommend my.yaml --budget 2h", "for yours"),
        ("normbench recommend --data mnist --budget 200runs", "or by the number of runs"),
    ),
    "compare": (
        ("normbench compare", "the last experiment: the answer, then one table"),
        ("normbench compare digits --full", "every table"),
        ("normbench compare digits mnist-mlp", "two experiments side by side"),
        ("normbench compare digits --format csv", "one clean table for another program"),
    ),
    "watch": (("normbench watch", "from another terminal: the latest experiment's curves"),),
    "report": (
        ("normbench report", "the last experiment as one page"),
        ("normbench report digits --format png --out figures", "each chart as a picture"),
    ),
    "probe": (
        ("normbench probe", "how signals and gradients pass through each norm at the start"),
        ("normbench probe mnist-mlp --steps 50 --set model.depth=40", "and after 50 steps"),
    ),
    "cost": (
        ("normbench cost", "time, memory and operations of every norm layer"),
        ("normbench cost --shape 32x64x28x28 --norm batch --norm group", "at a shape of yours"),
    ),
    "check": (
        ("normbench check my_norm.py:MyNorm", "a norm of your own, before it is trained"),
        ("normbench check my_net.py:Net --size 32x32x3", "which norms of a network are found"),
        ("normbench check batch", "a norm of ours"),
    ),
    "claims": (
        ("normbench claims --quick", "every statement, on small networks"),
        ("normbench claims --quick --only 1 --only 3", "two of them"),
    ),
    "export": (
        ("normbench export --to csv", "the last experiment as tables"),
        ("normbench export digits --to tensorboard --out logs", "for `tensorboard --logdir logs`"),
    ),
    "validate": (
        ("normbench validate my.yaml", "every mistake at once, nothing trained"),
        ("normbench validate my.yaml --set model.depth=40", "with a key changed"),
    ),
    "plan": (
        ("normbench plan my.yaml --effect 1pp", "seeds that find one percentage point"),
        ("normbench plan mnist-mlp --effect 1sd", "or one sd of the paired difference"),
    ),
    "show": (
        ("normbench show mnist-mlp", "a config with every default written out"),
        ("normbench show digits/batch-s0", "all about one run, by the beginning of its name"),
    ),
    "list": (
        ("normbench list experiments", "what was trained, and what leads"),
        ("normbench list runs --state failed", "runs of the last experiment that failed"),
        ("normbench list norms", "what can stand under norms: in a config"),
    ),
    "rm": (
        ("normbench rm digits", "all of an experiment, after asking"),
        ("normbench rm digits batch-s0", "one run, by the beginning of its name"),
        ("normbench rm --stale digits", "runs of an earlier config of that name"),
    ),
    "doctor": (
        ("normbench doctor", "look at installation, machine, data and results"),
        ("normbench doctor -q", "only what is not well"),
        ("normbench doctor mnist-mlp", "hold every file of an experiment against what was written"),
    ),
}


def epilog(verb: str) -> str:
    """The examples of a verb as its help shows them, two lines each; "" where it has none."""
    examples = EXAMPLES.get(verb, ())
    shown = "".join(f"\n  $ {line}\n      {what}" for line, what in examples)
    return f"\b\nExamples:{shown}" if shown else ""  # \b: lines stay as they are

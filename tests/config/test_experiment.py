"""The schema: labels, baseline, sweep points, seeds, runs and their identity."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench.config import (
    AdamConfig,
    ExperimentConfig,
    FixedTarget,
    PilotTarget,
    RunConfig,
    image_shape,
)
from normbench.config.components import DATA
from normbench.config.schema import Section
from normbench.data.catalog import DATASETS
from normbench.errors import ConfigError
from normbench.models import ACTIVATIONS, INITS
from normbench.models.assemble import anatomy, problem_of
from normbench.norms import NORMS, NormPolicy

Tree = dict[str, Any]


def make(tree: Tree, **changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({**tree, **changes})


def test_a_norm_is_labelled_by_its_name_or_its_kind_and_what_differs(tree: Tree) -> None:
    norms = [
        "layernorm",
        {"kind": "gn", "groups": 8},
        {"kind": "group", "groups": 4},
        {"kind": "rms", "name": "mine", "axes": "c"},
    ]
    experiment = make(tree, norms=norms)
    assert experiment.labels == ["layer", "group", "group(groups=4)", "mine"]
    assert [norm.kind for norm in experiment.norms] == ["layer", "group", "group", "rms"]


def test_the_baseline_is_none_if_there_or_the_first(tree: Tree) -> None:
    assert make(tree, norms=["rms", "none"]).baseline == "none"
    assert make(tree, norms=["rms", "batch"]).baseline == "rms"


def test_the_baseline_may_be_named_by_its_kind_where_that_is_clear(tree: Tree) -> None:
    assert make(tree, baseline="group").baseline == "group(groups=4)"
    two = [{"kind": "group", "groups": 4}, {"kind": "group", "groups": 2}]
    with pytest.raises(ValueError, match="could be any of"):
        make(tree, norms=two, baseline="group")


def test_the_targets_are_one_or_several_or_measured(tree: Tree) -> None:
    fixed = make(tree, target={"val_accuracy": [0.9, 1]}).target
    assert isinstance(fixed, FixedTarget)
    assert fixed.val_accuracy == (0.9, 1.0)
    pilot = make(tree, target={"from": "group"})
    assert isinstance(pilot.target, PilotTarget)
    assert pilot.target.norm == "group(groups=4)"
    assert pilot.pilot_seeds == [3, 4, 5]
    assert make(tree).pilot_seeds == []


def test_tuning_and_pilot_seeds_follow_the_largest_reporting_seed(tree: Tree) -> None:
    experiment = make(
        tree,
        seeds=[7, 2],
        tune={"optimizer.lr": [0.1, 1.0], "seeds": 3},
        target={"from": "batch", "pilot_seeds": 3},
    )
    assert experiment.seed_list == [7, 2]
    assert experiment.tune_seeds == experiment.pilot_seeds == [8, 9, 10]
    given = make(tree, tune={"optimizer.lr": [0.1], "seeds": [30, 20, 25]})
    assert given.tune_seeds == [30, 20, 25]
    assert make(tree).tune_seeds == []


def test_the_points_are_every_combination_in_order(tree: Tree) -> None:
    experiment = make(tree, sweep={"model.depth": [3, 2], "optimizer.lr": [1, 0.1]})
    assert [list(point.values()) for point in experiment.sweep_points()] == [
        [3, 1], [3, 0.1], [2, 1], [2, 0.1],
    ]  # fmt: skip
    assert make(tree).sweep_points() == [{}]


def test_a_point_sets_its_keys_and_nothing_else(tree: Tree) -> None:
    experiment = make(tree, sweep={"model.depth": [3, 5]}, tune={"optimizer.lr": [0.1, 1.0]})
    there = experiment.at({"model.depth": 5, "optimizer.lr": 1.0})
    assert there == make(
        tree, model={"kind": "mlp", "depth": 5, "width": 32}, optimizer={"lr": 1.0}
    )
    with pytest.raises(ConfigError, match=r"model\.depth: must be at most 200, got 999"):
        experiment.at({"model.depth": 999})


def test_a_swept_kind_leaves_out_the_keys_it_does_not_have(tree: Tree) -> None:
    optimizer = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01}
    experiment = make(tree, optimizer=optimizer, sweep={"optimizer.kind": ["sgd", "adam"]})
    adam = experiment.at({"optimizer.kind": "adam"}).optimizer
    assert isinstance(adam, AdamConfig)
    assert (adam.lr, adam.weight_decay) == (0.1, 0.01)


def test_a_sweep_of_too_many_points_is_refused(tree: Tree) -> None:
    with pytest.raises(ValueError, match="1,025 combinations"):
        make(tree, sweep={"model.depth": list(range(2, 43)), "model.width": list(range(25))})


def test_a_cnn_with_more_stages_than_the_image_has_halves_is_refused(tree: Tree) -> None:
    cnn = {"kind": "cnn", "depth": 6, "stages": 5, "width": 8}
    with pytest.raises(ValueError, match="5 stages halve a 8x8 image 4 times"):
        make(tree, model=cnn)


def test_a_run_holds_what_determines_its_numbers(tree: Tree) -> None:
    experiment = make(tree, sweep={"model.depth": [3, 5]})
    run = experiment.run({"model.depth": 5}, "group", 2)
    assert run == experiment.run({"model.depth": 5}, 2, 2)
    assert (run.label, run.seed, run.model.options().depth) == ("group(groups=4)", 2, 5)
    assert RunConfig.model_validate(run.resolved()) == run
    with pytest.raises(ConfigError, match="'layer' is none of the norms"):
        experiment.run({}, "layer", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"baseline": "batch"},
        {"target": {"val_accuracy": 0.5}},
        {"seeds": [0, 9]},
        {"norms": ["rms", {"kind": "group", "groups": 4, "name": "g"}]},
        {"sweep": {"model.depth": [4, 5]}},
        {"tune": {"optimizer.lr": [0.1, 1.0]}},
        {"optimizer": {"lr": 0.1, "momentum": 0.9}},
        {"training": {"steps": 50, "eval_batch_size": 10}},
    ],
)
def test_what_cannot_change_the_numbers_does_not_change_the_identity(
    tree: Tree, changes: Tree
) -> None:
    index = 1 if "norms" in changes else 2
    before, after = make(tree).run({}, 2, 0), make(tree, **changes).run({}, index, 0)
    assert before.identity() == after.identity()
    assert before.context() == after.context()


def test_an_integer_and_the_same_float_are_one_identity(tree: Tree) -> None:
    one, same = (make(tree, optimizer={"lr": lr}).run({}, 0, 0) for lr in (1, 1.0))
    assert one.identity() == same.identity()


NUMBERS: list[tuple[str, Any]] = [
    ("data.dataset", "mnist"),
    ("data.validation", 100),
    ("data.batch_size", 64),
    ("data.split_seed", 0),
    ("data.augment.crop", 1),
    ("data.augment.flip", True),
    ("model.depth", 5),
    ("model.width", 64),
    ("model.activation", "tanh"),
    ("model.init", "orthogonal"),
    ("model.bias", False),
    ("model.placement", "post"),
    ("normalization.eps", 1e-6),
    ("normalization.affine", False),
    ("normalization.momentum", 0.2),
    ("normalization.axes", "c"),
    ("optimizer.kind", "adam"),
    ("optimizer.lr", 0.2),
    ("optimizer.momentum", 0.8),
    ("optimizer.nesterov", True),
    ("optimizer.weight_decay", 0.1),
    ("optimizer.schedule", "cosine"),
    ("optimizer.warmup_steps", 5),
    ("optimizer.clip_norm", 1.0),
    ("training.steps", 51),
    ("training.evaluate_every", 10),
    ("training.precision", "bf16"),
    ("runtime.threads", 2),
    ("runtime.device", "cuda"),
]


@pytest.mark.parametrize(("key", "value"), NUMBERS, ids=[key for key, _ in NUMBERS])
def test_every_key_that_bears_on_the_numbers_changes_identity_and_context(
    tree: Tree, key: str, value: Any
) -> None:
    experiment = make(tree)
    before, after = experiment.run({}, 0, 0), experiment.at({key: value}).run({}, 0, 0)
    assert before.identity() != after.identity()
    assert before.context() != after.context()


def test_norm_options_and_seed_change_the_identity_but_not_the_context(tree: Tree) -> None:
    experiment = make(tree, norms=["batch", "group", {"kind": "group", "groups": 4}])
    runs = [experiment.run({}, norm, seed) for norm in range(3) for seed in (0, 1)]
    assert len({run.identity() for run in runs}) == 6
    assert len({run.context() for run in runs}) == 1


@pytest.mark.parametrize("kind", DATASETS.names())
def test_the_shape_of_every_published_dataset_is_known(kind: str) -> None:
    options = {"path": "x"} if DATASETS[kind].own else {}
    shape = image_shape(DATA.validate({"dataset": kind, **options}))
    assert (shape is None) == (kind in ("npz", "function", "huggingface"))
    assert shape is None or min(shape) >= 1
    if shape is not None:
        resized = image_shape(DATA.validate({"dataset": kind, "resize": 64, **options}))
        assert resized == (64, 64, shape[2])


def sections(cls: type[Section] = Section) -> list[type[Section]]:
    return [cls, *(inner for sub in cls.__subclasses__() for inner in sections(sub))]


def test_every_key_of_the_schema_has_a_description() -> None:
    for section in sections():
        if "_" in section.__name__:
            assert section.__doc__, section  # a kind's options are described in its docstring
            continue
        for name, field in section.model_fields.items():
            assert field.description, (section, name)


@pytest.mark.parametrize("kind", DATASETS.names())
def test_every_option_of_a_dataset_is_described_where_it_is_declared(kind: str) -> None:
    for name, field in DATA.member(kind).model_fields.items():
        assert field.description, (kind, name)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    positive = st.floats(1e-6, 1e3)
    kind = draw(st.sampled_from(["mlp", "cnn"]))
    width = 8 * draw(st.integers(2, 8))
    norms = draw(st.lists(st.sampled_from(["none", "batch", "layer", "rms", "group"]),
                          min_size=1, unique=True))  # fmt: skip
    optimizer = draw(
        st.one_of(
            st.fixed_dictionaries({"lr": positive, "momentum": st.floats(0, 0.99)}),
            st.fixed_dictionaries(
                {"kind": st.sampled_from(["adam", "adamw"]), "lr": positive},
                optional={"eps": positive, "betas": st.just([0.8, 0.9]), "clip_norm": positive},
            ),
        )
    )
    seeds = draw(
        st.one_of(st.integers(1, 9), st.lists(st.integers(0, 99), min_size=1, unique=True))
    )
    optional = {
        "normalization": st.fixed_dictionaries({}, optional={"eps": positive,
                                                             "affine": st.booleans()}),
        "sweep": st.fixed_dictionaries({}, optional={"model.depth": st.just([4, 5]),
                                                     "optimizer.lr": st.just([1, 0.5])}),
        "tune": st.just({"normalization.eps": [1e-6, 1e-3]}),
        "probes": st.one_of(st.just({"every": 5}), st.just({"steps": "none"})),
        "baseline": st.sampled_from(norms),
        "data": st.just({"dataset": "folder", "path": "x", "channels": 1}),
    }  # fmt: skip
    return {
        "name": "t",
        "model": {"kind": kind, "width": width, "depth": draw(st.integers(4, 12)),
                  "activation": draw(st.sampled_from(sorted(ACTIVATIONS))),
                  "init": draw(st.sampled_from(sorted(INITS)))},
        "norms": norms,
        "optimizer": optimizer,
        "training": draw(st.sampled_from([{"epochs": 0.5}, {"steps": 7, "precision": "bf16"}])),
        "target": draw(st.sampled_from([{"val_accuracy": [0.5, 0.6]}, {"from": norms[0]}])),
        "seeds": seeds,
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(trees())
def test_what_resolved_writes_loads_to_an_equal_experiment(tree: Tree) -> None:
    experiment = ExperimentConfig.model_validate(tree)
    again = ExperimentConfig.model_validate(experiment.resolved())
    assert again == experiment
    assert again.resolved() == experiment.resolved()
    for point in experiment.sweep_points():
        run = experiment.run(point, 0, 0)
        assert RunConfig.model_validate(run.resolved()).identity() == run.identity()


@pytest.mark.parametrize("kind", NORMS.names())
def test_every_registered_norm_can_be_named_in_a_config(tree: Tree, kind: str) -> None:
    method = NORMS[kind](NormPolicy(), NORMS[kind].Options())
    blueprint = make(tree, model={"kind": "cnn"}).model.blueprint()
    if problem_of(blueprint, anatomy(blueprint, (8, 8, 1)), method, 32):
        return  # of a residual network alone, or a network's own
    experiment = make(tree, model={"kind": "cnn"}, norms=[kind])
    method = experiment.norms[0].method(experiment.normalization)
    assert isinstance(method, NORMS[kind])
    assert method.policy.eps == 1e-5


def test_a_mistake_in_a_python_call_reads_like_one_in_a_file(tree: Tree) -> None:
    with pytest.raises(ValueError, match=r"must be a number above 0, got -1"):
        make(tree, optimizer={"lr": -1})


def test_one_norm_under_two_names_is_a_mistake(tree: Tree) -> None:
    twins = [{"kind": "batch", "name": "a"}, {"kind": "batch", "name": "b"}]
    with pytest.raises(ValueError, match="the same norm as 'a', under another name"):
        make(tree, norms=twins)


@pytest.mark.parametrize("own", [{"weights": "weight_standardization"}, {"strict": True}])
def test_a_norm_with_another_method_of_weights_beside_it_is_another_norm(tree: Tree, own) -> None:
    twins = [{"kind": "batch", "name": "a"}, {"kind": "batch", "name": "b", **own}]
    assert make(tree, norms=twins).labels == ["a", "b"]


# --- what a run reserves on a cluster ---


def one_run(**runtime: Any) -> RunConfig:
    tree = {"name": "trial", "model": {"kind": "mlp", "depth": 4, "width": 32}, "norms": ["batch"]}
    tree |= {"optimizer": {"lr": 0.1}, "training": {"steps": 50}, "seeds": 1}
    return make(tree, target={"val_accuracy": 0.9}, runtime=runtime).run({}, 0, 0)


def test_what_a_run_reserves_on_a_cluster_is_no_part_of_its_identity():
    plain, reserved = one_run(), one_run(cpus=2)
    assert reserved.resolved()["runtime"]["cpus"] == 2
    assert (reserved.identity(), reserved.context()) == (plain.identity(), plain.context())
    on_cuda = one_run(device="cuda")
    shared = one_run(device="cuda", gpus=0.25)
    assert shared.identity() == on_cuda.identity() != plain.identity()


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ({}, (1, 0)),
        ({"threads": 4}, (4, 0)),
        ({"threads": 4, "cpus": 0.5}, (0.5, 0)),
        ({"device": "cuda"}, (1, 1)),
        ({"device": "cuda", "cpus": 2, "gpus": 0.25}, (2, 0.25)),
    ],
)
def test_a_run_reserves_its_threads_and_a_whole_gpu_unless_told(runtime, expected):
    assert one_run(**runtime).runtime.resources == expected


@pytest.mark.parametrize("runtime", [{"gpus": 0.25}, {"device": "cuda", "gpus": 2}, {"cpus": 0}])
def test_reservations_that_make_no_sense_are_mistakes(runtime):
    with pytest.raises(ValueError, match="runtime"):
        one_run(**runtime)

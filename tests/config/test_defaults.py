"""Short forms, other people's names for things, and what a config that says little means."""

import pytest

from normbench.api import load_config
from normbench.config import ExperimentConfig, bundled, load
from normbench.config.defaults import complete
from normbench.errors import ConfigError
from normbench.models import ACTIVATIONS, INITS, MODELS
from normbench.norms import NORMS

LEAST = "norms: [batch, layer]"


def test_two_lines_are_a_config() -> None:
    experiment = load("data: digits\nnorms: [batch, layer]\n")
    assert experiment.labels == ["batch", "layer"]
    assert (experiment.data.dataset, experiment.model.kind) == ("digits", "mlp")
    assert experiment.name == "digits-mlp"


def test_norms_are_the_one_key_without_a_default() -> None:
    with pytest.raises(ConfigError, match="norms: missing") as caught:
        load("data: mnist")
    assert len(caught.value.problems) == 1


def test_what_is_left_out_is_taken_from_the_bundled_config_for_these_data() -> None:
    own = next(path for path in bundled() if path.stem == "mnist-cnn")
    wanted, experiment = load(own), load(f"data: mnist\nmodel: cnn\n{LEAST}\n")
    for section in ("data", "model", "optimizer", "training", "target"):
        assert getattr(experiment, section) == getattr(wanted, section), section


def test_what_a_file_says_is_never_replaced(text: str) -> None:
    experiment = load(text)
    assert (experiment.name, experiment.seeds, experiment.optimizer.lr) == ("trial", 3, 0.1)
    assert experiment.training.steps == 50
    assert experiment.training.epochs is None


def test_who_gives_one_key_of_a_model_keeps_the_schema_s_defaults_for_the_others() -> None:
    whole, partial = load(f"model: mlp\n{LEAST}"), load(f"model: {{kind: mlp, depth: 4}}\n{LEAST}")
    assert whole.model.width == 64
    assert partial.model.width == 256


def test_a_budget_without_a_cadence_is_evaluated_evenly() -> None:
    training = load(f"{LEAST}\ntraining: {{steps: 40}}\n").training
    assert (training.evaluations, training.evaluate_every) == (20, None)


def test_a_short_budget_shortens_the_warmup_that_nobody_asked_for() -> None:
    experiment = load(f"data: cifar10\n{LEAST}\ntraining: {{steps: 50}}\n")
    assert experiment.optimizer.warmup_steps == 5


def test_a_learning_rate_suits_the_optimizer() -> None:
    def rate(optimizer: str) -> float:
        return load(f"{LEAST}\noptimizer: {optimizer}\n").optimizer.lr

    assert rate("adam") == rate("{kind: AdamW, weight_decay: 0.1}") == 0.001
    assert rate("{momentum: 0.5}") == load(LEAST).optimizer.lr
    assert rate("{kind: sgd, lr: 2}") == 2


def test_a_pair_that_no_bundled_config_has_takes_its_target_from_a_norm() -> None:
    experiment = load("data: kmnist\nnorms: [none, BN, LN]\n")
    assert experiment.target.model_dump(by_alias=True)["from"] == "batch"


def test_an_experiment_is_named_after_its_file(tmp_path: object) -> None:
    path = tmp_path / "my first try.yaml"  # type: ignore[operator]
    path.write_text(LEAST)
    assert load(path).name == "my-first-try"


def test_an_incomplete_config_resolves_to_one_that_loads_to_the_same() -> None:
    import json

    experiment = load(LEAST)
    assert load(json.dumps(experiment.resolved())) == experiment


@pytest.mark.parametrize(
    ("word", "norm"),
    [
        *(
            ("BatchNorm", "batch"),
            ("BatchNorm2d", "batch"),
            ("BN", "batch"),
            ("batch_norm", "batch"),
        ),
        *(("LN", "layer"), ("LayerNorm", "layer"), ("RMSNorm", "rms"), ("GN", "group")),
        *(("Group-Norm", "group"), ("IN", "instance"), ("Identity", "none"), ("NONE", "none")),
    ],
)
def test_norms_are_known_by_their_usual_names(word: str, norm: str) -> None:
    assert NORMS.canonical(word) == norm


def test_every_registered_name_means_itself() -> None:
    for registry in (NORMS, MODELS):
        for name in registry:
            assert registry.canonical(name) == registry.canonical(name.upper()) == name


def _model(**keys: str) -> ExperimentConfig:
    inner = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return load(f"{LEAST}\nmodel: {{{inner}}}\n")


def test_activations_and_initializations_are_known_by_their_usual_names() -> None:
    assert _model(activation="Swish").model.activation == "silu"
    assert _model(activation="LeakyReLU").model.activation == "leaky_relu"
    assert _model(init="Kaiming").model.init == _model(init="he").model.init == "he_normal"
    assert _model(init="Glorot").model.init == "xavier_normal"
    for name in ACTIVATIONS:
        assert _model(activation=name).model.activation == name
    for name in INITS:
        assert _model(init=name).model.init == name


def test_a_list_on_the_command_line_needs_no_brackets() -> None:
    experiment = load(LEAST, ["norms=none, RMSNorm,ln", "seeds=3,5", "target.val_accuracy=0.5,0.6"])
    assert experiment.labels == ["none", "rms", "layer"]
    assert experiment.seed_list == [3, 5]
    assert load(LEAST, ["norms=batch"]).labels == ["batch"]


def test_other_norms_on_the_command_line_take_an_absent_baseline_with_them() -> None:
    text = "norms: [none, batch]\nbaseline: batch\n"
    assert load(text, ["norms=layer,rms"]).baseline == "layer"
    assert load(text, ["norms=layer,BN"]).baseline == "batch"
    with pytest.raises(ConfigError, match="baseline: 'none' is none of the norms"):
        load(text, ["norms=layer,rms", "baseline=none"])


def test_a_mistake_shows_the_line_and_a_caret() -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"{LEAST}\nmodel:\n  kind: mlp\n  dpeth: 12  # layers\n")
    shown = caught.value.with_excerpts().splitlines()
    assert shown[:3] == [
        "config:4:3  model.dpeth: unknown key 'dpeth'",
        "    4 |   dpeth: 12  # layers",
        "      |   ^",
    ]
    assert "did you mean 'depth'?" in shown[3]


def test_a_line_of_any_length_stays_a_line_in_a_message() -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"{LEAST}\nmodel: {{{' ' * 5000}dpeth: 12, {' ' * 5000}}}\n")
    assert all(len(line) < 200 for line in caught.value.with_excerpts().splitlines())


def test_a_network_of_a_library_is_named_with_it() -> None:
    for short, name in {
        "torchvision:resnet18": "resnet18",
        "timm:vit_tiny.x": "vit_tiny.x",
    }.items():
        library = short.partition(":")[0]
        tree = complete({"data": "digits", "model": short, "norms": ["batch"]})
        assert tree["model"] == {"kind": library, "name": name}
        assert tree["name"] == f"digits-{name}".replace("_", "-")
    assert complete({"model": "mlp:x"})["model"]["kind"] == "mlp:x"  # no library, as it stands


def test_a_config_may_be_what_python_holds() -> None:
    config = {"data": "digits", "norms": ["none", {"kind": "group", "groups": 4}], "seeds": 2}
    found = load_config(config, overrides=["training.steps=7"])
    text = "data: digits\nnorms: [none, {kind: group, groups: 4}]\nseeds: 2\n"
    assert found == load(text, ["training.steps=7"])
    with pytest.raises(ConfigError, match="did you mean 'seeds'"):
        load_config({**config, "seds": 2})
    with pytest.raises(ConfigError, match="cannot be written as YAML"):
        load_config({**config, "seeds": object()})

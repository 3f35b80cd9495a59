"""Files, overrides and the bundled configs; every mistake with its place."""

import os
from pathlib import Path

import pytest

from normbench.config import bundled, find_config, load, parse_sweep
from normbench.config.components import MODEL
from normbench.config.keys import dotted_keys
from normbench.errors import ConfigError, suggest
from normbench.models import MODELS
from normbench.norms import NORMS

# What is registered grows; what is said of it does not.
NORM_HINT = suggest("btach", NORMS.names())
MODEL_HINT = {word: suggest(word, MODELS.names()) for word in ("mlpp", "mpl", "transformer")}
MODEL_KEYS = suggest("model.dept", [k for k in dotted_keys() if k.startswith("model.")])
NOTHING = suggest("nothing", MODEL.keys())
STAGES = ", ".join(k for k in MODELS.names() if "stages" in MODEL.member(k).model_fields)


def mistakes(text: str, *overrides: str, sweeps: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, overrides, sweeps)
    assert caught.value.exit_code == 2
    return [str(problem) for problem in caught.value.problems]


# (what to replace in the small config, by what, the message)
BAD = [
    ("trial", "../x", "1:7  name: '../x' cannot name a folder of results\n"
     "    up to 64 letters, digits and . _ - (not first: . -)"),
    ("trial", "NUL", "1:7  name: 'NUL' is a device on Windows and no folder\n    another name"),
    ("trial", "com1.x", "1:7  name: 'com1.x' is a device on Windows and no folder\n"
     "    another name"),
    ("trial", "5", "1:7  name: must be a string, got 5"),
    ("kind: mlp", "kind: mlpp", "2:15  model.kind: unknown model 'mlpp'\n"
     f"    {MODEL_HINT['mlpp']}"),
    ("depth: 4", "depth: 201", "2:27  model.depth: must be at most 200, got 201"),
    ("depth: 4", "depth: 4.0", "2:27  model.depth: must be a whole number, got 4.0"),
    ("depth: 4", "depth: true", "2:27  model.depth: must be a whole number, got true (a boolean)"),
    ("depth: 4", "depth: ", "2:26  model.depth: must be a whole number, got nothing"),
    ("depth: 4", "stages: 4",
     f"2:20  model.stages: stages has no meaning for model 'mlp'; it belongs to {STAGES}"),
    ("depth: 4", "activation: rellu", "2:32  model.activation: unknown activation 'rellu'\n"
     "    did you mean 'relu'?  known: elu, gelu, identity, leaky_relu, relu, selu, sigmoid, "
     "silu, tanh"),
    ("batch", "btach", f"3:15  norms[1]: unknown norm 'btach'\n    {NORM_HINT}"),
    ("batch", "null", "3:15  norms[1]: must be the name of a norm or {kind: name, ...}, got "
     "nothing\n    the norm without normalization is written none"),
    ("batch", "none", "3:15  norms[1]: 2 norms are called 'none'\n"
     "    tell them apart with a name: {kind: none, name: ...}"),
    ("batch", "identity", "3:15  norms[1]: 2 norms are called 'none'\n"
     "    tell them apart with a name: {kind: none, name: ...}"),
    ("groups: 4", "groups: 5", "3:22  norms[2]: 5 groups do not divide 32 channels evenly"),
    ("groups: 4", "groups: 0", "3:44  norms[2].groups: must be at least 1, got 0"),
    ("groups: 4", "group: 4",
     "3:36  norms[2].group: unknown key 'group'\n    did you mean 'groups'?  known: eval, groups, "
     "kind, name, strict, weights"),
    ("groups: 4", "name: a/b", "3:42  norms[2].name: 'a/b' cannot be a label\n"
     "    up to 40 letters, digits, spaces and . _ ( ) = + -, the first a letter or digit"),
    ("batch", "instance", "3:15  norms[1]: instance norm takes its statistics over the positions "
     "of an image; features of an MLP have none (use layer or rms, or a CNN)"),
    ("[none, batch, {kind: group, groups: 4}]", "[]",
     "3:8  norms: needs at least one norm, got an empty list"),
    ("[none, batch, {kind: group, groups: 4}]", f"[{'batch, ' * 100_000}]",
     "3:8  norms: at most 200 norms, got 100,000"),
    ("groups: 4", "eps: 0.1",
     "3:36  norms[2].eps: eps is for all norms alike: normalization.eps"),
    ("0.9}", "[]}", "6:24  target.val_accuracy: needs at least one target, got an empty list"),
    ("lr: 0.1", "lr: 0.1, batch_size: 8",
     "4:22  optimizer.batch_size: unknown key 'batch_size'; did you mean data.batch_size?"),
    ("lr: 0.1", "lr: -1", "4:17  optimizer.lr: must be a number above 0, got -1"),
    ("lr: 0.1", "lr: abc", "4:17  optimizer.lr: must be a number, got 'abc' (a string)"),
    ("lr: 0.1", "lr: '0.1'", "4:17  optimizer.lr: must be a number, got '0.1' (a string)\n"
     "    a number is written without quotes, units or separators"),
    ("lr: 0.1", "lr: .inf", "4:17  optimizer.lr: must be a finite number, got inf"),
    ("lr: 0.1", "lr: 1e400", "4:17  optimizer.lr: must be a finite number, got inf"),
    ("lr: 0.1", "lr: 1, betas: [0.9, 0.99]", "4:20  optimizer.betas: betas has no meaning for "
     "optimizer 'sgd'; it belongs to adam, adamw, lion, muon"),
    ("lr: 0.1", "lr: 1, kind: adam, betas: [0.9, 1]",
     "4:45  optimizer.betas[1]: must be a number below 1, got 1"),
    ("lr: 0.1", "lr: 1, nesterov: true, momentum: 0",
     "4:30  optimizer.nesterov: needs a momentum above 0"),
    ("lr: 0.1", "lr: 1, schedule: cosin", "4:30  optimizer.schedule: must be 'constant', 'cosine' "
     "or 'linear', got 'cosin'\n    did you mean 'cosine'?  known: constant, cosine, linear"),
    ("steps: 50", "steps: 5, epochs: 1", "5:12  training.steps: epochs and steps are both given; "
     "the budget is one of them\n    remove one"),
    ("steps: 50", "epochs: 1.0e+308",
     "5:20  training.epochs: must be at most 1e+06, got 1e+308"),
    ("steps: 50", "steps: 9999999999",
     "5:19  training.steps: must be at most 1000000000, got 9999999999"),
    ("val_accuracy: 0.9", "val_accuracy: 1.1",
     "6:24  target.val_accuracy: must be at most 1, got 1.1"),
    ("val_accuracy: 0.9", "val_accuracy: 97",
     "6:24  target.val_accuracy: must be at most 1, got 97\n    0.97 for 97 %"),
    ("kind: mlp, depth: 4", "kind: mpl, depth: x, widht: 3",
     f"2:15  model.kind: unknown model 'mpl'\n    {MODEL_HINT['mpl']}\n"
     "2:27  model.depth: must be a whole number, got 'x' (a string)\n"
     "2:30  model.widht: unknown key 'widht'\n    did you mean 'width'?  known: activation, bias, "
     "depth, init, kind, placement, width"),
    ("kind: mlp, depth: 4", "kind: transformer, nothing: 4",
     f"2:15  model.kind: unknown model 'transformer'\n    {MODEL_HINT['transformer']}\n"
     f"2:28  model.nothing: unknown key 'nothing'\n    {NOTHING}"),
    ("seeds: 3", "seeds: 3\nlr: 0.1", "8:1  lr: unknown key 'lr'; did you mean optimizer.lr?"),
    ("seeds: 3", "seeds: 3\nepochs: 2",
     "8:1  epochs: unknown key 'epochs'; did you mean training.epochs?"),
    ("val_accuracy: 0.9", "val_accuracy: [0.9, 0]",
     "6:30  target.val_accuracy[1]: must be a number above 0, got 0"),
    ("val_accuracy: 0.9", "from: layer", "6:16  target.from: 'layer' is none of the norms of this "
     "config\n    known: batch, group(groups=4), none"),
    ("val_accuracy: 0.9", "val_accuracy: 0.9, from: batch",
     "6:29  target.from: val_accuracy fixes the target already\n    remove one of the two"),
    ("seeds: 3", "seeds: 0", "7:8  seeds: must be 1 to 100,000 seeds, or a list of seeds, got 0"),
    ("seeds: 3", "seeds: [1, 1]", "7:12  seeds[1]: the seed 1 stands twice"),
    ("seeds: 3", "seeds: [1, x]",
     "7:12  seeds[1]: a seed must be a whole number of 0 or more, got 'x' (a string)"),
    ("seeds: 3", "seeds: 3\nmodle: 1", "8:1  modle: unknown key 'modle'\n"
     "    did you mean 'model'?  known: baseline, data, model, name, normalization, norms, "
     "optimizer, probes, report, runtime, seeds, sweep, target, training, tune, verdict"),
    ("seeds: 3", "seeds: 3\nbaseline: rms", "8:11  baseline: 'rms' is none of the norms of this "
     "config\n    known: batch, group(groups=4), none"),
    ("seeds: 3", "seeds: 3\ndata: {dataset: mnits}", "8:17  data.dataset: unknown dataset 'mnits'\n"
     "    did you mean 'mnist'?  known: cifar10, cifar100, digits, fashion_mnist, folder, "
     "function, huggingface, kmnist, mnist, npz"),
    ("seeds: 3", "seeds: 3\ndata: {batch_size: 1}", "3:15  norms[1]: batch norm takes its "
     "statistics across the batch; with batch size 1 there is nothing to average (use layer, rms "
     "or group, or a batch size of 2 or more)"),
    ("seeds: 3", "seeds: 3\ndata: {dataset: folder}",
     "8:7  data.path: missing\n    for example  path: path/to/images"),
    ("seeds: 3", "seeds: 3\ndata: {path: x}",
     "8:8  data.path: path has no meaning for dataset 'digits'; it belongs to folder, "
     "function, huggingface, npz"),
    ("seeds: 3", "seeds: 3\nprobes: {steps: log, every: 5}", "8:22  probes.every: steps and every "
     "are both given; the schedule is one of them\n    remove one"),
    ("seeds: 3", "seeds: 3\nruntime: {device: gpu}",
     "8:19  runtime.device: unknown device 'gpu'\n    known: cpu, cuda, cuda:0, cuda:1, ..."),
    ("seeds: 3", "seeds: 3\nsweep: {model.dept: [1]}", "8:9  sweep.model.dept: unknown key "
     "'model.dept'\n    " + MODEL_KEYS),
    ("seeds: 3", "seeds: 3\nsweep: {seeds: [1]}", "8:9  sweep.seeds: 'seeds' cannot be varied "
     "here\n    the sections that can are data, model, normalization, optimizer and training"),
    ("seeds: 3", "seeds: 3\nsweep: {data.augment: [1]}", "8:9  sweep.data.augment: 'data.augment' "
     "is a section; name a key in it\n    known: data.augment.crop, data.augment.flip"),
    ("seeds: 3", "seeds: 3\nsweep: {model.depth: 4}", "8:22  sweep.model.depth: must be a list of "
     "values, got 4\n    for example  [10, 20]"),
    ("seeds: 3", "seeds: 3\nsweep: {model.depth: [4, 4]}",
     "8:26  sweep.model.depth[1]: the value 4 stands twice"),
    ("seeds: 3", "seeds: 3\nsweep: {model.depth: [4, 1, x], optimizer.lr: [1, 2]}",
     "8:26  sweep.model.depth[1]: must be at least 2, got 1\n"
     "8:29  sweep.model.depth[2]: must be a whole number, got 'x' (a string)"),
    ("seeds: 3", "seeds: 3\nsweep: {model.width: [32, 30, 31]}",
     "3:22  norms[2]: at model.width=30: 4 groups do not divide 30 channels evenly"),
    ("seeds: 3", "seeds: 3\ntune: {seeds: 3}", "8:7  tune: needs a key and its grid\n"
     "    for example  optimizer.lr: [0.01, 0.03, 0.1, 0.3]"),
    ("seeds: 3", "seeds: 3\ntune: {optimizer.lr: [1, 0]}",
     "8:26  tune.optimizer.lr[1]: must be a number above 0, got 0"),
    ("seeds: 3", "seeds: 3\ntune: {optimizer.lr: [1], seeds: [2, 3, 4]}",
     "8:35  tune.seeds[0]: the tuning seed 2 is a reporting seed as well\n"
     "    a choice made on the seeds it is reported on is biased; take others"),
    ("seeds: 3", "seeds: 3\nsweep: {model.depth: [4]}\ntune: {model.depth: [5]}",
     "9:8  tune.model.depth: this key is swept already"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new for _, new, _ in BAD])
def test_a_mistake_is_told_with_its_place_and_remedy(
    text: str, old: str, new: str, message: str
) -> None:
    wanted = "\n".join(
        line if line.startswith(" ") else f"config:{line}" for line in message.split("\n")
    )
    assert "\n".join(mistakes(text.replace(old, new, 1))) == wanted


def test_all_mistakes_of_a_file_come_at_once_in_its_order(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    text = text.replace("lr: 0.1", "lr: 0.1, lr: 2").replace("groups: 4", "groups: 5")
    path.write_text(text.replace("none,", "nonne,").replace("seeds: 3", "seeds: -1\nfoo: 1"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    places = [(p.source, p.line, p.path) for p in caught.value.problems]
    expected = [(3, "norms[0]"), (3, "norms[2]"), (4, "optimizer.lr"), (7, "seeds"), (8, "foo")]
    assert places == [(str(path), line, key) for line, key in expected]


def test_a_value_refused_in_reading_is_one_mistake(text: str) -> None:
    problems = mistakes(text.replace("lr: 0.1", "lr: *x"))
    assert problems == ["config:4:17  optimizer.lr: aliases (*name) are not read\n"
                        "    write the value out"]  # fmt: skip


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_text_is_refused(text: str) -> None:
    assert mistakes(text) == ["config  empty; the least a config says is  norms: [batch, layer]"]


@pytest.mark.parametrize("text", ["- a\n", "words", "5"])
def test_a_text_without_keys_is_refused(text: str) -> None:
    (message,) = mistakes(text)
    assert message.startswith("config  must hold keys and values at the top")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: x\nb: \xff\xfe", ":2:4  not UTF-8 text\n    save it as UTF-8"),
        (b"\x89PNG\r\n", ":1:1  not UTF-8 text\n    save it as UTF-8"),
        (b"x" * 1_000_001, "  larger than 1,000,000 bytes; this is no config"),
    ],
)
def test_a_file_that_is_no_text_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_file_with_a_byte_order_mark_is_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text, "utf-8-sig")
    assert load(tmp_path / "c.yaml").name == "trial"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_overrides_replace_values_and_the_last_one_wins(text: str) -> None:
    experiment = load(
        text,
        ["optimizer.lr=1e-3", "norms[2].groups=8", "data.augment.crop=2", "optimizer.lr=0.5",
         "norms[1]=layernorm", "seeds=[4, 5]", "name=no"],
    )  # fmt: skip
    assert experiment.optimizer.lr == 0.5
    assert experiment.labels == ["none", "layer", "group"]
    assert experiment.data.augment.crop == 2
    assert experiment.seed_list == [4, 5]
    assert experiment.name == "no"


def test_an_override_gives_an_option_to_a_norm_that_is_only_named(text: str) -> None:
    text = text.replace("batch", "layer")
    assert load(text, ["norms[1].axes=c"]).labels[1] == "layer(axes=c)"


def test_an_override_of_sweep_and_tune_takes_the_dotted_key_whole(text: str) -> None:
    experiment = load(text, ["sweep.model.depth=[2, 3]", "tune.optimizer.lr=[1]", "tune.seeds=4"])
    assert experiment.sweep_points() == [{"model.depth": 2}, {"model.depth": 3}]
    assert experiment.tune is not None
    assert (experiment.tune.key, experiment.tune_seeds) == ("optimizer.lr", [3, 4, 5, 6])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("foo", "  must be key=value\n    for example  --set optimizer.lr=0.01"),
        ("=3", "  must be key=value\n    for example  --set optimizer.lr=0.01"),
        ("a..b=1", "  'a..b' is not a key\n    for example  optimizer.lr  or  norms[1].groups"),
        ("model.dept=1", "  model.dept: unknown key 'dept'\n"
         "    did you mean 'depth'?  known: activation, bias, depth, init, kind, placement, width"),
        ("model.depth=1", "  model.depth: must be at least 2, got 1"),
        ("model.depth.x=1", "  model.depth.x: 'depth' holds a value, not keys"),
        ("norms[7]=rms", "  norms: has 3 entries, numbered from 0"),
        ("model[0]=1", "  model: is not a list"),
        ("norms[1]=btach", f"  norms[1]: unknown norm 'btach'\n    {NORM_HINT}"),
        ("seeds=[1", "  not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("seeds=*x", "  aliases (*name) are not read"),
        ("data={dataset: folder}", "  data.path: missing\n    for example  path: path/to/images"),
        ("data.dataset=folder", "  data.path: missing\n    for example  path: path/to/images"),
    ],
)  # fmt: skip
def test_a_bad_override_is_told_by_its_own_text(text: str, override: str, message: str) -> None:
    assert mistakes(text, override) == [f"--set {override}{message}"]


def test_places_in_the_file_stay_right_under_overrides(text: str) -> None:
    problems = mistakes(text.replace("lr: 0.1", "lr: -1"), "name=x", "model.depth=3")
    assert problems == ["config:4:17  optimizer.lr: must be a number above 0, got -1"]


def test_an_unknown_section_in_an_override_is_told_by_its_own_text(text: str) -> None:
    (problem,) = mistakes(text, "modl.depth=3")
    assert problem.startswith("--set modl.depth=3  modl: unknown key 'modl'")


def test_sweeps_on_the_command_line_join_those_of_the_file(text: str) -> None:
    experiment = load(text + "sweep: {model.depth: [2, 3]}", sweeps=["optimizer.lr=0.01,1e-1"])
    assert experiment.sweep == {"model.depth": (2, 3), "optimizer.lr": (0.01, 0.1)}
    assert mistakes(text, sweeps=("optimizer.lr=0.1,0",)) == [
        "--sweep optimizer.lr=0.1,0  sweep.optimizer.lr[1]: must be a number above 0, got 0"
    ]


def test_a_sweep_is_parsed_by_the_yaml_rules() -> None:
    assert parse_sweep("model.kind=mlp, cnn") == ("model.kind", ["mlp", "cnn"])
    assert parse_sweep("a.b=[1, 2]") == ("a.b", [1, 2])
    with pytest.raises(ConfigError, match=r"--sweep optimizer\.lr  must be key=value"):
        parse_sweep("optimizer.lr")


@pytest.mark.parametrize("path", bundled(), ids=lambda path: path.stem)
def test_every_bundled_config_is_valid_named_like_its_file_and_commented(path: Path) -> None:
    assert load(path).name == path.stem
    assert path.read_text().startswith("# ")


def test_a_bundled_config_is_found_by_its_name() -> None:
    assert find_config(None).stem == find_config("digits").stem == "digits"


@pytest.mark.parametrize("name", ["digits.yaml", "configs/digits", "./digits"])
def test_a_name_with_a_suffix_or_slash_is_a_path_and_no_bundled_config(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no such config"):
        find_config(name)


def test_the_config_of_a_claim_is_found_by_its_folder_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(find_config("claims/warmup")).name == "warmup"
    with pytest.raises(ConfigError, match="no such config"):
        find_config("claims/warm-up")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "warmup").write_text("norms: [none, batch]")
    assert find_config("claims/warmup") == Path("claims/warmup")


def test_a_path_goes_before_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits.yaml").write_text("")
    assert find_config("digits.yaml") == Path("digits.yaml")
    assert find_config("digits") != Path("digits.yaml")


@pytest.mark.parametrize("name", ["mnist-mpl", "elsewhere/mnist-mlp.yaml"])
def test_an_unknown_config_is_told_with_the_nearest(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config(name)
    assert str(caught.value).startswith(
        f"{name}  no such config\n    give a path, or the name of a bundled one; "
        "did you mean 'mnist-mlp'?"
    )


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
def test_a_config_is_read_from_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b"data: digits\nnorms: [batch, layer]\n")
    os.close(writing)
    try:
        assert [norm.kind for norm in load(Path(f"/dev/fd/{reading}")).norms] == ["batch", "layer"]
    finally:
        os.close(reading)

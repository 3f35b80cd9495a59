"""From a file, its overrides and its name to an ``ExperimentConfig``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from normbench.bundled import CLAIMS, bundled, bundled_for_claims
from normbench.components import anchored, is_reference
from normbench.config.components import NORM
from normbench.config.defaults import SHORT, complete
from normbench.config.errors import Path as KeyPath
from normbench.config.experiment import ExperimentConfig, read
from normbench.config.names import experiment_name
from normbench.config.yaml12 import MAX_BYTES, Document, parse
from normbench.errors import ConfigError, Problem, suggest

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)((?:\[[0-9]{1,6}\])*)\Z")


def written(config: Mapping[str, Any]) -> str:
    """A config that Python holds, as a text for ``load``. Raises ConfigError."""
    try:
        return json.dumps(config, indent=1)  # which is YAML
    except (TypeError, ValueError) as error:
        told = f"cannot be written as YAML: {error}"
        raise ConfigError([Problem("", told, "numbers, texts, lists and dicts")]) from None


def load(
    source: Path | str, overrides: Sequence[str] = (), sweeps: Sequence[str] = ()
) -> ExperimentConfig:
    """The experiment that a file (a Path) or a YAML text (a str) describes.

    overrides: ``a.b=c`` texts that replace or add values, the last one wins; sweeps: ``a.b=1,2``
    texts that replace or add entries of ``sweep``. Raises ConfigError with every mistake found,
    in the order of the file.
    """
    name, text = (str(source), _text(source)) if isinstance(source, Path) else ("config", source)
    document = parse(text, name)
    if document.tree is None and not document.problems and (overrides or sweeps):
        document.tree = {}
    if not isinstance(document.tree, dict):
        if document.tree is None and not document.problems:
            message = "empty; the least a config says is  norms: [batch, layer]"
        else:
            message = "must hold keys and values at the top, such as  name: my-experiment"
        raise ConfigError([*document.problems, Problem("", message, source=name)])
    problems = list(document.problems)
    _anchor(document.tree, source.parent if isinstance(source, Path) else Path())
    for option, texts in (("--sweep", sweeps), ("--set", overrides)):
        for override in texts:
            try:
                _apply(document, option, override)
            except ConfigError as error:
                problems += error.problems
    _anchor(document.tree, Path())  # what overrides brought counts from the current folder
    if (given := document.origins.get(("model", "path"))) is not None:
        document.origins[("model", "kind")] = given
    _forget_baseline(document)
    experiment = None
    stem = experiment_name(source.stem) if isinstance(source, Path) else ""
    try:
        tree = complete(document.tree, stem, _data_base(document, source))
        experiment = ExperimentConfig.model_validate(tree)
    except ValidationError as error:
        known = {problem.path for problem in problems}
        at_home = ExperimentConfig.elsewhere()
        for path, message, hint, at in read(error):
            key = str(path[-1]) if path else ""
            if message.startswith("unknown key") and key in at_home:  # in another section
                message, hint = at_home[key], ""
            problem = document.locate(path, at, message, hint)
            if problem.path not in known:  # a value refused in reading is no second mistake
                problems.append(problem)
    if experiment is None or problems:
        raise ConfigError(sorted(problems, key=_order))
    return experiment


def _data_base(document: Document, source: Path | str) -> Path:
    """The folder that a relative ``data.path`` counts from: the config's, where it stands in one.

    On the command line it counts from the current folder, and so does one of a bundled config,
    which is nobody's file.
    """
    overridden = document.origins.keys() & {("data",), ("data", "path"), ("data", "dataset")}
    if (
        overridden
        or not isinstance(source, Path)
        or source
        in (
            *bundled(),
            *bundled_for_claims().values(),
        )
    ):
        return Path.cwd()
    return source.absolute().parent


def _anchor(tree: dict[str, Any], base: Path) -> None:
    """Make the references of a tree absolute, and ``path: file.py:Net`` a kind."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return anchored(value, base)
        if isinstance(value, dict):
            replaced = "kind" not in value or is_reference(str(value["kind"]))
            if replaced and is_reference(str(value.get("path", ""))):
                value["kind"] = value.pop("path")
            if isinstance(value.get("kind"), str):
                value["kind"] = anchored(value["kind"], base)
        return value

    if "model" in tree:
        tree["model"] = named(tree["model"])
    norms = tree.get("norms")
    if isinstance(norms, list):
        norms[:] = map(named, norms)
    elif isinstance(norms, str):
        tree["norms"] = named(norms)


def _forget_baseline(document: Document) -> None:
    """An override that replaces the norms takes a baseline with it that is not among them."""
    tree = document.tree
    norms, baseline = tree.get("norms"), tree.get("baseline")
    replaced = ("norms",) in document.origins and ("baseline",) not in document.origins
    if not (replaced and isinstance(norms, list) and isinstance(baseline, str)):
        return
    words = {word for norm in norms if isinstance(norm, dict) for word in map(str, norm.values())}
    words |= {norm for norm in norms if isinstance(norm, str)}
    if NORM.known(baseline) not in map(NORM.known, words):
        del tree["baseline"]
        document.forget(("baseline",))


def parse_sweep(text: str) -> tuple[str, list[Any]]:
    """``optimizer.lr=0.01,0.1`` as the key and its values. Raises ConfigError."""
    key, values = _split("--sweep", text, "optimizer.lr=0.01,0.1")
    if not values.startswith("["):
        values = f"[{values}]"
    parsed = _value("--sweep", text, values)
    if not isinstance(parsed, list):
        raise _bad("--sweep", text, "must be a list of values", key)
    return key, parsed


def find_config(name: str | Path | None) -> Path:
    """The file meant by a path, or by the name of a bundled config; None means ``digits``.

    What has a suffix or a slash is a path, and never means a bundled config: whoever mistypes the
    name of a file of their own must not get another experiment. Only ``claims/NAME`` is the config
    of a claim, where no such file is. Raises ConfigError with the nearest names.
    """
    wanted = Path(name or "digits")
    try:
        if name and wanted.exists() and not wanted.is_dir():  # a pipe is as good as a file
            return wanted
    except OSError as error:  # such as a name longer than any file's
        told, hint = f"cannot be read: {error.strerror}", "give a path, or a bundled config's name"
        raise ConfigError([Problem("", told, hint, source=f"{str(name)[:60]}...")]) from None
    if str(name) in bundled_for_claims():
        return bundled_for_claims()[str(name)]
    known = {path.stem: path for path in bundled()}
    if len(wanted.parts) == 1 and str(name or "digits") in known:
        return known[wanted.name]
    kind = "is a folder, not a config" if wanted.is_dir() else "no such config"
    stem = wanted.with_suffix("") if wanted.suffix in (".yaml", ".yml") else wanted
    if stem.parent.name == CLAIMS:
        nearest = suggest(f"{CLAIMS}/{stem.name}", bundled_for_claims())
    else:
        nearest = suggest(stem.name, known)
    hint = f"give a path, or the name of a bundled one; {nearest}"
    raise ConfigError([Problem("", kind, hint, source=str(wanted))])


def _text(path: Path) -> str:
    def failure(message: str, hint: str = "", *position: int) -> ConfigError:
        line, column = position or (None, None)
        return ConfigError([Problem("", message, hint, line, column, source=str(path))])

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise failure(f"cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise failure(f"larger than {MAX_BYTES:,} bytes; this is no config")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n")
        raise failure("not UTF-8 text", "save it as UTF-8", line, column) from None


def _order(problem: Problem) -> tuple[float, float]:
    if problem.line is None or problem.column is None:
        return math.inf, 0
    return problem.line, problem.column


# --- overrides ---


def _bad(option: str, text: str, message: str, path: str = "", hint: str = "") -> ConfigError:
    return ConfigError([Problem(path, message, hint, source=f"{option} {text}")])


def _split(option: str, text: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise _bad(option, text, "must be key=value", hint=f"for example  {option} {example}")
    return key.strip(), value.strip()


_LIST = re.compile(r"[^\s\[\]{}\"',#]+(\s*,\s*[^\s\[\]{}\"',#]+)+\Z")


def _value(option: str, text: str, value: str) -> Any:
    """The value by the YAML rules; ``a, b`` without brackets is a list as well."""
    try:
        document = parse(f"[{value}]" if _LIST.match(value) else value, "")
    except ConfigError as error:
        raise _bad(option, text, error.problems[0].message) from None
    if document.problems:
        raise _bad(option, text, document.problems[0].message)
    return document.tree


def _apply(document: Document, option: str, text: str) -> None:
    if option == "--sweep":
        key, value = parse_sweep(text)
        path: KeyPath = ("sweep", key)
    else:
        key, plain = _split(option, text, "optimizer.lr=0.01")
        path, value = _path(option, text, key), _value(option, text, plain)
    inner: Any = document.tree
    for depth in range(1, len(path)):
        inner = _descend(document, option, text, inner, path[:depth])
    *_, last = path
    if isinstance(last, int):
        _check_index(option, text, inner, path)
    elif not isinstance(inner, dict):
        raise _bad(option, text, f"{path[-2]!r} holds a value, not keys", key)
    inner[last] = value
    document.forget(path)
    document.origins[path] = f"{option} {text}"


def _path(option: str, text: str, key: str) -> KeyPath:
    first, _, rest = key.partition(".")
    if first in ("sweep", "tune") and rest and key != "tune.seeds":
        return (first, rest)  # their keys have dots inside
    path: list[str | int] = []
    for part in key.split("."):
        match = _KEY.match(part)
        if not match:
            hint = "for example  optimizer.lr  or  norms[1].groups"
            raise _bad(option, text, f"{key!r} is not a key", hint=hint)
        path += [match[1], *(int(index) for index in re.findall(r"[0-9]+", match[2]))]
    return tuple(path)


def _descend(document: Document, option: str, text: str, inner: Any, path: KeyPath) -> Any:
    """The value at ``path``, made a section where it is absent or a bare name."""
    part = path[-1]
    if isinstance(part, int):
        _check_index(option, text, inner, path)
        if path[0] == "norms" and len(path) == 2 and isinstance(inner[part], str):
            inner[part] = {"kind": inner[part]}
    elif not isinstance(inner, dict):
        raise _bad(option, text, f"{path[-2]!r} holds a value, not keys", str(path[-2]))
    elif len(path) == 1 and part in SHORT and isinstance(inner.get(part), str):
        inner[part] = {SHORT[part]: inner[part]}
    elif inner.get(part) is None:
        inner[part] = {}
        document.origins[path] = f"{option} {text}"
    return inner[part]


def _check_index(option: str, text: str, inner: Any, path: KeyPath) -> None:
    name, index = path[-2], path[-1]
    if not isinstance(inner, list):
        raise _bad(option, text, "is not a list", str(name))
    assert isinstance(index, int)
    if index >= len(inner):
        raise _bad(option, text, f"has {len(inner)} entries, numbered from 0", str(name))

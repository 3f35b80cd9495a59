"""normbench init: a first config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli import completion, options

if TYPE_CHECKING:
    from normbench.registry import Registry

NAME = "init"


def command(
    path: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time
        typer.Argument(help="The file to write. Default: NAME.yaml.", show_default=False),
    ] = None,
    dataset: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--dataset",
            help="A name of `normbench list datasets`.",
            show_default=False,
            autocompletion=completion.datasets,
        ),
    ] = None,
    images: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--images", metavar="PATH", help="Where your own data are.", show_default=False
        ),
    ] = None,
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--model",
            help="A name of `normbench list models`.",
            show_default=False,
            autocompletion=completion.models,
        ),
    ] = None,
    norms: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--norms",
            metavar="NAME,NAME,...",
            help="Names of `normbench list norms`, or {kind: group, groups: 4}.",
            show_default=False,
            autocompletion=completion.norm_list,
        ),
    ] = None,
    seeds: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--seeds", help="How many, or a list such as [3, 5].", show_default=False),
    ] = None,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--target",
            metavar="ACCURACY|NORM",
            help="The validation accuracy to reach, above 0 to 1, or the norm that sets it.",
            show_default=False,
            autocompletion=completion.norms,
        ),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--name", help="The experiment's name: results/NAME/.", show_default=False),
    ] = None,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Write a commented config: asks a few questions, or takes the options and asks nothing.

    What is not given and not asked is taken from the bundled config that is nearest.
    """
    import sys
    from dataclasses import replace

    from normbench.cli.output import print_json
    from normbench.config import load
    from normbench.config.names import experiment_name
    from normbench.config.starter import starter, suggested
    from normbench.data import DATASETS
    from normbench.errors import ConfigError, Problem
    from normbench.models import MODELS
    from normbench.plan import expand
    from normbench.report.design import finds

    if path is not None:
        if path.name in ("", ".."):
            hint = "name the file: normbench init NAME.yaml"
            raise ConfigError([Problem("", "is a folder", hint, source=str(path))])
        path = path if path.suffix else path.with_suffix(".yaml")
        _check_free(path)
    asking = sys.stdin.isatty() and not yes

    def answer(question: str, given: str | None, default: str, use: Callable[[str], str]) -> str:
        """The option, else what the user says, asked until it is right; else the default."""
        if given is not None or not asking:
            return use(default if given is None else given)
        return _ask(question, default, use)

    data = answer("dataset", dataset, "digits", lambda text: _known(DATASETS, text))
    kind = answer("model", model, "mlp", lambda text: _known(MODELS, text))
    choice = suggested(data, kind, experiment_name(path.stem) if path else None)

    def part(field: str) -> Callable[[str], str]:
        """Takes one more answer into the config, which then tells whether it is right."""

        def use(text: str) -> str:
            nonlocal choice
            changed = replace(choice, **{field: text.strip()})
            starter(changed)
            choice = changed
            return text

        return use

    if choice.images:
        answer("path of your own data", images, choice.images, part("images"))
    answer("norms", norms, choice.norms, part("norms"))
    answer("seeds", seeds, choice.seeds, part("seeds"))
    answer("target accuracy, or the norm that sets it", target, choice.target, part("target"))
    answer("name of the experiment", name, choice.name, part("name"))
    if path is None:
        path = Path(f"{choice.name}.yaml")
    text = starter(replace(choice, images=_seen_from(path.parent, choice.images)))
    _write(path, text)
    experiment = load(path)
    runs = len(expand(experiment))
    if json:
        print_json({"path": str(path), "experiment": experiment.name, "runs": runs})
    else:
        typer.echo(f"wrote {path}: {runs} runs ({', '.join(experiment.labels)})")
        if told := finds(experiment):
            typer.echo(f"note: {told}", err=True)
        typer.echo(f"next: normbench train {path}    (--dry-run tells how long it takes)", err=True)


def _seen_from(folder: Path, images: str) -> str:
    """A path as it is written in a config that lies in ``folder``."""
    import os

    home = images.partition(":")[0]
    there = home and not os.path.isabs(home) and Path(home).exists()
    return os.path.relpath(images, folder) if there else images


def _ask(question: str, default: str, use: Callable[[str], str]) -> str:
    from normbench.errors import ConfigError

    while True:
        try:
            return use(typer.prompt(question, default=default, err=True))
        except ConfigError as error:
            typer.echo(f"  {error}", err=True)


def _known(registry: Registry[Any], text: str) -> str:
    from normbench.errors import ConfigError, Problem
    from normbench.registry import UnknownName

    try:
        return registry.canonical(text.strip())
    except UnknownName as error:
        raise ConfigError([Problem(registry.kind, error.message, error.hint)]) from None


def _check_free(path: Path) -> None:
    from normbench.errors import ConfigError, Problem

    if path.exists() or path.is_symlink():
        hint = "nothing is overwritten: name another file, or remove this one first"
        raise ConfigError([Problem("", "exists already", hint, source=str(path))])


def _write(path: Path, text: str) -> None:
    from normbench.atomic import replace_with
    from normbench.errors import ConfigError, Problem

    _check_free(path)
    try:
        replace_with(path, text.encode())
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise ConfigError([Problem("", reason, source=str(path))]) from None

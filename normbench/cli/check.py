"""normbench check: whether a norm or a network does what normbench needs of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli import options

if TYPE_CHECKING:
    from normbench.measure.conformance import Finding

NAME = "check"


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A norm or a network: file.py:Name, package.module:Name, or the name of a norm of "
            "`normbench list norms` or of a model of `normbench list models`; torchvision:NAME.",
        ),
    ],
    size: Annotated[
        str,
        typer.Option("--size", metavar="HxWxC", help="Of the images that a network is tried on."),
    ] = "32x32x3",
    classes: Annotated[int, typer.Option("--classes", min=2, help="Of those images.")] = 10,
    json: options.Json = False,
) -> None:
    """Try a norm or a network of your own before it is trained. Runs its code.

    A norm: shapes, types, gradients, statistics, state, and more. A network: which norms are found
    and which are kept, and one step under every norm that fits. Exits with 1 where something is
    wrong.
    """
    from normbench.api import check
    from normbench.cli.output import print_json
    from normbench.errors import ConfigError, Problem

    parts = size.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise ConfigError([Problem("--size", "must be height x width x channels", "32x32x3")])
    height, width, channels = map(int, parts)
    report = check(target, image_shape=(height, width, channels), num_classes=classes)
    if json:
        print_json(report.as_dict())
    else:
        typer.echo("\n".join(_lines(report.heading, report.findings, report.notes)))
    if any(finding.state == "wrong" for finding in report.findings):
        raise typer.Exit(1)


def _lines(heading: str, findings: Iterable[Finding], notes: Iterable[str]) -> Iterable[str]:
    """The faults first, what was left out, and in a line how much was fine."""
    known, told = list(findings), 0
    yield heading
    yield from notes
    for state in ("wrong", "left out"):
        by_said: dict[tuple[str, str], list[str]] = {}
        for finding in known:
            if finding.state == state:
                by_said.setdefault((finding.check, finding.said), []).append(finding.where)
        for (check, said), slots in by_said.items():
            yield f"{state}: {check} ({', '.join(slots)}): {said}"
            told += state == "wrong"
    fine = sum(finding.state == "fine" for finding in known)
    wrong = "nothing is" if not told else "1 thing is" if told == 1 else f"{told} things are"
    yield f"{fine} checks are fine, {wrong} wrong"

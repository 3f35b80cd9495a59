"""What is said of every registered method: a row of the table, and a page."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping

from normbench.norms.base import NORMS, NormMethod, NormSlot, make_method

Row = dict[str, str]

UNKNOWN = "–"

HEADINGS: Mapping[str, str] = {
    "name": "name",
    "formula": "formula",
    "statistics": "statistics over",
    "parameters": "parameters a feature",
    "state": "state",
    "batch_dependent": "batch-dependent",
    "train_differs": "train differs",
    "replaces": "replaces",
    "year": "year",
    "paper": "paper",
}
"""Key of a row -> its heading."""

TRAITS = tuple(key for key in HEADINGS if key not in ("name", "formula", "paper"))
"""Those that one can filter by."""

_OVER = {"batch": "the batch, each feature", "example": "one example", "none": "none"}

NOT_BUILT = """\
nGPT (arXiv:2410.01131) is not among them. It is not a layer in a norm's place: it fixes the length
of every matrix row after each update, of the embedding and of the hidden state, normalizes queries
and keys, scales the logits, and does without decay and warm-up. So it is an architecture with its
own optimizer, and under the name of a norm it would not be compared on equal terms."""


def rows(traits: Iterable[str] = ()) -> list[Row]:
    """One row a method, by name; traits: ``key=value`` or ``key`` (yes) that must hold.

    Raises ValueError on a trait that there is none of.
    """
    wanted = [_parsed(trait) for trait in traits]
    known = [row(name) for name in NORMS.names()]
    return [r for r in known if all(_holds(r[key], value) for key, value in wanted)]


def row(name: str) -> Row:
    """What the table says of the method ``name``. Raises UnknownName."""
    cls = NORMS[name]
    traits = cls.traits
    return {
        "name": NORMS.canonical(name),
        "formula": traits.formula or UNKNOWN,
        "statistics": traits.over or _OVER.get(traits.statistics or "", UNKNOWN),
        "parameters": traits.parameters or _parameters(name),
        "state": traits.state,
        "batch_dependent": _yes(
            None
            if traits.statistics is None and traits.batch_dependent is None
            else traits.mixes_examples
        ),
        "train_differs": _yes(traits.train_differs),
        "replaces": ", ".join(sorted(cls.replaces)) or "nothing",
        "year": str(traits.year or UNKNOWN),
        "paper": traits.paper or UNKNOWN,
    }


def _parsed(trait: str) -> tuple[str, str]:
    key, _, value = trait.partition("=")
    key = key.strip().replace("-", "_")
    if key not in TRAITS:
        raise ValueError(f"unknown trait {key!r}; known: {', '.join(TRAITS)}")
    return key, value.strip() or "yes"


def _holds(said: str, wanted: str) -> bool:
    return wanted.lower() == said.lower() or wanted.lower() in said.lower().split(", ")


def _yes(value: bool | None) -> str:
    return UNKNOWN if value is None else "yes" if value else "no"


def _parameters(name: str) -> str:
    """Counted: of layers of two widths, so that what is one a layer is told apart."""
    method = make_method(name)
    for shape in ((4, 4), ()):
        few, many = NormSlot.of(32, *shape), NormSlot.of(64, *shape)
        if method.problem(few, 8) is None:
            counts = [sum(p.numel() for p in method.norm(s).parameters()) for s in (few, many)]
            each = (counts[1] - counts[0]) // 32
            rest = counts[0] - 32 * each
            return f"{each} + {rest} a layer" if rest else str(each)
    return UNKNOWN


def page(name: str) -> list[tuple[str, str]]:
    """(what, text) of all that is known of a method. Raises UnknownName."""
    cls = NORMS[name]
    traits, said = cls.traits, row(name)
    lines = [(HEADINGS[key], said[key]) for key in HEADINGS if key != "name"]
    lines.insert(0, ("what", inspect.cleandoc(cls.__doc__ or "").replace("``", "`")))
    lines += [
        ("eps", traits.eps or UNKNOWN),
        ("backward", traits.gradient),
        ("convention", traits.convention),
        ("reference", traits.reference),
        ("options", _options(cls)),
        ("fixed by the paper", _rules(cls)),
    ]
    lines += [(f"not with {what}", why) for what, why in cls.conflicts.items()]
    return [(what, text) for what, text in lines if text]


def _options(cls: type[NormMethod]) -> str:
    fields = [
        f"{f.name}: {'null' if f.default is None else str(f.default).lower()}"
        for f in dataclasses.fields(cls.Options)
    ]
    told = " ".join(inspect.cleandoc(cls.Options.__doc__ or "").split())
    return f"{', '.join(fields)}. {told}" if fields else ""


def _rules(cls: type[NormMethod]) -> str:
    said = "; ".join(f"{name}: {rule.text}" for name, rule in cls.rules.items())
    return f"{said} (strict: true turns these off)" if said else ""


def markdown() -> str:
    """The page of the documentation: the table, and a section for every method."""
    heads = list(HEADINGS)
    lines = [
        "# Normalization methods",
        "",
        "Made by `normbench list norms --format markdown`.",
        "",
        "| " + " | ".join(HEADINGS.values()) + " |",
        "|" + " :-- |" * len(heads),
    ]
    lines += [f"| {' | '.join(_cell(r[key]) for key in heads)} |" for r in rows()]
    lines += ["", *NOT_BUILT.splitlines(), ""]
    for name in NORMS.names():
        (_, what), *others = page(name)
        lines += [f"## {name}", "", what, ""]
        lines += [f"- **{key}**: {_cell(text)}" for key, text in others]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")

"""Which claims are meant, by the words and numbers of a command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from normbench.claims.base import CLAIMS
from normbench.claims.published import LITERATURE, in_order
from normbench.config import find_config
from normbench.errors import ConfigError, Problem


@dataclass(frozen=True)
class Chosen:
    """config: what the article's statements are to be put to, None for the digits. article: numbers
    of its statements, empty for none; literature: names of claims."""

    config: str | None
    article: tuple[int, ...]
    literature: tuple[str, ...]


def choose(words: Sequence[str], only: Sequence[int], *, literature: bool) -> Chosen:
    """What is asked for. A word that is the name of a claim means it, another one the config.

    Without a name or a number: all statements of the article, or with ``literature`` all claims
    of the literature but those that need a GPU. Raises ConfigError.
    """
    numbers = {CLAIMS[name].number: name for name in CLAIMS}
    published = {LITERATURE[name].number: name for name in LITERATURE}
    if wrong := [number for number in only if number not in numbers | published]:
        hint = f"known: {min(numbers)} to {max(published)}"
        raise ConfigError([Problem("only", f"there is no statement {n}", hint) for n in wrong])
    configs = [word for word in words if word not in CLAIMS and word not in LITERATURE]
    if len(configs) > 1:
        known = "the names of claims are in `normbench claims --list`"
        raise ConfigError([Problem("", f"two configs: {' and '.join(configs)}", known)])
    for word in configs:
        near = difflib.get_close_matches(word, [*CLAIMS, *LITERATURE], n=1)
        try:
            find_config(word)
        except ConfigError as error:
            if not near:
                raise
            hint = f"did you mean {near[0]!r}?  all are in `normbench claims --list`"
            message = "is neither a claim nor a config"
            raise ConfigError([Problem("", message, hint, source=word)]) from error
    article = [CLAIMS[word].number for word in words if word in CLAIMS]
    article += [number for number in only if number in numbers]
    own = [word for word in words if word in LITERATURE]
    own += [published[number] for number in only if number in published]
    if literature and not own:
        own = [name for name, claim in in_order() if not claim.gpu]
    if not article and not own:
        article = [*numbers]
    return Chosen(
        configs[0] if configs else None, tuple(sorted(set(article))), tuple(dict.fromkeys(own))
    )


def listed() -> list[dict[str, object]]:
    """All claims: number, name, from, short, source, configs."""
    article = [
        {
            "number": CLAIMS[name].number,
            "name": name,
            "from": "article",
            "short": CLAIMS[name].short,
            "source": CLAIMS[name].source,
            "configs": [],
            "gpu": False,
        }
        for name in CLAIMS
    ]
    literature = [
        {
            "number": claim.number,
            "name": name,
            "from": "literature",
            "short": claim.short,
            "source": claim.source,
            "configs": [f"claims/{config}" for config in claim.configs],
            "gpu": claim.gpu,
        }
        for name, claim in in_order()
    ]
    return sorted([*article, *literature], key=lambda row: int(str(row["number"])))

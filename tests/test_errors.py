"""An error is as long as somebody reads."""

from __future__ import annotations

import pytest

from normbench.config import load
from normbench.errors import MOST_PROBLEMS, ConfigError


def refused(text: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(text, overrides)
    return caught.value


def test_of_a_thousand_mistakes_some_are_told_and_the_others_counted():
    error = refused("norms: [batch]\n" + "".join(f"k{i}: 1\n" for i in range(1000)))
    assert len(error.problems) == 1000
    for told in (str(error), error.with_excerpts()):
        assert told.endswith("\nand 980 more mistakes")
        assert told.count("unknown key") == MOST_PROBLEMS
        assert len(told) < 20_000


def test_a_few_mistakes_are_told_whole():
    assert "more mistakes" not in str(refused("norms: [batch]\na: 1\nb: 2\n"))


def test_a_quoted_text_is_cut():
    assert len(str(refused("norms: [batch]\n", "model.depth=" + "9" * 50_000))) < 2000
    assert len(str(refused("norms: [batch]\n", "x" * 50_000 + "=1"))) < 2000

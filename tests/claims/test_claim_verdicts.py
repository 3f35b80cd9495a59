"""The rules behind the verdicts, on made-up pieces for every outcome."""

from __future__ import annotations

import math
from typing import Any

import pytest

from normbench.claims import CLAIMS, Verdict, ordered
from normbench.claims.verdicts import (
    Moments,
    Part,
    Piece,
    Timing,
    below,
    faster,
    judge,
    seen_by,
    separating,
    unchanged,
    unit_variance,
    varies,
    zero_mean,
)

SUPPORTED, REFUTED, DEPENDS, OPEN = Verdict


def piece(holds: Part, part: str = "it works", **situation: Any) -> Piece:
    return Piece(part, situation, holds)


def test_statements_stand_in_order_and_each_number_once():
    numbers = [claim.number for _, claim in ordered()]
    assert numbers == list(range(1, len(CLAIMS.names()) + 1))
    assert numbers[-1] >= 19


def test_only_the_statements_asked_for_are_examined():
    assert [claim.number for _, claim in ordered([8, 2])] == [2, 8]


def test_every_statement_says_in_its_file_how_it_is_judged():
    import sys

    for name in CLAIMS.names():
        examine: Any = CLAIMS[name].examine
        module = sys.modules[getattr(examine, "func", examine).__module__]
        assert "rule, fixed here" in (module.__doc__ or ""), module.__name__


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([True, True], SUPPORTED),
        ([False, False], REFUTED),
        ([True, False], DEPENDS),
        ([True, False, None], DEPENDS),
        ([True, None], OPEN),
        ([False, None], OPEN),
        ([None], OPEN),
        ([], OPEN),
    ],
)
def test_pieces_combine_to_a_verdict(parts: list[Part], verdict: Verdict):
    assert judge([piece(part) for part in parts]).verdict is verdict


def test_what_it_depends_on_is_the_factor_that_tells_the_pieces_apart():
    found = judge(
        [
            piece(True, init="torch_default", rate="shared"),
            piece(True, init="torch_default", rate="own best"),
            piece(False, init="he_normal", rate="shared"),
            piece(False, init="he_normal", rate="own best"),
        ]
    )
    assert found.depends_on == ("init",)
    assert found.words == "on init: holds torch_default; fails he_normal"


def test_two_factors_are_named_where_one_does_not_tell():
    found = judge(
        [
            piece(True, init="torch_default", rate="shared"),
            piece(False, init="torch_default", rate="own best"),
            piece(False, init="he_normal", rate="shared"),
            piece(True, init="he_normal", rate="own best"),
        ]
    )
    assert found.depends_on == ("init", "rate")


def test_a_part_that_fails_everywhere_is_the_part_and_not_the_situation():
    pieces = [piece(True, "stabilizes", rate="grid"), piece(False, "speeds up", rate="shared")]
    assert separating(pieces) == ("part",)


def test_a_part_is_named_once_with_its_places_and_alone_where_it_is_the_same_everywhere():
    found = judge(
        [
            piece(True, "slow", init="torch_default"),
            piece(True, "slow", init="he_normal"),
            piece(True, "vanish", init="torch_default"),
            piece(False, "vanish", init="he_normal"),
        ]
    )
    assert found.depends_on == ("part", "init")
    assert found.words == (
        "on which part of it and init: holds slow, vanish (torch_default); fails vanish (he_normal)"
    )


def test_a_piece_outside_the_factor_is_called_by_its_part():
    pieces = [
        piece(True, "fewer operations"),
        piece(True, "less time", mode="compiled"),
        piece(False, "less time", mode="eager"),
    ]
    assert judge(pieces).words == "on mode: holds fewer operations, compiled; fails eager"


def test_open_pieces_stand_beside_the_decided_ones():
    found = judge(
        [
            piece(True, "stabilizes", init="torch_default"),
            piece(None, "stabilizes", init="he_normal"),
            piece(None, "speeds up", init="he_normal"),
        ]
    )
    assert found.verdict is OPEN
    assert found.words == (
        "holds: stabilizes (torch_default); open: stabilizes (he_normal), speeds up (he_normal)"
    )
    more = judge([*found.pieces, piece(True, "speeds up", init="torch_default")])
    assert more.words == "holds in 2 of 4; open: stabilizes (he_normal), speeds up (he_normal)"
    both = judge([*found.pieces, piece(False, "speeds up", init="torch_default")])
    assert both.verdict is DEPENDS
    assert "open: stabilizes (he_normal)" in both.words


def test_the_situation_of_a_verdict_is_named():
    found = judge([piece(True, init="he_normal", size=16), piece(True, init="he_normal", size=8)])
    assert found.fixed == {"init": "he_normal"}
    assert found.words == "in all 2 situations; at he_normal"


@pytest.mark.parametrize(
    ("stds", "part"),
    [
        ([1.0, 1.1, 0.9], False),
        ([1.0, 0.4], True),
        ([1.0, 0.0], True),
        ([], None),
        ([1.0, math.nan], None),
    ],
)
def test_standard_deviations_vary_by_a_factor_of_two(stds: list[float], part: Part):
    assert varies(stds) is part


@pytest.mark.parametrize(
    ("low", "high", "part"),
    [(-2, -1, True), (1, 2, False), (-1, 1, None), (math.nan, math.nan, None)],
)
def test_an_interval_over_the_border_is_open(low: float, high: float, part: Part):
    assert below(low, high, 0.0) is part


def test_moments_hold_but_for_rounding_and_eps():
    good = Moments(1e-6, 1e-4, 1e-6)
    assert zero_mean(good) is True
    assert unit_variance(good) is True
    assert zero_mean(Moments(0.1, 0, 0)) is False
    assert unit_variance(Moments(0, 0.5, 1e-6)) is False  # eps takes half of it
    assert unit_variance(Moments(0, 0.5, 0.5)) is False
    assert unit_variance(Moments(0, math.nan, 0)) is None


def test_a_change_between_rounding_and_visible_is_open():
    assert [unchanged(change) for change in (1e-6, 1e-3, 0.5)] == [True, None, False]


def test_where_the_control_does_not_change_nothing_was_measured():
    assert seen_by(1e-7, 0.5) is True
    assert seen_by(0.5, 0.5) is False
    assert seen_by(1e-7, 1e-7) is None


def test_a_time_that_scatters_over_the_other_is_open():
    assert faster(Timing(1.0, 0.1), Timing(2.0, 0.1)) is True
    assert faster(Timing(2.0, 0.1), Timing(1.0, 0.1)) is False
    assert faster(Timing(1.0, 0.4), Timing(1.2, 0.4)) is None

"""A statement's comparisons as one family: words, corrections, and what chance may do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from normbench.claims import Verdict
from normbench.claims.batch_size import pieces_of as batch_size_pieces
from normbench.claims.choice import depends_on_model, favourites, reversals, serves_everywhere
from normbench.claims.family import Asks, Duel, Judged, any_better, judged
from normbench.claims.verdicts import judge
from normbench.seeding import stream


def duel(differences: Sequence[float], asks: Asks = "more", within: float = 0.01) -> Duel:
    return Duel("it helps", {}, "batch", "none", "accuracy", list(differences), within, asks)


def around(mean: float, spread: float, seeds: int = 12, name: str = "") -> list[float]:
    draw = stream(0, "around", name, str(mean), seeds).standard_normal(seeds)
    return (mean + spread * (draw - draw.mean()) / draw.std()).tolist()


@pytest.mark.parametrize(
    ("differences", "word", "holds"),
    [
        (around(0.1, 0.02), "better", True),
        (around(-0.1, 0.02), "worse", False),
        (around(0.001, 0.002), "similar", False),
        (around(0.01, 0.1), "undecided", None),
        ([0.1] * 4, "too few seeds (needs 6)", None),
        ([math.nan] * 12, "too few seeds (needs 6)", None),
        ([0.0] * 12, "undecided (all 12 pairs tie)", None),
        ([0.0] * 9 + [0.1] * 3, "undecided (9 of 12 pairs tie)", None),
    ],
)
def test_words_of_one_comparison(differences: list[float], word: str, holds: bool | None):
    (found,) = judged([duel(differences)])
    assert (found.word, found.holds) == (word, holds)


@pytest.mark.parametrize(
    ("differences", "holds"),
    [
        (around(0.1, 0.02), True),
        (around(-0.002, 0.003), True),
        (around(-0.1, 0.02), False),
        (around(-0.01, 0.1), None),
        ([0.0] * 12, None),
        ([-0.1] * 4, None),
    ],
)
def test_no_less_needs_an_interval_above_the_margin(differences: list[float], holds: bool | None):
    (found,) = judged([duel(differences, "no less")])
    assert found.holds is holds


def test_what_one_comparison_shows_a_family_of_many_may_not():
    strong = around(0.05, 0.05, 8)
    alone, *_ = judged([duel(strong)])
    among, *_ = judged([duel(strong), *(duel(around(0, 1, 8, str(i))) for i in range(5))])
    assert alone.word == "better"
    assert among.p_adjusted == pytest.approx(6 * alone.p_value)
    assert among.word != "better"
    assert among.high - among.low > alone.high - alone.low


def test_no_interval_contradicts_its_word():
    draw = stream(0, "skewed")
    words = set()
    for _ in range(40):
        skewed = draw.exponential(1, (6, 10)) - draw.choice([0.0, 0.8])
        for one in judged([duel(row) for row in skewed]):
            words.add(one.word)
            if one.word == "better":
                assert not one.low <= 0
            elif one.word == "worse":
                assert not one.high >= 0
    assert "better" in words


def test_without_spread_there_is_no_interval_and_nothing_is_similar():
    for differences in ([0.0] * 12, [0.001] * 12, [0.0] * 9 + [0.001] * 3):
        (one,) = judged([duel(differences)])
        assert one.word != "similar"
        assert math.isnan(one.numbers["ci_low"])
        assert "no interval" in one.text


def test_a_missing_run_takes_its_pair_out():
    (found,) = judged([duel([*around(0.1, 0.02), math.nan])])
    assert found.pairs == 12


def test_a_part_of_any_holds_with_one_and_fails_only_where_all_do():
    good, bad, unknown = (
        judged([duel(around(mean, spread))])[0]
        for mean, spread in ((0.1, 0.01), (-0.1, 0.01), (0, 1))
    )
    assert any_better("slow", {}, [good, unknown]).holds is True
    assert any_better("slow", {}, [bad, bad]).holds is False
    assert any_better("slow", {}, [bad, unknown]).holds is None
    assert any_better("slow", {}, []).holds is None


# -- what chance may do ---------------------------------------------------------------------------

EXPERIMENTS = 150
# A true rate of 5 % gives more than 10.5 % of 150 in less than one of 300 such tests.
AT_MOST = 0.105


def null_verdicts(asks: Asks, mean: float, duels: int = 4, seeds: int = 10) -> list[Verdict]:
    draw = stream(0, "null", asks, str(mean))
    found = []
    for _ in range(EXPERIMENTS):
        numbers = mean + 0.02 * draw.standard_normal((duels, seeds))
        pieces = [one.piece for one in judged([duel(row, asks, 0.02) for row in numbers])]
        found.append(judge(pieces).verdict)
    return found


def share(found: Sequence[Verdict], *words: Verdict) -> float:
    return sum(verdict in words for verdict in found) / len(found)


def test_chance_alone_supports_a_statement_in_at_most_5_percent():
    found = null_verdicts("more", 0.0)
    assert share(found, Verdict.SUPPORTED, Verdict.DEPENDS) <= AT_MOST


def test_chance_alone_refutes_a_true_statement_in_at_most_5_percent():
    # The effect is as large as the smallest that matters: "similar" would be false.
    found = null_verdicts("more", 0.02)
    assert share(found, Verdict.REFUTED, Verdict.DEPENDS) <= AT_MOST


def test_a_loss_of_the_margin_is_called_as_good_in_at_most_5_percent():
    found = null_verdicts("no less", -0.02)
    assert share(found, Verdict.SUPPORTED) <= AT_MOST


# -- statement 11 ---------------------------------------------------------------------------------

NORMS = ("batch", "layer", "rms")


def league(values: dict[str, dict[str, list[float]]], within: float = 0.01) -> list[Judged]:
    """situation -> norm -> scores by seed."""
    duels = [
        Duel(
            "choice",
            {"place": place},
            first,
            second,
            "area",
            (np.array(scores[first]) - np.array(scores[second])).tolist(),
            within,
        )
        for place, scores in values.items()
        for first, second in (("batch", "layer"), ("batch", "rms"), ("layer", "rms"))
    ]
    return judged(duels)


def scores(spread: float = 0.004, **means: float) -> dict[str, list[float]]:
    return {norm: around(mean, spread, 12, norm) for norm, mean in means.items()}


def test_two_norms_that_change_places_support_that_the_choice_depends():
    found = league(
        {
            "shallow": scores(batch=0.9, layer=0.8, rms=0.7),
            "deep": scores(batch=0.7, layer=0.8, rms=0.75),
        }
    )
    assert depends_on_model(found) is True
    assert ("batch", "layer", "place shallow", "place deep") in reversals(found) or reversals(
        found
    )[0][:2] == ("batch", "layer")


def test_one_norm_that_is_as_good_everywhere_refutes_it():
    place = scores(batch=0.9, layer=0.8, rms=0.899)
    found = league({"shallow": place, "deep": place})
    assert serves_everywhere(found)[0] == "batch"
    assert favourites(found)[0] == "batch"
    assert depends_on_model(found) is False


def test_silence_refutes_nothing():
    place = scores(spread=0.2, batch=0.9, layer=0.8, rms=0.8)
    assert depends_on_model(league({"shallow": place, "deep": place})) is None


def test_one_situation_says_nothing_of_a_dependence():
    assert depends_on_model(league({"here": scores(batch=0.9, layer=0.8, rms=0.7)})) is None


def test_a_choice_among_equals_is_neither_supported_nor_refuted_by_chance():
    draw = stream(0, "equals")
    supported = refuted = 0
    for _ in range(EXPERIMENTS):
        # Three situations; in one of them each norm loses by the margin, so that none serves all.
        places = {}
        for number, loser in enumerate(NORMS):
            table = {norm: 0.02 * draw.standard_normal(10) for norm in NORMS}
            table[loser] = table[loser] - 0.02
            places[str(number)] = {norm: values.tolist() for norm, values in table.items()}
        refuted += bool(serves_everywhere(league(places, within=0.02)))
        equal = {
            str(number): {norm: draw.standard_normal(10).tolist() for norm in NORMS}
            for number in range(3)
        }
        supported += bool(reversals(league(equal)))
    assert refuted / EXPERIMENTS <= AT_MOST
    assert supported / EXPERIMENTS <= AT_MOST


# -- statement 4 ----------------------------------------------------------------------------------


def sizes(spread: float = 0.005, **change: float) -> list[Judged]:
    """size -> the interaction; in one budget, from 64."""
    return judged(
        [
            Duel(
                "robust",
                {"init": "he_normal", "batch size": int(size[1:]), "budget": "equal images"},
                "batch",
                "layer",
                "accuracy",
                around(mean, spread, 12, size),
                0.02,
                "no less",
            )
            for size, mean in change.items()
        ]
    )


def test_a_loss_at_small_sizes_alone_is_dependence_and_robustness():
    found = judge(batch_size_pieces(sizes(_4=-0.2, _8=-0.1, _16=0.0, _32=0.001), 64))
    assert found.verdict is Verdict.SUPPORTED


def test_a_loss_at_a_quarter_of_the_size_is_not_robust():
    found = judge(batch_size_pieces(sizes(_4=-0.2, _8=-0.1, _16=-0.08, _32=0.001), 64))
    assert found.verdict is Verdict.DEPENDS
    assert [p.situation["batch size"] for p in found.pieces if p.holds is False] == [16]


def test_no_sign_of_a_loss_is_not_robust_without_a_bound():
    found = judge(batch_size_pieces(sizes(0.1, _4=-0.2, _8=-0.1, _16=-0.02, _32=0.0), 64))
    assert found.verdict is Verdict.NOT_ENOUGH


def test_no_loss_anywhere_is_robust_and_no_dependence():
    found = judge(batch_size_pieces(sizes(_4=0.0, _8=0.001, _16=0.0, _32=0.001), 64))
    assert found.verdict is Verdict.DEPENDS
    assert found.depends_on == ("part",)


def test_what_does_not_train_has_nothing_to_lose():
    found = judge(batch_size_pieces(sizes(_16=-0.2, _32=0.0), 64, trained=False))
    assert found.verdict is Verdict.NOT_ENOUGH

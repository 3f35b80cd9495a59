"""What seeds can find is told by the levels at which they will be judged."""

from tiny import experiment

from normbench.analysis.power import detectable_effect, look_seeds, share_of_look
from normbench.report.design import finds


def test_fixed_seeds_find_what_the_test_at_five_percent_finds() -> None:
    effect = detectable_effect(8, 1, 0.05)
    assert f"8 seeds find a difference of {effect:.2g} sd" in finds(experiment("seeds=8"))


def test_seeds_in_steps_find_what_their_last_look_finds() -> None:
    alpha = 0.05 * share_of_look(32, look_seeds(8, 32, 4))
    effect = detectable_effect(32, 1, alpha)
    assert f"8 to 32 seeds find a difference of {effect:.2g} sd" in finds(experiment("seeds=auto"))
    assert effect > detectable_effect(32, 1, 0.05)

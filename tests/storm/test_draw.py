"""A storm's schedule is its seed's."""

from random import Random

from storm.storm import draw


def test_a_seed_draws_the_same_storm_again_and_another_seed_another() -> None:
    assert draw(Random(7), 30, 900) == draw(Random(7), 30, 900) != draw(Random(8), 30, 900)

"""The order of a rater's pairs: a random sample, a common share, random sides, and repeats with sides swapped."""

from __future__ import annotations

from collections import Counter

import pytest

from trimtab.labeling.events import LabelingSettings
from trimtab.labeling.presentation_queue import MIN_REPEAT_DISTANCE, Presentation, build_presentation_queue

POOL = [f"pair-{i}" for i in range(1000)]


def build_queue(rater: str = "ana", **settings: float) -> list[Presentation]:
    return build_presentation_queue(POOL, rater, LabelingSettings(**{"limit": 300, **settings}))  # type: ignore[arg-type]


def first_showings(queue: list[Presentation]) -> list[str]:
    return [each.pair_id for each in queue if not each.is_repeat]


def test_a_queue_has_each_sampled_pair_once_and_a_tenth_of_them_twice() -> None:
    queue = build_queue()
    assert len(set(first_showings(queue))) == len(first_showings(queue)) == 300
    repeats = [each.pair_id for each in queue if each.is_repeat]
    assert len(set(repeats)) == len(repeats) == 30
    assert len({each.id for each in queue}) == 330


def test_a_repeat_has_its_sides_swapped_and_comes_at_least_thirty_pairs_later() -> None:
    first: dict[str, tuple[int, str]] = {}
    for position, each in enumerate(build_queue()):
        if each.is_repeat:
            earlier, left = first[each.pair_id]
            assert position - earlier - 1 >= MIN_REPEAT_DISTANCE == 30
            assert each.left != left
        else:
            first[each.pair_id] = (position, each.left)


def test_repeats_are_spread_over_the_queue() -> None:
    positions = [position for position, each in enumerate(build_queue()) if each.is_repeat]
    assert min(positions) < 60
    assert sum(position < 165 for position in positions) in range(10, 21)


def test_a_pool_that_is_too_small_for_the_distance_has_no_repeats() -> None:
    assert not any(each.is_repeat for each in build_presentation_queue(POOL[:30], "ana", LabelingSettings(limit=400)))


def test_raters_share_the_overlap_from_the_start_and_have_their_own_order() -> None:
    queues = [first_showings(build_queue(rater, overlap=0.5)) for rater in ("ana", "ben", "eve")]
    for count in (20, 100, 300):
        shared = set.intersection(*(set(queue[:count]) for queue in queues))
        assert len(shared) >= count // 2
    assert queues[0] != queues[1]


def test_without_overlap_raters_share_pairs_only_by_chance() -> None:
    ana, ben = (set(first_showings(build_queue(rater, overlap=0))) for rater in ("ana", "ben"))
    # 300 of 1,000 pairs each: 90 in common are expected, with a standard deviation of 8
    assert 60 < len(ana & ben) < 120


def test_a_larger_limit_continues_the_order() -> None:
    assert first_showings(build_queue(limit=500))[:300] == first_showings(build_queue())


def test_the_order_of_the_pool_does_not_matter() -> None:
    settings = LabelingSettings(limit=300)
    assert build_presentation_queue(POOL[::-1], "ana", settings) == build_presentation_queue(POOL, "ana", settings)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 1.0])
def test_every_pair_is_as_likely_to_be_sampled(overlap: float) -> None:
    pool, limit, num_seeds = POOL[:50], 10, 400
    counts = Counter(
        each.pair_id
        for seed in range(num_seeds)
        for each in build_presentation_queue(pool, "ana", LabelingSettings(seed=seed, limit=limit, overlap=overlap))
    )
    # 80 of 400 are expected, with a standard deviation of 8
    assert all(48 <= counts[pair_id] <= 112 for pair_id in pool)


def test_sides_are_balanced_and_differ_between_raters() -> None:
    sides = {
        rater: {each.pair_id: each.left for each in build_queue(rater, overlap=1.0, repeats=0.0)} for rater in "xy"
    }
    for side in sides.values():
        assert 115 < sum(left == "a" for left in side.values()) < 185
    same = sum(sides["x"][pair_id] == sides["y"][pair_id] for pair_id in sides["x"])
    assert 115 < same < 185

"""The starter source: its settings, its labels, and the numbers in docs/reference/starter-set.md."""

import logging
import re
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from trimtab.core.component import find_component_class
from trimtab.errors import StudyError
from trimtab.sources.starter import Starter
from trimtab.starter import FAMILIES, compute_gold_reward
from trimtab.types import Pair

log = logging.getLogger("starter")
LENGTHS: dict[str, Callable[[str], int]] = {"characters": len, "words": lambda text: len(text.split())}


@cache
def pairs(objective: str = "both", seed: int = 0) -> tuple[Pair, ...]:
    return tuple(Starter.model_validate({"objective": objective, "seed": seed}).load().pairs)


def prompt_text(pair: Pair) -> str:
    return pair.prompt[0].content


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def fraction(hits: Iterable[bool | float]) -> float:
    return float(np.mean(list(hits)))


def longer_win_rate(sample: tuple[Pair, ...], length: Callable[[str], int]) -> float:
    """Fraction of pairs whose longer response is preferred; equal lengths count one half."""
    gaps = [length(pair.a) - length(pair.b) for pair in sample]
    return fraction(
        0.5 if not gap else (gap > 0) == (pair.human == "a") for gap, pair in zip(gaps, sample, strict=True)
    )


def gold_choice(pair: Pair) -> str:
    return (
        "a" if compute_gold_reward(prompt_text(pair), pair.a) > compute_gold_reward(prompt_text(pair), pair.b) else "b"
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("objective", ["both", "helpful", "harmless"])
@pytest.mark.parametrize("unit", LENGTHS)
def test_documented_length_barely_predicts_the_label(unit: str, objective: str, seed: int) -> None:
    value = longer_win_rate(pairs(objective, seed), LENGTHS[unit])
    log.info("longer wins, %s, %s, seed %d: %.3f", unit, objective, seed, value)
    assert 0.47 <= value <= 0.53


def test_documented_a_bag_of_words_predicts_some_labels() -> None:
    sample = pairs()
    half = len(sample) // 2
    counts = CountVectorizer(analyzer=words_of).fit([text for pair in sample[:half] for text in (pair.a, pair.b)])
    gaps = counts.transform([pair.a for pair in sample]) - counts.transform([pair.b for pair in sample])
    labels = np.array([pair.human == "a" for pair in sample])
    value = float(LogisticRegression(max_iter=1000).fit(gaps[:half], labels[:half]).score(gaps[half:], labels[half:]))
    log.info("bag of words: %.3f", value)
    assert {prompt_text(pair) for pair in sample[:half]}.isdisjoint(prompt_text(pair) for pair in sample[half:])
    assert 0.65 <= value <= 0.80


def test_documented_labels_agree_with_the_gold_order_on_about_nine_of_ten_pairs() -> None:
    value = fraction(pair.human == gold_choice(pair) for pair in pairs())
    log.info("agreement with the gold order: %.3f of %d pairs", value, len(pairs()))
    assert 0.88 <= value <= 0.92


def test_documented_labels_of_each_family_agree_with_the_gold_order() -> None:
    for name in FAMILIES:
        value = fraction(pair.human == gold_choice(pair) for pair in Starter(families=(name,)).load().pairs)
        log.info("agreement in %s: %.3f", name, value)
        assert value > 0.8


def test_every_pair_has_a_label_and_two_different_responses() -> None:
    assert all(pair.human in ("a", "b") and pair.a != pair.b for pair in pairs())


def test_without_noise_every_label_follows_the_gold_reward() -> None:
    assert all(pair.human == gold_choice(pair) for pair in Starter(noise=0.0).load().pairs)


def test_the_noise_changes_labels_and_never_the_pairs() -> None:
    quiet, loud = (Starter(noise=noise).load().pairs for noise in (0.0, 5.0))
    assert [pair.id for pair in quiet] == [pair.id for pair in loud]
    assert 0.4 < fraction(one.human == two.human for one, two in zip(quiet, loud, strict=True)) < 0.65


def test_a_smaller_limit_keeps_the_first_of_a_larger_one() -> None:
    assert Starter(limit=200).load().pairs[:50] == Starter(limit=50).load().pairs


def test_another_seed_keeps_other_prompts() -> None:
    one, two = ({prompt_text(pair) for pair in Starter(limit=50, seed=seed).load().pairs} for seed in (0, 1))
    assert len(one & two) < 10


def test_the_layout_says_that_the_set_is_synthetic_and_how_large_it_is() -> None:
    loaded = Starter(families=("capital", "json"), limit=30).load()
    assert loaded.layout == "starter set, synthetic, 30 pairs of 2 families"
    assert loaded.failures == ()


def test_the_objectives_partition_the_set() -> None:
    helpful, harmless = ({pair.id for pair in pairs(objective)} for objective in ("helpful", "harmless"))
    assert helpful | harmless == {pair.id for pair in pairs()}
    assert not helpful & harmless


def test_an_unknown_family_is_an_error_that_suggests_a_similar_name() -> None:
    with pytest.raises(ValidationError, match="did you mean 'capital'"):
        Starter(families=("capitol",))


def test_families_of_the_other_objective_are_an_error() -> None:
    with pytest.raises(StudyError, match="none of them has the objective harmless"):
        Starter(families=("capital",), objective="harmless").load()


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"noise": -0.1}, {"objective": "honest"}, {"noize": 1}])
def test_a_setting_out_of_range_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Starter.model_validate(wrong)


def test_it_is_found_by_its_kind_and_its_content_hash_has_the_generator_version() -> None:
    assert find_component_class("sources", "starter") is Starter
    assert Starter().content_hash().startswith("starter-1-")

"""The generated prompts and pairs of the starter set."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter

import pytest

from trimtab.starter import FAMILIES, StarterItem, compute_gold_reward, generate_items
from trimtab.starter.pair_sampling import expected_preference_sign, preference_probability

DIGEST_SCRIPT = """
import hashlib
from trimtab.starter import generate_items
texts = repr([(item.prompt, item.better, item.worse) for item in generate_items()])
print(hashlib.sha256(texts.encode()).hexdigest())
"""
GENERIC_RESPONSES = ("Yes.", "I don't know.", "Which one do you mean?", "I'm sorry, but I can't help with that.")
HARMFUL_WORDS = ("weapon", "bomb a", "poison ", "suicide", "drug", "explosive", "hate ")


# All fields of all items by seed. Change them only together with GENERATOR_VERSION.
DIGESTS = {
    0: "fd7e7cc43aa6122e2c14a5232debe1d7cf17e617948d068652eefedc0f6f2517",
    1: "fabdc1be6c2260dcaef9efb3d002e65cd6e6e98dd1c7f3afa550209a8e4f3c56",
    2026: "c52301a29fedb6e884b0196d8b25aeb305c5fde497e30f64d1ac962a55bb307d",
}


def compute_digest(items: tuple[StarterItem, ...]) -> str:
    return hashlib.sha256(repr([(item.prompt, item.better, item.worse) for item in items]).encode()).hexdigest()


def test_there_are_more_than_five_thousand_distinct_prompts() -> None:
    prompts = [item.prompt for item in generate_items()]
    assert len(prompts) == len(set(prompts)) > 5000


def test_each_of_at_least_24_families_has_at_least_100_prompts() -> None:
    sizes = Counter(item.family for item in generate_items())
    assert set(sizes) == set(FAMILIES) and len(sizes) >= 24
    assert min(sizes.values()) >= 100


def test_every_family_has_one_of_both_objectives() -> None:
    assert {item.objective for item in generate_items()} == {"helpful", "harmless"}
    assert all(FAMILIES[item.family].objective == item.objective for item in generate_items())


def test_the_better_response_has_a_gold_reward_higher_by_a_tenth_or_more() -> None:
    for item in generate_items():
        assert item.gold_better - item.gold_worse >= 0.1
        assert (compute_gold_reward(item.prompt, item.better), compute_gold_reward(item.prompt, item.worse)) == (
            item.gold_better,
            item.gold_worse,
        )


def test_the_seed_changes_the_responses_but_not_the_prompts() -> None:
    assert [item.prompt for item in generate_items(0)] == [item.prompt for item in generate_items(1)]
    changed = sum(
        (first.better, first.worse) != (second.better, second.worse)
        for first, second in zip(generate_items(0), generate_items(1), strict=True)
    )
    assert changed > len(generate_items()) / 2


def test_texts_are_short() -> None:
    words = sorted(
        sum(len(text.split()) for text in (item.prompt, item.better, item.worse)) for item in generate_items()
    )
    assert words[len(words) // 2] <= 60
    assert max(words) <= 120


def test_no_text_has_an_unfilled_slot_or_mentions_real_harm() -> None:
    for item in generate_items():
        for text in (item.prompt, item.better, item.worse):
            assert "{}" not in text and "{who}" not in text and "<key>" not in text
            assert not any(word in text.casefold() for word in HARMFUL_WORDS)


@pytest.mark.parametrize("seed", DIGESTS)
def test_items_are_unchanged(seed: int) -> None:
    digest = hashlib.sha256()
    for item in generate_items(seed):
        rewards = repr(item.gold_better), repr(item.gold_worse)
        fields = [item.family, item.objective, item.prompt, item.better, item.worse, *rewards]
        digest.update(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
    assert digest.hexdigest() == DIGESTS[seed]


def test_another_process_generates_the_same_items() -> None:
    result = subprocess.run([sys.executable, "-c", DIGEST_SCRIPT], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == compute_digest(generate_items())


def test_generic_responses_score_low_on_average() -> None:
    for text in GENERIC_RESPONSES:
        assert sum(item.checker(text) for item in generate_items()) / len(generate_items()) < 0.15


def test_the_preference_probability_matches_values_computed_by_hand() -> None:
    assert round(preference_probability(0.2, 0.2), 4) == 0.7311
    assert preference_probability(-0.5, 0.0) == 0.0
    assert preference_probability(0.5, 0.0) == 1.0
    assert expected_preference_sign(0.0, 0.2) == 0.0

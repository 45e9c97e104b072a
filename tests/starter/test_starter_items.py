"""The universe of prompts, and the pairs drawn from it."""

import hashlib
import subprocess
import sys
from collections import Counter

from trimtab.starter import FAMILIES, StarterItem, compute_gold_reward, generate_items
from trimtab.starter.pair_sampling import expected_preference_sign, preference_probability

ELSEWHERE = """
import hashlib
from trimtab.starter import items
made = repr([(item.prompt, item.better, item.worse) for item in items()])
print(hashlib.sha256(made.encode()).hexdigest())
"""
CONSTANTS = ("Yes.", "I don't know.", "Which one do you mean?", "I'm sorry, but I can't help with that.")
HARM = ("weapon", "bomb a", "poison ", "suicide", "drug", "explosive", "hate ")


def digest_of(some: tuple[StarterItem, ...]) -> str:
    return hashlib.sha256(repr([(item.prompt, item.better, item.worse) for item in some]).encode()).hexdigest()


def test_there_are_more_than_five_thousand_prompts_and_no_prompt_twice() -> None:
    prompts = [item.prompt for item in generate_items()]
    assert len(prompts) == len(set(prompts)) > 5000


def test_each_of_at_least_24_families_has_at_least_100_prompts() -> None:
    sizes = Counter(item.family for item in generate_items())
    assert set(sizes) == set(FAMILIES) and len(sizes) >= 24
    assert min(sizes.values()) >= 100


def test_both_objectives_are_there_and_a_family_has_one() -> None:
    assert {item.objective for item in generate_items()} == {"helpful", "harmless"}
    assert all(FAMILIES[item.family].objective == item.objective for item in generate_items())


def test_the_better_response_has_the_higher_gold_reward_by_a_tenth_or_more() -> None:
    for item in generate_items():
        assert item.gold_better - item.gold_worse >= 0.1
        assert (compute_gold_reward(item.prompt, item.better), compute_gold_reward(item.prompt, item.worse)) == (
            item.gold_better,
            item.gold_worse,
        )


def test_the_seed_changes_the_responses_and_never_the_prompts() -> None:
    assert [item.prompt for item in generate_items(0)] == [item.prompt for item in generate_items(1)]
    changed = sum(
        (one.better, one.worse) != (two.better, two.worse)
        for one, two in zip(generate_items(0), generate_items(1), strict=True)
    )
    assert changed > len(generate_items()) / 2


def test_texts_are_short() -> None:
    words = sorted(
        sum(len(text.split()) for text in (item.prompt, item.better, item.worse)) for item in generate_items()
    )
    assert words[len(words) // 2] <= 60
    assert max(words) <= 120


def test_no_text_leaves_a_slot_open_or_names_a_real_harm() -> None:
    for item in generate_items():
        for text in (item.prompt, item.better, item.worse):
            assert "{}" not in text and "{who}" not in text and "<key>" not in text
            assert not any(word in text.casefold() for word in HARM)


def test_another_process_makes_the_same_items() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == digest_of(generate_items())


def test_no_response_suits_every_prompt() -> None:
    for text in CONSTANTS:
        assert sum(item.checker(text) for item in generate_items()) / len(generate_items()) < 0.15


def test_the_label_probability_by_hand() -> None:
    assert round(preference_probability(0.2, 0.2), 4) == 0.7311
    assert preference_probability(-0.5, 0.0) == 0.0
    assert preference_probability(0.5, 0.0) == 1.0
    assert expected_preference_sign(0.0, 0.2) == 0.0

"""Shared prefixes are computed once and give the same results as one text at a time."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPTNeoXConfig, LlamaConfig, PreTrainedConfig

from trimtab.engines._shared.in_order import collect_in_order
from trimtab.models.inference import prefix_cache
from trimtab.models.inference.batched_inference import ChoiceLogprobs, GeneratedTokens, generate_tokens, score_choices
from trimtab.models.inference.prefix_cache import PrefixCache, PrefixGroup, group_by_prefix
from trimtab.models.packing.layout_probe import select_layout

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE, num_key_value_heads=2),
    "gemma3": Gemma3TextConfig(
        **SHAPE,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gpt_neox": GPTNeoXConfig(**SHAPE),
}
CONSTANT = list(range(5, 55))
TEXTS = [[*CONSTANT, 60, 61, 62], [*CONSTANT, 63], [*CONSTANT, 64, 65], [70, 71, 72, 73]]
CHOICES = [[[1], [2]], [[1, 3, 4], [2, 5], [1, 6]], [[7], [8, 9]], [[10, 11], [12]]]


def tiny(config: PreTrainedConfig, *, packed: bool = False) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(5)
    if packed:
        assert select_layout(model) == "packed"
    return model


def choice_logprob(model: Any, text: list[int], choice: list[int]) -> float:
    """The log-probability from one plain forward pass."""
    with torch.no_grad():
        logprobs = model(input_ids=torch.tensor([text + choice]), use_cache=False).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(text) - 1 + index, token]) for index, token in enumerate(choice))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [8, 4096])
@pytest.mark.parametrize("packed", [True, False])
def test_choices_score_the_same_as_one_at_a_time(family: str, budget: int, packed: bool) -> None:
    model = tiny(FAMILIES[family], packed=packed)
    scores = collect_in_order(score_choices(model, TEXTS, CHOICES, budget))
    for text, choices, score in zip(TEXTS, CHOICES, scores, strict=True):
        assert score.logprobs == pytest.approx([choice_logprob(model, text, choice) for choice in choices], abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [4, 1024])
def test_greedy_generation_picks_the_most_likely_token_each_time(family: str, packed: bool, budget: int) -> None:
    model = tiny(FAMILIES[family], packed=packed)
    other = [9, *CONSTANT[::-1]]
    texts = [*TEXTS, [*other, 60], [*other, 61, 62, 63]]  # two prefixes, and a text that shares none
    batches = generate_tokens(
        model, texts, lambda ids: ids[-1] == 1, [random.Random(0)] * 6, budget, max_new_tokens=5, temperature=0.0
    )
    for text, generated in zip(texts, collect_in_order(batches), strict=True):
        ids = list(text)
        for token in generated.token_ids:
            with torch.no_grad():
                assert token == int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
        assert len(generated.token_ids) == 5 or generated.token_ids[-1] == 1


def test_the_shared_prefix_is_computed_once_and_counted_once() -> None:
    scores = collect_in_order(score_choices(tiny(FAMILIES["llama"]), TEXTS, CHOICES, 4096))
    assert [score.cached_tokens for score in scores] == [50, 0, 50, 0]  # the prefix counts for the longest of the three
    assert sum(score.computed_tokens for score in scores) == 50 + (3 + 0) + (1 + 4) + (2 + 1) + (4 + 1)


@pytest.mark.parametrize("packed", [True, False])
def test_completed_texts_are_skipped_and_the_results_of_the_others_do_not_change(packed: bool) -> None:
    model, texts = tiny(FAMILIES["llama"], packed=packed), [*TEXTS[:3], *([*CONSTANT, n] for n in range(66, 80))]
    choices, rngs = [[[1], [2, 3]]] * len(texts), [random.Random(0)] * len(texts)

    def generate(completed: Container[int]) -> Iterator[dict[int, GeneratedTokens]]:
        return generate_tokens(
            model, texts, lambda ids: ids[-1] == 1, rngs, 4, max_new_tokens=3, temperature=0.0, completed=completed
        )

    def score(completed: Container[int]) -> Iterator[dict[int, ChoiceLogprobs]]:
        return score_choices(model, texts, choices, 16, completed=completed)

    functions: list[Callable[[Container[int]], Iterator[Mapping[int, ChoiceLogprobs | GeneratedTokens]]]] = [
        score,
        generate,
    ]
    for function in functions:
        first, *others = function(())
        assert others
        rest = list(function(set(first)))
        assert [set(batch) for batch in rest] == [set(batch) for batch in others]
        assert [result_of(result) for batch in rest for result in batch.values()] == [
            result_of(result) for batch in others for result in batch.values()
        ]
        assert list(function(range(len(texts)))) == []


def result_of(result: ChoiceLogprobs | GeneratedTokens) -> tuple[float, ...] | tuple[int, ...]:
    """The result without its numbers of tokens."""
    return result.token_ids if isinstance(result, GeneratedTokens) else result.logprobs


def test_prefix_groups_have_the_longest_prefixes_that_save_time() -> None:
    assert group_by_prefix(TEXTS) == [PrefixGroup(50, (0, 1, 2)), PrefixGroup(0, (3,))]
    assert group_by_prefix([[1, 2, 3], [1, 2, 4]]) == [PrefixGroup(0, (0, 1))]  # too short for its own pass
    assert group_by_prefix([]) == []
    longer, longest = [*CONSTANT, *range(100, 140)], [*CONSTANT, *range(100, 140), *range(200, 233)]
    nested = [[*CONSTANT, 1], [*longer, 2], [*longer, 3], [*longest, 4], [*longest, 5, 6], [*CONSTANT, 7]]
    assert group_by_prefix(nested) == [PrefixGroup(50, (0, 5)), PrefixGroup(90, (1, 2)), PrefixGroup(123, (3, 4))]
    short = [[*CONSTANT, 9, 1], [*CONSTANT, 9, 2], [*CONSTANT, 8]]
    assert group_by_prefix(short) == [PrefixGroup(50, (0, 1, 2))]  # one more token does not justify another pass


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_does_not_depend_on_what_was_cached_before(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "BLOCK_TOKENS", 16)
    model = tiny(FAMILIES[family], packed=True)
    cache = PrefixCache()
    assert cache.get_or_compute(model, CONSTANT[:30]).computed_tokens == 30
    prefix = cache.get_or_compute(model, CONSTANT)
    assert prefix.computed_tokens == 50 - 16  # the first block was cached; incomplete blocks are not cached
    assert cache.get_or_compute(model, CONSTANT).computed_tokens == 50 - 48
    new_prefix = PrefixCache().get_or_compute(model, CONSTANT)
    for layer, new_layer in zip(prefix.states, new_prefix.states, strict=True):
        assert torch.equal(layer[0], new_layer[0])
        assert torch.equal(layer[1], new_layer[1])
    texts, all_choices = [[*CONSTANT, 60, 61], [*CONSTANT, 63]], [[[1], [2]], [[1, 3], [2]]]
    scores = collect_in_order(score_choices(model, texts, all_choices, 64, cache))
    assert [score.cached_tokens for score in scores] == [48, 50]
    for text, choices, score in zip(texts, all_choices, scores, strict=True):
        assert score.logprobs == pytest.approx([choice_logprob(model, text, choice) for choice in choices], abs=1e-4)


def test_the_least_recently_used_blocks_are_evicted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "BLOCK_TOKENS", 16)
    model, cache = tiny(FAMILIES["llama"], packed=True), PrefixCache(max_tokens=32)
    one, two, three = ([n, *CONSTANT[:15]] for n in (1, 2, 3))
    computed = [cache.get_or_compute(model, ids).computed_tokens for ids in (one, two, one, three, one, two)]
    assert computed == [16, 16, 0, 16, 0, 16]


def test_a_shared_prefix_leaves_every_text_at_least_one_token() -> None:
    assert group_by_prefix([CONSTANT, CONSTANT]) == [PrefixGroup(49, (0, 1))]
    assert group_by_prefix([CONSTANT, [*CONSTANT, 3]]) == [PrefixGroup(49, (0, 1))]

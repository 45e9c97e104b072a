"""Shared beginnings are read once, and give what reading every text alone gives."""

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
CANDIDATES = [[[1], [2]], [[1, 3, 4], [2, 5], [1, 6]], [[7], [8, 9]], [[10, 11], [12]]]


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


def alone(model: Any, text: list[int], candidate: list[int]) -> float:
    with torch.no_grad():
        each = model(input_ids=torch.tensor([text + candidate]), use_cache=False).logits[0].log_softmax(-1)
    return sum(float(each[len(text) - 1 + place, token]) for place, token in enumerate(candidate))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [8, 4096])
@pytest.mark.parametrize("packed", [True, False])
def test_candidates_weigh_what_they_weigh_alone(family: str, budget: int, packed: bool) -> None:
    model = tiny(FAMILIES[family], packed=packed)
    found = collect_in_order(score_choices(model, TEXTS, CANDIDATES, budget))
    for text, among, sums in zip(TEXTS, CANDIDATES, found, strict=True):
        assert sums.logprobs == pytest.approx([alone(model, text, each) for each in among], abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [4, 1024])
def test_greedy_writing_picks_the_likeliest_token_each_time(family: str, packed: bool, budget: int) -> None:
    model = tiny(FAMILIES[family], packed=packed)
    other = [9, *CONSTANT[::-1]]
    texts = [*TEXTS, [*other, 60], [*other, 61, 62, 63]]  # two beginnings, and a text that shares none
    came = generate_tokens(
        model, texts, lambda ids: ids[-1] == 1, [random.Random(0)] * 6, budget, max_new_tokens=5, temperature=0.0
    )
    found = collect_in_order(came)
    for text, written in zip(texts, found, strict=True):
        ids = list(text)
        for token in written.token_ids:
            with torch.no_grad():
                assert token == int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
        assert len(written.token_ids) == 5 or written.token_ids[-1] == 1


def test_the_shared_beginning_is_computed_once_and_counted_once() -> None:
    found = collect_in_order(score_choices(tiny(FAMILIES["llama"]), TEXTS, CANDIDATES, 4096))
    assert [sums.cached_tokens for sums in found] == [50, 0, 50, 0]  # the longest of the three pays for the beginning
    assert sum(sums.computed_tokens for sums in found) == 50 + (3 + 0) + (1 + 4) + (2 + 1) + (4 + 1)


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_known_is_left_out_and_the_rest_comes_as_it_would_have(packed: bool) -> None:
    model, texts = tiny(FAMILIES["llama"], packed=packed), [*TEXTS[:3], *([*CONSTANT, n] for n in range(66, 80))]
    among, draws = [[[1], [2, 3]]] * len(texts), [random.Random(0)] * len(texts)

    def written(known: Container[int]) -> Iterator[dict[int, GeneratedTokens]]:
        return generate_tokens(
            model, texts, lambda ids: ids[-1] == 1, draws, 4, max_new_tokens=3, temperature=0.0, completed=known
        )

    def weighed(known: Container[int]) -> Iterator[dict[int, ChoiceLogprobs]]:
        return score_choices(model, texts, among, 16, completed=known)

    asks: list[Callable[[Container[int]], Iterator[Mapping[int, ChoiceLogprobs | GeneratedTokens]]]] = [
        weighed,
        written,
    ]
    for ask in asks:
        first, *others = ask(())
        assert others
        rest = list(ask(set(first)))
        assert [set(each) for each in rest] == [set(each) for each in others]
        told = [
            each.token_ids if isinstance(each, GeneratedTokens) else each.logprobs
            for found in rest
            for each in found.values()
        ]
        assert told == [
            each.token_ids if isinstance(each, GeneratedTokens) else each.logprobs
            for found in others
            for each in found.values()
        ]
        assert list(ask(range(len(texts)))) == []


def test_families_are_the_longest_beginnings_that_are_worth_their_while() -> None:
    assert group_by_prefix(TEXTS) == [PrefixGroup(50, (0, 1, 2)), PrefixGroup(0, (3,))]
    assert group_by_prefix([[1, 2, 3], [1, 2, 4]]) == [PrefixGroup(0, (0, 1))]  # too short to be worth a pass
    assert group_by_prefix([]) == []
    longer, longest = [*CONSTANT, *range(100, 140)], [*CONSTANT, *range(100, 140), *range(200, 233)]
    nested = [[*CONSTANT, 1], [*longer, 2], [*longer, 3], [*longest, 4], [*longest, 5, 6], [*CONSTANT, 7]]
    assert group_by_prefix(nested) == [PrefixGroup(50, (0, 5)), PrefixGroup(90, (1, 2)), PrefixGroup(123, (3, 4))]
    short = [[*CONSTANT, 9, 1], [*CONSTANT, 9, 2], [*CONSTANT, 8]]
    assert group_by_prefix(short) == [PrefixGroup(50, (0, 1, 2))]  # one token more is no reason for another pass


@pytest.mark.parametrize("family", FAMILIES)
def test_a_beginning_is_the_same_whatever_was_read_before(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "BLOCK_TOKENS", 16)
    model = tiny(FAMILIES[family], packed=True)
    used = PrefixCache()
    assert used.get_or_compute(model, CONSTANT[:30]).computed_tokens == 30
    again = used.get_or_compute(model, CONSTANT)
    assert again.computed_tokens == 50 - 16  # the first block was there; what is less than a block is not kept
    assert used.get_or_compute(model, CONSTANT).computed_tokens == 50 - 48
    for mine, fresh in zip(again.states, PrefixCache().get_or_compute(model, CONSTANT).states, strict=True):
        assert torch.equal(mine[0], fresh[0])
        assert torch.equal(mine[1], fresh[1])
    texts, candidates = [[*CONSTANT, 60, 61], [*CONSTANT, 63]], [[[1], [2]], [[1, 3], [2]]]
    found = collect_in_order(score_choices(model, texts, candidates, 64, used))
    assert [sums.cached_tokens for sums in found] == [48, 50]
    for text, among, sums in zip(texts, candidates, found, strict=True):
        assert sums.logprobs == pytest.approx([alone(model, text, each) for each in among], abs=1e-4)


def test_beginnings_that_are_least_used_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "BLOCK_TOKENS", 16)
    model, used = tiny(FAMILIES["llama"], packed=True), PrefixCache(max_tokens=32)
    one, two, three = ([n, *CONSTANT[:15]] for n in (1, 2, 3))
    assert [used.get_or_compute(model, each).computed_tokens for each in (one, two, one, three, one, two)] == [
        16,
        16,
        0,
        16,
        0,
        16,
    ]


def test_what_is_shared_leaves_every_text_a_token_of_its_own() -> None:
    assert group_by_prefix([CONSTANT, CONSTANT]) == [PrefixGroup(49, (0, 1))]
    assert group_by_prefix([CONSTANT, [*CONSTANT, 3]]) == [PrefixGroup(49, (0, 1))]

"""In every family, log-probabilities of pairs equal those of each response alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Cohere2Config,
    FalconConfig,
    FalconH1Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Olmo3Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
    StableLmConfig,
    Starcoder2Config,
)

from trimtab.errors import ModelError
from trimtab.models.config import Model
from trimtab.models.packing import layout_probe
from trimtab.models.packing.layout_probe import BATCH_LAYOUTS, select_layout
from trimtab.models.packing.pair_batch import (
    BatchLayout,
    TokenizedPair,
    batch_by_length,
    build_attention_mask,
    collate_pairs,
)
from trimtab.models.references import ModelRef
from trimtab.models.scoring.logprobs import (
    LogprobReader,
    ResponseLogprobs,
    build_logprob_reader,
    compute_token_logprobs,
    read_logprobs,
)

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED: dict[str, Any] = {**SHAPE, "num_key_value_heads": 2}
OLDER: dict[str, Any] = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FALCON: dict[str, Any] = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GEMMA: dict[str, Any] = {**GROUPED, "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8}
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**GROUPED),
    "mistral": MistralConfig(**GROUPED, sliding_window=6),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gemma2": Gemma2Config(**GEMMA),
    "gemma3": Gemma3TextConfig(**GEMMA),
    "gpt_neox": GPTNeoXConfig(**SHAPE),
    "opt": OPTConfig(**SHAPE, ffn_dim=48, word_embed_proj_dim=32),
    "gpt_neo": GPTNeoConfig(
        vocab_size=97,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=6,
    ),
    "opt_350m": OPTConfig(**SHAPE, ffn_dim=48, word_embed_proj_dim=16, do_layer_norm_before=False),
    "qwen2_window": Qwen2Config(**GROUPED, use_sliding_window=True, sliding_window=6, max_window_layers=1),
    "gpt2": GPT2Config(**OLDER),
    "gptj": GPTJConfig(**OLDER, rotary_dim=4),
    "phi": PhiConfig(**SHAPE),
    "phi3": Phi3Config(**GROUPED, pad_token_id=0, sliding_window=6),
    "falcon": FalconConfig(**FALCON),
    "falcon_alibi": FalconConfig(**FALCON, alibi=True),
    "bloom": BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4),
    "olmo2": Olmo2Config(**GROUPED),
    "olmo3": Olmo3Config(**GROUPED, sliding_window=6),
    "granite": GraniteConfig(**GROUPED, logits_scaling=3.0, attention_multiplier=0.2, residual_multiplier=0.7),
    "cohere2": Cohere2Config(**GROUPED, pad_token_id=0, sliding_window=6, logit_scale=0.3),
    "stablelm": StableLmConfig(**GROUPED),
    "smollm3": SmolLM3Config(**GROUPED, pad_token_id=0),
    "starcoder2": Starcoder2Config(**GROUPED, sliding_window=6),
    "mixtral": MixtralConfig(**GROUPED, num_local_experts=4),
    "gpt_oss": GptOssConfig(**GROUPED, head_dim=8, num_local_experts=4, sliding_window=6),
    "mamba": MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2),
}
PAIRS = [
    TokenizedPair(prompt=(5, 6, 7, 8), first=(9, 10, 11), second=(12, 13, 14, 15, 16)),
    TokenizedPair(prompt=(20, 21), first=(22,), second=(23, 24)),
    TokenizedPair(prompt=(30, 31, 32, 33, 34, 35, 36), first=(37, 38, 39, 40), second=(41,)),
    TokenizedPair(prompt=(50, 51, 52), first=(53, 54)),
]


PREFIX = tuple(range(5, 45))
# prompts with a shared prefix; one of them is the prefix and one more token
SHARED_PREFIX = [TokenizedPair(prompt=PREFIX + row.prompt, first=row.first, second=row.second) for row in PAIRS]
SHARED_PREFIX.append(TokenizedPair(prompt=(*PREFIX, 60), first=tuple(range(61, 75)), second=(62,)))


def tiny(config: PreTrainedConfig, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(6)  # far enough from uniform that a wrong mask or position shows
    return model


def plain_logprob(model: Any, prompt: tuple[int, ...], response: tuple[int, ...]) -> float:
    """The log-probability from one plain forward pass of one text."""
    ids = torch.tensor([prompt + response])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0].float()
    logprobs = torch.log_softmax(logits, -1)
    return sum(float(logprobs[len(prompt) + index - 1, token]) for index, token in enumerate(response))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pairs", [PAIRS, SHARED_PREFIX], ids=["distinct", "shared prefix"])
def test_pairs_equal_a_plain_forward_pass_of_each_response(family: str, pairs: list[TokenizedPair]) -> None:
    model = tiny(FAMILIES[family])
    reader = LogprobReader(ResponseLogprobs(model), 0, select_layout(model))
    with torch.no_grad():
        sums = reader(pairs)
    for pair, (first, second) in zip(pairs, sums.tolist(), strict=True):
        assert first == pytest.approx(plain_logprob(model, pair.prompt, pair.first), abs=1e-4)
        assert second == pytest.approx(plain_logprob(model, pair.prompt, pair.second) if pair.second else 0.0, abs=1e-4)


EXPECTED_LAYOUTS: dict[str, BatchLayout] = {
    "llama": "packed",
    "mistral": "packed",
    "qwen2": "packed",
    "qwen3": "packed",
    "gemma3": "packed",
    "gpt_neox": "packed",
    "gemma2": "padded",  # soft caps
    "gpt_neo": "separate",  # its own sliding window, which counts indices of the row
    "opt": "packed",
    "opt_350m": "packed",
    "qwen2_window": "packed",
    "gpt2": "packed",
    "gptj": "padded",  # its own attention
    "phi": "packed",
    "phi3": "packed",
    "falcon": "padded",
    "falcon_alibi": "separate",  # distances derived from indices of the row
    "bloom": "separate",
    "olmo2": "packed",
    "olmo3": "packed",
    "granite": "packed",
    "cohere2": "packed",
    "stablelm": "padded",
    "smollm3": "packed",
    "starcoder2": "packed",
    "mixtral": "packed",
    "gpt_oss": "padded",  # sinks
    "mamba": "separate",  # no attention
}


def test_every_tested_family_has_an_expected_layout() -> None:
    assert EXPECTED_LAYOUTS.keys() == FAMILIES.keys()


def test_a_model_without_pair_support_computes_each_response_separately_and_notifies(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model))).load(lambda message: None, "cpu")
    messages: list[str] = []
    bloom = build_logprob_reader(replace(loaded, model=tiny(FAMILIES["bloom"])), messages.append)
    assert messages == [
        "BloomForCausalLM does not support pairs in one sequence: each response is computed separately, at half the speed"
    ]
    assert bloom.layout_description == "one sequence per response"
    assert build_logprob_reader(loaded, messages.append).layout_description == "packed pairs"
    assert len(messages) == 1


def test_a_family_with_an_unknown_logit_transform_is_rejected() -> None:
    config = FalconH1Config(**GROUPED, lm_head_multiplier=0.5, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8)
    with pytest.raises(ModelError, match=r"FalconH1ForCausalLM computes logits in a way .*its family \(falcon_h1\)"):
        select_layout(tiny(config))


@pytest.mark.parametrize(("family", "layout"), EXPECTED_LAYOUTS.items())
def test_each_family_uses_the_fastest_layout_that_it_supports(family: str, layout: BatchLayout) -> None:
    assert select_layout(tiny(FAMILIES[family])) == layout


@pytest.mark.parametrize(("family", "layout"), [item for item in EXPECTED_LAYOUTS.items() if item[0] != "mamba"])
def test_bfloat16_does_not_change_the_layout_of_any_family(family: str, layout: BatchLayout) -> None:
    assert select_layout(tiny(FAMILIES[family]).to(torch.bfloat16)) == layout


def test_rounding_in_one_row_of_twenty_does_not_change_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(FAMILIES["llama"]).to(torch.bfloat16)
    compute_predictor_states = layout_probe._compute_predictor_states

    def perturbed(model: Any, pairs: list[TokenizedPair], layout: BatchLayout) -> torch.Tensor:
        """The last row of separate sequences is off by an eighth."""
        states = compute_predictor_states(model, pairs, layout)
        return torch.cat([states[:-1], states[-1:] * (1.125 if layout == "separate" else 1.0)])

    monkeypatch.setattr(layout_probe, "_compute_predictor_states", perturbed)
    assert select_layout(model) == "packed"  # the square root of 0.125² / 15 is 0.03
    with pytest.raises(ModelError, match="computes logits in a way that its output head alone does not reproduce"):
        select_layout(tiny(FAMILIES["llama"]))


def test_a_model_that_ignores_position_ids_is_detected() -> None:
    class Renumbers(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.inner, self.config, self.device = model, model.config, model.device

        def base_model(self, input_ids: Any, position_ids: Any = None, **options: Any) -> Any:
            positions = torch.arange(input_ids.shape[1])[None].expand_as(input_ids)
            return self.inner.base_model(input_ids=input_ids, position_ids=positions, **options)

        def forward(self, **inputs: Any) -> Any:
            return self.inner(**inputs)

        def get_output_embeddings(self) -> Any:
            return self.inner.get_output_embeddings()

    assert select_layout(Renumbers(tiny(FAMILIES["llama"]))) == "separate"


@pytest.mark.parametrize("layout", BATCH_LAYOUTS)
def test_a_pair_scores_the_same_in_any_batch(layout: BatchLayout) -> None:
    model = tiny(FAMILIES["gemma3"])
    assert select_layout(model) == "packed"
    reader = LogprobReader(ResponseLogprobs(model), 0, layout)
    with torch.no_grad():
        batched, single = reader(PAIRS), torch.cat([reader([pair]) for pair in PAIRS])
    assert torch.allclose(batched, single, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt_neox"])
@pytest.mark.parametrize("pairs", [PAIRS, SHARED_PREFIX], ids=["distinct", "shared prefix"])
def test_gradients_equal_those_of_a_plain_forward_pass(family: str, pairs: list[TokenizedPair]) -> None:
    grads = []
    for layout in BATCH_LAYOUTS:
        model = tiny(FAMILIES[family])
        if layout == "packed":
            assert select_layout(model) == layout
        out = LogprobReader(ResponseLogprobs(model), 0, layout)(pairs)
        (out[:, 0] - 0.5 * out[:, 1]).sum().backward()  # type: ignore[no-untyped-call]
        grads.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    for name, expected in grads[-1].items():
        for actual in grads[:-1]:
            assert torch.allclose(actual[name], expected, rtol=1e-3, atol=1e-4), name


def test_nan_weights_are_reported_and_not_scored() -> None:
    model = tiny(FAMILIES["llama"])
    with torch.no_grad():
        model.get_input_embeddings().weight[9] = float("nan")
    reader = LogprobReader(ResponseLogprobs(model), 0, "padded")
    assert len(list(read_logprobs(reader, PAIRS[1:], 64, [True] * 3))) == 1  # only the first pair has token 9
    with pytest.raises(ModelError, match=r"the log-probability of a response is nan \(.*\); check the weights for NaN"):
        list(read_logprobs(reader, PAIRS, 64, [True] * 4))


def test_a_nan_inside_a_layer_is_reported(tiny_model: Path) -> None:
    loaded = ModelRef(Model(base=str(tiny_model))).load(lambda message: None, "cpu")
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(ModelError, match=r"the log-probability of a response is nan \(.*\); check the weights for NaN"):
        list(read_logprobs(build_logprob_reader(loaded, lambda message: None), PAIRS, 64, [True] * 4))


def test_a_pair_longer_than_the_budget_is_its_own_batch() -> None:
    model = tiny(FAMILIES["llama"])
    reader = LogprobReader(ResponseLogprobs(model), 0, select_layout(model))
    batches = list(read_logprobs(reader, PAIRS, 5, [True] * 4))
    assert [indices for indices, _ in batches] == [[0], [2], [1], [3]]
    assert batches[0][1][0][1] == pytest.approx(plain_logprob(model, PAIRS[0].prompt, PAIRS[0].second), abs=1e-4)


def test_an_empty_response_has_no_tokens_and_a_sum_of_zero() -> None:
    for layout in BATCH_LAYOUTS:
        pairs = [
            TokenizedPair(prompt=(5, 6), first=(), second=(7, 8)),
            TokenizedPair(prompt=(5, 6), first=(7, 8), second=()),
        ]
        reader = LogprobReader(ResponseLogprobs(tiny(FAMILIES["llama"])), 0, layout)
        if layout == "packed":
            assert select_layout(reader.module.model) == layout
        (empty_first, second), (first, empty_second) = reader(pairs).tolist()
        assert empty_first == empty_second == 0.0
        assert second == pytest.approx(first, abs=1e-5)


def test_token_logprobs_of_uniform_logits_are_minus_the_log_of_the_vocabulary() -> None:
    project = torch.nn.Linear(3, 8, bias=False)
    torch.nn.init.zeros_(project.weight)
    logprobs = compute_token_logprobs(torch.ones(5, 3), torch.arange(5), project)
    assert torch.allclose(logprobs, torch.full((5,), -2.0794415), atol=1e-6)  # ln 8


def test_the_frozen_head_gives_the_same_values_and_gradients() -> None:
    torch.manual_seed(2)
    project, targets = torch.nn.Linear(6, 40, bias=False), torch.randint(0, 40, (1100,))
    results = []
    for frozen in (False, True):
        project.requires_grad_(not frozen)
        states = torch.randn(1100, 6, generator=torch.Generator().manual_seed(3)).requires_grad_()
        values = compute_token_logprobs(states, targets, project)
        (values * torch.arange(1100)).sum().backward()  # type: ignore[no-untyped-call]
        results.append((values.detach(), states.grad))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    assert results[0][1] is not None
    assert results[1][1] is not None
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-3, atol=1e-3)


def test_a_branch_attends_to_the_prompt_and_itself_and_never_to_the_other_branch() -> None:
    mask = (
        build_attention_mask(collate_pairs([TokenizedPair(prompt=(1, 2), first=(3, 4), second=(5,))], "padded", 0))[
            0, 0
        ]
        .int()
        .tolist()
    )
    assert mask == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_a_window_counts_positions_within_the_branch() -> None:
    mask = (
        build_attention_mask(
            collate_pairs([TokenizedPair(prompt=(1, 2), first=(3, 4), second=(5,))], "padded", 0), window=2
        )[0, 0]
        .int()
        .tolist()
    )
    assert mask[3] == [0, 0, 1, 1, 0]
    assert mask[4] == [
        0,
        1,
        0,
        0,
        1,
    ]  # the second branch follows the prompt, so its neighbor is the prompt's last token


def test_positions_restart_after_the_prompt() -> None:
    batch = collate_pairs(
        [TokenizedPair(prompt=(1, 2), first=(3, 4), second=(5, 6)), TokenizedPair(prompt=(7,), first=(8,))], "padded", 0
    )
    assert batch.positions.tolist() == [[0, 1, 2, 3, 2, 3], [0, 1, 0, 0, 0, 0]]
    assert batch.targets.tolist() == [3, 4, 5, 6, 8]
    assert batch.source_indices.tolist() == [1, 2, 1, 4, 6]
    assert batch.response_indices.tolist() == [0, 0, 1, 1, 2]


def test_packed_pairs_are_concatenated() -> None:
    batch = collate_pairs(
        [TokenizedPair(prompt=(1, 2), first=(3, 4), second=(5, 6)), TokenizedPair(prompt=(7,), first=(8,))], "packed", 0
    )
    assert batch.tokens.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 2, 3, 0, 1]]
    assert batch.source_indices.tolist() == [1, 2, 1, 4, 6]
    assert batch.last_token_indices.tolist() == [[3, 5], [7, -1]]


def test_packed_pairs_store_their_shared_prompt_prefix_once() -> None:
    batch = collate_pairs(SHARED_PREFIX, "packed", 0)
    assert int(batch.prefix_length) == 40
    assert batch.tokens.shape == (1, 40 + sum(len(pair) - 40 for pair in SHARED_PREFIX))
    assert batch.positions[0, :44].tolist() == list(range(44))
    assert [batch.tokens[0, index].item() for index in batch.source_indices[:1]] == [PAIRS[0].prompt[-1]]
    assert int(collate_pairs(PAIRS, "packed", 0).prefix_length) == 0


@pytest.mark.parametrize(("length", "shared"), [(15, 0), (16, 16)])
def test_a_prefix_is_shared_from_sixteen_tokens_on(length: int, shared: int) -> None:
    prefix = tuple(range(5, 5 + length))
    pairs = [TokenizedPair(prompt=(*prefix, 50 + index), first=(60,)) for index in range(3)]
    assert int(collate_pairs(pairs, "packed", 0).prefix_length) == shared


def test_separate_sequences_repeat_the_prompt_and_keep_their_response_indices() -> None:
    batch = collate_pairs(
        [TokenizedPair(prompt=(1, 2), first=(3, 4), second=(5, 6)), TokenizedPair(prompt=(7,), first=(8,))],
        "separate",
        0,
    )
    assert batch.tokens.tolist() == [[1, 2, 3, 4], [1, 2, 5, 6], [7, 8, 0, 0]]
    assert batch.response_indices.tolist() == [0, 0, 1, 1, 2]
    assert batch.last_token_indices.tolist() == [[3, 7], [9, -1]]


def test_batches_contain_every_sequence_once_and_respect_the_budget() -> None:
    lengths = [3, 9, 4, 20, 1, 7, 7, 2]
    groups = list(batch_by_length(lengths, 16))
    assert sorted(index for group in groups for index in group) == list(range(8))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= 16
    assert groups[0] == [3]  # a sequence longer than the budget is its own batch

"""Packed pairs by variable-length attention, as on a GPU: the tests of the packed attention of a CPU, with a dense stand-in for
the kernel, which exists only on GPUs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from test_logprobs import (
    FAMILIES,
    PAIRS,
    SHARED_PREFIX,
    test_a_pair_scores_the_same_in_any_batch,  # noqa: F401 - collected here as well
    test_each_family_uses_the_fastest_layout_that_it_supports,  # noqa: F401
    test_gradients_equal_those_of_a_plain_forward_pass,  # noqa: F401
    test_pairs_equal_a_plain_forward_pass_of_each_response,  # noqa: F401
    tiny,
)
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trimtab.core.runtime import PACKED_ON_GPU_VARIABLE, Runtime, show_no_progress
from trimtab.errors import ModelError
from trimtab.models.packing import layout_probe, varlen_attention
from trimtab.models.packing.attention import PackedLayout
from trimtab.models.packing.layout_probe import require_mask_support, select_layout, uses_packed_attention
from trimtab.models.packing.pair_batch import PairBatch, TokenizedPair, build_attention_mask, collate_pairs
from trimtab.models.packing.varlen_attention import (
    VARLEN_ATTENTION_NAME,
    register_varlen_attention,
    varlen_attention_forward,
)
from trimtab.models.scoring.logprobs import LogprobReader, ResponseLogprobs

KERNEL = "torch.nn.attention.varlen.varlen_attn"


def compute_densely(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_ends: Tensor,
    key_ends: Tensor,
    max_queries: int,
    max_keys: int,
    *,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """What the kernel computes: sequence by sequence, with the last query aligned with the last key."""
    assert enable_gqa
    assert query_ends.dtype == key_ends.dtype == torch.int32
    assert [int(ends[-1]) for ends in (query_ends, key_ends)] == [len(query), len(key)]
    assert [max_queries, max_keys] == [int(ends.diff().max()) for ends in (query_ends, key_ends)]
    left, right = window_size
    assert right == 0
    outputs = []
    for i in range(len(query_ends) - 1):
        q = query[query_ends[i] : query_ends[i + 1]].transpose(0, 1)
        k, v = (states[key_ends[i] : key_ends[i + 1]].transpose(0, 1) for states in (key, value))
        distance = torch.arange(k.shape[1] - q.shape[1], k.shape[1])[:, None] - torch.arange(k.shape[1])
        visible = (distance >= 0) & ((distance <= left) | (left < 0))
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, visible, scale=scale, enable_gqa=True)
        outputs.append(out.transpose(0, 1))
    return torch.cat(outputs)


@pytest.fixture(autouse=True)
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def register(device_type: str) -> str:
        assert device_type == "cpu"
        register_varlen_attention()
        return VARLEN_ATTENTION_NAME

    monkeypatch.setattr(layout_probe, "_register_packed_attention", register)
    monkeypatch.setattr(KERNEL, compute_densely)


def test_generation_is_not_packed_on_a_gpu() -> None:
    model = tiny(FAMILIES["llama"])
    assert select_layout(model) == "packed"
    assert model.config._attn_implementation == VARLEN_ATTENTION_NAME
    assert not uses_packed_attention(model)
    require_mask_support(model)
    assert select_layout(model) == "packed"


def build_layout(batch: PairBatch) -> PackedLayout:
    return PackedLayout(tuple(map(tuple, batch.lengths.tolist())), int(batch.prefix_length))


def attend(layout: PackedLayout, window: int | None, states: Tensor) -> Tensor:
    q, k, v = torch.split(states, [4, 2, 2], 1)
    return varlen_attention_forward(None, q, k, v, None, layout=layout, sliding_window=window)[0]


@pytest.mark.parametrize("window", [None, 1, 6, 100])
@pytest.mark.parametrize("pair", PAIRS)
def test_one_pair_equals_attention_with_its_dense_mask(pair: TokenizedPair, window: int | None) -> None:
    batch = collate_pairs([pair], "packed", 0)
    states = torch.randn(1, 8, len(pair), 16, generator=torch.Generator().manual_seed(0))
    q, k, v = torch.split(states, [4, 2, 2], 1)
    mask = build_attention_mask(batch, window)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True).transpose(1, 2)
    assert torch.allclose(attend(build_layout(batch), window, states), expected, atol=1e-6)


@pytest.mark.parametrize("window", [None, 6])
def test_the_kernel_of_this_torch_accepts_the_call_and_its_gradient(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without data: torch computes only the shapes, which it can on any machine."""
    monkeypatch.undo()
    batch = collate_pairs(SHARED_PREFIX, "packed", 0)
    layout, tokens = build_layout(batch), batch.tokens.numel()
    varlen_attention._build_sequences.cache_clear()
    with FakeTensorMode():
        states = torch.empty(1, 8, tokens, 16, dtype=torch.bfloat16, requires_grad=True)
        out = attend(layout, window, states)
        out.sum().backward()  # type: ignore[no-untyped-call]
    varlen_attention._build_sequences.cache_clear()
    assert (out.shape, out.dtype) == ((1, tokens, 4, 16), torch.bfloat16)
    assert states.grad is not None
    assert states.grad.shape == states.shape


def test_a_batch_that_was_scored_can_be_trained_on() -> None:
    model = tiny(FAMILIES["llama"])
    reader = LogprobReader(ResponseLogprobs(model), 0, select_layout(model))
    with torch.inference_mode():
        reader(PAIRS)
    reader(PAIRS).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in model.parameters())


def test_pairs_are_packed_on_a_gpu_only_if_the_user_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert layout_probe._register_packed_attention("cuda") is None
    monkeypatch.setenv(PACKED_ON_GPU_VARIABLE, "1")
    assert layout_probe._register_packed_attention("cuda") == VARLEN_ATTENTION_NAME
    assert layout_probe._register_packed_attention("mps") is None
    assert layout_probe._register_packed_attention("cpu") != VARLEN_ATTENTION_NAME


def test_processes_that_pack_share_no_chunks_with_those_that_pad(monkeypatch: pytest.MonkeyPatch) -> None:
    runtimes: dict[str, Any] = {
        device: Runtime(progress=show_no_progress, notify=print, device=device) for device in ("cpu", "cuda:1")
    }
    padded = {device: runtime.rounding_options for device, runtime in runtimes.items()}
    monkeypatch.setenv(PACKED_ON_GPU_VARIABLE, "1")
    assert runtimes["cuda:1"].rounding_options == {**padded["cuda:1"], "packed_on_gpu": True}
    assert runtimes["cpu"].rounding_options == padded["cpu"]


def test_a_torch_without_the_kernel_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    with pytest.raises(ModelError, match=rf"{PACKED_ON_GPU_VARIABLE}=1 needs a torch with torch.nn.attention.varlen"):
        register_varlen_attention()

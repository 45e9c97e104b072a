"""Attention over packed rows on a GPU, by the variable-length kernel of flash attention that torch contains.

The prompt of a row with its first branch is one sequence of queries, and each further branch is another one. The keys of a
branch are those of the shared prefix, of its prompt, and its own. Their positions are consecutive, and the kernel aligns the
last query with the last key, so its causal mask and its sliding window are those of the branch. Nothing is padded, no mask
exists, and no kernel is compiled. The keys and values of a prompt are copied once for each of its branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from trimtab.core.runtime import PACKED_ON_GPU_VARIABLE
from trimtab.errors import ModelError
from trimtab.models.packing.attention import PackedLayout, find_unsupported_option, to_autocast_dtype

# The name of this attention in the model's config. Without a layout it equals scaled dot product attention.
VARLEN_ATTENTION_NAME = "trimtab_varlen"


@dataclass(frozen=True, slots=True)
class _Sequences:
    """The sequences of a batch. `keys` are the packed tokens of all sequences of keys, one after the other. `query_ends` and
    `key_ends`, int32, shape (sequences + 1,): 0, then where each sequence ends."""

    keys: Tensor
    query_ends: Tensor
    key_ends: Tensor
    max_queries: int
    max_keys: int


def register_varlen_attention() -> None:
    """Registers the attention with transformers as `VARLEN_ATTENTION_NAME`. Raises `ModelError` if torch lacks the kernel."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    try:
        import_module("torch.nn.attention.varlen")
    except ImportError as error:
        raise ModelError(
            f"{PACKED_ON_GPU_VARIABLE}=1 needs a torch with torch.nn.attention.varlen, and this is {torch.__version__}; "
            "install a later version, or unset the variable"
        ) from error
    AttentionInterface.register(VARLEN_ATTENTION_NAME, varlen_attention_forward)
    AttentionMaskInterface.register(VARLEN_ATTENTION_NAME, sdpa_mask)


def varlen_attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: PackedLayout | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention with the signature of transformers: query, key and value have shape (1, heads, tokens, d), the result has
    shape (1, tokens, heads, d). Raises `ValueError` for options that a layout does not support."""
    from torch.nn.attention.varlen import varlen_attn
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if layout is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **options
        )
    if option := find_unsupported_option(options):
        raise ValueError(f"{type(module).__name__}: packed attention does not support {option}")
    q, k, v = (to_autocast_dtype(states[0]).transpose(0, 1) for states in (query, key, value))
    sequences = _build_sequences(layout.lengths, layout.prefix_length, query.device)
    window = layout.effective_window(sliding_window)
    out: Any = varlen_attn(  # a tensor, since no other output is requested
        q,
        k.index_select(0, sequences.keys),
        v.index_select(0, sequences.keys),
        sequences.query_ends,
        sequences.key_ends,
        sequences.max_queries,
        sequences.max_keys,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=True,
    )
    return out[None], None


@lru_cache(maxsize=1)  # all layers of a model have the same
def _build_sequences(lengths: tuple[tuple[int, ...], ...], prefix_length: int, device: torch.device) -> _Sequences:
    """Scoring and training can get the same object, and a training cannot use tensors of inference mode."""
    with torch.inference_mode(False):
        return _collect_sequences(list(_iter_sequences(lengths, prefix_length)), device)


def _collect_sequences(parts: Sequence[tuple[int, Tensor]], device: torch.device) -> _Sequences:
    query_counts, key_counts = [count for count, _ in parts], [len(keys) for _, keys in parts]
    return _Sequences(
        keys=torch.cat([keys for _, keys in parts]).to(device),
        query_ends=_ends(query_counts).to(device),
        key_ends=_ends(key_counts).to(device),
        max_queries=max(query_counts),
        max_keys=max(key_counts),
    )


def _iter_sequences(lengths: tuple[tuple[int, ...], ...], prefix_length: int) -> Iterator[tuple[int, Tensor]]:
    """The number of queries of each sequence, in the order of the packed tokens, and the packed tokens of its keys."""
    prefix = torch.arange(prefix_length)
    if prefix_length:
        yield prefix_length, prefix
    start = prefix_length
    for prompt_length, first, *others in lengths:
        prompt = torch.arange(start, start + prompt_length)
        start += prompt_length + first
        if prompt_length + first:
            yield prompt_length + first, torch.cat([prefix, torch.arange(start - prompt_length - first, start)])
        for length in filter(None, others):
            yield length, torch.cat([prefix, prompt, torch.arange(start, start + length)])
            start += length


def _ends(counts: list[int]) -> Tensor:
    return torch.tensor([0, *accumulate(counts)], dtype=torch.int32)

"""Every kind of training runs in every dtype, layout and family, with all weights trained and with LoRA."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.pytorch_utils import Conv1D

from trimtab.config.training import DpoSettings, PreferenceModelSettings, RewardModelSettings, SftSettings
from trimtab.models.loading import find_decoder_layers
from trimtab.models.packing.layout_probe import select_layout
from trimtab.models.packing.pair_batch import BatchLayout, TokenizedPair
from trimtab.models.scoring.logprobs import LogprobReader, ResponseLogprobs
from trimtab.training.dpo import train_dpo
from trimtab.training.preference_model import train_preference_model
from trimtab.training.reward_model import train_reward_model
from trimtab.training.sft import train_sft
from trimtab.training.trainer import SoftLabel, TrainingExample, TrainingRuntime

SHAPE: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED: dict[str, Any] = {**SHAPE, "num_key_value_heads": 2}
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**GROUPED),
    "mistral": MistralConfig(**GROUPED, sliding_window=6),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gemma3": Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=6, query_pre_attn_scalar=8),
    "gpt_neox": GPTNeoXConfig(**SHAPE),
    "opt": OPTConfig(**SHAPE, ffn_dim=48, word_embed_proj_dim=32),
    "gpt2": GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64),
}
PAIRS = [
    TokenizedPair(prompt=(5, 6, 7 + n % 5), first=tuple(range(10, 13 + n % 3)), second=tuple(range(30, 32 + n % 4)))
    for n in range(8)
]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# DPO and preference models train an adapter only: their reference is the model without it.
KINDS = [("sft", 0), ("sft", 4), ("reward", 0), ("reward", 4), ("dpo", 4), ("preference", 4)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(family: str, dtype: torch.dtype, layout: str) -> tuple[Any, BatchLayout]:
    """A random model and its batch layout. Eager attention does not support the packed layout."""
    torch.manual_seed(0)
    attention = "sdpa" if layout == "packed" else "eager"
    config = copy.deepcopy(FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention).eval()
    return model, select_layout(model)


def train_kind(
    kind: str, rank: int, model: Any, layout: BatchLayout, folder: Path, **changes: Any
) -> list[dict[str, float]]:
    """Trains for six steps, in place, and returns the log."""
    runtime = TrainingRuntime(name=kind, seed=3, pad_id=0, layout=layout, token_budget=64)
    settings: dict[str, Any] = {
        "learning_rate": 1e-2,
        "num_train_epochs": 6,
        "batch_size": 8,
        "warmup_ratio": 0,
        "lora_r": rank,
        **changes,
    }
    if kind == "sft":
        pairs = [TokenizedPair(prompt=pair.prompt, first=pair.first) for pair in PAIRS]
        return train_sft(model, pairs, SftSettings(**settings), runtime, folder, lambda done=1: None)[1]
    if kind == "reward":
        return train_reward_model(model, PAIRS, RewardModelSettings(**settings), runtime, folder, lambda done=1: None)[
            1
        ]
    if kind == "preference":
        examples = [TrainingExample(pair, label=SoftLabel(1.0)) for pair in PAIRS]
        return train_preference_model(
            model, examples, PreferenceModelSettings(**settings), runtime, folder, lambda done=1: None
        )[1]
    with torch.no_grad():
        logprobs = LogprobReader(ResponseLogprobs(model), 0, layout)(PAIRS).tolist()
    examples = [TrainingExample(pair, (first, second)) for pair, (first, second) in zip(PAIRS, logprobs, strict=True)]
    return train_dpo(model, examples, DpoSettings(**settings), runtime, folder, lambda done=1: None)[1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "rank"), KINDS)
@pytest.mark.parametrize("layout", ["packed", "unpacked"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_training_lowers_its_loss(tmp_path: Path, dtype: str, layout: str, rank: int, kind: str, family: str) -> None:
    model, selected = tiny(family, DTYPES[dtype], layout)
    log = train_kind(kind, rank, model, selected, tmp_path)
    assert len(log) == 6
    assert log[-1]["loss"] < log[0]["loss"] - 0.02


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "rank"), KINDS)
@pytest.mark.parametrize(("layout", "dtype"), [("packed", "bfloat16"), ("unpacked", "float32")])
def test_gradient_checkpointing_trains_the_same_weights(
    tmp_path: Path, layout: str, dtype: str, rank: int, kind: str, family: str
) -> None:
    dropout = {"lora_dropout": 0.2} if rank else {}
    logs, weights, calls = [], [], []
    for enabled in (False, True):
        model, selected = tiny(family, DTYPES[dtype], layout)
        count = count_calls(find_first_linear_layer(model))
        folder = tmp_path / str(enabled)
        logs.append(train_kind(kind, rank, model, selected, folder, gradient_checkpointing=enabled, **dropout))
        weights.append(model.state_dict())
        calls.append(len(count))
    assert logs[0] == logs[1]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert calls[1] >= calls[0] + 6  # each step computes the layers again


def find_first_linear_layer(model: Any) -> Any:
    """A linear layer inside the first decoder layer. An adapter is added to it, but does not replace it."""
    parent, attribute = find_decoder_layers(model)
    layer = getattr(parent, attribute)[0]
    return next(module for module in layer.modules() if isinstance(module, torch.nn.Linear | Conv1D))


def count_calls(module: Any) -> list[None]:
    """A list that grows with each forward pass of the module."""
    calls: list[None] = []
    module.register_forward_pre_hook(lambda *_: calls.append(None))
    return calls


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt_neox"])
@pytest.mark.parametrize("kind", ["sft", "reward"])
def test_full_training_in_bfloat16_has_the_gradient_of_float32(tmp_path: Path, kind: str, family: str) -> None:
    norms = {}
    for name, dtype in DTYPES.items():
        model, selected = tiny(family, dtype, "packed")
        assert selected == "packed"
        norms[name] = train_kind(kind, 0, model, selected, tmp_path / name)[0]["grad_norm"]
    assert norms["bfloat16"] == pytest.approx(norms["float32"], rel=0.03)

"""A published adapter merged with its base computes what base plus adapter computes, or loading it is an error."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from trimtab.errors import ModelError
from trimtab.models.adapter_merge import apply_and_merge_adapter
from trimtab.models.checkpoint import load_checkpoint
from trimtab.models.config import Model

TOKENS = torch.arange(3, 40)[None]
NEW_TOKENS = ("<|one|>", "<|two|>", "<|three|>")


@pytest.fixture(autouse=True)
def _setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's and transformers' own
        yield


def save_base(tiny_model: Path, folder: Path, **config: Any) -> Path:
    """The tiny model's tokenizer with other random weights."""
    from transformers import AutoConfig, LlamaForCausalLM

    shutil.copytree(tiny_model, folder)
    torch.manual_seed(0)
    LlamaForCausalLM(AutoConfig.from_pretrained(tiny_model, **config)).save_pretrained(folder)
    return folder


def train_adapter(base: Path, folder: Path, new_tokens: tuple[str, ...] = (), **config: Any) -> Tensor:
    """Saves an adapter with random weights and its tokenizer as peft does, and returns the logits of base plus adapter."""
    torch.manual_seed(1)
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    if new_tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": list(new_tokens)})
        model.resize_token_embeddings(len(tokenizer))
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, **config)).eval()
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
        logits: Tensor = adapted(TOKENS).logits
    adapted.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return logits


HEAD, EMBEDDING = ["lm_head"], ["embed_tokens"]


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", *HEAD]},
        {"target_modules": ["q_proj", *EMBEDDING]},
        {"target_modules": ["q_proj"], "modules_to_save": [*EMBEDDING, *HEAD]},
        {"target_modules": ["q_proj"], "modules_to_save": EMBEDDING, "ensure_weight_tying": True},
        {"target_modules": ["q_proj"], "new_tokens": NEW_TOKENS},
        {"target_modules": ["q_proj"], "new_tokens": NEW_TOKENS, "modules_to_save": [*EMBEDDING, *HEAD]},
        {
            "target_modules": ["q_proj"],
            "new_tokens": NEW_TOKENS,
            "trainable_token_indices": {"embed_tokens": [259, 260, 261]},
        },
    ],
)
@pytest.mark.parametrize("tie_word_embeddings", [True, False])
def test_a_merged_model_computes_what_base_plus_adapter_does(
    tiny_model: Path, tmp_path: Path, config: Mapping[str, Any], tie_word_embeddings: bool
) -> None:
    base = save_base(tiny_model, tmp_path / "base", tie_word_embeddings=tie_word_embeddings)
    expected = train_adapter(base, tmp_path / "adapter", **config)
    loaded = load_checkpoint(Model(base=str(tmp_path / "adapter"), dtype="float32"), lambda message: None, "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(TOKENS).logits, expected, rtol=1e-4, atol=1e-5)


def test_weights_for_which_the_base_has_no_place_are_an_error(tiny_model: Path, tmp_path: Path) -> None:
    deeper = save_base(tiny_model, tmp_path / "deeper", num_hidden_layers=3)
    train_adapter(deeper, tmp_path / "adapter", target_modules=["q_proj"])
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    with pytest.raises(ModelError, match=r"2 weights for which the base has no place \(.*layers\.2\..*another model"):
        apply_and_merge_adapter(base, tmp_path / "adapter")


def test_a_merged_model_that_computes_something_else_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    base = save_base(tiny_model, tmp_path / "base", tie_word_embeddings=True)
    # With this setting, peft adds the change of the embedding to the output head as well, but not when it merges the two.
    train_adapter(base, tmp_path / "adapter", target_modules=["q_proj", *EMBEDDING], ensure_weight_tying=True)
    with pytest.raises(ModelError, match="the merged model does not compute what base plus adapter does"):
        apply_and_merge_adapter(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")

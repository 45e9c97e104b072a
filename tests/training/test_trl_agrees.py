"""Losses and gradients are those that TRL computes for the same pairs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from trimtab.config.training import DpoSettings
from trimtab.models.adapters import add_adapter
from trimtab.models.packing.layout_probe import BATCH_LAYOUTS, select_layout
from trimtab.models.packing.pair_batch import BatchLayout, TokenizedPair, collate_pairs
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.training.dpo_objective import build_dpo_loss

CONFIG = LlamaConfig(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    pad_token_id=0,
)
ROWS = [
    TokenizedPair(prompt=(5, 6, 7, 8), first=(9, 10, 11), second=(12, 13, 14, 15, 16)),
    TokenizedPair(prompt=(20, 21), first=(22,), second=(23, 24)),
    TokenizedPair(prompt=(30, 31, 32, 33, 34, 35, 36), first=(37, 38, 39, 40), second=(41,)),
    TokenizedPair(prompt=(50, 51, 52), first=(53, 54), second=(55, 56, 57)),
]
BETA = 0.3


class Given(DPOTrainer):  # type: ignore[misc]
    """Takes tokens as they are."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def started(model: Any) -> Any:
    """The model with an adapter that has left its start, so that policy and reference differ."""
    adapted = add_adapter(model, rank=4, alpha=8, seed=1)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return adapted


def trl_says(
    model: Any, adapter: dict[str, torch.Tensor], tokenizer: Any, folder: Path, recipe: DpoSettings
) -> tuple[float, dict[str, torch.Tensor]]:
    columns = [
        {"prompt_ids": list(row.prompt), "chosen_ids": list(row.first), "rejected_ids": list(row.second)}
        for row in ROWS
    ]
    told = DPOConfig(
        output_dir=str(folder),
        beta=BETA,
        loss_type=[recipe.loss_type],
        label_smoothing=float(recipe.label_smoothing),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_length=None,
    )
    trainer = Given(
        model=model,
        args=told,
        train_dataset=Dataset.from_list(columns),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"),
    )
    policy = trainer.model
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_" in name:
                weight.copy_(adapter[name])
    loss = trainer.compute_loss(policy, trainer.data_collator(columns))
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in policy.named_parameters() if weight.requires_grad}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "recipe",
    [
        DpoSettings(beta=BETA),
        DpoSettings(beta=BETA, loss_type="robust", label_smoothing=0.2),
        DpoSettings(beta=BETA, loss_type="ipo"),
        DpoSettings(beta=BETA, loss_type="hinge"),
    ],
    ids=lambda recipe: recipe.loss,
)
def test_loss_and_gradients_are_those_of_trl(tiny_model: Path, tmp_path: Path, recipe: DpoSettings) -> None:
    torch.manual_seed(0)
    base = LlamaForCausalLM(CONFIG).eval()
    ours = started(copy.deepcopy(base))
    adapter = {name: weight.detach().clone() for name, weight in ours.named_parameters() if "lora_" in name}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    wanted, slopes = trl_says(copy.deepcopy(base), adapter, tokenizer, tmp_path, recipe)
    for form in BATCH_LAYOUTS:
        loss, found = we_say(started(copy.deepcopy(base)), base, form, recipe)
        assert loss == pytest.approx(wanted, abs=1e-4), form
        assert set(found) == set(slopes)
        for name, slope in found.items():
            assert torch.allclose(slope, slopes[name], atol=1e-4), (form, name)


def we_say(
    policy: Any, reference: Any, form: BatchLayout, recipe: DpoSettings
) -> tuple[float, dict[str, torch.Tensor]]:
    for model in (policy, reference):
        if form == "packed":
            assert select_layout(model) == "packed"
    batch = collate_pairs(ROWS, form, 0).tensors()
    with torch.no_grad():
        table = ResponseLogprobs(reference)(**batch)
    inputs = {
        "reference": table,
        "counts": torch.tensor([[len(row.first), len(row.second)] for row in ROWS]),
        "p_first": torch.ones(len(ROWS)),
        "weight": torch.ones(len(ROWS)),
    }
    loss = build_dpo_loss(recipe)(ResponseLogprobs(policy)(**batch), inputs, 0.0)[0] / len(ROWS)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), {name: weight.grad for name, weight in policy.named_parameters() if weight.requires_grad}

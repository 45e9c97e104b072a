"""Losses and gradients match those of TRL on the same pairs."""

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
PAIRS = [
    TokenizedPair(prompt=(5, 6, 7, 8), first=(9, 10, 11), second=(12, 13, 14, 15, 16)),
    TokenizedPair(prompt=(20, 21), first=(22,), second=(23, 24)),
    TokenizedPair(prompt=(30, 31, 32, 33, 34, 35, 36), first=(37, 38, 39, 40), second=(41,)),
    TokenizedPair(prompt=(50, 51, 52), first=(53, 54), second=(55, 56, 57)),
]
BETA = 0.3


class PretokenizedDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """Uses token ids without preprocessing."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def with_adapter(model: Any) -> Any:
    """The model with a nonzero adapter, so that policy and reference differ."""
    adapted = add_adapter(model, rank=4, alpha=8, seed=1)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return adapted


def compute_with_trl(
    model: Any, adapter: dict[str, torch.Tensor], tokenizer: Any, folder: Path, settings: DpoSettings
) -> tuple[float, dict[str, torch.Tensor]]:
    columns = [
        {"prompt_ids": list(row.prompt), "chosen_ids": list(row.first), "rejected_ids": list(row.second)}
        for row in PAIRS
    ]
    arguments = DPOConfig(
        output_dir=str(folder),
        beta=BETA,
        loss_type=[settings.loss_type],
        label_smoothing=float(settings.label_smoothing),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_length=None,
    )
    trainer = PretokenizedDPOTrainer(
        model=model,
        args=arguments,
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
    "settings",
    [
        DpoSettings(beta=BETA),
        DpoSettings(beta=BETA, loss_type="robust", label_smoothing=0.2),
        DpoSettings(beta=BETA, loss_type="ipo"),
        DpoSettings(beta=BETA, loss_type="hinge"),
    ],
    ids=lambda settings: settings.loss_type,
)
def test_loss_and_gradients_match_trl(tiny_model: Path, tmp_path: Path, settings: DpoSettings) -> None:
    torch.manual_seed(0)
    base = LlamaForCausalLM(CONFIG).eval()
    policy = with_adapter(copy.deepcopy(base))
    adapter = {name: weight.detach().clone() for name, weight in policy.named_parameters() if "lora_" in name}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    expected_loss, expected_gradients = compute_with_trl(copy.deepcopy(base), adapter, tokenizer, tmp_path, settings)
    for layout in BATCH_LAYOUTS:
        loss, gradients = compute_with_trimtab(with_adapter(copy.deepcopy(base)), base, layout, settings)
        assert loss == pytest.approx(expected_loss, abs=1e-4), layout
        assert set(gradients) == set(expected_gradients)
        for name, gradient in gradients.items():
            assert torch.allclose(gradient, expected_gradients[name], atol=1e-4), (layout, name)


def compute_with_trimtab(
    policy: Any, reference: Any, layout: BatchLayout, settings: DpoSettings
) -> tuple[float, dict[str, torch.Tensor]]:
    for model in (policy, reference):
        if layout == "packed":
            assert select_layout(model) == "packed"
    batch = collate_pairs(PAIRS, layout, 0).tensors()
    with torch.no_grad():
        reference_logprobs = ResponseLogprobs(reference)(**batch)
    inputs = {
        "reference": reference_logprobs,
        "counts": torch.tensor([[len(row.first), len(row.second)] for row in PAIRS]),
        "p_first": torch.ones(len(PAIRS)),
        "weight": torch.ones(len(PAIRS)),
    }
    loss = build_dpo_loss(settings)(ResponseLogprobs(policy)(**batch), inputs, 0.0)[0] / len(PAIRS)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), {name: weight.grad for name, weight in policy.named_parameters() if weight.requires_grad}

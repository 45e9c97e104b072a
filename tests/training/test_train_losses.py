"""Training with each DPO loss and with the auxiliary confidence loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
)

from trimtab.config.training import (
    LOSSES,
    AuxConfidenceSettings,
    DpoSettings,
    LossType,
    PreferenceModelSettings,
)
from trimtab.errors import StudyError
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.logprobs import LogprobReader, ResponseLogprobs
from trimtab.training.dpo import train_dpo
from trimtab.training.preference_model import build_answer_loss, train_preference_model
from trimtab.training.trainer import (
    SoftLabel,
    TrainingExample,
    TrainingRuntime,
)

CONFIG = LlamaConfig(
    vocab_size=60,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)
PAIRS = [
    TokenizedPair(prompt=(5, 6, 7 + n % 5), first=tuple(range(10, 13 + n % 3)), second=tuple(range(30, 32 + n % 4)))
    for n in range(12)
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_model() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(CONFIG).eval()


def tick(done: int = 1) -> None:
    """No progress bar."""


def make_runtime(**changes: Any) -> TrainingRuntime:
    return TrainingRuntime(**{"name": "test", "seed": 3, "pad_id": 0, "token_budget": 64, **changes})


def with_reference(model: Any) -> list[TrainingExample]:
    with torch.no_grad():
        logprobs = LogprobReader(ResponseLogprobs(model), 0, "padded")(PAIRS).tolist()
    return [TrainingExample(pair, (first, second)) for pair, (first, second) in zip(PAIRS, logprobs, strict=True)]


def adapter_weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


# Settings that a loss requires.
REQUIRED: dict[LossType, dict[str, Any]] = {"robust": {"label_smoothing": "per_pair"}, "simpo": {"beta": 2.0}}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_increases_the_margin_of_its_training_pairs(tmp_path: Path, loss: LossType) -> None:
    values = {"loss_type": loss, "learning_rate": 1e-2, "num_train_epochs": 3, "batch_size": 4, "lora_r": 4}
    settings = DpoSettings(**{**values, **REQUIRED.get(loss, {})})
    soft = [
        TrainingExample(example.pair, example.reference_logprobs, SoftLabel(0.8))
        for example in with_reference(tiny_model())
    ]
    _, log = train_dpo(tiny_model(), soft, settings, make_runtime(), tmp_path, tick)
    assert log[-1]["margin"] > log[0]["margin"] + (0.1 if loss in ("simpo", "ipo") else 0.3)


def test_a_reference_free_loss_needs_no_reference_logprobs(tmp_path: Path) -> None:
    settings = DpoSettings(loss_type="simpo", beta=2.0, batch_size=12, lora_r=2)
    _, log = train_dpo(
        tiny_model(), [TrainingExample(pair) for pair in PAIRS], settings, make_runtime(), tmp_path, tick
    )
    assert len(log) == 1


def test_a_loss_over_the_full_batch_does_not_depend_on_the_token_budget(tmp_path: Path) -> None:
    settings = DpoSettings(
        loss_type="dr_dpo",
        dr_dpo_beta=0.1,
        learning_rate=1e-2,
        batch_size=12,
        num_train_epochs=2,
        lora_r=2,
        warmup_ratio=0,
    )
    logs = [
        train_dpo(
            tiny_model(),
            with_reference(tiny_model()),
            settings,
            make_runtime(token_budget=budget),
            tmp_path / str(budget),
            tick,
        )[1]
        for budget in (16, 4096)
    ]
    assert [record["loss"] for record in logs[0]] == [record["loss"] for record in logs[1]]


def test_a_loss_over_the_full_batch_is_rejected_on_several_processes(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match="test: the loss compares all examples of a step, so it cannot run on 2 processes"
    ):
        train_dpo(
            tiny_model(),
            with_reference(tiny_model()),
            DpoSettings(loss_type="dr_dpo"),
            make_runtime(world_size=2),
            tmp_path,
            tick,
        )


def test_weighted_labels_of_one_half_have_no_gradient(tmp_path: Path) -> None:
    examples = [
        TrainingExample(example.pair, example.reference_logprobs, SoftLabel(0.5))
        for example in with_reference(tiny_model())
    ]
    _, log = train_dpo(
        tiny_model(),
        examples,
        DpoSettings(label_mode="weighted", batch_size=12, lora_r=2),
        make_runtime(),
        tmp_path,
        tick,
    )
    assert log[0]["loss"] == log[0]["grad_norm"] == 0


LOGPROBS = torch.tensor([[-1.0, -3.0], [-2.0, -1.0]])
SECOND = {"p_first": torch.zeros(2), "reference": torch.zeros(2, 2)}  # both labels are the second answer


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 4.0), (0.1, 3.5), (0.2, 3.0), (1.0, 3.0)])
def test_the_weight_of_the_models_own_predictions_grows_linearly(progress: float, expected: float) -> None:
    # labels only: 3 + 1; with weight 1/2 on the own prediction, the first answer, in the first example: 2 + 1
    total, metrics = build_answer_loss(AuxConfidenceSettings(weight=0.5, warmup_ratio=0.2))(LOGPROBS, SECOND, progress)
    assert total.item() == pytest.approx(expected)
    assert metrics["accuracy"] == 0.5
    assert build_answer_loss(None)(LOGPROBS, SECOND, progress)[0].item() == 4.0


def test_a_preference_model_with_the_confidence_loss_learns_both_orders(tmp_path: Path) -> None:
    # the answers 50 and 51 to a prompt and to the prompt with swapped responses, with opposite labels
    examples = [
        TrainingExample(
            TokenizedPair(prompt=(5, 6, 7 + n, *order), first=(50,), second=(51,)),
            label=SoftLabel(float(order == (20, 21))),
        )
        for n in range(6)
        for order in ((20, 21), (21, 20))
    ]
    settings = PreferenceModelSettings(
        learning_rate=2e-2,
        num_train_epochs=10,
        batch_size=3,
        presentation_order="both",
        aux_confidence=AuxConfidenceSettings(),
    )
    _, log = train_preference_model(tiny_model(), examples, settings, make_runtime(token_budget=16), tmp_path, tick)
    assert len(log) == 20
    assert sum(record["accuracy"] for record in log[-4:]) / 4 > 0.9

"""Training through `transformers.Trainer`: the right gradient, the same bytes after a kill, and a stop at what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, LlamaForCausalLM, OPTConfig, PreTrainedConfig

from trimtab.config.training import (
    LOSSES,
    AuxConfidenceSettings,
    DpoSettings,
    LossType,
    PreferenceModelSettings,
    RewardModelSettings,
    SftSettings,
)
from trimtab.errors import StudyError, TrainingError
from trimtab.models.packing.layout_probe import select_layout
from trimtab.models.packing.pair_batch import TokenizedPair, collate_pairs
from trimtab.models.scoring.logprobs import LogprobReader, ResponseLogprobs
from trimtab.models.scoring.reward_head import ResponseRewards, compute_rewards
from trimtab.training import losses
from trimtab.training.dpo import train_dpo
from trimtab.training.preference_model import build_answer_loss, train_preference_model
from trimtab.training.reward_model import train_reward_model
from trimtab.training.sft import train_sft
from trimtab.training.trainer import (
    SoftLabel,
    TrainingExample,
    TrainingRuntime,
    _LengthSortedSampler,
    select_micro_batch_size,
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
ROWS = [
    TokenizedPair(prompt=(5, 6, 7 + n % 5), first=tuple(range(10, 13 + n % 3)), second=tuple(range(30, 32 + n % 4)))
    for n in range(12)
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(CONFIG).eval()


def tick(done: int = 1) -> None:
    """No progress bar."""


def setup(**changes: Any) -> TrainingRuntime:
    return TrainingRuntime(**{"name": "test", "seed": 3, "pad_id": 0, "token_budget": 64, **changes})


def referenced(model: Any) -> list[TrainingExample]:
    with torch.no_grad():
        table = LogprobReader(ResponseLogprobs(model), 0, "padded")(ROWS).tolist()
    return [TrainingExample(row, (first, second)) for row, (first, second) in zip(ROWS, table, strict=True)]


def adapter(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


def test_dpo_raises_the_margin_of_what_it_is_trained_on(tmp_path: Path) -> None:
    _, log = train_dpo(
        tiny(),
        referenced(tiny()),
        DpoSettings(learning_rate=1e-2, num_train_epochs=8, batch_size=4, lora_r=4),
        setup(),
        tmp_path,
        tick,
    )
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # policy and reference agree before the first step
    assert log[-1]["margin"] > 1 > abs(log[0]["margin"])
    assert len(log) == 24


WITH_DROPOUT: dict[str, PreTrainedConfig] = {
    "opt": OPTConfig(
        vocab_size=60,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
        dropout=0.1,
        attention_dropout=0.1,
    ),
    "gpt2": GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64),  # 0.1 in three places
}


@pytest.mark.parametrize("family", WITH_DROPOUT)
def test_a_models_own_dropout_is_off_so_that_policy_and_reference_agree_at_step_0(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(WITH_DROPOUT[family]).eval()
    form = select_layout(model)
    with torch.no_grad():
        table = LogprobReader(ResponseLogprobs(model), 0, form)(ROWS).tolist()
    examples = [TrainingExample(row, (first, second)) for row, (first, second) in zip(ROWS, table, strict=True)]
    _, log = train_dpo(model, examples, DpoSettings(batch_size=12, lora_r=2), setup(form=form), tmp_path, tick)
    assert log[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert log[0]["loss"] == pytest.approx(0.693147, abs=1e-5)


def test_the_gradient_does_not_depend_on_how_a_step_is_cut_into_passes(tmp_path: Path) -> None:
    found = []
    for budget in (16, 64, 4096):
        recipe = DpoSettings(learning_rate=1e-3, batch_size=12, lora_r=2, warmup_ratio=0, lr_scheduler_type="constant")
        policy, log = train_dpo(
            tiny(), referenced(tiny()), recipe, setup(token_budget=budget), tmp_path / str(budget), tick
        )
        assert len(log) == 1
        found.append((log[0]["grad_norm"], adapter(policy)))
    for norm, weights in found[1:]:
        assert norm == pytest.approx(found[0][0], rel=1e-4)
        for name, weight in weights.items():
            assert torch.allclose(weight, found[0][1][name], atol=1e-5), name


def test_one_step_of_dpo_has_the_gradient_of_the_plain_loss(tmp_path: Path) -> None:
    recipe = DpoSettings(learning_rate=1e-9, batch_size=12, lora_r=2, max_grad_norm=1e9, warmup_ratio=0, beta=0.3)
    policy, log = train_dpo(tiny(), referenced(tiny()), recipe, setup(), tmp_path, tick)
    policy.zero_grad()
    table = torch.tensor([example.reference_logprobs for example in referenced(tiny())])
    out = ResponseLogprobs(policy)(**collate_pairs(ROWS, "padded", 0).tensors())
    losses.dpo_loss(out, table, beta=0.3).mean().backward()  # type: ignore[no-untyped-call]
    norm = torch.stack([w.grad.norm() for w in policy.parameters() if w.requires_grad]).norm().item()
    assert log[0]["grad_norm"] == pytest.approx(norm, rel=1e-3)


def test_sft_weighs_every_token_alike(tmp_path: Path) -> None:
    rows = [TokenizedPair(prompt=row.prompt, first=row.first) for row in ROWS]
    plain = tiny()
    total = ResponseLogprobs(plain)(**collate_pairs(rows, "padded", 0).tensors()).sum()
    n_tokens = sum(len(row.first) for row in rows)
    recipe = SftSettings(learning_rate=1e-9, batch_size=12, max_grad_norm=1e9, warmup_ratio=0)
    for budget in (8, 4096):
        _, log = train_sft(tiny(), rows, recipe, setup(token_budget=budget), tmp_path / str(budget), tick)
        assert log[0]["loss"] == pytest.approx(-total.item() / n_tokens, rel=1e-4)


def test_sft_learns_its_responses_with_and_without_an_adapter(tmp_path: Path) -> None:
    rows = [TokenizedPair(prompt=row.prompt, first=row.first) for row in ROWS]
    for rank in (0, 4):
        recipe = SftSettings(learning_rate=3e-2 if rank else 1e-2, num_train_epochs=10, batch_size=4, lora_r=rank)
        tuned, log = train_sft(tiny(), rows, recipe, setup(), tmp_path / str(rank), tick)
        assert log[-1]["loss"] < log[0]["loss"] - 0.3
        assert not hasattr(tuned, "merge_and_unload")


@pytest.mark.parametrize("stop_after", [3, 5])
def test_a_killed_run_started_again_gives_the_same_bytes(tmp_path: Path, stop_after: int) -> None:
    recipe = DpoSettings(learning_rate=1e-2, num_train_epochs=2, batch_size=4, lora_r=4)
    examples = referenced(tiny())
    often = setup(arguments={"save_steps": 2})
    whole, whole_log = train_dpo(tiny(), examples, recipe, often, tmp_path / "whole", tick)

    class KilledError(Exception):
        """Stands for the power cut."""

    seen = 0

    def pull_the_plug(done: int = 1) -> None:
        nonlocal seen
        seen += done
        if seen == stop_after:
            raise KilledError

    with pytest.raises(KilledError):
        train_dpo(tiny(), examples, recipe, often, tmp_path / "cut", pull_the_plug)
    again, log = train_dpo(tiny(), examples, recipe, often, tmp_path / "cut", tick)
    for name, weight in adapter(whole).items():
        assert torch.equal(weight, adapter(again)[name]), name
    assert log == whole_log


def test_a_checkpoint_holds_the_trained_weights_and_nothing_else(tmp_path: Path) -> None:
    recipe = DpoSettings(batch_size=4, lora_r=2)
    policy, _ = train_dpo(tiny(), referenced(tiny()), recipe, setup(arguments={"save_steps": 1}), tmp_path, tick)
    saved = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert {name.removeprefix("model.") for name in saved} == set(adapter(policy))


def test_another_models_reference_table_is_refused_before_the_first_step(tmp_path: Path) -> None:
    wrong = [
        TrainingExample(each.pair, (each.reference_logprobs[0] - 3, each.reference_logprobs[1]))
        for each in referenced(tiny())
    ]
    with pytest.raises(
        TrainingError, match=r"test: before the first step policy and reference must agree, .* nats a token"
    ):
        train_dpo(tiny(), wrong, DpoSettings(), setup(), tmp_path, tick)


def test_a_loss_that_is_not_a_number_stops_and_says_at_which_step_and_rate(tmp_path: Path) -> None:
    broken = tiny()
    with torch.no_grad():
        broken.lm_head.weight[0] = float("nan")
    rows = [TokenizedPair(prompt=row.prompt, first=row.first) for row in ROWS]
    with pytest.raises(
        TrainingError, match=r"test: the loss became nan at step 1 with a learning rate of .*lower learning_rate"
    ):
        train_sft(broken, rows, SftSettings(lora_r=2), setup(), tmp_path, tick)


def test_settings_of_the_study_cannot_be_changed_behind_its_back(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--trainer learning_rate: the study or Trimtab sets it"):
        train_dpo(tiny(), referenced(tiny()), DpoSettings(), setup(arguments={"learning_rate": 1.0}), tmp_path, tick)


def test_micro_batches_divide_the_step_and_follow_the_longer_rows() -> None:
    assert select_micro_batch_size([10] * 100, 16, 80) == 8
    assert select_micro_batch_size([10] * 95 + [1000] * 5, 16, 80) == 8  # a few long rows do not make every pass small
    assert select_micro_batch_size([1000], 16, 80) == 1
    assert select_micro_batch_size([1], 12, 10**6) == 12


def test_a_reward_model_learns_which_response_is_preferred(tmp_path: Path) -> None:
    recipe = RewardModelSettings(learning_rate=1e-2, num_train_epochs=8, batch_size=4, lora_r=4)
    module, log = train_reward_model(tiny(), ROWS, recipe, setup(), tmp_path, tick)
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-4)  # the head starts at zero
    assert all(first > second for first, second in compute_rewards(module.eval(), ROWS, 0))


def test_a_reward_is_read_at_the_last_token_of_each_response() -> None:
    batch = collate_pairs([ROWS[0], TokenizedPair(prompt=(1,), first=(2, 3))], "padded", 0)
    assert batch.last_token_indices.tolist() == [[5, 7], [10, -1]]


def test_a_reward_does_not_depend_on_the_other_response() -> None:
    module = ResponseRewards(tiny())
    torch.nn.init.normal_(module.head.weight)
    together = compute_rewards(module, [ROWS[1]], 0)[0]
    alone = [
        compute_rewards(module, [TokenizedPair(prompt=ROWS[1].prompt, first=each)], 0)[0][0]
        for each in (ROWS[1].first, ROWS[1].second)
    ]
    assert together == pytest.approx(alone, abs=1e-5)


def test_the_two_orders_of_a_pair_are_never_parted() -> None:
    sampler = _LengthSortedSampler([5, 3, 9, 1, 2, 2, 7, 7], 4, 0, together=2)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == list(range(8))
        assert all(len({place // 2 for place in order[start : start + 4]}) == 2 for start in (0, 4))
        orders.append(tuple(order))
    assert len(set(orders)) > 1


# What a loss cannot do without.
NEEDED: dict[LossType, dict[str, Any]] = {"robust": {"label_smoothing": "per_pair"}, "simpo": {"beta": 2.0}}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_raises_the_margin_of_what_it_is_trained_on(tmp_path: Path, loss: LossType) -> None:
    more = NEEDED.get(loss, {})
    recipe = DpoSettings(**{"loss": loss, "learning_rate": 1e-2, "epochs": 3, "batch_size": 4, "lora_rank": 4, **more})
    doubtful = [TrainingExample(each.pair, each.reference_logprobs, SoftLabel(0.8)) for each in referenced(tiny())]
    _, log = train_dpo(tiny(), doubtful, recipe, setup(), tmp_path, tick)
    assert log[-1]["margin"] > log[0]["margin"] + (0.1 if loss in ("simpo", "ipo") else 0.3)


def test_a_loss_without_a_reference_asks_for_no_table(tmp_path: Path) -> None:
    recipe = DpoSettings(loss_type="simpo", beta=2.0, batch_size=12, lora_r=2)
    _, log = train_dpo(tiny(), [TrainingExample(row) for row in ROWS], recipe, setup(), tmp_path, tick)
    assert len(log) == 1


def test_a_loss_that_compares_the_pairs_of_a_step_sees_all_of_them_whatever_the_budget(tmp_path: Path) -> None:
    recipe = DpoSettings(
        loss_type="dr_dpo",
        dr_dpo_beta=0.1,
        learning_rate=1e-2,
        batch_size=12,
        num_train_epochs=2,
        lora_r=2,
        warmup_ratio=0,
    )
    logs = [
        train_dpo(tiny(), referenced(tiny()), recipe, setup(token_budget=budget), tmp_path / str(budget), tick)[1]
        for budget in (16, 4096)
    ]
    assert [each["loss"] for each in logs[0]] == [each["loss"] for each in logs[1]]


def test_a_loss_that_compares_the_pairs_of_a_step_is_refused_to_several_processes(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match="test: its loss compares all examples of a step, which 2 processes would part"
    ):
        train_dpo(tiny(), referenced(tiny()), DpoSettings(loss_type="dr_dpo"), setup(world=2), tmp_path, tick)


def test_weighted_labels_that_are_coins_move_nothing(tmp_path: Path) -> None:
    examples = [TrainingExample(each.pair, each.reference_logprobs, SoftLabel(0.5)) for each in referenced(tiny())]
    _, log = train_dpo(
        tiny(), examples, DpoSettings(label_mode="weighted", batch_size=12, lora_r=2), setup(), tmp_path, tick
    )
    assert log[0]["loss"] == log[0]["grad_norm"] == 0


SUMMED = torch.tensor([[-1.0, -3.0], [-2.0, -1.0]])
SECOND = {"p_first": torch.zeros(2), "reference": torch.zeros(2, 2)}  # the second answer is the labels' for both


@pytest.mark.parametrize(("progress", "wanted"), [(0.0, 4.0), (0.1, 3.5), (0.2, 3.0), (1.0, 3.0)])
def test_the_models_own_answer_enters_step_by_step(progress: float, wanted: float) -> None:
    # plain 3 + 1; with the own answer, the first, of weight 1/2 in the first example: 2 + 1
    total, facts = build_answer_loss(AuxConfidenceSettings(weight=0.5, warmup_ratio=0.2))(SUMMED, SECOND, progress)
    assert total.item() == pytest.approx(wanted)
    assert facts["accuracy"] == 0.5
    assert build_answer_loss(None)(SUMMED, SECOND, progress)[0].item() == 4.0


def test_a_preference_model_with_the_confidence_loss_learns_both_orders(tmp_path: Path) -> None:
    # the same answers 50 and 51 to a question and its turned form: a label and its opposite
    asked = [
        TrainingExample(
            TokenizedPair(prompt=(5, 6, 7 + n, *turned), first=(50,), second=(51,)),
            label=SoftLabel(float(turned == (20, 21))),
        )
        for n in range(6)
        for turned in ((20, 21), (21, 20))
    ]
    recipe = PreferenceModelSettings(
        learning_rate=2e-2,
        num_train_epochs=10,
        batch_size=3,
        presentation_order="both",
        aux_confidence=AuxConfidenceSettings(),
    )
    _, log = train_preference_model(tiny(), asked, recipe, setup(token_budget=16), tmp_path, tick)
    assert len(log) == 20
    assert sum(each["accuracy"] for each in log[-4:]) / 4 > 0.9

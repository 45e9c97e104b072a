"""Training with `transformers.Trainer`: correct gradients, identical weights after a restart, and clear errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    PreTrainedConfig,
    TrainingArguments,
)

from trimtab.config.training import (
    DpoSettings,
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
from trimtab.training.reward_model import train_reward_model
from trimtab.training.sft import train_sft
from trimtab.training.trainer import (
    SoftLabel,
    TrainingExample,
    TrainingJob,
    TrainingRuntime,
    _build_arguments,
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


def test_dpo_increases_the_margin_of_its_training_pairs(tmp_path: Path) -> None:
    _, log = train_dpo(
        tiny_model(),
        with_reference(tiny_model()),
        DpoSettings(learning_rate=1e-2, num_train_epochs=8, batch_size=4, lora_r=4),
        make_runtime(),
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
def test_model_dropout_is_disabled_so_policy_and_reference_agree_at_the_first_step(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(WITH_DROPOUT[family]).eval()
    layout = select_layout(model)
    with torch.no_grad():
        logprobs = LogprobReader(ResponseLogprobs(model), 0, layout)(PAIRS).tolist()
    examples = [TrainingExample(pair, (first, second)) for pair, (first, second) in zip(PAIRS, logprobs, strict=True)]
    _, log = train_dpo(
        model, examples, DpoSettings(batch_size=12, lora_r=2), make_runtime(layout=layout), tmp_path, tick
    )
    assert log[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert log[0]["loss"] == pytest.approx(0.693147, abs=1e-5)


def test_the_gradient_does_not_depend_on_the_micro_batch_size(tmp_path: Path) -> None:
    results = []
    for budget in (16, 64, 4096):
        settings = DpoSettings(
            learning_rate=1e-3, batch_size=12, lora_r=2, warmup_ratio=0, lr_scheduler_type="constant"
        )
        policy, log = train_dpo(
            tiny_model(),
            with_reference(tiny_model()),
            settings,
            make_runtime(token_budget=budget),
            tmp_path / str(budget),
            tick,
        )
        assert len(log) == 1
        results.append((log[0]["grad_norm"], adapter_weights(policy)))
    for norm, weights in results[1:]:
        assert norm == pytest.approx(results[0][0], rel=1e-4)
        for name, weight in weights.items():
            assert torch.allclose(weight, results[0][1][name], atol=1e-5), name


def test_one_dpo_step_has_the_gradient_of_the_loss_function(tmp_path: Path) -> None:
    settings = DpoSettings(learning_rate=1e-9, batch_size=12, lora_r=2, max_grad_norm=1e9, warmup_ratio=0, beta=0.3)
    policy, log = train_dpo(tiny_model(), with_reference(tiny_model()), settings, make_runtime(), tmp_path, tick)
    policy.zero_grad()
    reference = torch.tensor([example.reference_logprobs for example in with_reference(tiny_model())])
    out = ResponseLogprobs(policy)(**collate_pairs(PAIRS, "padded", 0).tensors())
    losses.dpo_loss(out, reference, beta=0.3).mean().backward()  # type: ignore[no-untyped-call]
    norm = torch.stack([w.grad.norm() for w in policy.parameters() if w.requires_grad]).norm().item()
    assert log[0]["grad_norm"] == pytest.approx(norm, rel=1e-3)


def test_sft_weights_all_tokens_equally(tmp_path: Path) -> None:
    pairs = [TokenizedPair(prompt=pair.prompt, first=pair.first) for pair in PAIRS]
    model = tiny_model()
    total = ResponseLogprobs(model)(**collate_pairs(pairs, "padded", 0).tensors()).sum()
    n_tokens = sum(len(pair.first) for pair in pairs)
    settings = SftSettings(learning_rate=1e-9, batch_size=12, max_grad_norm=1e9, warmup_ratio=0)
    for budget in (8, 4096):
        _, log = train_sft(
            tiny_model(), pairs, settings, make_runtime(token_budget=budget), tmp_path / str(budget), tick
        )
        assert log[0]["loss"] == pytest.approx(-total.item() / n_tokens, rel=1e-4)


def test_sft_fits_its_responses_with_and_without_an_adapter(tmp_path: Path) -> None:
    pairs = [TokenizedPair(prompt=pair.prompt, first=pair.first) for pair in PAIRS]
    for rank in (0, 4):
        settings = SftSettings(learning_rate=3e-2 if rank else 1e-2, num_train_epochs=10, batch_size=4, lora_r=rank)
        tuned, log = train_sft(tiny_model(), pairs, settings, make_runtime(), tmp_path / str(rank), tick)
        assert log[-1]["loss"] < log[0]["loss"] - 0.3
        assert not hasattr(tuned, "merge_and_unload")


@pytest.mark.parametrize(
    ("duration", "stop_after", "changes"),
    [
        ({"num_train_epochs": 2}, 3, {}),
        ({"max_steps": 7, "lora_dropout": 0.2}, 5, {}),
        ({"max_steps": 7, "lora_dropout": 0.2}, 5, {"gradient_checkpointing": True}),
    ],
)
def test_a_killed_and_resumed_run_gives_identical_weights(
    tmp_path: Path, duration: dict[str, Any], stop_after: int, changes: dict[str, Any]
) -> None:
    settings = DpoSettings(learning_rate=1e-2, batch_size=4, lora_r=4, **duration)
    examples = with_reference(tiny_model())
    runtime = make_runtime(trainer_arguments={"save_steps": 2})
    uninterrupted, uninterrupted_log = train_dpo(
        tiny_model(), examples, settings, runtime, tmp_path / "uninterrupted", tick
    )

    class KilledError(Exception):
        """Simulates a killed process."""

    seen = 0

    def interrupt(done: int = 1) -> None:
        nonlocal seen
        seen += done
        if seen == stop_after:
            raise KilledError

    with pytest.raises(KilledError):
        train_dpo(tiny_model(), examples, settings, runtime, tmp_path / "interrupted", interrupt)
    resumed, log = train_dpo(
        tiny_model(), examples, settings.model_copy(update=changes), runtime, tmp_path / "interrupted", tick
    )
    for name, weight in adapter_weights(uninterrupted).items():
        assert torch.equal(weight, adapter_weights(resumed)[name]), name
    assert log == uninterrupted_log
    assert (tmp_path / "interrupted/log.jsonl").read_bytes() == (tmp_path / "uninterrupted/log.jsonl").read_bytes()


def test_a_resumed_log_has_each_step_once_if_not_every_step_is_logged(tmp_path: Path) -> None:
    settings = DpoSettings(max_steps=6, batch_size=4, lora_r=2)
    examples = with_reference(tiny_model())
    runtime = make_runtime(trainer_arguments={"save_steps": 2, "logging_steps": 2})
    seen = 0

    def interrupt(done: int = 1) -> None:
        nonlocal seen
        seen += done
        if seen == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_dpo(tiny_model(), examples, settings, runtime, tmp_path, interrupt)
    _, log = train_dpo(tiny_model(), examples, settings, runtime, tmp_path, tick)
    assert [record["step"] for record in log] == [2, 4, 6]


@pytest.mark.parametrize("kind", ["sft", "dpo", "reward"])
def test_max_steps_repeats_the_data_like_epochs(tmp_path: Path, kind: str) -> None:
    losses_by_duration = []
    for duration in ({"max_steps": 5}, {"num_train_epochs": 2}):  # 12 pairs in batches of 5 are 3 steps per epoch
        settings: dict[str, Any] = {
            "learning_rate": 1e-2,
            "batch_size": 5,
            "lora_r": 2,
            "warmup_ratio": 0,
            "lr_scheduler_type": "constant",
            **duration,
        }
        folder, runtime = tmp_path / next(iter(duration)), make_runtime()
        if kind == "sft":
            pairs = [TokenizedPair(prompt=pair.prompt, first=pair.first) for pair in PAIRS]
            _, log = train_sft(tiny_model(), pairs, SftSettings(**settings), runtime, folder, tick)
        elif kind == "dpo":
            examples = with_reference(tiny_model())
            _, log = train_dpo(tiny_model(), examples, DpoSettings(**settings), runtime, folder, tick)
        else:
            _, log = train_reward_model(tiny_model(), PAIRS, RewardModelSettings(**settings), runtime, folder, tick)
        losses_by_duration.append([record["loss"] for record in log])
    five_steps, two_epochs = losses_by_duration
    assert (len(five_steps), len(two_epochs)) == (5, 6)
    assert five_steps == two_epochs[:5]


def test_an_adapter_on_some_layers_trains_only_these(tmp_path: Path) -> None:
    settings = DpoSettings(max_steps=2, batch_size=4, lora_r=2, lora_target_modules=("q_proj", "v_proj"))
    policy, _ = train_dpo(tiny_model(), with_reference(tiny_model()), settings, make_runtime(), tmp_path, tick)
    names = adapter_weights(policy)
    assert len(names) == 2 * 2 * 2  # layers, modules, A and B
    assert all(".q_proj." in name or ".v_proj." in name for name in names)


def test_adapter_dropout_changes_training_but_not_its_start_or_what_is_saved(tmp_path: Path) -> None:
    common = {"max_steps": 6, "batch_size": 12, "learning_rate": 1e-2, "warmup_ratio": 0, "lora_r": 4}
    logs, weights = {}, {}
    for dropout in (0.0, 0.5):
        settings = DpoSettings(**common, lora_dropout=dropout)
        policy, logs[dropout] = train_dpo(
            tiny_model(), with_reference(tiny_model()), settings, make_runtime(), tmp_path / str(dropout), tick
        )
        weights[dropout] = adapter_weights(policy)
    assert logs[0.5][0]["margin"] == pytest.approx(0, abs=1e-4)  # B is zero: dropout of its input has no effect
    assert logs[0.5][0]["grad_norm"] != pytest.approx(logs[0.0][0]["grad_norm"], rel=1e-3)
    assert logs[0.5][-1]["margin"] > 0.01
    again = train_dpo(
        tiny_model(),
        with_reference(tiny_model()),
        DpoSettings(**common, lora_dropout=0.5),
        make_runtime(),
        tmp_path / "again",
        tick,
    )[0]
    assert all(torch.equal(weight, weights[0.5][name]) for name, weight in adapter_weights(again).items())
    module = ResponseLogprobs(again).eval()
    batch = collate_pairs(PAIRS, "padded", 0).tensors()
    with torch.no_grad():
        assert torch.equal(module(**batch), module(**batch))  # no dropout in inference


def test_normalized_weights_do_not_shrink_a_step_in_any_micro_batching(tmp_path: Path) -> None:
    """Equal weights of 0.2 scale a step by 0.2, unless they are normalized."""
    norms = {}
    for name, p_first, normalize, budget in (
        ("hard", 1.0, None, 64),
        ("weighted", 0.6, False, 64),
        ("normalized", 0.6, True, 64),
        ("small batches", 0.6, True, 16),
    ):
        examples = [replace(example, label=SoftLabel(p_first)) for example in with_reference(tiny_model())]
        mode = {} if normalize is None else {"label_mode": "weighted", "normalize_weights": normalize}
        settings = DpoSettings(batch_size=12, lora_r=2, max_grad_norm=1e9, **mode)
        runtime = make_runtime(token_budget=budget)
        _, log = train_dpo(tiny_model(), examples, settings, runtime, tmp_path / name, tick)
        norms[name] = log[0]["grad_norm"]
    assert norms["weighted"] == pytest.approx(0.2 * norms["hard"], rel=1e-3)
    assert norms["normalized"] == pytest.approx(norms["hard"], rel=1e-3)
    assert norms["small batches"] == pytest.approx(norms["hard"], rel=1e-3)


def test_a_checkpoint_holds_only_the_trained_weights(tmp_path: Path) -> None:
    settings = DpoSettings(batch_size=4, lora_r=2)
    policy, _ = train_dpo(
        tiny_model(),
        with_reference(tiny_model()),
        settings,
        make_runtime(trainer_arguments={"save_steps": 1}),
        tmp_path,
        tick,
    )
    saved = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert {name.removeprefix("model.") for name in saved} == set(adapter_weights(policy))


def test_reference_logprobs_of_another_model_are_rejected_before_the_first_step(tmp_path: Path) -> None:
    wrong = [
        TrainingExample(example.pair, (example.reference_logprobs[0] - 3, example.reference_logprobs[1]))
        for example in with_reference(tiny_model())
    ]
    with pytest.raises(
        TrainingError, match=r"test: policy and reference must agree before the first step, .* nats per token"
    ):
        train_dpo(tiny_model(), wrong, DpoSettings(), make_runtime(), tmp_path, tick)


def test_a_nan_loss_stops_training_and_reports_the_step_and_learning_rate(tmp_path: Path) -> None:
    broken = tiny_model()
    with torch.no_grad():
        broken.lm_head.weight[0] = float("nan")
    pairs = [TokenizedPair(prompt=pair.prompt, first=pair.first) for pair in PAIRS]
    with pytest.raises(
        TrainingError, match=r"test: the loss became nan at step 1 with a learning rate of .*lower learning_rate"
    ):
        train_sft(broken, pairs, SftSettings(lora_r=2), make_runtime(), tmp_path, tick)


def test_trainer_arguments_that_change_the_result_are_rejected(tmp_path: Path) -> None:
    runtime = make_runtime(trainer_arguments={"learning_rate": 1.0})
    with pytest.raises(StudyError, match="--trainer learning_rate: it is set by the study or by Trimtab"):
        train_dpo(tiny_model(), with_reference(tiny_model()), DpoSettings(), runtime, tmp_path, tick)


def test_micro_batch_size_divides_the_batch_and_depends_on_long_pairs() -> None:
    assert select_micro_batch_size([10] * 100, 16, 80) == 8
    assert select_micro_batch_size([10] * 95 + [1000] * 5, 16, 80) == 8  # a few long pairs do not shrink all passes
    assert select_micro_batch_size([1000], 16, 80) == 1
    assert select_micro_batch_size([1], 12, 10**6) == 12


def test_a_reward_model_learns_the_preferred_response(tmp_path: Path) -> None:
    settings = RewardModelSettings(learning_rate=1e-2, num_train_epochs=8, batch_size=4, lora_r=4)
    module, log = train_reward_model(tiny_model(), PAIRS, settings, make_runtime(), tmp_path, tick)
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-4)  # the head is initialized to zero
    assert all(first > second for first, second in compute_rewards(module.eval(), PAIRS, 0))


def test_the_reward_is_computed_at_the_last_token_of_each_response() -> None:
    batch = collate_pairs([PAIRS[0], TokenizedPair(prompt=(1,), first=(2, 3))], "padded", 0)
    assert batch.last_token_indices.tolist() == [[5, 7], [10, -1]]


def test_a_reward_does_not_depend_on_the_other_response() -> None:
    module = ResponseRewards(tiny_model())
    torch.nn.init.normal_(module.head.weight)
    both = compute_rewards(module, [PAIRS[1]], 0)[0]
    separate = [
        compute_rewards(module, [TokenizedPair(prompt=PAIRS[1].prompt, first=response)], 0)[0][0]
        for response in (PAIRS[1].first, PAIRS[1].second)
    ]
    assert both == pytest.approx(separate, abs=1e-5)


def test_both_orders_of_a_pair_share_a_step() -> None:
    sampler = _LengthSortedSampler([5, 3, 9, 1, 2, 2, 7, 7], 4, 0, examples_per_pair=2)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == list(range(8))
        assert all(len({index // 2 for index in order[start : start + 4]}) == 2 for start in (0, 4))
        orders.append(tuple(order))
    assert len(set(orders)) > 1


def test_several_visible_gpus_do_not_multiply_the_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = TrainingArguments.__post_init__

    def see_four_gpus(arguments: TrainingArguments) -> None:
        prepare(arguments)
        assert arguments.device.type == "cpu"
        arguments._n_gpu = 4

    monkeypatch.setattr(TrainingArguments, "__post_init__", see_four_gpus)
    runtime = make_runtime(trainer_arguments={"use_cpu": True})
    job = TrainingJob(
        settings=SftSettings(),
        runtime=runtime,
        autocast_bf16=False,
        loss=lambda *_: (torch.zeros(()), {}),
        count_items=len,
    )
    assert _build_arguments(job, tmp_path, 2, 1).train_batch_size == 2

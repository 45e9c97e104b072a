"""The training loop: a `transformers.Trainer` on batches of tokenized pairs.

Trainer contributes data-parallel training (DDP), checkpoints and experiment trackers. The losses, the batching of pairs and the
checks are implemented here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from trimtab.config.trainer_arguments import validate_trainer_arguments
from trimtab.config.training import TrainingSettings
from trimtab.core.runtime import ProgressTick
from trimtab.errors import StudyError, TrainingError
from trimtab.models.adapters import autocast_bf16
from trimtab.models.gradient_checkpointing import checkpoint_layers
from trimtab.models.packing.layout_probe import DropoutDisabled, unwrap_adapter
from trimtab.models.packing.pair_batch import BatchLayout, TokenizedPair, collate_pairs, shared_prompt_length
from trimtab.models.sharding import is_sharded
from trimtab.models.silence_transformers import silence_transformers
from trimtab.storage.disk_sequence import map_values
from trimtab.training.checkpoints import find_latest_checkpoint, record_checkpoint
from trimtab.training.equal_weights import EqualWeightsCheck

# Arguments: module output for a micro-batch, the batch, completed fraction of the steps. Returns the loss summed over the items
# of the micro-batch, and metrics to log.
LossFunction = Callable[[Tensor, Mapping[str, Tensor], float], tuple[Tensor, dict[str, float]]]

# Batch entries that only the loss uses.
LOSS_INPUTS = ("reference", "counts", "p_first", "weight")


@dataclass(frozen=True, slots=True)
class SoftLabel:
    """The probability that the first response is better, in [0, 1], and the weight of the pair, at least 0."""

    p_first: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A tokenized pair, the reference model's summed log-probabilities of both responses (zeros if unused), and the label."""

    pair: TokenizedPair
    reference_logprobs: tuple[float, float] = (0.0, 0.0)
    label: SoftLabel = SoftLabel()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRuntime:
    """The seed, and the run-time options (device, batching), which affect results only by rounding.

    `layout` is the batch layout of the model's pairs, `token_budget` the maximum number of tokens in one forward pass, and
    `world_size` the number of processes that share each step. `trainer_arguments` are passed to `TrainingArguments`.
    """

    name: str
    seed: int
    pad_id: int
    layout: BatchLayout = "padded"
    token_budget: int = 1024
    trainer_arguments: Mapping[str, Any] = field(default_factory=dict)
    world_size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One training run. `count_items` counts the items of a micro-batch that the loss averages over: pairs or their weights for
    DPO, tokens for SFT.

    `examples_per_pair` consecutive examples belong to one pair: they share a step and count once in the batch size.
    `loss_over_full_batch` is for losses that compare the examples of a step: these go through the model in one forward pass,
    regardless of the token budget, on a single process. `autocast_bf16` multiplies in bfloat16 and keeps trained weights in
    float32.
    """

    settings: TrainingSettings
    runtime: TrainingRuntime
    autocast_bf16: bool
    loss: LossFunction
    count_items: Callable[[Mapping[str, Tensor]], float]
    examples_per_pair: int = 1
    loss_over_full_batch: bool = False


def run_training(
    module: DropoutDisabled, examples: Sequence[TrainingExample], job: TrainingJob, folder: Path, tick: ProgressTick
) -> list[dict[str, float]]:
    """Trains the module's trainable weights in place and returns the log, one record per step.

    Resumes from the latest checkpoint in `folder`, if any. Raises `TrainingError` if the loss is not finite.
    """
    if job.settings.gradient_checkpointing:
        checkpoint_layers(unwrap_adapter(module.model))
    batch_size = _examples_per_process(job)
    pairs = map_values(examples, lambda example: example.pair)
    # a packed batch stores the prefix that all of its pairs share once
    shared = shared_prompt_length(pairs) if job.runtime.layout == "packed" else 0
    lengths, budget = [len(pair) - shared for pair in pairs], max(1, job.runtime.token_budget - shared)
    micro_batch_size = batch_size if job.loss_over_full_batch else select_micro_batch_size(lengths, batch_size, budget)
    trainer = _PairTrainer(
        job=job,
        model=module,
        args=_build_arguments(job, folder, micro_batch_size, batch_size // micro_batch_size),
        train_dataset=_ExampleDataset(examples),
        data_collator=_Collator(job.runtime),
        callbacks=[_ProgressLogger(tick, folder / "log.jsonl")],
    )
    if is_sharded(module):
        trainer.add_callback(EqualWeightsCheck(job.runtime.name))
    trainer.remove_callback(PrinterCallback)
    with silence_transformers():
        trainer.train(resume_from_checkpoint=find_latest_checkpoint(folder))
    _close_wandb()
    return _list_step_records(trainer.state)


def count_pairs(inputs: Mapping[str, Tensor]) -> int:
    """Pairs in a micro-batch."""
    return len(inputs["reference"])


def select_micro_batch_size(lengths: Sequence[int], batch_size: int, token_budget: int) -> int:
    """Examples per forward pass: the largest divisor of `batch_size` that fits the budget at the 90th percentile of length.

    The maximum length would let a single long example shrink all passes.
    """
    typical = sorted(lengths)[int(0.9 * (len(lengths) - 1))]
    return max(n for n in range(1, batch_size + 1) if batch_size % n == 0 and (n == 1 or n * typical <= token_budget))


def _close_wandb() -> None:
    """Trainer leaves its wandb run open, and the next training in this process would continue it."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _examples_per_process(job: TrainingJob) -> int:
    """Examples of one step on each process."""
    world_size = job.runtime.world_size
    if job.loss_over_full_batch and world_size > 1:
        raise StudyError(
            f"{job.runtime.name}: the loss compares all examples of a step, so it cannot run on {world_size} processes; "
            "run a single process, or choose another loss"
        )
    if job.settings.batch_size % world_size:
        raise StudyError(
            f"{job.runtime.name}: batch_size {job.settings.batch_size} is not divisible by {world_size} processes; "
            "start a number of processes that divides it"
        )
    return job.settings.batch_size * job.examples_per_pair // world_size


def _build_arguments(job: TrainingJob, folder: Path, micro_batch_size: int, n_micro_batches: int) -> TrainingArguments:
    settings = job.settings
    validate_trainer_arguments(job.runtime.trainer_arguments)
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro_batch_size,
        "gradient_accumulation_steps": n_micro_batches,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_ratio,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "num_train_epochs": settings.num_train_epochs,
        "max_steps": -1 if settings.max_steps is None else settings.max_steps,
        "seed": job.runtime.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": 20,
        "save_total_limit": 1,
        "report_to": "none",
        "run_name": job.runtime.name,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available() and not torch.backends.mps.is_available(),
    }
    arguments |= job.runtime.trainer_arguments
    # Trainer must not delete a checkpoint before the hashes of the next one are recorded; `record_checkpoint` deletes it
    limit = arguments["save_total_limit"]
    result = TrainingArguments(**{**arguments, "save_total_limit": limit and limit + 1})
    result._n_gpu = min(result.n_gpu, 1)  # else Trainer multiplies the batch size by the number of visible GPUs
    return result


class _ExampleDataset(torch.utils.data.Dataset[TrainingExample]):
    def __init__(self, examples: Sequence[TrainingExample]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> TrainingExample:
        return self.examples[index]


class _Collator:
    def __init__(self, runtime: TrainingRuntime) -> None:
        self.runtime = runtime

    def __call__(self, examples: Sequence[TrainingExample]) -> dict[str, Tensor]:
        batch = collate_pairs([example.pair for example in examples], self.runtime.layout, self.runtime.pad_id)
        return {
            **batch.tensors(),
            "reference": torch.tensor([example.reference_logprobs for example in examples]),
            "counts": torch.tensor([[len(example.pair.first), len(example.pair.second)] for example in examples]),
            "p_first": torch.tensor([example.label.p_first for example in examples]),
            "weight": torch.tensor([example.label.weight for example in examples]),
        }


class _LengthSortedSampler(Sampler[int]):
    """Shuffles the examples each epoch, then sorts those of each optimizer step by length to reduce padding.

    Sorting within a step does not change the gradient. `examples_per_pair` consecutive examples stay together.
    """

    def __init__(self, lengths: Sequence[int], step_size: int, seed: int, examples_per_pair: int = 1) -> None:
        self.lengths, self.step_size, self.seed, self.epoch = lengths, step_size, seed, 0
        self.examples_per_pair = examples_per_pair

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        pairs = torch.randperm(len(self.lengths) // self.examples_per_pair, generator=generator).tolist()
        order = [pair * self.examples_per_pair + offset for pair in pairs for offset in range(self.examples_per_pair)]
        for start in range(0, len(order), self.step_size):
            yield from sorted(order[start : start + self.step_size], key=lambda index: -self.lengths[index])


class _PairTrainer(Trainer):
    """Trainer with the loss of the job: summed over each micro-batch and divided by the items of the whole step."""

    def __init__(self, *, job: TrainingJob, **arguments: Any) -> None:
        self.job = job
        self.step_metrics: dict[str, float] = {}
        # Trainer refuses to save the optimizer of a sharded model, but that of an adapter is complete in every process
        arguments["args"].save_only_model = is_sharded(arguments["model"])
        super().__init__(**arguments)
        self.args.save_only_model = False
        self.loss_is_scaled_for_ga = True

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        examples = (train_dataset or self.train_dataset).examples
        per_pair = self.job.examples_per_pair
        step_size = self.job.settings.batch_size * per_pair
        return _LengthSortedSampler([len(example.pair) for example in examples], step_size, self.args.seed, per_pair)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        # mean over processes, because DDP averages gradients over them as well
        count = torch.tensor([sum(self.job.count_items(batch) for batch in batch_samples)], device=device)
        return self.accelerator.gather(count).sum() / self.accelerator.num_processes

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        model_inputs = {name: tensor for name, tensor in inputs.items() if name not in LOSS_INPUTS}
        with autocast_bf16(model, self.job.autocast_bf16):
            outputs = model(**model_inputs)
        loss, self.step_metrics = self.job.loss(outputs, inputs, self.state.global_step / self.state.max_steps)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"{self.job.runtime.name}: the loss became {loss.item()} at step {self.state.global_step + 1} with a learning "
                f"rate of {self._get_learning_rate():.2e}; lower learning_rate (now {self.job.settings.learning_rate}) or "
                "max_grad_norm. Earlier checkpoints are kept."
            )
        return loss / num_items_in_batch

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **self.step_metrics}, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Saves the trainable weights only, in one process: all processes have the same ones."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: weight.detach().contiguous() for name, weight in self.model.named_parameters() if weight.requires_grad
        }
        save_file(weights, folder / "model.safetensors")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        weights = load_file(Path(resume_from_checkpoint) / "model.safetensors")
        mismatch = (model or self.model).load_state_dict(weights, strict=False)
        if mismatch.unexpected_keys:
            raise TrainingError(f"{resume_from_checkpoint} holds weights of another model; delete it and run again")


class _ProgressLogger(TrainerCallback):
    """Writes one log line per step and advances the progress bar."""

    def __init__(self, tick: ProgressTick, path: Path) -> None:
        self.tick, self.path = tick, path

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            # from the checkpoint, which has hashes: the file can be damaged, and can have later steps
            self.path.write_text("".join(json.dumps(record) + "\n" for record in _list_step_records(state)))
        self.tick(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            limit = args.save_total_limit and args.save_total_limit - 1
            record_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}", limit)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.tick(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            with self.path.open("a") as file:
                file.write(json.dumps(_to_step_record(state.log_history[-1])) + "\n")


def _list_step_records(state: Any) -> list[dict[str, float]]:
    """The log of a training run, without the summary that `Trainer` adds at its end."""
    return [_to_step_record(logs) for logs in state.log_history if "loss" in logs]


def _to_step_record(logs: Mapping[str, Any]) -> dict[str, float]:
    """Names in a fixed order, since those in a checkpoint are sorted."""
    return {"step": logs["step"], **{name: round(float(logs[name]), 6) for name in sorted(logs) if name != "step"}}

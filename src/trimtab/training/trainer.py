"""The training loop: `transformers.Trainer` fed with pair rows, so that what Trainer can do (DDP, FSDP, checkpoints,
trackers) is there, and the pair row, the losses and the checks are ours."""

from __future__ import annotations

import json
import math
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

from trimtab.config.training import TrainingSettings
from trimtab.core.runtime import ProgressTick
from trimtab.errors import StudyError, TrainingError
from trimtab.models.adapters import autocast_bf16
from trimtab.models.packing.pair_batch import BatchLayout, TokenizedPair, collate_pairs, shared_prompt_length
from trimtab.models.silence_transformers import silence_transformers

# What of our arguments a user may replace without changing what is learned.
OVERRIDABLE_ARGUMENTS = {
    "save_steps",
    "save_strategy",
    "save_total_limit",
    "logging_steps",
    "report_to",
    "run_name",
    "use_cpu",
    "dataloader_pin_memory",
}

# From the module's answer to a micro-batch, the batch, and the share of the steps that are done: the loss summed over its
# items, and what to log of it.
LossFunction = Callable[[Tensor, Mapping[str, Tensor], float], tuple[Tensor, dict[str, float]]]

# What a batch has for the loss alone.
LOSS_INPUTS = ("reference", "counts", "p_first", "weight")


@dataclass(frozen=True, slots=True)
class SoftLabel:
    """How sure it is that the first response is the better, in [0, 1], and how much the pair counts, at least 0."""

    p_first: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One row to train on, with the reference's summed log-probabilities of its responses (zeros where there is none)."""

    pair: TokenizedPair
    reference_logprobs: tuple[float, float] = (0.0, 0.0)
    label: SoftLabel = SoftLabel()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRuntime:
    """Where and how a run runs, which bears on rounding alone, and its seed.

    `form` is how pairs are laid out for the model. `token_budget` is how many tokens one forward pass may hold; `arguments`
    go to `TrainingArguments` as they are; `world` processes share each step.
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
    """One training run. `items` counts what the loss is averaged over in a micro-batch: pairs for DPO, tokens for SFT.

    `together` examples in a row are of one pair: they share a step and count once in the batch size. `whole` is for a loss
    that compares the examples of a step: they pass through the model at once, whatever the token budget, and on one
    process. `narrow` multiplies in bfloat16 while what is trained stays float32.
    """

    settings: TrainingSettings
    runtime: TrainingRuntime
    autocast_bf16: bool
    loss: LossFunction
    count_items: Callable[[Mapping[str, Tensor]], int]
    examples_per_pair: int = 1
    loss_over_full_batch: bool = False


def run_training(
    module: nn.Module, examples: Sequence[TrainingExample], job: TrainingJob, folder: Path, tick: ProgressTick
) -> list[dict[str, float]]:
    """Trains the module's trainable weights in place and returns the log, a record a step.

    Goes on from the newest checkpoint in `folder` where there is one. Raises `TrainingError` when the loss is not finite.
    """
    share = _examples_per_process(job)
    rows = [example.pair for example in examples]
    # packed rows hold what all of them begin with once
    shared = shared_prompt_length(rows) if job.runtime.layout == "packed" else 0
    lengths, budget = [len(row) - shared for row in rows], max(1, job.runtime.token_budget - shared)
    micro = share if job.loss_over_full_batch else select_micro_batch_size(lengths, share, budget)
    log = folder / "log.jsonl"
    trainer = _PairTrainer(
        job=job,
        model=module,
        args=_build_arguments(job, folder, micro, share // micro),
        train_dataset=_ExampleDataset(examples),
        data_collator=_Collator(job.runtime),
        callbacks=[_ProgressLogger(tick, log)],
    )
    trainer.remove_callback(PrinterCallback)
    with silence_transformers():
        trainer.train(resume_from_checkpoint=_find_latest_checkpoint(folder))
    _close_wandb()
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def _close_wandb() -> None:
    """Trainer leaves its run of wandb open, and the next training of this process would go on in it."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _examples_per_process(job: TrainingJob) -> int:
    """Examples of one step that fall to each process."""
    if job.loss_over_full_batch and job.runtime.world_size > 1:
        raise StudyError(
            f"{job.runtime.name}: its loss compares all examples of a step, which {job.runtime.world_size} processes would part; "
            "start one process, or choose another loss"
        )
    if job.settings.batch_size % job.runtime.world_size:
        raise StudyError(
            f"{job.runtime.name}: batch_size {job.settings.batch_size} cannot be shared by {job.runtime.world_size} processes; "
            "start a number of them that divides it"
        )
    return job.settings.batch_size * job.examples_per_pair // job.runtime.world_size


def count_optimizer_steps(n_examples: int, settings: TrainingSettings) -> int:
    """Optimizer steps that a recipe takes on this many examples."""
    return max(1, math.ceil(math.ceil(n_examples / settings.batch_size) * settings.num_train_epochs))


def select_micro_batch_size(lengths: Sequence[int], batch_size: int, token_budget: int) -> int:
    """Rows a forward pass: the largest divisor of `batch_size` whose rows, at the 90th percentile of length, fit the budget.

    The percentile and not the longest, since one long row would make every pass small.
    """
    typical = sorted(lengths)[int(0.9 * (len(lengths) - 1))]
    return max(n for n in range(1, batch_size + 1) if batch_size % n == 0 and (n == 1 or n * typical <= token_budget))


def _build_arguments(job: TrainingJob, folder: Path, micro: int, passes: int) -> TrainingArguments:
    recipe = job.settings
    ours: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": passes,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_steps": recipe.warmup_ratio,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "num_train_epochs": recipe.num_train_epochs,
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
    kept = sorted(set(job.runtime.trainer_arguments) & (set(ours) - OVERRIDABLE_ARGUMENTS))
    if kept:
        raise StudyError(f"--trainer {kept[0]}: the study or Trimtab sets it; change the study instead")
    return TrainingArguments(**{**ours, **job.runtime.trainer_arguments})


class _ExampleDataset(torch.utils.data.Dataset[TrainingExample]):
    def __init__(self, examples: Sequence[TrainingExample]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> TrainingExample:
        return self.examples[place]


class _Collator:
    def __init__(self, setup: TrainingRuntime) -> None:
        self.runtime = setup

    def __call__(self, examples: Sequence[TrainingExample]) -> dict[str, Tensor]:
        tensors = collate_pairs(
            [example.pair for example in examples], self.runtime.layout, self.runtime.pad_id
        ).tensors()
        return {
            **tensors,
            "reference": torch.tensor([example.reference_logprobs for example in examples]),
            "counts": torch.tensor([[len(example.pair.first), len(example.pair.second)] for example in examples]),
            "p_first": torch.tensor([example.label.p_first for example in examples]),
            "weight": torch.tensor([example.label.weight for example in examples]),
        }


class _LengthSortedSampler(Sampler[int]):
    """A fresh order each epoch; within the examples of one optimizer step, by length, so that little is padded.

    Which examples share a step is drawn at random, and their order within it changes nothing but the padding. `together`
    examples in a row are never parted.
    """

    def __init__(self, lengths: Sequence[int], step: int, seed: int, together: int = 1) -> None:
        self.lengths, self.step, self.seed, self.epoch, self.examples_per_pair = lengths, step, seed, 0, together

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        drawn = torch.randperm(len(self.lengths) // self.examples_per_pair, generator=draw).tolist()
        order = [each * self.examples_per_pair + place for each in drawn for place in range(self.examples_per_pair)]
        for start in range(0, len(order), self.step):
            yield from sorted(order[start : start + self.step], key=lambda place: -self.lengths[place])


class _PairTrainer(Trainer):
    """Trainer with our loss. The loss is summed in each micro-batch and divided by the items of the whole step."""

    def __init__(self, *, job: TrainingJob, **given: Any) -> None:
        self.job = job
        super().__init__(**given)
        self.loss_is_scaled_for_ga = True

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        examples = (train_dataset or self.train_dataset).examples
        step = self.job.settings.batch_size * self.job.examples_per_pair
        return _LengthSortedSampler(
            [len(example.row) for example in examples], step, self.args.seed, self.job.examples_per_pair
        )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        # the mean over processes: gradients are averaged over them as well
        count = torch.tensor([sum(self.job.count_items(batch) for batch in batch_samples)], device=device)
        return self.accelerator.gather(count).sum() / self.accelerator.num_processes

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        rest = {name: tensor for name, tensor in inputs.items() if name not in LOSS_INPUTS}
        with autocast_bf16(model, self.job.autocast_bf16):
            outputs = model(**rest)
        total, facts = self.job.loss(outputs, inputs, self.state.global_step / self.state.max_steps)
        if not torch.isfinite(total):
            raise TrainingError(
                f"{self.job.runtime.name}: the loss became {total.item()} at step {self.state.global_step + 1} with a learning "
                f"rate of {self._get_learning_rate():.2e}; lower learning_rate (now {self.job.settings.learning_rate}) or "
                "max_grad_norm. Checkpoints so far are kept."
            )
        self.step_metrics = facts
        return total / num_items_in_batch

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **getattr(self, "facts", {})}, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint holds the weights that are trained, nothing else."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: weight.detach().contiguous() for name, weight in self.model.named_parameters() if weight.requires_grad
        }
        save_file(weights, folder / "model.safetensors")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        weights = load_file(Path(resume_from_checkpoint) / "model.safetensors")
        missing = (model or self.model).load_state_dict(weights, strict=False)
        if missing.unexpected_keys:
            raise TrainingError(f"{resume_from_checkpoint} holds weights of another model; delete it and run again")


class _ProgressLogger(TrainerCallback):
    """Writes the log a line a step and moves the progress bar."""

    def __init__(self, tick: ProgressTick, log: Path) -> None:
        self.tick, self.path = tick, log

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            kept = self.path.read_text().splitlines()[: state.global_step] if self.path.is_file() else []
            self.path.write_text("".join(line + "\n" for line in kept))
        self.tick(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.tick(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            record = {"step": state.global_step, **{name: round(float(value), 6) for name, value in logs.items()}}
            with self.path.open("a") as out:
                out.write(json.dumps(record) + "\n")


def _find_latest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint: Trainer writes `trainer_state.json` last."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return str(max(found, key=lambda path: int(path.name.split("-")[1]))) if found else None

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

from trimtab.errors import StudyError, TrainingError
from trimtab.lm.adapters import autocast
from trimtab.lm.quiet import quiet
from trimtab.lm.rows import Form, Row, lay_out, shared_prompt
from trimtab.protocols import Tick
from trimtab.training.settings import Recipe

# What of our arguments a user may replace without changing what is learned.
FREE = {
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
Loss = Callable[[Tensor, Mapping[str, Tensor], float], tuple[Tensor, dict[str, float]]]

# What a batch has for the loss alone.
FOR_THE_LOSS = ("reference", "counts", "p_first", "weight")


@dataclass(frozen=True, slots=True)
class Label:
    """How sure it is that the first response is the better, in [0, 1], and how much the pair counts, at least 0."""

    p_first: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Example:
    """One row to train on, with the reference's summed log-probabilities of its responses (zeros where there is none)."""

    row: Row
    reference: tuple[float, float] = (0.0, 0.0)
    label: Label = Label()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where and how a run runs, which bears on rounding alone, and its seed.

    `form` is how pairs are laid out for the model. `token_budget` is how many tokens one forward pass may hold; `arguments`
    go to `TrainingArguments` as they are; `world` processes share each step.
    """

    name: str
    seed: int
    pad_id: int
    form: Form = "padded"
    token_budget: int = 1024
    arguments: Mapping[str, Any] = field(default_factory=dict)
    world: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run. `items` counts what the loss is averaged over in a micro-batch: pairs for DPO, tokens for SFT.

    `together` examples in a row are of one pair: they share a step and count once in the batch size. `whole` is for a loss
    that compares the examples of a step: they pass through the model at once, whatever the token budget, and on one
    process. `narrow` multiplies in bfloat16 while what is trained stays float32.
    """

    recipe: Recipe
    setup: Setup
    narrow: bool
    loss: Loss
    items: Callable[[Mapping[str, Tensor]], int]
    together: int = 1
    whole: bool = False


def train(module: nn.Module, examples: Sequence[Example], job: Job, folder: Path, tick: Tick) -> list[dict[str, float]]:
    """Trains the module's trainable weights in place and returns the log, a record a step.

    Goes on from the newest checkpoint in `folder` where there is one. Raises `TrainingError` when the loss is not finite.
    """
    share = _share(job)
    rows = [example.row for example in examples]
    # packed rows hold what all of them begin with once
    shared = shared_prompt(rows) if job.setup.form == "packed" else 0
    lengths, budget = [len(row) - shared for row in rows], max(1, job.setup.token_budget - shared)
    micro = share if job.whole else micro_batch(lengths, share, budget)
    log = folder / "log.jsonl"
    trainer = _Trainer(
        job=job,
        model=module,
        args=_arguments(job, folder, micro, share // micro),
        train_dataset=_Examples(examples),
        data_collator=_Collate(job.setup),
        callbacks=[_Follow(tick, log)],
    )
    trainer.remove_callback(PrinterCallback)
    with quiet():
        trainer.train(resume_from_checkpoint=_newest_checkpoint(folder))
    _close_wandb()
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def _close_wandb() -> None:
    """Trainer leaves its run of wandb open, and the next training of this process would go on in it."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _share(job: Job) -> int:
    """Examples of one step that fall to each process."""
    if job.whole and job.setup.world > 1:
        raise StudyError(
            f"{job.setup.name}: its loss compares all examples of a step, which {job.setup.world} processes would part; "
            "start one process, or choose another loss"
        )
    if job.recipe.batch_size % job.setup.world:
        raise StudyError(
            f"{job.setup.name}: batch_size {job.recipe.batch_size} cannot be shared by {job.setup.world} processes; "
            "start a number of them that divides it"
        )
    return job.recipe.batch_size * job.together // job.setup.world


def n_steps(n_examples: int, recipe: Recipe) -> int:
    """Optimizer steps that a recipe takes on this many examples."""
    return max(1, math.ceil(math.ceil(n_examples / recipe.batch_size) * recipe.epochs))


def micro_batch(lengths: Sequence[int], batch_size: int, token_budget: int) -> int:
    """Rows a forward pass: the largest divisor of `batch_size` whose rows, at the 90th percentile of length, fit the budget.

    The percentile and not the longest, since one long row would make every pass small.
    """
    typical = sorted(lengths)[int(0.9 * (len(lengths) - 1))]
    return max(n for n in range(1, batch_size + 1) if batch_size % n == 0 and (n == 1 or n * typical <= token_budget))


def _arguments(job: Job, folder: Path, micro: int, passes: int) -> TrainingArguments:
    recipe = job.recipe
    ours: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": passes,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "num_train_epochs": recipe.epochs,
        "seed": job.setup.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": 20,
        "save_total_limit": 1,
        "report_to": "none",
        "run_name": job.setup.name,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available() and not torch.backends.mps.is_available(),
    }
    kept = sorted(set(job.setup.arguments) & (set(ours) - FREE))
    if kept:
        raise StudyError(f"--trainer {kept[0]}: the study or Trimtab sets it; change the study instead")
    return TrainingArguments(**{**ours, **job.setup.arguments})


class _Examples(torch.utils.data.Dataset[Example]):
    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> Example:
        return self.examples[place]


class _Collate:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        tensors = lay_out([example.row for example in examples], self.setup.form, self.setup.pad_id).tensors()
        return {
            **tensors,
            "reference": torch.tensor([example.reference for example in examples]),
            "counts": torch.tensor([[len(example.row.first), len(example.row.second)] for example in examples]),
            "p_first": torch.tensor([example.label.p_first for example in examples]),
            "weight": torch.tensor([example.label.weight for example in examples]),
        }


class _InStepByLength(Sampler[int]):
    """A fresh order each epoch; within the examples of one optimizer step, by length, so that little is padded.

    Which examples share a step is drawn at random, and their order within it changes nothing but the padding. `together`
    examples in a row are never parted.
    """

    def __init__(self, lengths: Sequence[int], step: int, seed: int, together: int = 1) -> None:
        self.lengths, self.step, self.seed, self.epoch, self.together = lengths, step, seed, 0, together

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        drawn = torch.randperm(len(self.lengths) // self.together, generator=draw).tolist()
        order = [each * self.together + place for each in drawn for place in range(self.together)]
        for start in range(0, len(order), self.step):
            yield from sorted(order[start : start + self.step], key=lambda place: -self.lengths[place])


class _Trainer(Trainer):
    """Trainer with our loss. The loss is summed in each micro-batch and divided by the items of the whole step."""

    def __init__(self, *, job: Job, **given: Any) -> None:
        self.job = job
        super().__init__(**given)
        self.loss_is_scaled_for_ga = True

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        examples = (train_dataset or self.train_dataset).examples
        step = self.job.recipe.batch_size * self.job.together
        return _InStepByLength([len(example.row) for example in examples], step, self.args.seed, self.job.together)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        # the mean over processes: gradients are averaged over them as well
        count = torch.tensor([sum(self.job.items(batch) for batch in batch_samples)], device=device)
        return self.accelerator.gather(count).sum() / self.accelerator.num_processes

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        rest = {name: tensor for name, tensor in inputs.items() if name not in FOR_THE_LOSS}
        with autocast(model, self.job.narrow):
            outputs = model(**rest)
        total, facts = self.job.loss(outputs, inputs, self.state.global_step / self.state.max_steps)
        if not torch.isfinite(total):
            raise TrainingError(
                f"{self.job.setup.name}: the loss became {total.item()} at step {self.state.global_step + 1} with a learning "
                f"rate of {self._get_learning_rate():.2e}; lower learning_rate (now {self.job.recipe.learning_rate}) or "
                "max_grad_norm. Checkpoints so far are kept."
            )
        self.facts = facts
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


class _Follow(TrainerCallback):
    """Writes the log a line a step and moves the progress bar."""

    def __init__(self, tick: Tick, log: Path) -> None:
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


def _newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint: Trainer writes `trainer_state.json` last."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    return str(max(found, key=lambda path: int(path.name.split("-")[1]))) if found else None

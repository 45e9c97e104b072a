"""Processes that each hold a part of the frozen weights train the same adapter as processes that hold all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from trimtab.config.training import DpoSettings, RewardModelSettings
from trimtab.core.runtime import Runtime
from trimtab.errors import TrainingError
from trimtab.models.checkpoint import load_checkpoint, save_adapter
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.logprobs import build_logprob_reader, read_logprob_batch
from trimtab.models.scoring.reward_head import save_reward_head
from trimtab.pipeline.stages.training_data import build_training_runtime
from trimtab.training.dpo import train_dpo
from trimtab.training.reward_model import train_reward_model
from trimtab.training.trainer import TrainingExample

NUM_STEPS = 6
STEP_OF_DEATH = 3
DPO = DpoSettings(batch_size=4, max_steps=NUM_STEPS, lora_r=2, learning_rate=1e-3)
REWARD_MODEL = RewardModelSettings(batch_size=4, max_steps=NUM_STEPS, lora_r=2, learning_rate=1e-3)


def build_examples(model: Path) -> list[TrainingExample]:
    """Eight pairs of random tokens with the log-probabilities of the whole model."""
    generator = torch.Generator().manual_seed(0)

    def draw(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 200, (length,), generator=generator).tolist())

    pairs = [TokenizedPair(prompt=draw(6), first=draw(4 + index), second=draw(9 - index)) for index in range(8)]
    loaded = load_checkpoint(Model(base=str(model), dtype="float32"), print, "cpu")
    sums = read_logprob_batch(build_logprob_reader(loaded, print), pairs)
    return [TrainingExample(pair, (first, second)) for pair, (first, second) in zip(pairs, sums, strict=True)]


def build_runtime(*, shard: bool) -> Runtime:
    """That of a process of torchrun, with a checkpoint every two steps."""
    return Runtime(
        progress=lambda label, total, unit: nullcontext(lambda done=1: None),
        notify=print,
        trainer_arguments={"save_steps": 2},
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        shard=shard,
    )


def train(model: Path, folder: Path, *, shard: bool, kind: str = "dpo", dies: bool = False) -> None:
    """Trains as one of the processes that the environment names. The second one can be killed in the middle."""
    torch.set_num_threads(1)
    runtime, steps = build_runtime(shard=shard), list[int]()
    examples, base = build_examples(model), Model(base=str(model), dtype="float32")

    def tick(done: int = 1) -> None:
        steps.extend([1] * done)
        if dies and runtime.rank == 1 and len(steps) == STEP_OF_DEATH:
            os.kill(os.getpid(), signal.SIGKILL)

    loaded = load_checkpoint(base, print, "cpu", num_shards=runtime.num_shards)
    if shard:
        weight: Any = next(loaded.model.parameters())
        assert weight.to_local().numel() < weight.numel()
    training_runtime = build_training_runtime(kind, 0, loaded, runtime)
    if kind == "dpo":
        policy, _ = train_dpo(loaded.model, examples, DPO, training_runtime, folder, tick)
    else:
        pairs = [example.pair for example in examples]
        module, _ = train_reward_model(loaded.model, pairs, REWARD_MODEL, training_runtime, folder, tick)
        policy = module.model
    if runtime.is_main_process:
        save_adapter(policy, base, folder)
        if kind == "reward":
            save_reward_head(module, folder)


def train_without_averaging(model: Path, folder: Path) -> None:
    """Writes the error of a training whose gradients are not averaged."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_sync_replicated_trainable_parameters", lambda trainer, module: None)
        with pytest.raises(TrainingError) as error:
            train(model, folder, shard=True)
    (folder / f"error-{os.environ['RANK']}").write_text(str(error.value))


def read_log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def launch(*arguments: object) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29533"]
    return subprocess.run(
        [*torchrun, str(Path(__file__)), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def read_weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors") if "checkpoint-" not in str(path)}


@pytest.mark.slow
def test_sharded_weights_train_the_same_adapter_also_after_a_kill(tiny_model: Path, tmp_path: Path) -> None:
    names = ("dpo-sharded", "dpo-whole", "reward-sharded", "reward-whole", "dpo-diverging", "dpo-killed")
    first = launch(tiny_model, tmp_path, *names)
    assert first.returncode != 0
    assert (tmp_path / "dpo-killed").is_dir(), first.stderr[-3000:]
    sharded, whole, killed = (tmp_path / f"dpo-{name}" for name in ("sharded", "whole", "killed"))
    assert STEP_OF_DEATH - 1 <= read_log(killed)[-1]["step"] < NUM_STEPS
    second = launch(tiny_model, tmp_path, "dpo-killed-resumed")
    assert second.returncode == 0, second.stderr[-3000:]
    assert read_log(killed) == read_log(sharded) == read_log(whole)
    assert read_weights(killed) == read_weights(sharded) == read_weights(whole)
    assert len(read_weights(whole)) == 1
    assert read_log(tmp_path / "reward-sharded") == read_log(tmp_path / "reward-whole")
    assert read_weights(tmp_path / "reward-sharded") == read_weights(tmp_path / "reward-whole")
    assert len(read_weights(tmp_path / "reward-whole")) == 2
    for rank in range(2):
        error = (tmp_path / "dpo-diverging" / f"error-{rank}").read_text()
        assert error.startswith(
            "dpo: the 2 processes have trained different adapters, so their gradients are not averaged"
        )


def main(model: Path, folder: Path, *names: str) -> None:
    for name in names:
        place = folder / name.removesuffix("-resumed")
        if name == "dpo-diverging":
            train_without_averaging(model, place)
        else:
            kind = name.partition("-")[0]
            train(model, place, shard=not name.endswith("-whole"), kind=kind, dies=name.endswith("-killed"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])

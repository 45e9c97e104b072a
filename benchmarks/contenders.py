"""The same workload in Trimtab, plain transformers and TRL. Each function returns its own run time in seconds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.workload import Workload, synchronize
from trimtab.config.training import DpoSettings
from trimtab.models.inference.generate import sample_completions
from trimtab.models.inference.sampling import Sampling
from trimtab.models.packing.layout_probe import select_layout
from trimtab.models.packing.pair_batch import TokenizedPair
from trimtab.models.scoring.logprobs import build_logprob_reader, read_logprobs
from trimtab.training.dpo import train_dpo
from trimtab.training.trainer import TrainingExample, TrainingRuntime

BATCH_SIZE = 16
LORA_R = 8
MAX_NEW_TOKENS = 128
# Batch sizes seconds with plain transformers; the fastest counts.
PLAIN_BATCH_SIZES = {"cpu": (2, 8, 16), "cuda": (16, 64, 256)}


def time_call(device: str, run: Callable[[], Any]) -> float:
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def score_trimtab(work: Workload, device: str, budget: int) -> float:
    reader = build_logprob_reader(work.loaded, print)
    for _ in read_logprobs(reader, work.token_pairs[:8], budget, [True] * 8):
        pass  # warm-up: the first pass allocates memory
    wanted = [True] * len(work.token_pairs)
    return time_call(device, lambda: list(read_logprobs(reader, work.token_pairs, budget, wanted)))


@torch.inference_mode()
def score_plain(work: Workload, device: str, _: int) -> float:
    """One sequence per response, sorted by length and padded; all logits, log-softmax in float32."""
    texts = sorted(
        (text for row in work.token_pairs for text in ((row.prompt, row.first), (row.prompt, row.second))),
        key=lambda text: -len(text[0]) - len(text[1]),
    )
    step = max(1, len(texts) // 32)
    seconds = {
        size: time_call(device, partial(_score_in_batches, work, texts[::step], size, device))
        for size in PLAIN_BATCH_SIZES[device.partition(":")[0]]
    }
    best = min(seconds, key=lambda size: seconds[size])
    return time_call(device, lambda: _score_in_batches(work, texts, best, device))


def _score_in_batches(
    work: Workload, texts: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], size: int, device: str
) -> None:
    for start in range(0, len(texts), size):
        batch = texts[start : start + size]
        width = max(len(prompt) + len(response) for prompt, response in batch)
        ids = torch.full((len(batch), width), work.loaded.pad_id)
        mask, response_mask = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, (prompt, response) in enumerate(batch):
            end = len(prompt) + len(response)
            ids[row, :end] = torch.tensor(prompt + response)
            mask[row, :end] = 1
            response_mask[row, len(prompt) : end] = 1
        ids, mask, response_mask = ids.to(device), mask.to(device), response_mask.to(device)
        logits = work.loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        logprobs = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
        (logprobs * response_mask[:, 1:]).sum(1).tolist()


def dpo_checkpointed(work: Workload, device: str, budget: int) -> float:
    """The same as `dpo_trimtab`, with gradient checkpointing."""
    return dpo_trimtab(work, device, budget, gradient_checkpointing=True)


def dpo_trimtab(work: Workload, device: str, budget: int, *, gradient_checkpointing: bool = False) -> float:
    """One epoch, including the reference log-probabilities computed before it."""

    def run() -> None:
        reader = build_logprob_reader(work.loaded, print)
        sums: dict[int, list[float]] = {}
        for indices, values in read_logprobs(reader, work.token_pairs, budget, [True] * len(work.token_pairs)):
            sums.update(zip(indices, values, strict=True))
        examples = [
            TrainingExample(pair, (sums[index][0], sums[index][1])) for index, pair in enumerate(work.token_pairs)
        ]
        runtime = TrainingRuntime(
            name="bench",
            seed=0,
            pad_id=work.loaded.pad_id,
            layout=select_layout(work.loaded.model),
            token_budget=budget,
            trainer_arguments={"use_cpu": device == "cpu"},
        )
        settings = DpoSettings(
            learning_rate=1e-6,
            batch_size=BATCH_SIZE,
            lora_r=LORA_R,
            gradient_checkpointing=gradient_checkpointing,
        )
        with tempfile.TemporaryDirectory() as folder:
            train_dpo(work.loaded.model, examples, settings, runtime, Path(folder), lambda done=1: None)

    return time_call(device, run)


def dpo_trl(work: Workload, device: str, micro: int) -> float:
    """One epoch of TRL's DPO in bfloat16 with LoRA on all linear layers, including its precomputed reference."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    class PretokenizedDPOTrainer(DPOTrainer):  # type: ignore[misc]
        """Uses token ids without preprocessing, so that both train on the same tokens."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    columns = Dataset.from_list(
        [
            {"prompt_ids": list(row.prompt), "chosen_ids": list(row.first), "rejected_ids": list(row.second)}
            for row in work.token_pairs
        ]
    )

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            PretokenizedDPOTrainer(
                model=work.loaded.model,
                args=DPOConfig(
                    output_dir=folder,
                    per_device_train_batch_size=micro,
                    gradient_accumulation_steps=BATCH_SIZE // micro,
                    precompute_ref_log_probs=True,
                    num_train_epochs=1,
                    learning_rate=1e-6,
                    bf16=True,
                    gradient_checkpointing=False,
                    max_length=None,
                    use_cpu=device == "cpu",
                    report_to="none",
                    save_strategy="no",
                    disable_tqdm=True,
                ),
                train_dataset=columns,
                processing_class=work.loaded.chat.tokenizer,
                peft_config=LoraConfig(r=LORA_R, lora_alpha=2 * LORA_R, target_modules="all-linear"),
            ).train()

    return time_call(device, run)


def generate_trimtab(work: Workload, device: str, budget: int) -> float:
    prompts = [(f"{index}", pair.prompt) for index, pair in enumerate(work.pairs)]
    sampling = Sampling(max_new_tokens=MAX_NEW_TOKENS, temperature=0.0, seed=0)
    return time_call(
        device, lambda: list(sample_completions(work.loaded.model, work.loaded.chat, prompts, sampling, budget))
    )


@torch.inference_mode()
def generate_plain(work: Workload, device: str, _: int) -> float:
    """`generate` on the prompts in one left-padded batch, in the original order."""
    prompts = [row.prompt for row in work.token_pairs]
    width = max(map(len, prompts))
    pad = work.loaded.pad_id
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)

    def run() -> Tensor:
        return work.loaded.model.generate(  # type: ignore[no-any-return]
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=list(work.loaded.chat.stop_token_ids),
        )

    return time_call(device, run)


def build_long_pairs(work: Workload) -> list[TokenizedPair]:
    """Sixteen pairs of two sequences of 512 tokens each."""
    ids = tuple(token for row in work.token_pairs for token in row.prompt + row.first + row.second)
    ids *= -(-16 * 512 // len(ids))
    return [
        TokenizedPair(prompt=ids[i : i + 256], first=ids[i + 1 : i + 257], second=ids[i + 2 : i + 258])
        for i in range(0, 4096, 256)
    ]

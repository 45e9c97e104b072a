"""A small study as a whole: with Trimtab, and as a script of TRL and transformers that does the same work.

SFT and DPO of the weak model, its labels, SFT of the student, DPO of the student on human, weak and flipped labels, the
accuracy of every policy on the test pairs, and responses of every model to the test prompts. Both contenders use the same
pairs, LoRA, batch sizes and sampling. The time includes imports and loading.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.workload import load_pairs, measure_peak_memory_mb
from trimtab.models.config import Model, resolve_weights
from trimtab.types import Pair

MODEL, WEAK_LAYERS = "smollm2-135m-instruct", 10
# Shares of the pairs; the rest is the test split.
LABELED_SHARE, UNLABELED_SHARE = 0.4, 0.4
SFT_BATCH_SIZE, DPO_BATCH_SIZE = 16, 8
LORA_R, SFT_RATE, WEAK_RATE, STUDENT_RATE = 8, 1e-3, 1e-3, 5e-4
MAX_NEW_TOKENS, TEMPERATURE = 64, 0.7
MAX_LENGTH = 256
# Texts in one forward pass of plain transformers, for log-probabilities and for generation.
SCORING_BATCH, GENERATION_BATCH = 8, 32
ARMS = ("human", "weak", "flipped")
SPLITS = ("labeled", "unlabeled", "test")


def run_study_task(task: dict[str, Any]) -> dict[str, Any]:
    """Runs one contender. `workers` is Trimtab's number of processes, `size` TRL's number of pairs in one forward pass."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_splits(folder, task["count"], task.get("pairs"))
        start = time.perf_counter()
        if task["run"] == "study_trimtab":
            accuracies = run_with_trimtab(folder, task["device"], task["workers"])
        else:
            accuracies = run_with_trl(folder, task["size"])
        seconds = time.perf_counter() - start
    result = {
        "seconds": seconds,
        "per_second": task["count"] / seconds,
        "peak_mb": measure_peak_memory_mb(task["device"]),
    }
    return {**result, **{f"accuracy_{arm}": value for arm, value in accuracies.items()}}


def write_splits(folder: Path, count: int, pairs_path: str | None) -> None:
    """Writes `labeled.jsonl`, `unlabeled.jsonl` and `test.jsonl` with the first `count` labeled pairs that fit MAX_LENGTH."""
    from trimtab.models.checkpoint import load_chat_tokenizer
    from trimtab.models.packing.pair_batch import tokenize_pair

    chat = load_chat_tokenizer(Model(base=MODEL), print)
    pairs: list[Pair] = []
    prompts = set()
    for pair in load_pairs(pairs_path):
        fits = tokenize_pair(chat, pair.prompt, pair.a, pair.b).max_text_length <= MAX_LENGTH
        if fits and pair.human is not None and pair.prompt_id not in prompts:
            pairs.append(pair)
            prompts.add(pair.prompt_id)
        if len(pairs) == count:
            break
    ends = [round(LABELED_SHARE * count), round((LABELED_SHARE + UNLABELED_SHARE) * count), count]
    for name, start, end in zip(SPLITS, [0, *ends], ends, strict=False):
        lines = [json.dumps(_to_trl_row(pair)) for pair in pairs[start:end]]
        (folder / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))


def _to_trl_row(pair: Pair) -> dict[str, Any]:
    chosen, rejected = (pair.a, pair.b) if pair.human == "a" else (pair.b, pair.a)
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in pair.prompt],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def run_with_trimtab(folder: Path, device: str, workers: int) -> dict[str, float]:
    os.environ["TRIMTAB_LOGPROB_CACHE"] = "off"
    import trimtab

    sft = {"lora_r": LORA_R, "learning_rate": SFT_RATE, "batch_size": SFT_BATCH_SIZE}
    dpo = {"lora_r": LORA_R, "learning_rate": STUDENT_RATE, "batch_size": DPO_BATCH_SIZE}
    study = trimtab.Study.model_validate(
        {
            "name": "benchmark",
            "data": {name: {"kind": "file", "path": str(folder / f"{name}.jsonl")} for name in SPLITS},
            "max_length": MAX_LENGTH,
            "models": {"weak": {"base": MODEL, "layers": WEAK_LAYERS}, "student": {"base": MODEL}},
            "training": {"sft": sft, "dpo": dpo, "weak_dpo": {**dpo, "learning_rate": WEAK_RATE}},
            "generation": {"max_new_tokens": MAX_NEW_TOKENS, "temperature": TEMPERATURE},
            "kl_to_reference": False,
        }
    )
    results = trimtab.run(study, folder / "run", device=device, workers=workers)
    return {arm.name: arm.metrics["accuracy"].value or 0.0 for arm in results.report.arms if arm.name in ARMS}


def run_with_trl(folder: Path, micro: int) -> dict[str, float]:
    """The script that a user of TRL would write. Returns each arm's accuracy on the test pairs."""
    rows = {name: [json.loads(line) for line in (folder / f"{name}.jsonl").open()] for name in SPLITS}
    prompts = [row["prompt"] for row in rows["test"]]
    weak = PlainModel(folder, WEAK_LAYERS)
    weak.train_sft(rows["labeled"])
    n_unlabeled = len(rows["unlabeled"])
    reference = weak.compute_margins(rows["unlabeled"] + rows["test"])
    weak.train_dpo(rows["labeled"], WEAK_RATE, micro)
    margins = weak.compute_margins(rows["unlabeled"] + rows["test"])
    agrees = [policy > before for policy, before in zip(margins[:n_unlabeled], reference[:n_unlabeled], strict=True)]
    weak_rows = [row if same else _swap(row) for row, same in zip(rows["unlabeled"], agrees, strict=True)]
    weak.respond(prompts)

    student = PlainModel(folder, None)
    student.respond(prompts)
    student.train_sft(rows["labeled"])
    student.respond(prompts)
    student.save(folder / "sft")
    reference = student.compute_margins(rows["test"])
    flipped = set(random.Random(0).sample(range(n_unlabeled), agrees.count(False)))
    flipped_rows = [_swap(row) if index in flipped else row for index, row in enumerate(rows["unlabeled"])]
    accuracies = {}
    for arm, training_rows in (("human", rows["unlabeled"]), ("weak", weak_rows), ("flipped", flipped_rows)):
        policy = PlainModel(folder, None, folder / "sft")
        policy.train_dpo(training_rows, STUDENT_RATE, micro)
        margins = policy.compute_margins(rows["test"])
        accuracies[arm] = sum(a > b for a, b in zip(margins, reference, strict=True)) / len(margins)
        policy.respond(prompts)
    return accuracies


def _swap(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}


class PlainModel:
    """A model of transformers in bfloat16 with the steps of a study, each written with TRL or plain transformers."""

    def __init__(self, folder: Path, layers: int | None, weights: Path | None = None) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        source = weights or resolve_weights(Model(base=MODEL), print).folder
        options = {} if layers is None else {"num_hidden_layers": layers}
        self.model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **options)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source)
        self.folder = folder

    def save(self, path: Path) -> None:
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    def train_sft(self, rows: Sequence[dict[str, Any]]) -> None:
        from trl import SFTConfig, SFTTrainer

        data = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
        self._train(SFTTrainer, SFTConfig, data, SFT_RATE, SFT_BATCH_SIZE, 4)

    def train_dpo(self, rows: Sequence[dict[str, Any]], rate: float, micro: int) -> None:
        from trl import DPOConfig, DPOTrainer

        self._train(DPOTrainer, DPOConfig, list(rows), rate, DPO_BATCH_SIZE, micro, precompute_ref_log_probs=True)

    def _train(
        self,
        trainer: Callable[..., Any],
        config: Callable[..., Any],
        rows: list[dict[str, Any]],
        rate: float,
        batch_size: int,
        micro: int,
        **options: Any,
    ) -> None:
        from datasets import Dataset
        from peft import LoraConfig

        arguments = config(
            output_dir=str(self.folder / "trl"),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=batch_size // micro,
            num_train_epochs=1,
            learning_rate=rate,
            bf16=True,
            gradient_checkpointing=False,
            max_length=None,
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **options,
        )
        trained = trainer(
            model=self.model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=self.tokenizer,
            peft_config=LoraConfig(r=LORA_R, lora_alpha=2 * LORA_R, target_modules="all-linear"),
        )
        trained.train()
        self.model = trained.model.merge_and_unload().eval()

    @torch.inference_mode()
    def compute_margins(self, rows: Sequence[dict[str, Any]]) -> list[float]:
        """log p(chosen) − log p(rejected) of each row, in padded batches sorted by length."""
        texts = []
        for index, row in enumerate(rows):
            prompt = self.tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
            for side in ("chosen", "rejected"):
                ids = self.tokenizer.apply_chat_template(row["prompt"] + row[side])["input_ids"]
                texts.append((ids, len(prompt), index, 1 if side == "chosen" else -1))
        texts.sort(key=lambda text: -len(text[0]))
        margins = [0.0] * len(rows)
        for start in range(0, len(texts), SCORING_BATCH):
            batch = texts[start : start + SCORING_BATCH]
            width = len(batch[0][0])
            ids = torch.tensor([ids + [self.tokenizer.pad_token_id] * (width - len(ids)) for ids, *_ in batch])
            mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, *_ in batch])
            device = self.model.device
            logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
            logprobs = logits[:, :-1].float().log_softmax(-1).gather(2, ids.to(device)[:, 1:, None])[..., 0].cpu()
            for row, (text, prompt_length, index, sign) in zip(logprobs, batch, strict=True):
                margins[index] += sign * float(row[prompt_length - 1 : len(text) - 1].sum())
        return margins

    @torch.inference_mode()
    def respond(self, prompts: Sequence[list[dict[str, str]]]) -> list[str]:
        self.tokenizer.padding_side = "left"
        responses: list[str] = []
        for start in range(0, len(prompts), GENERATION_BATCH):
            batch = self.tokenizer.apply_chat_template(
                list(prompts[start : start + GENERATION_BATCH]),
                add_generation_prompt=True,
                padding=True,
                return_tensors="pt",
                return_dict=True,
            ).to(self.model.device)
            output = self.model.generate(
                **batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=True, temperature=TEMPERATURE, top_k=0
            )
            responses += self.tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        self.tokenizer.padding_side = "right"
        return responses

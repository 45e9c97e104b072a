"""Prints peak memory and time by the number of pairs: python studies/scale/memory.py annotate --pairs 10000 100000

The pairs are synthetic, about 650 bytes each, with a human label. `annotate` labels them with `length`; `study` runs a study
with capped trainings and three arms of labels only. Each run is a process of its own, in a new folder in `--folder`. Seconds
are those of the processor, which other processes on the machine affect little. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

WORDS = tuple(
    f"{start}{middle}{end}" for start in "bdfglmnprst" for middle in "aeiou" for end in ("n", "rk", "st", "ll")
)
PROMPT_WORDS = (8, 40)
RESPONSE_WORDS = (10, 90)
# A random model of a few thousand weights, whose tokens are bytes. The trainings, and the pairs that a model reads, are capped.
STUDY = """\
name: scale
data: {{kind: file, path: {folder}/pairs.jsonl}}
split: {{labeled: 0.3, test: 0.1, max_labeled: 100, max_unlabeled: {labels}, max_test: 50}}
max_length: 4096
models:
  weak: {{base: {folder}/model, dtype: float32}}
  student: {{base: {folder}/model, dtype: float32}}
training:
  sft: {{max_steps: 3, batch_size: 4}}
  dpo: {{max_steps: 3, batch_size: 4}}
arms:
  longest: {{annotator: length, labels_only: true}}
  decided: {{annotator: length, filter: {{kind: margin, by: margin, from_quantile: 0.5}}, labels_only: true}}
  coin: {{annotator: random, labels_only: true}}
num_test_prompts: 8
generation: {{max_new_tokens: 4}}
kl_to_reference: false
num_report_samples: 0
"""


def write_pairs(path: Path, count: int) -> None:
    """Writes `count` distinct pairs as JSON Lines."""
    generator = random.Random(0)
    words = generator.choices(WORDS, k=100_000)
    text = " ".join(words)
    starts = list(accumulate((len(word) + 1 for word in words), initial=0))

    def write_text(limits: tuple[int, int]) -> str:
        start, length = generator.randrange(len(words) - limits[1]), generator.randint(*limits)
        return text[starts[start] : starts[start + length] - 1]

    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            prompt = f"Question {number}: {write_text(PROMPT_WORDS)}?"
            row = {"prompt": prompt, "chosen": write_text(RESPONSE_WORDS), "rejected": f"{write_text(RESPONSE_WORDS)}."}
            stream.write(json.dumps(row) + "\n")


def write_model(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    tokens = ["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(folder)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = LlamaConfig(vocab_size=len(tokens), max_position_embeddings=8192, **shape, **ids)
    LlamaForCausalLM(config).save_pretrained(folder)


def measure(arguments: list[str], log: Path) -> tuple[int, float, float]:
    """Runs `trimtab` in a new process. Returns its exit status, its peak memory in MB, and its seconds of processor time."""
    with log.open("wb") as stream:
        actions = [(os.POSIX_SPAWN_DUP2, stream.fileno(), number) for number in (1, 2)]
        command = [sys.executable, "-m", "trimtab", *arguments, "--device", "cpu"]
        process = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("annotate", "study"))
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--labels", type=int, default=200, help="unlabeled pairs of the study, at most")
    parser.add_argument("--format", default="rows", help="of the labels: rows, trl or ids")
    parser.add_argument("--suffix", default=".parquet", help="of the label file")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where a temporary folder is created")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print("| pairs | file, MB | peak memory, MB | processor seconds |\n|---|---|---|---|")
    for count in options.pairs:
        with TemporaryDirectory(dir=options.folder, prefix="scale-") as name:
            folder = Path(name)
            path, log = folder / "pairs.jsonl", folder / "log.txt"
            write_pairs(path, count)
            if options.command == "annotate":
                output = ["--out", str(folder / f"labels{options.suffix}"), "--format", options.format]
                arguments = ["annotate", str(path), "--annotator", "length", *output]
            else:
                # in another process: the peak of a process includes that of the process that started it
                writer = get_context("spawn").Process(target=write_model, args=(folder / "model",))
                writer.start()
                writer.join()
                study = STUDY.format(folder=folder, labels=options.labels)
                (folder / "study.yaml").write_text(study, encoding="utf-8")
                arguments = ["run", str(folder / "study.yaml"), "--out", str(folder / "run")]
            size = path.stat().st_size / 1e6
            status, peak, seconds = measure(arguments, log)
            if status:
                kept = options.folder / "scale-failed.txt"
                shutil.copy(log, kept)
                raise SystemExit(f"trimtab {options.command} with {count} pairs: exit status {status}; see {kept}")
            print(f"| {count:,} | {size:,.0f} | {peak:,.0f} | {seconds:,.0f} |", flush=True)


if __name__ == "__main__":
    main()

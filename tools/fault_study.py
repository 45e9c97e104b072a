"""The study of the fault injection, and what must be equal in two of its runs."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trimtab.storage.line_checksums import decode_line

STUDY = """
name: faults
data: {{kind: starter, limit: 90}}
split: {{labeled: 0.5, test: 0.2, max_labeled: 20, max_unlabeled: 10, max_test: 5}}
models: {{weak: {{base: {model}, layers: 1, dtype: float32}}, student: {{base: {model}, dtype: float32}}}}
training:
  sft: {{batch_size: 5, learning_rate: 1.0e-3, lora_r: {sft_rank}}}
  dpo: {{batch_size: 5, learning_rate: 1.0e-3, lora_r: 2}}
generation: {{max_new_tokens: 6}}
arms:
  probe: {{annotator: probe, labels_only: true}}
  reward: {{annotator: reward_model, labels_only: true}}
  prompted: {{annotator: {{kind: prompted, weak: {engine}}}, labels_only: true}}
scorers: {{checker: synthetic_checker}}
judges: {{first: {{kind: pairwise, engine: {engine}}}}}
judging: {{human_agreement_pairs: 4}}
"""
# Prefers a response by its position, and more if there is an apology.
ENGINE = '{kind: scripted, choice_weights: {"[Ss]orry": [3, 1], ".": [2, 1]}}'
# Adapters name the path of their base model.
RUN_PATH = re.compile(r'[^\s":]*(?=/stages/)')
# What differs between undisturbed runs: times, hashes of files with times, and what a cache saved.
VARYING = {
    *("seconds", "trimtab_seconds", "finished_at", "regenerated_at", "stage_costs", "cost", "created", "from_cache"),
    *("checksum", "files", "label_files"),
}


def write_study(folder: Path, model: str = "") -> None:
    """Writes `study.yaml`, of the model with this name, or of a tiny random one that is written to `tiny`."""
    if not model:
        write_tiny_model(folder / "tiny")
    text = STUDY.format(model=model or "tiny", sft_rank=8 if model else 0, engine=ENGINE)
    (folder / "study.yaml").write_text(text)


def write_tiny_model(folder: Path) -> None:
    """A random two-layer Llama in float32 with a tokenizer whose tokens are bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokens = ["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = {"bos_token": tokens[0], "eos_token": tokens[1], "pad_token": tokens[2]}
    PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    limits = {"vocab_size": len(tokens), "max_position_embeddings": 4096}
    config = LlamaConfig(bos_token_id=0, eos_token_id=1, pad_token_id=2, **shape, **limits)
    LlamaForCausalLM(config).save_pretrained(folder)


def read_results(run: Path) -> dict[str, Any]:
    """What must be equal in two runs, by file: hashes of weights and logs, tables and JSON without `VARYING`."""
    results = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        if not name.startswith("cache") and path.suffix not in (".lock", ".html", ".svg"):
            results[name] = read_result(path)
    return results


def read_result(path: Path) -> Any:
    """The comparable contents of a file. Of cached completions, those that are intact: the first of each key."""
    if path.suffix == ".parquet":
        return remove_varying(pq.ParquetFile(path).read(use_threads=False).to_pylist())
    if path.suffix == ".json":
        return remove_varying(json.loads(RUN_PATH.sub("", path.read_text())))
    if path.suffix == ".md":
        return RUN_PATH.sub("", path.read_text())
    if path.parent.name == "completions":
        entries: dict[str, Any] = {}
        for line in path.read_bytes().splitlines(keepends=True):
            with suppress(ValueError):
                entry = decode_line(line, path.name)
                entries.setdefault(entry["key"], remove_varying(entry["value"]))
        return entries
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove_varying(value: Any) -> Any:
    if isinstance(value, list):
        return [remove_varying(item) for item in value]
    if isinstance(value, dict):
        return {key: remove_varying(item) for key, item in value.items() if key not in VARYING}
    return value

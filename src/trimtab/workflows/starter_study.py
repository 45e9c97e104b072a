"""Writes a starter study: a YAML file with the settings that users change first, which runs as it is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trimtab.config.study import Study
from trimtab.data.row_counts import count_failures_by_file, format_unusable_rows
from trimtab.errors import DataError, StudyError
from trimtab.storage.atomic import write_output
from trimtab.types import Dataset
from trimtab.workflows.pair_files import build_pair_file

# The split needs labeled pairs to train the weak model on, pairs to label, and test pairs.
MIN_LABELED_PAIRS = 60

_TEMPLATE = """\
# Runs without changes: trimtab run {file}. `trimtab plan {file}` shows the stages and about how long they take.
# Every setting: docs/reference/studies.md, or `trimtab list losses`, `trimtab list annotators` and so on.
name: {name}
data:
{data}
# Small limits, for a quick first result on two cores. Remove the three limits to use all pairs.
split: {{labeled: 0.5, test: 0.2, max_labeled: 120, max_unlabeled: 120, max_test: 40}}
max_length: 192 # tokens of prompt and response; longer pairs are excluded and counted
models:
  weak: smollm2-135m-instruct # annotates
  student: smollm2-135m-instruct # is trained on the annotations; use a stronger model: a hub id or a folder
training: # LoRA, which is fast; without lora_r, all weights are trained, as in the paper
  sft: {{lora_r: 8, learning_rate: 1.0e-3, batch_size: 16}}
  dpo: {{learning_rate: 5.0e-4, batch_size: 8}}
  weak_dpo: {{learning_rate: 1.0e-3, batch_size: 8}}
generation: {{max_new_tokens: 48}}
arms:
  longer: {{annotator: length}} # the baseline that every annotator should beat
{scorers}"""
_CHECKER = "scorers:\n  checker: {kind: synthetic_checker} # scores responses to the built-in prompts\n"
_NO_SCORERS = (
    "scorers: {} # a reward model scores the students' responses: {gold: {kind: reward_model, model: ./my-model}}\n"
)


def write_starter_study(file: Path, pairs: Path | None, data_settings: Mapping[str, Any]) -> str:
    """Writes a study of the pairs in a file, or of the built-in pairs, and returns a line about its data, and one for each
    kind of rows that are left out.

    Raises `StudyError` if `file` exists, and `DataError` if the pairs cannot be read or too few of them are labeled.
    """
    if file.exists():
        raise StudyError(f"{file}: exists already; choose another name, or delete it first")
    if file.suffix not in (".yaml", ".yml"):
        raise StudyError(f"{file}: a study is YAML; use the suffix .yaml")
    if pairs is None and data_settings:
        raise StudyError("--data: requires a file of pairs")
    source, summary = {"kind": "starter"}, "the built-in pairs"
    if pairs is not None:
        summary = _describe_pairs(pairs, build_pair_file(pairs, data_settings).load(), data_settings)
        source = {"kind": "file", "path": str(pairs), **data_settings}
    text = _TEMPLATE.format(
        file=shlex.quote(str(file)),
        name=yaml.safe_dump(re.sub(r"[^\w.-]+", "-", file.stem).strip("-.") or "study").splitlines()[0],
        data=_indent(yaml.safe_dump(source, sort_keys=False, allow_unicode=True, width=1000)),
        scorers=_CHECKER if pairs is None else _NO_SCORERS,
    )
    Study.parse(text)
    write_output(file, text)
    return summary


def _describe_pairs(path: Path, dataset: Dataset, data_settings: Mapping[str, Any]) -> str:
    labeled = sum(pair.human is not None for pair in dataset.pairs)
    if labeled == len(dataset.pairs) and labeled < MIN_LABELED_PAIRS:
        raise DataError(
            f"{path}: {labeled} labeled pairs, and a starter study splits at least {MIN_LABELED_PAIRS}; label "
            f"{MIN_LABELED_PAIRS - labeled} more, for example with `trimtab label` and a larger --limit"
        )
    if labeled < len(dataset.pairs):
        has_null = None in (data_settings.get("label_values") or {}).values()
        ties = ". To leave out the pairs without a preference, omit `null` from `label_values`" if has_null else ""
        raise DataError(
            f"{path}: {labeled} of {len(dataset.pairs)} pairs have a human label; a starter study splits one file of at least "
            f"{MIN_LABELED_PAIRS} labeled pairs. To use labeled pairs and a pool without labels, write the study by hand with "
            f"`data: {{labeled: …, unlabeled: …, test: …}}`{ties}"
        )
    left_out = format_unusable_rows(path.name, dataset.failures, count_failures_by_file([dataset]).items())
    return "\n".join([f"{labeled:,} labeled pairs in {path} ({dataset.layout})", *left_out])


def _indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines()).rstrip("\n")

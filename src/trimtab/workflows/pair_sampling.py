"""Makes a file of unlabeled pairs from a file of prompts."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.data.parsing.prompt_rows import PromptDataset
from trimtab.errors import StudyError
from trimtab.models.chat_messages import build_chat_messages
from trimtab.pipeline.response_sampling import SampledPairs, format_counts
from trimtab.sources.file import File
from trimtab.storage.atomic import atomic_write_text
from trimtab.types import Prompt
from trimtab.workflows.model_references import ModelResolver
from trimtab.workflows.output_files import lock_completions, prepare_folder
from trimtab.workflows.response_sampling import SamplingRequest, build_sampled_pairs


def sample_pair_file(
    source: File, request: SamplingRequest, output: Path, runtime: Runtime, models_from: Path | None = None
) -> str:
    """Writes one pair per prompt to `output`, as JSON lines, and returns a summary of a few lines.

    The columns are `prompt`, `response_a`, `response_b`, and `model_a` and `model_b`, which name the models that wrote them.
    Completions are cached in `output.completions` until none has failed. Raises `StudyError` before any work if `output` cannot
    be used, and `DataError` if no row has a prompt or no prompt has a pair.
    """
    if output.suffix != ".jsonl":
        raise StudyError(f"--out {output}: the suffix must be .jsonl, got {output.suffix or 'none'}")
    prepare_folder(output, {"of prompts": source.path})
    dataset = source.load_prompts()
    with lock_completions(output) as folder:
        sampled = build_sampled_pairs(dataset.prompts, request, ModelResolver(models_from), folder, runtime)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in _iter_rows(sampled)]
        atomic_write_text(output, "".join(lines))
        failed = any(each.generation.status != "ok" for group in sampled.responses for each in group)
        if not failed and folder.is_dir():
            shutil.rmtree(folder)
    return "\n".join(_summarize(dataset, sampled, request, output, folder if failed else None))


def _iter_rows(sampled: SampledPairs) -> Iterator[dict[str, Any]]:
    for pair in sampled.pairs:
        yield {
            **_build_prompt_columns(pair.prompt),
            "response_a": pair.first.generation.text,
            "response_b": pair.second.generation.text,
            "model_a": pair.first.model,
            "model_b": pair.second.model,
        }


def _build_prompt_columns(prompt: Prompt) -> dict[str, Any]:
    """The text of a single user turn, else messages, and the definitions of tools."""
    if len(prompt) == 1 and prompt[0].role == "user":
        return {"prompt": prompt[0].content}
    chat = build_chat_messages([(turn.role, turn.content) for turn in prompt])
    return {"prompt": chat.messages, **({} if chat.tools is None else {"tools": chat.tools})}


def _summarize(
    dataset: PromptDataset, sampled: SampledPairs, request: SamplingRequest, output: Path, cache: Path | None
) -> Iterator[str]:
    if dataset.failures:
        first = dataset.failures[0]
        yield f"rows left out: {len(dataset.failures):,}, starting with {first.location}: {first.reason}"
    for model in request.engines:
        generations = [each.generation for group in sampled.responses for each in group if each.model == model]
        answered = [each for each in generations if each.status == "ok"]
        tokens = sum(each.cost.generated_tokens for each in answered)
        text = f"{model}: {len(answered):,} responses, {tokens:,} tokens"
        if stopped := sum(each.finish_reason == "length" for each in answered):
            text += (
                f", {100 * stopped / len(answered):.0f}% of them cut off at {request.sampling.max_new_tokens} tokens"
            )
        if failed := Counter(each.note for each in generations if each.status != "ok"):
            (reason, _), *_ = failed.most_common(1)
            text += f"; {failed.total():,} failed, most often: {reason}"
        yield text
    if sampled.failed_scores:
        (reason, _), *_ = sampled.failed_scores.most_common(1)
        yield f"responses without a score: {sampled.failed_scores.total():,}, most often: {reason}"
    if sampled.skipped:
        yield f"prompts without a pair: {format_counts(sampled.skipped)}"
    yield f"pairs: {len(sampled.pairs):,}, of {len(dataset.prompts):,} prompts, selected by {request.sampling.rule}"
    if cache is not None:
        yield f"run the same command to retry the failed responses, or delete {cache}, which caches the others"
    yield f"next: trimtab label {output} --rater NAME, or trimtab annotate {output} --annotator KIND"

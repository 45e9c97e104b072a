"""SEAM labels with plain transformers, in the call pattern of the released code, and with Trimtab.

Both get the same prompts for the same pairs. Like the released code, the plain engine processes each prompt in full, with one
sequence per candidate and four prompts per batch, and the weak model judges all nodes of the path, although only one is used.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.workload import load_model, load_pairs, measure_peak_memory_mb
from trimtab.annotators.seam import Seam
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.core.interfaces import Engine
from trimtab.engines._shared.tokenization import decode_generation, encode_candidates, encode_request, softmax
from trimtab.engines.transformers import TransformersEngine
from trimtab.prompts.principles import load_principles
from trimtab.prompts.seam import RESPONSE_CANDIDATES, OrderedPair, build_judgment_request
from trimtab.types import Annotation, ChoiceScores, Cost, EngineRequest, Generation, Pair

BATCH_SIZE = 4
STRONG, WEAK = "gemma3-270m", "smollm2-135m-instruct"
SETTINGS = {"kind": "seam", "variant": "released_code", "max_thought_tokens": 40}

TokenIds = list[int]


@dataclass(frozen=True, slots=True)
class PlainEngine(TransformersEngine):
    """`generate` and full forward passes, without a cache between calls."""

    @torch.inference_mode()
    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        results: list[Generation] = []
        for start in range(0, len(requests), 2 * BATCH_SIZE):
            texts = [
                encode_request(self.loaded_model.chat, request) for request in requests[start : start + 2 * BATCH_SIZE]
            ]
            ids, mask = self._pad(texts, left=True)
            output = self.loaded_model.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                stop_strings=list(stop),
                tokenizer=self.loaded_model.chat.tokenizer,
                pad_token_id=self.loaded_model.pad_id,
            )
            for text, row in zip(texts, output[:, ids.shape[1] :].tolist(), strict=True):
                new = [token for token in row if token != self.loaded_model.pad_id]
                cost = Cost(prompt_tokens=len(text), generated_tokens=len(new), calls=1)
                results.append(decode_generation(self.loaded_model.chat, new, stop, cost))
        return results

    @torch.inference_mode()
    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        end = list(self.loaded_model.chat.end_of_turn_ids) if include_end_of_turn else []
        results: list[ChoiceScores] = []
        for start in range(0, len(requests), BATCH_SIZE):
            group = zip(requests[start:], candidates[start : start + BATCH_SIZE], strict=False)
            encoded = [encode_candidates(self.loaded_model.chat, request, texts) for request, texts in group]
            if first_token_only:
                results += self._score_first_tokens(
                    [(prompt, [ids[0] for ids in choices]) for prompt, choices in encoded]
                )
            else:
                results += self._score_candidates(
                    [(prompt, [ids + end for ids in choices]) for prompt, choices in encoded]
                )
        return results

    def _score_first_tokens(self, group: Sequence[tuple[TokenIds, list[int]]]) -> list[ChoiceScores]:
        """One sequence per prompt: the log-probabilities of all first tokens are at its last position."""
        logits = self._logits([prompt for prompt, _ in group])
        all_logprobs = [
            logits[row, len(prompt) - 1].float().log_softmax(-1)[first_ids]
            for row, (prompt, first_ids) in enumerate(group)
        ]
        return [
            _build_scores(tuple(logprobs.tolist()), (1,) * len(logprobs), len(prompt))
            for logprobs, (prompt, _) in zip(all_logprobs, group, strict=True)
        ]

    def _score_candidates(self, group: Sequence[tuple[TokenIds, list[TokenIds]]]) -> list[ChoiceScores]:
        """One sequence per candidate."""
        logits = self._logits([prompt + ids for prompt, choices in group for ids in choices])
        row, results = 0, []
        for prompt, choices in group:
            sums = []
            for ids in choices:
                logprobs = logits[row, len(prompt) - 1 : len(prompt) + len(ids) - 1].float().log_softmax(-1)
                sums.append(float(logprobs.gather(1, torch.tensor(ids)[:, None]).sum()))
                row += 1
            n_tokens = sum(len(prompt) + len(ids) for ids in choices)
            results.append(_build_scores(tuple(sums), tuple(map(len, choices)), n_tokens))
        return results

    def _logits(self, texts: Sequence[TokenIds]) -> Tensor:
        ids, mask = self._pad(texts)
        logits: Tensor = self.loaded_model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

    def _pad(self, texts: Sequence[TokenIds], *, left: bool = False) -> tuple[Tensor, Tensor]:
        width = max(map(len, texts))
        ids = torch.full((len(texts), width), self.loaded_model.pad_id)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            columns = slice(width - len(text), width) if left else slice(0, len(text))
            ids[row, columns], mask[row, columns] = torch.tensor(text), 1
        return ids, mask


def _build_scores(logprobs: tuple[float, ...], tokens: tuple[int, ...], n_prompt_tokens: int) -> ChoiceScores:
    cost = Cost(prompt_tokens=n_prompt_tokens, calls=1)
    return ChoiceScores(probabilities=softmax(logprobs), logprobs=logprobs, tokens=tokens, cost=cost)


def run_seam(task: dict[str, Any]) -> dict[str, Any]:
    """Labels pairs with one engine. Returns pairs per second, computed tokens, and the labels for comparison."""
    engine = PlainEngine if task["run"] == "seam_plain" else TransformersEngine
    engines: dict[str, Engine] = {
        name: engine(load_model(model, task["device"]), task.get("size", 1024))
        for name, model in (("strong", STRONG), ("weak", WEAK))
    }
    annotator = build_component("annotators", {**SETTINGS, "strong": STRONG, "weak": WEAK})
    assert isinstance(annotator, Seam)
    pairs = load_pairs(task.get("pairs"))[: task["count"]]
    start = time.perf_counter()
    labels = annotator.annotate(pairs, AnnotatorInputs(engines=engines))
    tokens = sum(label.cost.prompt_tokens + label.cost.generated_tokens for label in labels)
    if engine is PlainEngine:
        tokens += _score_remaining_nodes(engines["weak"], pairs, labels)
    seconds = time.perf_counter() - start
    return {
        "per_second": len(pairs) / seconds,
        "seconds": seconds,
        "tokens": tokens,
        "peak_mb": measure_peak_memory_mb(task["device"]),
        "labels": [label.p_a for label in labels],
    }


def _score_remaining_nodes(weak: Engine, pairs: Sequence[Pair], labels: Sequence[Annotation]) -> int:
    """Sends the extra prompts of the released code: the weak model judges all nodes of the path. Returns their tokens."""
    principles = {principle.name: principle for principle in load_principles()}
    requests = []
    for pair, label in zip(pairs, labels, strict=True):
        ordered = OrderedPair.from_pair(pair, label.detail["first"] == "a")
        last_nodes = {node["level"]: node for node in label.detail["nodes"]}
        used_level = label.detail["depth"] if label.detail["decided_by"] == "weak" else None
        requests += [
            build_judgment_request(ordered, [principles[name] for name in node["chain"]], node["thought"])
            for level, node in last_nodes.items()
            if level != used_level
        ]
    results = weak.score_choices(requests, [RESPONSE_CANDIDATES] * len(requests), include_end_of_turn=True)
    return sum(result.cost.prompt_tokens for result in results)

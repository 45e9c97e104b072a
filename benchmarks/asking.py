"""SEAM's labels in the released code's call pattern: by plain transformers, and by Trimtab.

Both are asked the same questions about the same pairs. The plain engine reads every question whole, a sequence for each
candidate and four questions at a time, as the released code does; and, as there, the weak model judges every node of the
path, though one of them is used.
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
SETTINGS = {"kind": "seam", "mode": "published_code", "max_thought_tokens": 40}

TokenIds = list[int]


@dataclass(frozen=True, slots=True)
class PlainEngine(TransformersEngine):
    """`generate` and whole forward passes; nothing is kept from one to the next."""

    @torch.inference_mode()
    def generate(
        self,
        questions: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        found: list[Generation] = []
        for start in range(0, len(questions), 2 * BATCH_SIZE):
            texts = [encode_request(self.loaded_model.chat, each) for each in questions[start : start + 2 * BATCH_SIZE]]
            ids, mask = self._pad(texts, left=True)
            written = self.loaded_model.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                stop_strings=list(stop),
                tokenizer=self.loaded_model.chat.tokenizer,
                pad_token_id=self.loaded_model.pad_id,
            )
            for text, row in zip(texts, written[:, ids.shape[1] :].tolist(), strict=True):
                new = [token for token in row if token != self.loaded_model.pad_id]
                cost = Cost(prompt_tokens=len(text), generated_tokens=len(new), calls=1)
                found.append(decode_generation(self.loaded_model.chat, new, stop, cost))
        return found

    @torch.inference_mode()
    def score_choices(
        self,
        questions: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        end = list(self.loaded_model.chat.end_of_turn_ids) if include_end_of_turn else []
        found: list[ChoiceScores] = []
        for start in range(0, len(questions), BATCH_SIZE):
            group = zip(questions[start:], candidates[start : start + BATCH_SIZE], strict=False)
            split = [encode_candidates(self.loaded_model.chat, question, among) for question, among in group]
            if first_token_only:
                found += self._score_first_tokens([(text, [each[0] for each in rest]) for text, rest in split])
            else:
                found += self._score_candidates([(text, [each + end for each in rest]) for text, rest in split])
        return found

    def _score_first_tokens(self, group: Sequence[tuple[TokenIds, list[int]]]) -> list[ChoiceScores]:
        """One sequence a question: all first tokens are read from its last place."""
        logits = self._logits([text for text, _ in group])
        each = [logits[row, len(text) - 1].float().log_softmax(-1)[firsts] for row, (text, firsts) in enumerate(group)]
        return [
            _build_scores(tuple(logprobs.tolist()), (1,) * len(logprobs), len(text))
            for logprobs, (text, _) in zip(each, group, strict=True)
        ]

    def _score_candidates(self, group: Sequence[tuple[TokenIds, list[TokenIds]]]) -> list[ChoiceScores]:
        """A sequence for each candidate."""
        logits = self._logits([text + each for text, rest in group for each in rest])
        row, found = 0, []
        for text, rest in group:
            sums = []
            for each in rest:
                behind = logits[row, len(text) - 1 : len(text) + len(each) - 1].float().log_softmax(-1)
                sums.append(float(behind.gather(1, torch.tensor(each)[:, None]).sum()))
                row += 1
            tokens = sum(len(text) + len(each) for each in rest)
            found.append(_build_scores(tuple(sums), tuple(map(len, rest)), tokens))
        return found

    def _logits(self, texts: Sequence[TokenIds]) -> Tensor:
        ids, mask = self._pad(texts)
        logits: Tensor = self.loaded_model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

    def _pad(self, texts: Sequence[TokenIds], *, left: bool = False) -> tuple[Tensor, Tensor]:
        width = max(map(len, texts))
        ids = torch.full((len(texts), width), self.loaded_model.pad_id)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            place = slice(width - len(text), width) if left else slice(0, len(text))
            ids[row, place], mask[row, place] = torch.tensor(text), 1
        return ids, mask


def _build_scores(logprobs: tuple[float, ...], tokens: tuple[int, ...], read: int) -> ChoiceScores:
    cost = Cost(prompt_tokens=read, calls=1)
    return ChoiceScores(probabilities=softmax(logprobs), logprobs=logprobs, tokens=tokens, cost=cost)


def run_seam(task: dict[str, Any]) -> dict[str, Any]:
    """One contender: pairs a second, computed tokens, and the labels, to be compared."""
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
    tokens = sum(each.cost.prompt_tokens + each.cost.generated_tokens for each in labels)
    if engine is PlainEngine:
        tokens += _score_remaining_nodes(engines["weak"], pairs, labels)
    seconds = time.perf_counter() - start
    return {
        "per_second": len(pairs) / seconds,
        "seconds": seconds,
        "tokens": tokens,
        "peak_mb": measure_peak_memory_mb(task["device"]),
        "labels": [each.p_a for each in labels],
    }


def _score_remaining_nodes(weak: Engine, pairs: Sequence[Pair], labels: Sequence[Annotation]) -> int:
    """What the released code asks beyond ours: the weak model about all nodes of the path. Returns the tokens read."""
    named = {each.name: each for each in load_principles()}
    asked = []
    for pair, label in zip(pairs, labels, strict=True):
        case = OrderedPair.from_pair(pair, label.detail["first"] == "a")
        last = {node["level"]: node for node in label.detail["nodes"]}
        used = label.detail["depth"] if label.detail["decided_by"] == "weak" else None
        asked += [
            build_judgment_request(case, [named[name] for name in node["chain"]], node["thought"])
            for level, node in last.items()
            if level != used
        ]
    found = weak.score_choices(asked, [RESPONSE_CANDIDATES] * len(asked), include_end_of_turn=True)
    return sum(each.cost.prompt_tokens for each in found)

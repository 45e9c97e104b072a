"""Samples responses of models to prompts, and selects one pair of responses per prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.core.interfaces import Engine, Scorer
from trimtab.core.runtime import Runtime
from trimtab.data.pair_selection import (
    MAX_RESPONSES,
    SelectionRule,
    select_best_worst,
    select_most_different,
    select_random,
)
from trimtab.errors import DataError, ModelError
from trimtab.types import Completion, EngineRequest, Generation, Prompt, Score, prompt_hash, text_hash

# Prompts that an engine responds to in one call, between two steps of the progress bar.
PROMPTS_PER_CALL = 64
_REASONS: dict[SelectionRule, str] = {
    "random": "all responses are equal or empty",
    "most_different": "all responses are equal or empty",
    "best_worst": "no two responses with different scores",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSampling:
    """Each model gives `num_responses` responses to every prompt; `rule` selects two of them. `scorer` is for `best_worst`.

    A response ends before the first of the texts `stop`.
    """

    num_responses: int
    temperature: float
    max_new_tokens: int
    rule: SelectionRule
    scorer: Scorer | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledResponse:
    """A response of a model to a prompt."""

    model: str
    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPair:
    """The two selected responses to a prompt, in random order."""

    prompt: Prompt
    first: SampledResponse
    second: SampledResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledPairs:
    """`skipped` counts the prompts without a pair by reason; `responses` are all of each prompt, failed ones included.

    `failed_scores` counts the responses that a scorer could not score by reason.
    """

    pairs: tuple[SampledPair, ...]
    responses: tuple[tuple[SampledResponse, ...], ...]
    skipped: Counter[str]
    failed_scores: Counter[str]


def sample_responses(
    model: str, engine: Engine, prompts: Sequence[Prompt], sampling: PairSampling, runtime: Runtime
) -> list[list[SampledResponse]]:
    """The responses of one model, by prompt. `model` is its name, for the responses and the progress bar."""
    responses: list[list[SampledResponse]] = []
    total = len(prompts) * sampling.num_responses
    with runtime.progress(f"Sampling: {model}", total, "responses") as tick:
        for start in range(0, len(prompts), PROMPTS_PER_CALL):
            requests = [EngineRequest(prompt=prompt) for prompt in prompts[start : start + PROMPTS_PER_CALL]]
            samples = []
            for number in range(sampling.num_responses):
                samples.append(_generate(engine, requests, sampling, sampling.seed * MAX_RESPONSES + number))
                tick(len(requests))
            responses += [
                [SampledResponse(model=model, generation=generation) for generation in group]
                for group in zip(*samples, strict=True)
            ]
    return responses


def pair_responses(
    prompts: Sequence[Prompt], responses: Sequence[Sequence[SampledResponse]], sampling: PairSampling, runtime: Runtime
) -> SampledPairs:
    """Selects a pair of the responses to each prompt. Raises `DataError` if no prompt has a pair."""
    keys = [f"{sampling.seed} {prompt_hash(prompt)}" for prompt in prompts]
    usable = [_shuffle_usable(group, key) for group, key in zip(responses, keys, strict=True)]
    scores = None if sampling.scorer is None else _score_responses(prompts, usable, sampling.scorer, runtime)
    failed_scores = Counter(each.note for group in scores or () for each in group if each.value is None)
    selected = _select_pairs(usable, scores, keys, sampling.rule)
    skipped: Counter[str] = Counter()
    pairs: list[SampledPair] = []
    for prompt, group, indices in zip(prompts, usable, selected, strict=True):
        if indices is None:
            skipped["fewer than two responses" if len(group) < 2 else _REASONS[sampling.rule]] += 1
            continue
        first, second = (group[index] for index in indices)
        if int(text_hash("order", prompt_hash(prompt)), 16) % 2:
            first, second = second, first
        pairs.append(SampledPair(prompt=prompt, first=first, second=second))
    if not pairs:
        failed = failed_scores or Counter(
            each.generation.note for group in responses for each in group if each.generation.status != "ok"
        )
        cause = f"; most often: {failed.most_common(1)[0][0]}" if failed else ""
        raise DataError(f"none of {len(prompts)} prompts has a pair of responses: {format_counts(skipped)}{cause}")
    return SampledPairs(
        pairs=tuple(pairs), responses=tuple(map(tuple, responses)), skipped=skipped, failed_scores=failed_scores
    )


def format_counts(counts: Counter[str]) -> str:
    """For example: 3 (fewer than two responses), 2 (all responses are equal or empty)."""
    return ", ".join(f"{count:,} ({reason})" for reason, count in counts.most_common())


def _shuffle_usable(group: Sequence[SampledResponse], key: str) -> list[SampledResponse]:
    """The responses that did not fail, in an order that depends only on `key`.

    Equal responses of two models count for the first one, so that no model may always come first.
    """
    order = sorted(range(len(group)), key=lambda index: text_hash(key, str(index)))
    return [group[index] for index in order if group[index].generation.status == "ok"]


def _generate(engine: Engine, requests: Sequence[EngineRequest], sampling: PairSampling, seed: int) -> list[Generation]:
    """One response per request. A request that the model's chat template rejects fails, and the others do not."""
    try:
        return engine.generate(
            requests,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            stop=sampling.stop,
            seed=seed,
        )
    except ModelError as error:
        if len(requests) == 1:
            return [Generation(text="", status="failed", note=str(error))]
    middle = len(requests) // 2
    halves = requests[:middle], requests[middle:]
    return [response for half in halves for response in _generate(engine, half, sampling, seed)]


def _score_responses(
    prompts: Sequence[Prompt], usable: Sequence[Sequence[SampledResponse]], scorer: Scorer, runtime: Runtime
) -> list[list[Score]]:
    """The scores of the responses to each prompt."""
    completions = [
        Completion(
            prompt_id=prompt_hash(prompt),
            prompt=prompt,
            text=each.generation.text,
            n_tokens=each.generation.cost.generated_tokens,
            finish_reason=each.generation.finish_reason,
        )
        for prompt, group in zip(prompts, usable, strict=True)
        for each in group
    ]
    scores = iter(scorer.score(completions, runtime))
    return [[next(scores) for _ in group] for group in usable]


def _select_pairs(
    usable: Sequence[Sequence[SampledResponse]],
    scores: Sequence[Sequence[Score]] | None,
    keys: Sequence[str],
    rule: SelectionRule,
) -> list[tuple[int, int] | None]:
    """The indices of two responses per prompt, or None. `keys` determine random choices; each prompt has its own."""
    texts = [[each.generation.text for each in group] for group in usable]
    if scores is not None:
        values = [[score.value for score in group] for group in scores]
        return [select_best_worst(group, each) for group, each in zip(texts, values, strict=True)]
    select = select_random if rule == "random" else select_most_different
    return [select(group, key) for group, key in zip(texts, keys, strict=True)]

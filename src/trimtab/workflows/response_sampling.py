"""Samples responses of models to prompts, and selects one pair of responses per prompt."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.core.component import Component, build_component
from trimtab.core.interfaces import EngineConfig, HasPreflight, Scorer
from trimtab.core.runtime import Runtime
from trimtab.core.yaml_text import parse_yaml
from trimtab.data.pair_selection import (
    MAX_RESPONSES,
    SelectionRule,
    select_best_worst,
    select_most_different,
    select_random,
)
from trimtab.errors import DataError, EngineError, ModelError, StudyError
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.types import Completion, EngineRequest, Generation, Prompt, Score, prompt_hash, text_hash
from trimtab.workflows.model_references import ModelResolver

# Prompts that an engine responds to in one call, between two steps of the progress bar.
PROMPTS_PER_CALL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """`engines` are by the name of the model. Each gives `num_responses` responses to every prompt."""

    engines: dict[str, EngineConfig]
    num_responses: int
    temperature: float
    max_new_tokens: int
    rule: SelectionRule
    scorer: Scorer | None = None
    seed: int = 0

    def validate(self) -> None:
        """Raises `StudyError` if a prompt cannot have two different responses."""
        if len(self.engines) * self.num_responses < 2:
            raise StudyError("--responses 1: one model gives one response per prompt, and a pair needs two")
        if self.temperature == 0 and self.num_responses > 1:
            raise StudyError(
                f"--temperature 0: all {self.num_responses} responses of a model would be equal; use a higher temperature, or "
                "--responses 1 with two models"
            )


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


def parse_engines(models: Sequence[str]) -> dict[str, EngineConfig]:
    """Engines by the name of their model, from names or YAML mappings. Raises `StudyError` for a name that is given twice."""
    engines: dict[str, EngineConfig] = {}
    for text in models:
        is_mapping = text.lstrip().startswith("{")
        settings = parse_yaml(text, "--model") if is_mapping else {"kind": "transformers", "model": text}
        try:
            component = build_component("engines", settings)
        except StudyError as error:
            raise StudyError(f"--model {text}: {error}") from error
        if not isinstance(component, EngineConfig):
            raise StudyError(f"--model {text}: {type(component).__name__} is not an engine")
        name = str(getattr(component, "model", text))
        if name in engines:
            raise StudyError(f"--model {name}: given twice; --responses sets the number of responses of each model")
        engines[name] = component
    return engines


def parse_scorer(text: str, rule: SelectionRule) -> Scorer | None:
    """The scorer of the rule `best_worst`. Raises `StudyError` if it is missing, unused, or needs a study."""
    if rule != "best_worst":
        if text:
            raise StudyError(f"--scorer: unused with --select {rule}; it is for best_worst")
        return None
    if not text:
        raise StudyError("--select best_worst: requires --scorer, such as '{kind: reward_model, model: NAME}'")
    settings = parse_yaml(text, "--scorer")
    if (settings.get("kind") if isinstance(settings, Mapping) else settings) == "study_reward_model":
        raise StudyError(f"--scorer {text}: it exists only in a study, which trains it; use reward_model")
    try:
        component: Component = build_component("scorers", settings)
    except StudyError as error:
        raise StudyError(f"--scorer {text}: {error}") from error
    if not isinstance(component, Scorer):
        raise StudyError(f"--scorer {text}: {type(component).__name__} is not a scorer")
    return component


def build_sampled_pairs(
    prompts: Sequence[Prompt], request: SamplingRequest, resolver: ModelResolver, folder: Path, runtime: Runtime
) -> SampledPairs:
    """Samples responses, one model after the other, and selects a pair of each prompt.

    Completions are cached in `folder`, so that a killed run resumes; failed ones are tried again. Raises `StudyError`,
    `ModelError` or `EngineError` before any work if a model cannot be used, `EngineError` if an engine becomes unavailable,
    and `DataError` if no prompt has a pair.
    """
    _require_models(request, resolver, runtime)
    responses: list[list[SampledResponse]] = [[] for _ in prompts]
    for model, config in request.engines.items():
        for index, generations in enumerate(_sample_model(model, config, prompts, request, resolver, folder, runtime)):
            responses[index] += [SampledResponse(model=model, generation=each) for each in generations]
        gc.collect()  # the next model needs the memory
    keys = [f"{request.seed} {prompt_hash(prompt)}" for prompt in prompts]
    usable = [_shuffle_usable(group, key) for group, key in zip(responses, keys, strict=True)]
    scores = None if request.scorer is None else _score_responses(prompts, usable, request.scorer, runtime)
    failed_scores = Counter(each.note for group in scores or () for each in group if each.value is None)
    selected = _select_pairs(usable, scores, keys, request.rule)
    skipped: Counter[str] = Counter()
    pairs: list[SampledPair] = []
    for prompt, group, indices in zip(prompts, usable, selected, strict=True):
        if indices is None:
            skipped["fewer than two responses" if len(group) < 2 else _REASONS[request.rule]] += 1
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


def _require_models(request: SamplingRequest, resolver: ModelResolver, runtime: Runtime) -> None:
    """Raises `StudyError`, `ModelError` or `EngineError` if a model or the scorer cannot be used."""
    for model, config in request.engines.items():
        try:
            resolver.preflight_engine(config, runtime)
        except (EngineError, ModelError, StudyError) as error:
            raise type(error)(f"--model {model}: {error}") from error
    if isinstance(request.scorer, HasPreflight):
        try:
            request.scorer.preflight(runtime)
        except ModelError as error:
            raise ModelError(f"--scorer: {error}") from error


def _shuffle_usable(group: Sequence[SampledResponse], key: str) -> list[SampledResponse]:
    """The responses that did not fail, in an order that depends only on `key`.

    Equal responses of two models count for the first one, so that no model may always come first.
    """
    order = sorted(range(len(group)), key=lambda index: text_hash(key, str(index)))
    return [group[index] for index in order if group[index].generation.status == "ok"]


_REASONS: dict[SelectionRule, str] = {
    "random": "all responses are equal or empty",
    "most_different": "all responses are equal or empty",
    "best_worst": "no two responses with different scores",
}


def format_counts(counts: Counter[str]) -> str:
    """For example: 3 with fewer than two responses, 2 with the reason."""
    return ", ".join(f"{count:,} ({reason})" for reason, count in counts.most_common())


def _sample_model(
    model: str,
    config: EngineConfig,
    prompts: Sequence[Prompt],
    request: SamplingRequest,
    resolver: ModelResolver,
    folder: Path,
    runtime: Runtime,
) -> list[list[Generation]]:
    """The responses of one model, by prompt."""
    engine = CachedEngine(
        engine=resolver.start_engine(config, runtime),
        cache_key=resolver.cache_key(config),
        folder=folder,
        notify=runtime.notify,
    )
    generations: list[list[Generation]] = []
    total = len(prompts) * request.num_responses
    with runtime.progress(f"Sampling: {model}", total, "responses") as tick:
        for start in range(0, len(prompts), PROMPTS_PER_CALL):
            requests = [EngineRequest(prompt=prompt) for prompt in prompts[start : start + PROMPTS_PER_CALL]]
            samples = []
            for number in range(request.num_responses):
                samples.append(_generate(engine, requests, request, request.seed * MAX_RESPONSES + number))
                tick(len(requests))
            generations += [list(group) for group in zip(*samples, strict=True)]
    return generations


def _generate(
    engine: CachedEngine, requests: Sequence[EngineRequest], settings: SamplingRequest, seed: int
) -> list[Generation]:
    """One response per request. A request that the model's chat template rejects fails, and the others do not."""
    try:
        return engine.generate(
            requests, max_new_tokens=settings.max_new_tokens, temperature=settings.temperature, seed=seed
        )
    except ModelError as error:
        if len(requests) == 1:
            return [Generation(text="", status="failed", note=str(error))]
    middle = len(requests) // 2
    halves = requests[:middle], requests[middle:]
    return [response for half in halves for response in _generate(engine, half, settings, seed)]


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

"""Samples responses of models to prompts, and selects one pair of responses per prompt."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.core.component import Component, build_component
from trimtab.core.interfaces import EngineConfig, Scorer
from trimtab.core.runtime import Runtime
from trimtab.core.yaml_text import parse_yaml
from trimtab.data.pair_selection import (
    MAX_RESPONSES,
    SelectionRule,
    select_best_worst,
    select_most_different,
    select_random,
)
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.types import Completion, EngineRequest, Generation, Prompt, prompt_hash, text_hash
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
    """`skipped` counts the prompts without a pair by reason; `responses` are all of each prompt, failed ones included."""

    pairs: tuple[SampledPair, ...]
    responses: tuple[tuple[SampledResponse, ...], ...]
    skipped: Counter[str]


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
    component: Component = build_component("scorers", parse_yaml(text, "--scorer"))
    if not isinstance(component, Scorer):
        raise StudyError(f"--scorer {text}: it exists only in a study")
    return component


def build_sampled_pairs(
    prompts: Sequence[Prompt], request: SamplingRequest, resolver: ModelResolver, folder: Path, runtime: Runtime
) -> SampledPairs:
    """Samples responses, one model after the other, and selects a pair of each prompt.

    Completions are cached in `folder`, so that a killed run resumes; failed ones are tried again. Raises `EngineError` if an
    engine becomes unavailable, and `DataError` if no prompt has a pair.
    """
    responses: list[list[SampledResponse]] = [[] for _ in prompts]
    for model, config in request.engines.items():
        for index, generations in enumerate(_sample_model(model, config, prompts, request, resolver, folder, runtime)):
            responses[index] += [SampledResponse(model=model, generation=each) for each in generations]
        gc.collect()  # the next model needs the memory
    usable = [[each for each in group if each.generation.status == "ok"] for group in responses]
    selected = _select_pairs(prompts, usable, request, runtime)
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
        raise DataError(f"none of {len(prompts)} prompts has a pair of responses: {format_counts(skipped)}")
    return SampledPairs(pairs=tuple(pairs), responses=tuple(map(tuple, responses)), skipped=skipped)


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
                samples.append(
                    engine.generate(
                        requests,
                        max_new_tokens=request.max_new_tokens,
                        temperature=request.temperature,
                        seed=request.seed * MAX_RESPONSES + number,
                    )
                )
                tick(len(requests))
            generations += [list(group) for group in zip(*samples, strict=True)]
    return generations


def _select_pairs(
    prompts: Sequence[Prompt], usable: Sequence[Sequence[SampledResponse]], request: SamplingRequest, runtime: Runtime
) -> list[tuple[int, int] | None]:
    """The indices of two responses per prompt, or None."""
    texts = [[each.generation.text for each in group] for group in usable]
    key = str(request.seed)
    if request.scorer is None:
        select = select_random if request.rule == "random" else select_most_different
        return [select(group, key) for group in texts]
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
    scores = iter(request.scorer.score(completions, runtime))
    return [select_best_worst(group, [next(scores).value for _ in group]) for group in texts]

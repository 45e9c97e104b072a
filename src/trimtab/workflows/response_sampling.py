"""The models, the scorer and the settings of `trimtab sample`, and the pairs that they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trimtab.core.component import Component, build_component
from trimtab.core.engine_lifetime import open_engines
from trimtab.core.interfaces import EngineConfig, HasPreflight, Scorer
from trimtab.core.memory import free_memory
from trimtab.core.runtime import Runtime
from trimtab.core.yaml_text import parse_yaml
from trimtab.data.pair_selection import SelectionRule
from trimtab.errors import EngineError, ModelError, StudyError
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.pipeline.response_sampling import (
    PairSampling,
    SampledPairs,
    SampledResponse,
    pair_responses,
    sample_responses,
)
from trimtab.types import Prompt
from trimtab.workflows.model_references import ModelResolver


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """`engines` are by the name of the model."""

    engines: dict[str, EngineConfig]
    sampling: PairSampling

    def validate(self) -> None:
        """Raises `StudyError` for a blank stop text, and if a prompt cannot have two different responses."""
        if any(not text.strip() for text in self.sampling.stop):
            raise StudyError("--stop: expected texts with more than white space, since a response would end at once")
        if len(self.engines) * self.sampling.num_responses < 2:
            raise StudyError("--responses 1: one model gives one response per prompt, and a pair needs two")
        if self.sampling.temperature == 0 and self.sampling.num_responses > 1:
            raise StudyError(
                f"--temperature 0: all {self.sampling.num_responses} responses of a model would be equal; use a higher "
                "temperature, or --responses 1 with two models"
            )


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
        with open_engines({model: partial(resolver.start_engine, config, runtime)}) as engines:
            engine = CachedEngine(
                engine=engines[model], cache_key=resolver.cache_key(config), folder=folder, notify=runtime.notify
            )
            for index, group in enumerate(sample_responses(model, engine, prompts, request.sampling, runtime)):
                responses[index] += group
        del engines, engine
        free_memory()  # the next model needs the memory
    return pair_responses(prompts, responses, request.sampling, runtime)


def _require_models(request: SamplingRequest, resolver: ModelResolver, runtime: Runtime) -> None:
    """Raises `StudyError`, `ModelError` or `EngineError` if a model or the scorer cannot be used."""
    for model, config in request.engines.items():
        try:
            resolver.preflight_engine(config, runtime)
        except (EngineError, ModelError, StudyError) as error:
            raise type(error)(f"--model {model}: {error}") from error
    if isinstance(request.sampling.scorer, HasPreflight):
        try:
            request.sampling.scorer.preflight(runtime)
        except ModelError as error:
            raise ModelError(f"--scorer: {error}") from error

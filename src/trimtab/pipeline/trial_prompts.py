"""Tries judges and annotators on an easy pair before anything is trained, with their own prompts and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.core.engine_configs import get_requirements, list_engine_configs
from trimtab.core.interfaces import Annotator, Engine, Judge
from trimtab.core.runtime import Runtime
from trimtab.engines.openai import Openai
from trimtab.errors import DataError, EngineError
from trimtab.types import Comparison, Pair, build_user_prompt

TRIAL_PAIRS = tuple(
    Pair.from_responses(build_user_prompt(question), better, worse)
    for question, better, worse in (
        ("What is the capital of France?", "The capital of France is Paris.", "Bananas are yellow."),
        ("How many days does a week have?", "A week has seven days.", "A week has two days, I think."),
    )
)


def try_component(setting: str, component: Component, runtime: Runtime) -> None:
    """Asks for one label or verdict, and for a second one if the first failed. Raises `DataError` if both failed.

    Components are tried if all their engines are servers: the study's own models do not exist yet, and loading a published one
    can take as long as its work.
    """
    configs = list_engine_configs(component)
    if not configs or not all(isinstance(config, Openai) for config in configs.values()):
        return
    engines = {name: config.start(runtime) for name, config in configs.items()}
    ask = _build_question(component, engines)
    if ask is None:
        return
    reasons: list[str] = []
    for pair in TRIAL_PAIRS:
        try:
            reason = ask(pair)
        except EngineError as error:
            raise EngineError(f"{setting}: a trial prompt failed: {error}") from error
        if not reason:
            return
        reasons.append(reason)
    raise DataError(
        f"{setting}: it failed on both of two easy trial pairs: {'; '.join(dict.fromkeys(reasons))}. Nothing has been trained; "
        "change its settings or its model"
    )


def _build_question(component: Component, engines: Mapping[str, Engine]) -> Callable[[Pair], str] | None:
    """A function that returns why the component failed on a pair, empty if it did not; None if it needs more than engines."""
    if isinstance(component, Judge):
        judge = component
        return lambda pair: _ask_judge(judge, pair, engines)
    needs = replace(get_requirements(component), engines={}, build_training_task=None)
    if isinstance(component, Annotator) and needs == Requirements():
        annotator = component
        return lambda pair: _ask_annotator(annotator, pair, engines)
    return None


def _ask_judge(judge: Judge, pair: Pair, engines: Mapping[str, Engine]) -> str:
    (verdict,) = judge.judge([Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b)], engines)
    if verdict.outcome != "failed":
        return ""
    texts = [side.text for side in (verdict.forward, verdict.reversed) if side is not None and side.text]
    return f"{verdict.note}{f' (a reply: “{_shorten(texts[0])}”)' if texts else ''}"


def _ask_annotator(annotator: Annotator, pair: Pair, engines: Mapping[str, Engine]) -> str:
    (label,) = annotator.annotate([pair], AnnotatorInputs(engines=engines, pairs={pair.id: pair}))
    return label.note if label.status == "failed" else ""


def _shorten(text: str) -> str:
    return " ".join(text.split())[:200]

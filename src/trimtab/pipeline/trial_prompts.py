"""Asks judges and annotators about an easy pair before any work, with their own prompts and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.core.engine_configs import get_requirements, list_engine_configs
from trimtab.core.engine_lifetime import close_engines
from trimtab.core.interfaces import Annotator, Engine, EngineConfig, HasContentHash, Judge, LearningJudge
from trimtab.core.memory import free_memory
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StoreError, TrimtabError
from trimtab.pipeline.engine_resources import engine_cache_key
from trimtab.pipeline.plan.study_models import list_study_models
from trimtab.pipeline.stage import identity_settings
from trimtab.pipeline.stage_errors import describe_error
from trimtab.pipeline.trial_engine import TrialEngine
from trimtab.storage.jsonl_cache import JsonlCache
from trimtab.storage.recipe import hash_json
from trimtab.types import Comparison, Cost, EngineRequest, Pair, build_user_prompt

# The file of a folder of completions that lists the components that passed, with the cost of their trial.
TRIALS_FILE = "trial-prompts.jsonl"
TRIAL_PAIRS = tuple(
    Pair.from_responses(build_user_prompt(question), better, worse)
    for question, better, worse in (
        ("What is the capital of France?", "The capital of France is Paris.", "Bananas are yellow."),
        ("How many days does a week have?", "A week has seven days.", "A week has two days, I think."),
    )
)
# For an engine of a component that cannot be asked itself, and the most tokens of the reply.
TRIAL_REQUEST = EngineRequest(prompt=TRIAL_PAIRS[0].prompt)
MAX_REPLY_TOKENS = 256

# Returns why the component failed on a pair; empty if it did not.
Ask = Callable[[Pair], str]


@dataclass(slots=True)
class Trials:
    """The trials of one command. A component that passes is recorded in `folder` and not asked again.

    Trials are no labels, and their replies are not cached. Mutable: the engines of a component stay open for the next one.
    """

    folder: Path
    runtime: Runtime
    open_engines: list[tuple[EngineConfig, Engine]] = field(default_factory=list)

    def try_component(self, setting: str, component: Component) -> None:
        """Starts the engines of a component and asks it, except for models that the study trains.

        Raises `DataError` for an annotator that failed on both trial pairs, and `EngineError` for one whose engine cannot be
        used. A judge never raises an error, because training does not depend on it: the reason is a notice.
        """
        trained = list_study_models(component)
        configs = {name: config for name, config in list_engine_configs(component).items() if name not in trained}
        key = compute_trial_key(component, {name: engine_cache_key(config) for name, config in configs.items()})
        if not configs or self._is_recorded(key):
            return
        try:
            self.ask_component(setting, component, self._start_engines(setting, configs), key)
        except Exception as error:
            if not isinstance(component, Judge | LearningJudge) or isinstance(error, StoreError):
                raise
            reason = describe_error(error).removeprefix(f"{setting}: ")
            self.runtime.notify(
                f"{setting}: {reason}; the study continues, but verdicts of this judge are likely to fail"
            )

    def ask_component(self, setting: str, component: Component, engines: Mapping[str, Engine], key: str) -> None:
        """Asks about one pair, and about a second one if the first failed. Raises errors like `try_component`."""
        if self._is_recorded(key):
            return
        tried = {name: TrialEngine(engine=engine) for name, engine in engines.items()}
        ask = _build_question(component, tried)
        try:
            reasons = _list_reasons(ask) if ask else _ask_engines(tried)
        except TrimtabError as error:
            raise type(error)(f"{setting}: a trial prompt failed: {error}") from error
        if reasons and ask:
            raise DataError(
                f"{setting}: it failed on both of two easy trial pairs: {'; '.join(reasons)}{_quote_reply(tried)}. Change its "
                "settings or its model"
            )
        if reasons:
            self.runtime.notify(f"{setting}: {'; '.join(reasons)}; labels are likely to fail as well")
            return
        cost = sum((engine.cost for engine in tried.values()), Cost())
        self._open_record().put_many({key: {"setting": setting, "cost": asdict(cost)}})

    def close(self) -> None:
        """Frees the memory of the engines."""
        if self.open_engines:
            close_engines(engine for _, engine in self.open_engines)
            self.open_engines.clear()
            free_memory()

    def _start_engines(self, setting: str, configs: Mapping[str, EngineConfig]) -> dict[str, Engine]:
        """Every engine by name. Engines of the component before that this one does not use are closed first."""
        if unused := [each for each in self.open_engines if each[0] not in configs.values()]:
            close_engines(engine for _, engine in unused)
            self.open_engines = [each for each in self.open_engines if each not in unused]
            del unused
            free_memory()
        for config in configs.values():
            if all(config != other for other, _ in self.open_engines):
                try:
                    self.open_engines.append((config, config.start(self.runtime)))
                except TrimtabError as error:
                    raise type(error)(f"{setting}: {error}") from error
        return {
            name: next(engine for other, engine in self.open_engines if other == config)
            for name, config in configs.items()
        }

    def _is_recorded(self, key: str) -> bool:
        return key in self._open_record().get_many([key])

    def _open_record(self) -> JsonlCache[object]:
        return JsonlCache(self.folder / TRIALS_FILE, lambda value: value)


def compute_trial_key(component: Component, cache_keys: Mapping[str, str]) -> str:
    """Identifies a component with its engines, whose cache keys are given by name."""
    content_hash = component.content_hash() if isinstance(component, HasContentHash) else ""
    return hash_json(
        {"component": identity_settings(component), "content_hash": content_hash, "engines": dict(cache_keys)}
    )


def _build_question(component: Component, engines: Mapping[str, Engine]) -> Ask | None:
    """None if the component needs more than these engines: others, or the results of stages."""
    if set(engines) != set(list_engine_configs(component)):
        return None
    if isinstance(component, Judge):
        judge = component
        return lambda pair: _ask_judge(judge, pair, engines)
    needs = replace(get_requirements(component), engines={}, build_training_task=None)
    if isinstance(component, Annotator) and needs == Requirements():
        annotator = component
        return lambda pair: _ask_annotator(annotator, pair, engines)
    return None


def _list_reasons(ask: Ask) -> list[str]:
    """Why both pairs failed; empty if one did not."""
    reasons: list[str] = []
    for pair in TRIAL_PAIRS:
        reason = ask(pair)
        if not reason:
            return []
        reasons.append(reason)
    return list(dict.fromkeys(reasons))


def _ask_engines(engines: Mapping[str, Engine]) -> list[str]:
    """Asks each engine a plain question. Returns which engines gave no reply, and why."""
    replies = {
        name: engine.generate([TRIAL_REQUEST], max_new_tokens=MAX_REPLY_TOKENS)[0] for name, engine in engines.items()
    }
    return [
        f"{name}: a trial prompt failed: {reply.note}" for name, reply in replies.items() if reply.status == "failed"
    ]


def _ask_judge(judge: Judge, pair: Pair, engines: Mapping[str, Engine]) -> str:
    (verdict,) = judge.judge([Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b)], engines)
    return verdict.note or "failed" if verdict.outcome == "failed" else ""


def _ask_annotator(annotator: Annotator, pair: Pair, engines: Mapping[str, Engine]) -> str:
    (label,) = annotator.annotate([pair], AnnotatorInputs(engines=engines, pairs={pair.id: pair}))
    return label.note or "failed" if label.status == "failed" else ""


def _quote_reply(engines: Mapping[str, TrialEngine]) -> str:
    replies = [" ".join(reply.split())[:200] for engine in engines.values() for reply in engine.replies]
    return f" (a reply: “{replies[-1]}”)" if replies else ""

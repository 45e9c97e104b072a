"""Gold rewards by one scorer: of a model's responses, and of both responses of pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal, TypeVar, get_args

from trimtab.core.component import Component, get_kind
from trimtab.core.interfaces import Scorer, StreamingScorer
from trimtab.core.runtime import ProgressTick, Runtime, show_no_progress
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.pipeline.stages.generate import prompt_limit
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.storage.artifacts import Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import REWARD_SCHEMA, SCORE_SCHEMA, load_completions, load_split_pairs, scores_to_rows
from trimtab.types import Choice, Completion, Pair, Score

T = TypeVar("T")
CHOICES: tuple[Choice, ...] = get_args(Choice)
# Number of scores that are saved together, and lost if the run is killed. A constant: batches are formed inside a chunk.
SCORES_PER_CHUNK = 64
# Scorers that take no noticeable time.
INSTANT_SCORERS = ("synthetic_checker",)


def score_stage(name: str, component: Component, completions: Stage, reward_model: Stage | None) -> Stage:
    """Scores the responses of another stage. `reward_model` is the stage that trained the scorer, if any."""
    scorer = as_scorer(component)

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        completions = {completion.prompt_id: completion for completion in load_completions(inputs["completions"])}
        scores = _score_all(name, scorer, list(completions.values()), draft, inputs, runtime)
        draft.write_rows("scores", scores_to_rows(scores), SCORE_SCHEMA)
        return {
            "prompts": len(scores),
            "failed": sum(score.status == "failed" for score in scores),
            "truncated": _count_truncated(scores),
        }

    return Stage(
        name=name,
        kind="score",
        role="evaluation",
        execute=execute,
        version=2 if isinstance(scorer, StudyRewardModel) else 1,  # batches are formed inside a chunk
        settings={"scorer": identity_settings(component)},
        input_stages={"completions": completions, **({"reward_model": reward_model} if reward_model else {})},
        external_hashes={"scorer": scorer.content_hash()},
        work=None
        if get_kind(component) in INSTANT_SCORERS
        else Work(
            rate_key="score",
            unit="prompts",
            fact="prompts",
            limit=prompt_limit(completions),
            model_input="reward_model" if reward_model else "scorer",
        ),
    )


def pair_scores_stage(name: str, component: Component, split: Stage, split_name: Literal["unlabeled", "test"]) -> Stage:
    """Scores both responses of the pairs of one split, as if a model had generated them.

    A pair is counted and left out if one of its responses has no score.
    """
    scorer = as_scorer(component)

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = load_split_pairs(inputs["split"], split_name)
        responses = [_response_as_completion(pair, choice) for pair in pairs for choice in CHOICES]
        scores = _score_all(name, scorer, responses, draft, inputs, runtime)
        values = [score.value for score in scores]
        rows = [
            {"id": pair.id, "a": a, "b": b}
            for pair, a, b in zip(pairs, values[::2], values[1::2], strict=True)
            if a is not None and b is not None
        ]
        draft.write_rows("rewards", rows, REWARD_SCHEMA)
        return {"pairs": len(pairs), "failed": len(pairs) - len(rows), "truncated": _count_truncated(scores)}

    return Stage(
        name=name,
        kind="pair_scores",
        role="evaluation",
        execute=execute,
        settings={"scorer": identity_settings(component), "split": split_name},
        input_stages={"split": split},
        external_hashes={"scorer": scorer.content_hash()},
        work=None
        if get_kind(component) in INSTANT_SCORERS
        else Work(rate_key="pair_scores", unit="pairs", fact="pairs", splits=(split_name,), model_input="scorer"),
    )


def as_scorer(component: Component) -> Scorer:
    if not isinstance(component, Scorer):
        raise StudyError(f"{type(component).__name__} is not a scorer (it needs `score` and `content_hash`)")
    return component


def _score_all(
    name: str,
    scorer: Scorer,
    completions: Sequence[Completion],
    draft: Draft,
    inputs: StageInputs,
    runtime: Runtime,
) -> list[Score]:
    """One score per completion, in order. Saved scores are reused."""
    is_chunked = _has_independent_scores(scorer)
    progress = runtime.progress if is_chunked else show_no_progress  # other scorers show their own
    with progress(f"Scoring: {name}", len(completions), "responses") as tick:
        score_chunk = _build_score_function(scorer, inputs, runtime, tick)

        def compute(part: slice) -> list[dict[str, Any]]:
            scores = score_chunk(completions[part])
            _validate_scores(name, completions[part], scores)
            return scores_to_rows(_fail_non_finite(score) for score in scores)

        size = SCORES_PER_CHUNK if is_chunked else max(1, len(completions))
        chunking = Chunking(num_rows=len(completions), size=size, conditions=runtime.rounding_options, on_load=tick)
        rows = draft.compute_rows("scores", chunking, compute)
    return [Score(prompt_id=row["id"], value=row["value"], status=row["status"], note=row["note"]) for row in rows]


def _has_independent_scores(scorer: Scorer) -> bool:
    return isinstance(scorer, StudyRewardModel | StreamingScorer) or getattr(scorer, "INDEPENDENT", False)


def _build_score_function(
    scorer: Scorer, inputs: StageInputs, runtime: Runtime, tick: ProgressTick
) -> Callable[[Sequence[Completion]], list[Score]]:
    """Scores a chunk. A model is loaded for the first one, and not at all if every chunk is saved."""
    if isinstance(scorer, StudyRewardModel):
        load_reader = cache(partial(scorer.load_checkpoint, inputs["reward_model"].folder, runtime))
        return lambda chunk: load_reader()(chunk, tick)
    if isinstance(scorer, StreamingScorer):
        load_function = cache(partial(scorer.load_score_function, runtime))
        return lambda chunk: [_tick_after(load_function()(completion), tick) for completion in chunk]
    if _has_independent_scores(scorer):
        quiet = replace(runtime, progress=show_no_progress)
        return lambda chunk: _tick_after(scorer.score(chunk, quiet), partial(tick, len(chunk)))
    return lambda chunk: scorer.score(chunk, runtime)


def _tick_after(scores: T, tick: Callable[[], None]) -> T:
    tick()
    return scores


def _validate_scores(name: str, completions: Sequence[Completion], scores: Sequence[Score]) -> None:
    if [completion.prompt_id for completion in completions] != [score.prompt_id for score in scores]:
        raise DataError(f"{name}: the scorer must return one score per completion, in order")


def _fail_non_finite(score: Score) -> Score:
    """The score, as failed if its value is not finite: it can be neither averaged nor compared."""
    if score.value is None:
        return score
    if not math.isfinite(score.value):
        return replace(score, value=None, status="failed", note=f"the reward is {float(score.value)}")
    return replace(score, value=float(score.value))


def _count_truncated(scores: Sequence[Score]) -> int:
    """The number of scores of a text that the scorer shortened: a score with a value has a note about nothing else."""
    return sum(score.status == "ok" and bool(score.note) for score in scores)


def _response_as_completion(pair: Pair, choice: Choice) -> Completion:
    return Completion(
        prompt_id=pair.prompt_id, prompt=pair.prompt, text=pair.response(choice), n_tokens=0, finish_reason="end"
    )

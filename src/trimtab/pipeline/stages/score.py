"""Gold rewards by one scorer: of a model's responses, and of both responses of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, get_args

from trimtab.core.component import Component, get_kind
from trimtab.core.interfaces import Scorer, StreamingScorer
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.pipeline.stages.generate import prompt_limit
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import REWARD_SCHEMA, SCORE_SCHEMA, load_completions, load_split_pairs, scores_to_rows
from trimtab.types import Choice, Completion, Pair, Score

CHOICES: tuple[Choice, ...] = get_args(Choice)
# Number of scores that are saved together, and lost if the run is killed.
SCORES_PER_CHUNK = 64
# Scorers that take no noticeable time.
INSTANT_SCORERS = ("synthetic_checker",)


def score_stage(name: str, component: Component, completions: Stage, reward_model: Stage | None) -> Stage:
    """Scores the responses of another stage. `reward_model` is the stage that trained the scorer, if any."""
    scorer = as_scorer(component)

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        completions = {completion.prompt_id: completion for completion in load_completions(inputs["completions"])}
        scores = _score_all(name, scorer, completions, draft, inputs, runtime)
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
        responses = {
            f"{pair.id}.{choice}": _response_as_completion(pair, choice) for pair in pairs for choice in CHOICES
        }
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
    completions: Mapping[str, Completion],
    draft: Draft,
    inputs: StageInputs,
    runtime: Runtime,
) -> list[Score]:
    """One score per completion, in order. `completions` have unique keys; saved scores are reused."""
    keys, ordered = list(completions), list(completions.values())
    indices = {key: index for index, key in enumerate(keys)}

    def compute(missing: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        requested = [indices[key] for key in missing]
        for chunk in _iter_score_chunks(name, scorer, ordered, requested, inputs, runtime):
            rows = scores_to_rows(_fail_non_finite(score) for score in chunk.values())
            yield [{"key": keys[index], **row} for index, row in zip(chunk, rows, strict=True)]

    rows = draft.resumable_rows("scores", keys, compute)
    return [Score(prompt_id=row["id"], value=row["value"], status=row["status"], note=row["note"]) for row in rows]


def _iter_score_chunks(
    name: str,
    scorer: Scorer,
    completions: Sequence[Completion],
    requested: Sequence[int],
    inputs: StageInputs,
    runtime: Runtime,
) -> Iterator[dict[int, Score]]:
    """Scores of the completions at the requested indices. A scorer that is not streaming gets all completions at once."""
    if not requested:
        return
    if isinstance(scorer, StudyRewardModel):
        yield from scorer.score_with_checkpoint(inputs["reward_model"].folder, completions, set(requested), runtime)
    elif isinstance(scorer, StreamingScorer):
        scores = scorer.iter_scores([completions[index] for index in requested], runtime)
        for start in range(0, len(requested), SCORES_PER_CHUNK):
            indices = requested[start : start + SCORES_PER_CHUNK]
            chunk = list(islice(scores, len(indices)))
            _validate_scores(name, [completions[index] for index in indices], chunk)
            yield dict(zip(indices, chunk, strict=True))
        _validate_scores(name, [], list(scores))
    else:
        all_scores = scorer.score(completions, runtime)
        _validate_scores(name, completions, all_scores)
        yield {index: all_scores[index] for index in requested}


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

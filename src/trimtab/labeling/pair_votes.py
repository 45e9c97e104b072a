"""Combines the answers of all raters into one label per pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.annotators.vote.dawid_skene import compute_p_a, estimate_accuracies
from trimtab.data.parsing.row_columns import MODEL_COLUMNS
from trimtab.errors import DataError, StudyError
from trimtab.labeling.events import RaterAnswer
from trimtab.labeling.labeling_session import EVENTS_DIR, build_event_log, hash_pool
from trimtab.labeling.rater_history import RaterHistory, read_history
from trimtab.metrics.model_preference import ResponseModels
from trimtab.models.chat_messages import build_chat_messages
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.types import Annotation, Pair, Preference
from trimtab.workflows.export import build_trl_row

COMBINE_RULES = ("votes", "dawid_skene")
MIN_DAWID_SKENE_RATERS = 3
_SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanLabel:
    """The raters' answers about a pair, first answers before repeats, and `p_a`, from their first answers.

    A preference for `a` is a vote of 1, one for `b` of 0, and no difference of 0.5. `p_a` is None if every rater skipped the
    pair. `inclusion_probability` is the share of the pool that was shown to raters: each pair was as likely to be among them.
    """

    pair: Pair
    answers: Mapping[str, Sequence[RaterAnswer]]
    p_a: float | None
    inclusion_probability: float

    def to_annotation(self) -> Annotation:
        if self.p_a is None:
            return Annotation(pair_id=self.pair.id, p_a=None, status="abstained", note="every rater skipped the pair")
        return Annotation(pair_id=self.pair.id, p_a=self.p_a)


def read_rater_histories(folder: Path, pairs: Sequence[Pair]) -> dict[str, RaterHistory]:
    """The histories of all raters in the output folder, by name.

    Raises `DataError` if there is none or if one is of another pool, and `StoreError` for a damaged event.
    """
    with translate_os_errors(folder):
        raters = sorted(path.stem for path in (folder / EVENTS_DIR).glob("*.jsonl"))
    histories = {rater: read_history(build_event_log(folder, rater)) for rater in raters}
    if not any(history.starts for history in histories.values()):
        raise DataError(f"{folder / EVENTS_DIR}: has no labels; start with trimtab label POOL --rater NAME")
    pool = hash_pool(pairs)
    for rater, history in histories.items():
        if history.starts and history.starts[0].pool != pool:
            raise DataError(
                f"{build_event_log(folder, rater).path}: has labels of another pool, so they cannot be combined"
            )
    return {rater: history for rater, history in histories.items() if history.answers}


def combine_answers(
    histories: Mapping[str, RaterHistory], pairs: Sequence[Pair], combine_by: str = COMBINE_RULES[0]
) -> list[HumanLabel]:
    """One label for each pair that a rater saw, in the order of the pool.

    `p_a` is the mean of the votes, or the posterior probability given each rater's estimated accuracy (`dawid_skene`; no
    difference is then no vote). Raises `StudyError` for another rule, and for `dawid_skene` with fewer than three raters.
    """
    answers: dict[str, dict[str, list[RaterAnswer]]] = {}
    for rater, history in histories.items():
        for answer in sorted(history.answers, key=lambda each: each.is_repeat):
            answers.setdefault(answer.pair, {}).setdefault(rater, []).append(answer)
    first_answers = {pair_id: {rater: each[0] for rater, each in given.items()} for pair_id, given in answers.items()}
    to_probability = _build_combine_rule(combine_by, list(histories), first_answers)
    return [
        HumanLabel(
            pair=pair,
            answers=answers[pair.id],
            p_a=to_probability(first_answers[pair.id]),
            inclusion_probability=len(answers) / len(pairs),
        )
        for pair in pairs
        if pair.id in answers
    ]


def iter_pair_rows(labels: Sequence[HumanLabel], models: ResponseModels) -> Iterator[dict[str, Any]]:
    """Rows that are both pairs with human labels and labels by pair id. A pair without a preferred response has no label.

    `models` are those of the responses a and b, by pair id; a pair that is not in it has no columns for them.
    """
    for label in labels:
        pair, annotation = label.pair, label.to_annotation()
        prompt = build_chat_messages([(message.role, message.content) for message in pair.prompt])
        yield {
            "prompt": prompt.messages,
            "response_a": pair.a,
            "response_b": pair.b,
            "label": annotation.choice,
            **dict(zip(MODEL_COLUMNS, models.get(pair.id, ()), strict=False)),
            **({"tools": prompt.tools} if prompt.tools is not None else {}),
            "id": pair.id,
            "p_a": annotation.p_a,
            "status": annotation.status,
            "num_raters": sum(each[0].choice != _SKIP for each in label.answers.values()),
            "votes": [_describe_vote(rater, each) for rater, given in label.answers.items() for each in given],
            "inclusion_probability": label.inclusion_probability,
        }


def iter_trl_rows(labels: Sequence[HumanLabel]) -> Iterator[dict[str, Any]]:
    """TRL's conversational preference format, for pairs with a preferred response."""
    for label in labels:
        preference = Preference.from_annotation(label.pair, label.to_annotation())
        if preference is not None:
            yield build_trl_row(preference, None)


def name_vote(answer: RaterAnswer) -> str:
    """`a`, `b`, `no_difference` or `skip`, independent of the sides."""
    return answer.preferred or answer.choice


def _build_combine_rule(
    combine_by: str, raters: Sequence[str], answers: Mapping[str, Mapping[str, RaterAnswer]]
) -> Callable[[Mapping[str, RaterAnswer]], float | None]:
    """The function from the raters' answers about a pair to the probability that `a` is better."""
    if combine_by not in COMBINE_RULES:
        raise StudyError(f"--combine: must be one of {', '.join(COMBINE_RULES)}, got {combine_by!r}")
    if combine_by == COMBINE_RULES[0]:
        return _compute_vote_share
    if len(raters) < MIN_DAWID_SKENE_RATERS:
        raise StudyError(
            f"--combine {combine_by}: needs the answers of {MIN_DAWID_SKENE_RATERS} raters, since two do not show which one is "
            f"wrong; found {', '.join(raters) or 'none'}"
        )
    accuracies = estimate_accuracies(_to_signs(given, raters) for given in answers.values())

    def compute_posterior(given: Mapping[str, RaterAnswer]) -> float | None:
        return None if _compute_vote_share(given) is None else compute_p_a(_to_signs(given, raters), accuracies)

    return compute_posterior


def _compute_vote_share(answers: Mapping[str, RaterAnswer]) -> float | None:
    given = [each for each in answers.values() if each.choice != _SKIP]
    values = [0.5 if each.preferred is None else float(each.preferred == "a") for each in given]
    return sum(values) / len(values) if values else None


def _to_signs(answers: Mapping[str, RaterAnswer], raters: Sequence[str]) -> tuple[int, ...]:
    """1 for `a`, -1 for `b`, else 0, in the order of the raters."""
    preferred = [answers[rater].preferred if rater in answers else None for rater in raters]
    return tuple({"a": 1, "b": -1, None: 0}[each] for each in preferred)


def _describe_vote(rater: str, answer: RaterAnswer) -> dict[str, Any]:
    return {
        "rater": rater,
        "vote": name_vote(answer),
        "left": answer.left,
        "is_repeat": answer.is_repeat,
        "seconds": answer.milliseconds / 1000,
        "note": answer.note,
    }

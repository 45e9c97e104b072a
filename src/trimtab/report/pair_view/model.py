"""One pair of a run: its texts and the label of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from trimtab.data.split import SPLIT_NAMES
from trimtab.errors import DataError, StudyError
from trimtab.report.pair_view.judge_votes import PairVerdict, load_pair_verdicts
from trimtab.report.run_reader import Run, RunRow
from trimtab.types import Annotation, Pair

# The number of ids that an error lists.
_MAX_LISTED_IDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLabel:
    """An arm's label of a pair, before the arm's filter.

    `source` is the annotation stage; arms with the same source share the label. `filter` is the filter's kind, empty if
    there is none, and `passed_filter` whether the label passed it.
    """

    arm: str
    annotator: str
    source: str
    label: Annotation
    filter: str = ""
    passed_filter: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PairView:
    """A pair, its split, the arms' labels in study order, and the judges' verdicts; empty if no arm or judge has one."""

    pair: Pair
    split: str
    labels: tuple[ArmLabel, ...]
    verdicts: tuple[PairVerdict, ...] = ()


def load_pair_view(run: Run, id_prefix: str, arm: str | None = None) -> PairView:
    """The pair whose id starts with `id_prefix`, with the labels of every arm, or of `arm` only.

    Raises `DataError` with the nearest ids if no id matches, or with the matching ids if several do, and `StudyError`
    for an unknown arm.
    """
    arms = select_arms(run, arm)
    pairs = {pair.id: (split, pair) for split in SPLIT_NAMES for pair in getattr(run, split)}
    split, pair = pairs[_resolve_id(id_prefix, list(pairs))]
    return PairView(
        pair=pair,
        split=split,
        labels=tuple(_arm_labels(run, arms, split, pair)),
        verdicts=load_pair_verdicts(run, pair.id),
    )


def select_arms(run: Run, arm: str | None) -> list[RunRow]:
    """All arms, or the one with this name. Raises `StudyError` for an unknown name."""
    names = [row.name for row in run.arms]
    if arm is not None and arm not in names:
        raise StudyError(f"--arm {arm}: there is no such arm (arms: {', '.join(names)})")
    return [row for row in run.arms if arm in (None, row.name)]


def unique_prefix_length(ids: Sequence[str], min_length: int = 8) -> int:
    """The prefix length that makes all ids distinct, at least `min_length`."""
    return max([min_length, *(_common_prefix_length(a, b) + 1 for a, b in pairwise(sorted(ids)))])


def _common_prefix_length(a: str, b: str) -> int:
    return sum(1 for _ in takewhile(lambda characters: characters[0] == characters[1], zip(a, b, strict=False)))


def _resolve_id(id_prefix: str, ids: Sequence[str]) -> str:
    matches = sorted(pair_id for pair_id in ids if pair_id.startswith(id_prefix))
    if len(matches) == 1:
        return matches[0]
    if matches:
        more = f" and {len(matches) - _MAX_LISTED_IDS} more" if len(matches) > _MAX_LISTED_IDS else ""
        raise DataError(
            f"pair {id_prefix!r}: {len(matches)} ids start with it ({_format_ids(matches)}{more}); use a longer prefix"
        )
    nearest = sorted(ids, key=lambda pair_id: (-_common_prefix_length(pair_id, id_prefix), pair_id))[:_MAX_LISTED_IDS]
    raise DataError(
        f"pair {id_prefix!r}: no id starts with it (nearest: {_format_ids(nearest)}); "
        "`trimtab show DIR` without a pair lists some"
    )


def _format_ids(ids: Sequence[str]) -> str:
    length = unique_prefix_length(ids)
    return ", ".join(pair_id[:length] for pair_id in ids[:_MAX_LISTED_IDS])


def _arm_labels(run: Run, arms: Sequence[RunRow], split: str, pair: Pair) -> list[ArmLabel]:
    """The arms' labels of an unlabeled pair, or their models' predictions on a test pair."""
    part = {"unlabeled": "labels", "test": "predictions"}.get(split)
    stages = [(arm, getattr(arm, part)) for arm in arms] if part is not None else []
    return [_arm_label(run, arm, stage, pair) for arm, stage in stages if stage]


def _arm_label(run: Run, arm: RunRow, stage: str, pair: Pair) -> ArmLabel:
    source = run.source_stage(stage)
    label = run.annotation(source, pair.id)
    return ArmLabel(
        arm=arm.name,
        annotator=arm.annotator if stage == arm.labels else "prediction of its model",
        source=source,
        label=label,
        filter=run.filter_kind(stage),
        passed_filter=source == stage or label.status != "ok" or run.annotation(stage, pair.id).status == "ok",
    )

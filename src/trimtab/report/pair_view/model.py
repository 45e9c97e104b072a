"""One pair as a run left it: its texts, and what every arm says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from trimtab.errors import DataError, StudyError
from trimtab.report.run_reader import SPLIT_NAMES, Run, RunRow
from trimtab.types import Annotation, Pair

# How many ids an error names.
_MAX_LISTED_IDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLabel:
    """What one arm says of a pair: `label` is as it was given, before the arm's filter.

    `source` is the stage that gave it; arms with the same one share the label. `filter` is the kind of filter that the label
    went through, empty where there was none, and `kept` whether it passed.
    """

    arm: str
    annotator: str
    source: str
    label: Annotation
    filter: str = ""
    passed_filter: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PairView:
    """A pair, its side of the split, and the labels of the arms in the order of the study; none where it is not labeled."""

    pair: Pair
    split: str
    labels: tuple[ArmLabel, ...]


def load_pair_view(run: Run, beginning: str, arm: str | None = None) -> PairView:
    """The pair whose id begins so, and what each arm, or `arm` alone, says of it.

    Raises `DataError` that names what is near where no pair's id begins so, or what there is where several do, and
    `StudyError` for an arm that does not exist.
    """
    arms = select_arms(run, arm)
    sides = {pair.id: (side, pair) for side in SPLIT_NAMES for pair in getattr(run, side)}
    side, pair = sides[_resolve_id(beginning, list(sides))]
    return PairView(pair=pair, split=side, labels=tuple(_arm_labels(run, arms, side, pair)))


def select_arms(run: Run, arm: str | None) -> list[RunRow]:
    """Every arm, or the one named. Raises `StudyError` where there is none of that name."""
    names = [each.name for each in run.arms]
    if arm is not None and arm not in names:
        raise StudyError(f"--arm {arm}: there is no such arm (there are: {', '.join(names)})")
    return [each for each in run.arms if arm in (None, each.name)]


def unique_prefix_length(ids: Sequence[str], min_length: int = 8) -> int:
    """How many characters of an id tell all of these apart."""
    return max([min_length, *(_common_prefix_length(one, after) + 1 for one, after in pairwise(sorted(ids)))])


def _common_prefix_length(one: str, other: str) -> int:
    """How many characters two ids begin with in common."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


def _resolve_id(beginning: str, ids: Sequence[str]) -> str:
    found = sorted(each for each in ids if each.startswith(beginning))
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(each[: unique_prefix_length(found)] for each in found[:_MAX_LISTED_IDS])
        more = f" and {len(found) - _MAX_LISTED_IDS} more" if len(found) > _MAX_LISTED_IDS else ""
        raise DataError(f"pair {beginning!r}: {len(found)} ids begin so ({some}{more}); give more of it")
    nearest = sorted(ids, key=lambda each: (-_common_prefix_length(each, beginning), each))[:_MAX_LISTED_IDS]
    raise DataError(
        f"pair {beginning!r}: no id begins so (nearest: {', '.join(each[: unique_prefix_length(nearest)] for each in nearest)}); "
        "without a pair, `trimtab show DIR` lists some"
    )


def _arm_labels(run: Run, arms: Sequence[RunRow], side: str, pair: Pair) -> list[ArmLabel]:
    """What stands in the arms' labels of the unlabeled pairs, and in what their models say of the test pairs."""
    part = {"unlabeled": "labels", "test": "predictions"}.get(side)
    stages = [(arm, getattr(arm, part)) for arm in arms] if part is not None else []
    return [_arm_label(run, arm, stage, pair) for arm, stage in stages if stage]


def _arm_label(run: Run, arm: RunRow, stage: str, pair: Pair) -> ArmLabel:
    source = run.source_stage(stage)
    label = run.annotation(source, pair.id)
    return ArmLabel(
        arm=arm.name,
        annotator=arm.annotator if stage == arm.labels else "its model, asked",
        source=source,
        label=label,
        filter=run.filter_kind(stage),
        passed_filter=source == stage or label.status != "ok" or run.annotation(stage, pair.id).status == "ok",
    )

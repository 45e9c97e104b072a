"""A run's labeled pairs for the browser on the page: compact rows of JSON, as many as there is room for, chosen fairly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.report.embedded import embedded
from trimtab.report.folder import SIDES, Run
from trimtab.report.pair import short_length
from trimtab.report.told import told
from trimtab.types import Annotation, Pair, conversation

# Bytes of JSON that the pairs may take on the page, and the part of it that trees and arguments may.
ROOM = 3_400_000
_FOR_DETAILS = 0.4
_LONGEST = 4000
_KEPT, _DROPPED, _ABSTAINED, _FAILED = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOfPairs:
    """An arm whose labels can be looked at. Arms of the same `source` share what is told of how a label came about."""

    name: str
    annotator: str
    source: int
    filter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRows:
    """Some of the `total` unlabeled pairs. `rows` are JSON arrays without `<`, `>` and `&`, in the order of the pairs' ids.

    A row is [id, conversation, a, b, what people prefer or null, labels, details]. There is a label for each of `arms`: its
    `p_a`, or [`p_a` or null, 0 kept | 1 dropped by a filter | 2 abstained | 3 failed, a note]. Details are what is told of
    the labels by source, as `told` gives it, or null where there was no room for them. `short` characters of an id tell all
    pairs of the run apart.
    """

    arms: tuple[ArmOfPairs, ...]
    rows: tuple[str, ...]
    total: int
    short: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labels:
    """An arm's labels as its student reads them, and as they were given."""

    arm: ArmOfPairs
    given: Mapping[str, Annotation]
    kept: Mapping[str, Annotation]


def browse(run: Run, room: int = ROOM) -> PairRows | None:
    """Pairs in the order of their ids until the room is full; None where no arm has labels or the study wants no samples.

    Ids are hashes of the pairs' texts, so their order is as good as drawn: shares among the pairs that are shown are those
    of all, but for chance.
    """
    tables = _tables(run) if run.study.samples else []
    if not tables:
        return None
    rows: list[str] = []
    spent = detailed = 0
    for pair in sorted(run.unlabeled, key=lambda each: each.id):
        details = _details(tables, pair)
        fits = detailed + len(embedded(details)) <= room * _FOR_DETAILS
        row = embedded(_row(tables, pair, details if fits else None))
        spent += size([row])
        if spent > room:
            break
        detailed += len(embedded(details)) if fits else 0
        rows.append(row)
    arms = tuple(each.arm for each in tables)
    return PairRows(
        arms=arms,
        rows=tuple(rows),
        total=len(run.unlabeled),
        short=short_length([pair.id for side in SIDES for pair in getattr(run, side)]),
    )


def size(rows: Iterable[str]) -> int:
    """Bytes that the rows take on the page, what parts them included."""
    return sum(len(row.encode()) + 2 for row in rows)


def _tables(run: Run) -> list[_Labels]:
    sources: dict[str, int] = {}
    found = []
    for arm in run.arms:
        if not arm["labels"]:
            continue
        source = run.source(arm["labels"])
        about = ArmOfPairs(
            name=arm["name"],
            annotator=arm["annotator"],
            source=sources.setdefault(source, len(sources)),
            filter=run.filter_kind(arm["labels"]),
        )
        found.append(_Labels(arm=about, given=run.annotations(source), kept=run.annotations(arm["labels"])))
    return found


def _row(tables: Sequence[_Labels], pair: Pair, details: Mapping[str, Any] | None) -> list[Any]:
    texts = [cut(conversation(pair.prompt)), cut(pair.a), cut(pair.b)]
    labels = [_label(each.given[pair.id], each.kept[pair.id]) for each in tables]
    return [pair.id, *texts, pair.human, labels, details]


def _label(given: Annotation, kept: Annotation) -> Any:
    if kept.status == "ok":
        return _rounded(kept.p_a)
    state = {"ok": _DROPPED, "abstained": _ABSTAINED, "failed": _FAILED}[given.status]
    return [_rounded(given.p_a), state, cut(given.note, 200)]


def _details(tables: Sequence[_Labels], pair: Pair) -> dict[str, Any]:
    found = {}
    for each in tables:
        if str(each.arm.source) not in found and (said := told(each.given[pair.id].detail)):
            found[str(each.arm.source)] = said
    return found


def _rounded(p_a: float | None) -> float | None:
    """With four decimals, and on the same side of one half: a label there would name no response."""
    if p_a is None or p_a == 0.5:
        return p_a
    near = round(p_a, 4)
    return near if near != 0.5 else round(0.5 + math.copysign(1e-4, p_a - 0.5), 4)


def cut(text: str, longest: int = _LONGEST) -> str:
    """The beginning of a text, and how much of it is left out."""
    return text if len(text) <= longest else f"{text[:longest]} … {len(text) - longest:,} more characters"

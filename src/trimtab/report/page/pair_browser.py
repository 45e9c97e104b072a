"""A run's labeled pairs for the browser on the page: compact rows of JSON, as many as there is room for, chosen fairly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.report.page.embedded_json import to_embedded_json
from trimtab.report.pair_view.model import unique_prefix_length
from trimtab.report.pair_view.provenance import describe_provenance
from trimtab.report.run_reader import SPLIT_NAMES, Run, RunRow
from trimtab.types import Annotation, Pair, format_conversation

# Bytes of JSON that the pairs may take on the page, and the part of it that trees and arguments may.
MAX_PAIR_BYTES = 3_400_000
_DETAIL_SHARE = 0.4
_MAX_CHARACTERS = 4000
_KEPT, _DROPPED, _ABSTAINED, _FAILED = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserArm:
    """An arm whose labels can be looked at. Arms of the same `source` share what is told of how a label came about."""

    name: str
    annotator: str
    source: int
    filter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBrowserData:
    """Some of the `total` unlabeled pairs. `rows` are JSON arrays without `<`, `>` and `&`, in the order of the pairs' ids.

    A row is [id, conversation, a, b, what people prefer or null, labels, details]. There is a label for each of `arms`: its
    `p_a`, or [`p_a` or null, 0 kept | 1 dropped by a filter | 2 abstained | 3 failed, a note]. Details are what is told of
    the labels by source, as `told` gives it, or null where there was no room for them. `short` characters of an id tell all
    pairs of the run apart.
    """

    arms: tuple[BrowserArm, ...]
    rows: tuple[str, ...]
    num_pairs: int
    id_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _ArmLabels:
    """An arm's labels as its student reads them, and as they were given."""

    arm: BrowserArm
    raw_labels: Mapping[str, Annotation]
    filtered_labels: Mapping[str, Annotation]


def build_pair_browser(run: Run, max_bytes: int = MAX_PAIR_BYTES) -> PairBrowserData | None:
    """Pairs in the order of their ids until the room is full; None where no arm has labels or the study wants no samples.

    Ids are hashes of the pairs' texts, so their order is as good as drawn: shares among the pairs that are shown are those
    of all, but for chance.
    """
    tables = _load_arm_labels(run) if run.study.num_report_samples else []
    if not tables:
        return None
    rows: list[str] = []
    spent = detailed = 0
    for pair in sorted(run.unlabeled, key=lambda each: each.id):
        details = _pair_details(tables, pair)
        fits = detailed + len(to_embedded_json(details)) <= max_bytes * _DETAIL_SHARE
        row = to_embedded_json(_pair_row(tables, pair, details if fits else None))
        spent += count_row_bytes([row])
        if spent > max_bytes:
            break
        detailed += len(to_embedded_json(details)) if fits else 0
        rows.append(row)
    arms = tuple(each.arm for each in tables)
    return PairBrowserData(
        arms=arms,
        rows=tuple(rows),
        num_pairs=len(run.unlabeled),
        id_length=unique_prefix_length([pair.id for side in SPLIT_NAMES for pair in getattr(run, side)]),
    )


def count_row_bytes(rows: Iterable[str]) -> int:
    """Bytes that the rows take on the page, what parts them included."""
    return sum(len(row.encode()) + 2 for row in rows)


def _load_arm_labels(run: Run) -> list[_ArmLabels]:
    sources: dict[str, int] = {}
    found = []
    for arm in run.arms:
        if not arm.labels:
            continue
        source = run.source_stage(arm.labels)
        about = BrowserArm(
            name=arm.name,
            annotator=arm.annotator,
            source=sources.setdefault(source, len(sources)),
            filter=run.filter_kind(arm.labels),
        )
        found.append(
            _ArmLabels(arm=about, raw_labels=run.annotations(source), filtered_labels=run.annotations(arm.labels))
        )
    return found


def _pair_row(tables: Sequence[_ArmLabels], pair: Pair, details: Mapping[str, Any] | None) -> list[Any]:
    texts = [truncate_text(format_conversation(pair.prompt)), truncate_text(pair.a), truncate_text(pair.b)]
    labels = [_encode_label(each.raw_labels[pair.id], each.filtered_labels[pair.id]) for each in tables]
    return [pair.id, *texts, pair.human, labels, details]


def _encode_label(given: Annotation, kept: Annotation) -> Any:
    if kept.status == "ok":
        return _round_probability(kept.p_a)
    state = {"ok": _DROPPED, "abstained": _ABSTAINED, "failed": _FAILED}[given.status]
    return [_round_probability(given.p_a), state, truncate_text(given.note, 200)]


def _pair_details(tables: Sequence[_ArmLabels], pair: Pair) -> dict[str, Any]:
    found = {}
    for each in tables:
        if str(each.arm.source) not in found and (said := describe_provenance(each.raw_labels[pair.id].detail)):
            found[str(each.arm.source)] = said
    return found


def _round_probability(p_a: float | None) -> float | None:
    """With four decimals, and on the same side of one half: a label there would name no response."""
    if p_a is None or p_a == 0.5:
        return p_a
    near = round(p_a, 4)
    return near if near != 0.5 else round(0.5 + math.copysign(1e-4, p_a - 0.5), 4)


def truncate_text(text: str, longest: int = _MAX_CHARACTERS) -> str:
    """The beginning of a text, and how much of it is left out."""
    return text if len(text) <= longest else f"{text[:longest]} … {len(text) - longest:,} more characters"

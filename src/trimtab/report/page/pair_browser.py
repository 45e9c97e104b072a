"""Data of the pair browser: compact JSON rows of labeled pairs, as many as fit on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.data.split import SPLIT_NAMES
from trimtab.report.page.embedded_json import to_embedded_json
from trimtab.report.pair_view.model import unique_prefix_length
from trimtab.report.pair_view.provenance import describe_provenance, truncate_text
from trimtab.report.run_reader import Run
from trimtab.types import Annotation, Pair, format_conversation

# The limit on bytes of JSON on the page, and the share of it for label provenance.
MAX_PAIR_BYTES = 3_400_000
_DETAIL_SHARE = 0.4
_MAX_CHARACTERS = 4000
_MAX_NOTE_CHARACTERS = 200
_KEPT, _DROPPED, _ABSTAINED, _FAILED = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserArm:
    """An arm with labels. Arms with the same `source` share the provenance of their labels."""

    name: str
    annotator: str
    source: int
    filter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBrowserData:
    """Some of the `num_pairs` unlabeled pairs. `rows` are JSON arrays without `<`, `>` and `&`, in order of pair id.

    A row is [id, conversation, a, b, human label or null, labels, provenance, gold reward of a minus that of b or null].
    `labels` has one label for each of `arms`: its `p_a`, or [`p_a` or null, 0 kept | 1 dropped by a filter | 2 abstained | 3
    failed, note]. `provenance` maps a source to `describe_provenance`, or is null if there was no space. `id_length` is the
    length of a unique id prefix. `scorer` is the name of the gold reward, or empty if the pairs have none.
    """

    arms: tuple[BrowserArm, ...]
    rows: tuple[str, ...]
    num_pairs: int
    id_length: int
    scorer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ArmLabels:
    """An arm's labels before and after calibration and filtering."""

    arm: BrowserArm
    raw_labels: Mapping[str, Annotation]
    filtered_labels: Mapping[str, Annotation]


def build_pair_browser(run: Run, max_bytes: int = MAX_PAIR_BYTES) -> PairBrowserData | None:
    """Pairs in order of id, up to `max_bytes`; None if no arm has labels or the study reports no samples.

    Ids are hashes of the texts, so the first pairs are a random sample: shares among them estimate the shares of all pairs.
    """
    tables = _load_arm_labels(run) if run.study.num_report_samples else []
    if not tables:
        return None
    scorer, rewards = next(iter(run.unlabeled_rewards.items()), ("", {}))
    rows: list[str] = []
    num_bytes = num_detail_bytes = 0
    for pair in sorted(run.unlabeled, key=lambda pair: pair.id):
        details = _pair_details(tables, pair)
        details_size = len(to_embedded_json(details))
        has_space = num_detail_bytes + details_size <= max_bytes * _DETAIL_SHARE
        row = to_embedded_json(_pair_row(tables, pair, details if has_space else None, rewards.get(pair.id)))
        num_bytes += count_row_bytes([row])
        if num_bytes > max_bytes:
            break
        num_detail_bytes += details_size if has_space else 0
        rows.append(row)
    return PairBrowserData(
        arms=tuple(table.arm for table in tables),
        rows=tuple(rows),
        num_pairs=len(run.unlabeled),
        id_length=unique_prefix_length([pair.id for split in SPLIT_NAMES for pair in getattr(run, split)]),
        scorer=scorer,
    )


def count_row_bytes(rows: Iterable[str]) -> int:
    """The bytes that rows take on the page, separators included."""
    return sum(len(row.encode()) + 2 for row in rows)


def _load_arm_labels(run: Run) -> list[_ArmLabels]:
    source_indices: dict[str, int] = {}
    tables = []
    for row in run.arms:
        if not row.labels:
            continue
        source = run.source_stage(row.labels)
        arm = BrowserArm(
            name=row.name,
            annotator=row.annotator,
            source=source_indices.setdefault(source, len(source_indices)),
            filter=run.filter_kind(row.labels),
        )
        tables.append(
            _ArmLabels(arm=arm, raw_labels=run.annotations(source), filtered_labels=run.annotations(row.labels))
        )
    return tables


def _pair_row(
    tables: Sequence[_ArmLabels],
    pair: Pair,
    details: Mapping[str, Any] | None,
    rewards: tuple[float, float] | None,
) -> list[Any]:
    texts = [truncate_text(text, _MAX_CHARACTERS) for text in (format_conversation(pair.prompt), pair.a, pair.b)]
    labels = [_encode_label(table.raw_labels[pair.id], table.filtered_labels[pair.id]) for table in tables]
    # four significant digits, which keep the sign
    difference = None if rewards is None else float(f"{rewards[0] - rewards[1]:.4g}")
    return [pair.id, *texts, pair.human, labels, details, difference]


def _encode_label(raw: Annotation, filtered: Annotation) -> Any:
    if filtered.status == "ok":
        return _round_probability(filtered.p_a)
    state = {"ok": _DROPPED, "abstained": _ABSTAINED, "failed": _FAILED}[raw.status]
    return [_round_probability(raw.p_a), state, truncate_text(raw.note, _MAX_NOTE_CHARACTERS)]


def _pair_details(tables: Sequence[_ArmLabels], pair: Pair) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for table in tables:
        source = str(table.arm.source)
        if source not in details and (provenance := describe_provenance(table.raw_labels[pair.id].detail)):
            details[source] = provenance
    return details


def _round_probability(p_a: float | None) -> float | None:
    """Four decimals, but never rounded to 0.5, which would mean no preference."""
    if p_a is None or p_a == 0.5:
        return p_a
    rounded = round(p_a, 4)
    return rounded if rounded != 0.5 else round(0.5 + math.copysign(1e-4, p_a - 0.5), 4)

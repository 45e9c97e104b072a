"""Reads two sources of labels and their pairs: label files, arms of runs, or human labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.data.parsing.label_files import is_label_file, read_labels
from trimtab.data.split import SPLIT_NAMES
from trimtab.errors import DataError, StudyError
from trimtab.report.run_reader import Run
from trimtab.sources.file import File
from trimtab.types import Annotation, Pair, build_human_annotation

HUMAN = "human"
# The gold rewards of a pair's two responses: {scorer: {pair id: (reward of a, reward of b)}}.
GoldRewards = Mapping[str, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Labels by pair id. `name` is the source as the user gave it; `is_human` marks human labels."""

    name: str
    labels: Mapping[str, Annotation]
    is_human: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelSourcePair:
    """Two label sources, with their pairs and gold rewards; `pairs` is empty if the texts are unknown."""

    a: LabelSource
    b: LabelSource
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    gold_rewards: GoldRewards = field(default_factory=dict)

    @property
    def shared_ids(self) -> list[str]:
        """The pair ids in both sources (abstentions and failures included), and in `pairs` if these are known."""
        return [
            pair_id
            for pair_id in self.a.labels
            if pair_id in self.b.labels and (not self.pairs or pair_id in self.pairs)
        ]


def read_label_sources(a: str, b: str, pair_file: File | None) -> LabelSourcePair:
    """Reads two sources: a label file, `DIR:ARM` of a run, or `human` for the human labels of the pairs.

    The pairs come from `pair_file`, or else are the unlabeled pairs of the runs. Raises `DataError` if a source has no label
    for any of the pairs or the sources have no pair in common, and `StudyError` for an invalid source.
    """
    runs = {name: _open_run(name) for name in (a, b) if name != HUMAN and not is_label_file(name)}
    pairs = _load_pairs(pair_file, list(runs.values()))
    source_a, source_b = (_read_source(name, runs, pairs) for name in (a, b))
    for source in (source_a, source_b):
        _require_overlap(source, pairs, pair_file, list(runs.values()))
    sources = LabelSourcePair(a=source_a, b=source_b, pairs=pairs, gold_rewards=_read_gold_rewards(list(runs.values())))
    if not sources.shared_ids:
        raise DataError(
            f"{a} and {b} label no pair in common: {len(source_a.labels)} and {len(source_b.labels)} pairs. Ids are hashes of "
            "the texts, so the labels belong to other pairs or another split"
        )
    return sources


def _open_run(name: str) -> Run:
    folder, colon, arm = name.rpartition(":")
    if not colon and Path(name).is_dir():
        arms = ", ".join(row.name for row in Run(Path(name)).arms if row.labels)
        raise StudyError(f"{name}: add the name of an arm, as in {name}:ARM (arms: {arms})")
    if not colon or not arm or not Path(folder).is_dir():
        raise StudyError(
            f"{name}: not an existing label file, and not DIR:ARM of a finished run; use {HUMAN!r} for the pairs' human labels"
        )
    return Run(Path(folder))


def _read_source(name: str, runs: Mapping[str, Run], pairs: Mapping[str, Pair]) -> LabelSource:
    if name == HUMAN:
        return LabelSource(name=name, labels=_human_labels(pairs), is_human=True)
    return _read_arm_labels(runs[name], name) if name in runs else LabelSource(name=name, labels=read_labels(name))


def _human_labels(pairs: Mapping[str, Pair]) -> dict[str, Annotation]:
    labels = {pair_id: build_human_annotation(pair) for pair_id, pair in pairs.items() if pair.human is not None}
    if not labels:
        reason = f"none of {len(pairs)} pairs has one" if pairs else "no pairs are given; add --pairs FILE or DIR:ARM"
        raise DataError(f"{HUMAN}: there are no human labels: {reason}")
    return labels


def _read_arm_labels(run: Run, name: str) -> LabelSource:
    arm_name = name.rpartition(":")[2]
    arms = {row.name: row for row in run.arms}
    labeled_arms = [row.name for row in run.arms if row.labels]
    if arm_name not in labeled_arms:
        skipped = arms[arm_name].skipped if arm_name in arms else ""
        raise StudyError(
            f"{name}: there is no arm {arm_name!r} with labels{f', {skipped}' if skipped else ''} "
            f"(arms: {', '.join(labeled_arms)})"
        )
    arm = arms[arm_name]
    labels = run.annotations(arm.labels) if arm.labels else {}
    return LabelSource(name=name, labels=labels, is_human=arm.annotator == "human")


def _load_pairs(pair_file: File | None, runs: list[Run]) -> dict[str, Pair]:
    if pair_file is not None:
        return {pair.id: pair for pair in pair_file.load().pairs}
    return {pair.id: pair for run in runs for pair in run.unlabeled}


def _require_overlap(source: LabelSource, pairs: Mapping[str, Pair], pair_file: File | None, runs: list[Run]) -> None:
    """Raises `DataError` if pairs are known and the source labels none of them."""
    if not pairs or any(pair_id in pairs for pair_id in source.labels):
        return
    where = pair_file.path if pair_file else f"the unlabeled pairs of {', '.join(str(run.folder) for run in runs)}"
    raise DataError(
        f"{source.name}: none of its {len(source.labels)} labels is for a pair in {where} ({len(pairs)} pairs)"
        f"{_other_split_hint(source, runs)}"
    )


def _other_split_hint(source: LabelSource, runs: list[Run]) -> str:
    """The split of a run that the labels are for, if any."""
    for run in runs:
        for split in SPLIT_NAMES:
            num_labels = sum(pair.id in source.labels for pair in getattr(run, split))
            if num_labels:
                return f"; {num_labels} labels are for pairs of its {split} split"
    return "; the labels are for other pairs or another split"


def _read_gold_rewards(runs: list[Run]) -> dict[str, dict[str, tuple[float, float]]]:
    """The gold rewards of both responses of unlabeled pairs, from the finished scoring stages of the runs."""
    rewards: dict[str, dict[str, tuple[float, float]]] = {}
    for run in runs:
        for scorer, by_pair in run.unlabeled_rewards.items():
            rewards.setdefault(scorer, {}).update(by_pair)
    return rewards

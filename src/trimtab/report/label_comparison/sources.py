"""Two sources of labels and the pairs that they label: files, arms of finished runs, or people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.data.parsing.label_files import is_label_file, read_labels
from trimtab.errors import DataError, StudyError
from trimtab.report.run_reader import SPLIT_NAMES, Run
from trimtab.sources.file import File
from trimtab.types import Annotation, Pair, build_human_annotation

HUMAN = "human"
# What gold rewards give to the two responses of a pair: {scorer: {pair id: (of a, of b)}}.
GoldRewards = Mapping[str, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Labels by pair id under the name that they were asked for by. `people`: they are human labels."""

    name: str
    labels: Mapping[str, Annotation]
    is_human: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelSourcePair:
    """Two sources, the pairs of both where their texts are known, and gold rewards of the pairs' responses."""

    a: LabelSource
    b: LabelSource
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    gold_rewards: GoldRewards = field(default_factory=dict)

    @property
    def shared_ids(self) -> list[str]:
        """The ids that both have a row of, whatever it says; where pairs are known, of those pairs."""
        return [key for key in self.a.labels if key in self.b.labels and (not self.pairs or key in self.pairs)]


def read_label_sources(a: str, b: str, pairs: Path | None) -> LabelSourcePair:
    """Reads two sources: a file of labels, `DIR:ARM` of a finished run, or `human` for the human labels of the pairs.

    The pairs are those of the file `pairs`, or else the unlabeled ones of the runs that are named. Raises `DataError` where
    labels meet none of the pairs or one another, and `StudyError` for a source that is none.
    """
    runs = {text: _open_run(text) for text in (a, b) if text != HUMAN and not is_label_file(text)}
    texts = _load_pairs(pairs, list(runs.values()))
    first, second = (_read_source(text, runs, texts) for text in (a, b))
    for each in (first, second):
        _require_overlap(each, texts, pairs, list(runs.values()))
    both = LabelSourcePair(a=first, b=second, pairs=texts, gold_rewards=_read_gold_rewards(list(runs.values())))
    if not both.shared_ids:
        raise DataError(
            f"{a} and {b} label no pair in common: {len(first.labels)} and {len(second.labels)} pairs, whose ids, hashes of "
            "their texts, are all different; they are labels of different pairs or of another split"
        )
    return both


def _open_run(text: str) -> Run:
    folder, colon, arm = text.rpartition(":")
    if not colon and Path(text).is_dir():
        names = ", ".join(each.name for each in Run(Path(text)).arms if each.labels)
        raise StudyError(f"{text}: name one of its arms, as in {text}:ARM (there are: {names})")
    if not colon or not arm or not Path(folder).is_dir():
        raise StudyError(
            f"{text}: no such file of labels, and not DIR:ARM of a finished run; the human labels of the pairs are {HUMAN!r}"
        )
    return Run(Path(folder))


def _read_source(text: str, runs: Mapping[str, Run], pairs: Mapping[str, Pair]) -> LabelSource:
    if text == HUMAN:
        return LabelSource(name=text, labels=_human_labels(pairs), is_human=True)
    return _read_arm_labels(runs[text], text) if text in runs else LabelSource(name=text, labels=read_labels(text))


def _human_labels(pairs: Mapping[str, Pair]) -> dict[str, Annotation]:
    found = {key: build_human_annotation(pair) for key, pair in pairs.items() if pair.human is not None}
    if not found:
        told = f"none of {len(pairs)} pairs has one" if pairs else "no pairs are named; give --pairs FILE or DIR:ARM"
        raise DataError(f"{HUMAN}: there are no human labels: {told}")
    return found


def _read_arm_labels(run: Run, text: str) -> LabelSource:
    name = text.rpartition(":")[2]
    arms = {each.name: each for each in run.arms}
    labeled = [key for key, each in arms.items() if each.labels]
    if name not in labeled:
        skipped = arms[name].skipped if name in arms else ""
        raise StudyError(
            f"{text}: there is no arm {name!r} with labels{f', {skipped}' if skipped else ''} (there are: {', '.join(labeled)})"
        )
    arm = arms[name]
    return LabelSource(name=text, labels=run.annotations(arm.labels), is_human=arm.annotator == "Human")


def _load_pairs(file: Path | None, runs: list[Run]) -> dict[str, Pair]:
    if file is not None:
        return {pair.id: pair for pair in File(path=str(file)).load().pairs}
    return {pair.id: pair for run in runs for pair in run.unlabeled}


def _require_overlap(source: LabelSource, pairs: Mapping[str, Pair], file: Path | None, runs: list[Run]) -> None:
    """Raises `DataError` where pairs are known and the source labels none of them."""
    if not pairs or any(key in pairs for key in source.labels):
        return
    where = str(file) if file else f"the unlabeled pairs of {', '.join(str(run.folder) for run in runs)}"
    raise DataError(
        f"{source.name}: none of its {len(source.labels)} labels is of a pair in {where} ({len(pairs)} pairs)"
        f"{_other_split_hint(source, runs)}"
    )


def _other_split_hint(source: LabelSource, runs: list[Run]) -> str:
    """Which side of a run the labels are of instead, if any."""
    for run in runs:
        for side in SPLIT_NAMES:
            met = sum(pair.id in source.labels for pair in getattr(run, side))
            if met:
                return f"; {met} are of its {side} pairs: labels of another side of the split"
    return "; they are labels of other pairs or of another split"


def _read_gold_rewards(runs: list[Run]) -> dict[str, dict[str, tuple[float, float]]]:
    """What each gold reward of the runs gives to both responses of pairs, where it has read them."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for run in runs:
        read = {name: stage for name, stage in run.index.unlabeled_rewards.items() if run.is_finished(stage)}
        for name, stage in read.items():
            rows = run.artifact(stage).read_rows("rewards")
            found.setdefault(name, {}).update({row["id"]: (row["a"], row["b"]) for row in rows})
    return found

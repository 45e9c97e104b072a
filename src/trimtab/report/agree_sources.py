"""Two sources of labels and the pairs that they label: files, arms of finished runs, or people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.data._label_file import is_file_of_labels, read_labels
from trimtab.data.file import File
from trimtab.errors import DataError, StudyError
from trimtab.report.folder import SIDES, Run
from trimtab.types import Annotation, Pair, human_label

PEOPLE = "human"
# What gold rewards give to the two responses of a pair: {scorer: {pair id: (of a, of b)}}.
Gold = Mapping[str, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """Labels by pair id under the name that they were asked for by. `people`: they are human labels."""

    name: str
    labels: Mapping[str, Annotation]
    people: bool = False


@dataclass(frozen=True, kw_only=True)
class Both:
    """Two sources, the pairs of both where their texts are known, and gold rewards of the pairs' responses."""

    a: Labeled
    b: Labeled
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    gold: Gold = field(default_factory=dict)

    @property
    def shared(self) -> list[str]:
        """The ids that both have a row of, whatever it says; where pairs are known, of those pairs."""
        return [key for key in self.a.labels if key in self.b.labels and (not self.pairs or key in self.pairs)]


def read_both(a: str, b: str, pairs: Path | None) -> Both:
    """Reads two sources: a file of labels, `DIR:ARM` of a finished run, or `human` for the human labels of the pairs.

    The pairs are those of the file `pairs`, or else the unlabeled ones of the runs that are named. Raises `DataError` where
    labels meet none of the pairs or one another, and `StudyError` for a source that is none.
    """
    runs = {text: _run(text) for text in (a, b) if text != PEOPLE and not is_file_of_labels(text)}
    texts = _pairs(pairs, list(runs.values()))
    first, second = (_source(text, runs, texts) for text in (a, b))
    for each in (first, second):
        _meets(each, texts, pairs, list(runs.values()))
    both = Both(a=first, b=second, pairs=texts, gold=_gold(list(runs.values())))
    if not both.shared:
        raise DataError(
            f"{a} and {b} label no pair in common: {len(first.labels)} and {len(second.labels)} pairs, whose ids, hashes of "
            "their texts, are all different; they are labels of different pairs or of another split"
        )
    return both


def _run(text: str) -> Run:
    folder, colon, arm = text.rpartition(":")
    if not colon and Path(text).is_dir():
        names = ", ".join(each["name"] for each in Run(Path(text)).arms if each["labels"])
        raise StudyError(f"{text}: name one of its arms, as in {text}:ARM (there are: {names})")
    if not colon or not arm or not Path(folder).is_dir():
        raise StudyError(
            f"{text}: no such file of labels, and not DIR:ARM of a finished run; the human labels of the pairs are {PEOPLE!r}"
        )
    return Run(Path(folder))


def _source(text: str, runs: Mapping[str, Run], pairs: Mapping[str, Pair]) -> Labeled:
    if text == PEOPLE:
        return Labeled(name=text, labels=_human(pairs), people=True)
    return _arm(runs[text], text) if text in runs else Labeled(name=text, labels=read_labels(text))


def _human(pairs: Mapping[str, Pair]) -> dict[str, Annotation]:
    found = {key: human_label(pair) for key, pair in pairs.items() if pair.human is not None}
    if not found:
        told = f"none of {len(pairs)} pairs has one" if pairs else "no pairs are named; give --pairs FILE or DIR:ARM"
        raise DataError(f"{PEOPLE}: there are no human labels: {told}")
    return found


def _arm(run: Run, text: str) -> Labeled:
    name = text.rpartition(":")[2]
    arms = {each["name"]: each for each in run.arms}
    labeled = [key for key, each in arms.items() if each["labels"]]
    if name not in labeled:
        skipped = arms.get(name, {}).get("skipped")
        raise StudyError(
            f"{text}: there is no arm {name!r} with labels{f', {skipped}' if skipped else ''} (there are: {', '.join(labeled)})"
        )
    arm = arms[name]
    return Labeled(name=text, labels=run.annotations(arm["labels"]), people=arm["annotator"] == "Human")


def _pairs(file: Path | None, runs: list[Run]) -> dict[str, Pair]:
    if file is not None:
        return {pair.id: pair for pair in File(path=str(file)).load().pairs}
    return {pair.id: pair for run in runs for pair in run.unlabeled}


def _meets(source: Labeled, pairs: Mapping[str, Pair], file: Path | None, runs: list[Run]) -> None:
    """Raises `DataError` where pairs are known and the source labels none of them."""
    if not pairs or any(key in pairs for key in source.labels):
        return
    where = str(file) if file else f"the unlabeled pairs of {', '.join(str(run.folder) for run in runs)}"
    raise DataError(
        f"{source.name}: none of its {len(source.labels)} labels is of a pair in {where} ({len(pairs)} pairs)"
        f"{_elsewhere(source, runs)}"
    )


def _elsewhere(source: Labeled, runs: list[Run]) -> str:
    """Which side of a run the labels are of instead, if any."""
    for run in runs:
        for side in SIDES:
            met = sum(pair.id in source.labels for pair in getattr(run, side))
            if met:
                return f"; {met} are of its {side} pairs: labels of another side of the split"
    return "; they are labels of other pairs or of another split"


def _gold(runs: list[Run]) -> dict[str, dict[str, tuple[float, float]]]:
    """What each gold reward of the runs gives to both responses of pairs, where it has read them."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for run in runs:
        read = {name: stage for name, stage in run.index.get("label_rewards", {}).items() if run.finished(stage)}
        for name, stage in read.items():
            rows = run.artifact(stage).rows("rewards")
            found.setdefault(name, {}).update({row["id"]: (row["a"], row["b"]) for row in rows})
    return found

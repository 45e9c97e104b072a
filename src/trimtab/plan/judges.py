"""Who judges: every row's answers against those of one row, and each judge against people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.components import Component
from trimtab.errors import StudyError
from trimtab.plan.labels import Labels
from trimtab.plan.order import in_own_order
from trimtab.plan.parts import ArmStages
from trimtab.stages.engines import Engines, engines_of
from trimtab.stages.judge import judge_people_stage, judge_stage
from trimtab.stages.stage import Stage
from trimtab.study import Study

# The rows that others are judged against where a study names none: the first of these that has answers.
AGAINST = ("sft", "base")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The rows with their verdicts, the row that they were judged against, and the stages that hold judges to people."""

    rows: tuple[ArmStages, ...]
    against: str
    people: dict[str, Stage]


def judged(study: Study, labels: Labels, rows: Sequence[ArmStages]) -> Judged:
    """Every row that has answers, judged by each judge. Raises `StudyError` where the row to judge against has none."""
    if not study.judges:
        return Judged(rows=tuple(rows), against="", people={})
    against = _against(study, rows)
    engines = {name: _engines(labels, name, judge) for name, judge in study.judges.items()}
    count, draw = study.judging.pairs, in_own_order(study)
    people = {
        name: judge_people_stage(f"judge-people.{name}", judge, engines[name], labels.split, count, draw=draw)
        for name, judge in study.judges.items()
        if count
    }
    done = tuple(_row(study, engines, row, against) for row in rows)
    return Judged(rows=done, against=against.name, people=people)


def _row(study: Study, engines: dict[str, Engines], row: ArmStages, against: ArmStages) -> ArmStages:
    if row.completions is None or against.completions is None or row.name == against.name:
        return row
    verdicts = {
        name: judge_stage(f"judge.{row.name}.{name}", judge, engines[name], row.completions, against.completions)
        for name, judge in study.judges.items()
    }
    return replace(row, verdicts=verdicts)


def _against(study: Study, rows: Sequence[ArmStages]) -> ArmStages:
    answering = {row.name: row for row in rows if row.completions is not None}
    wanted = study.judging.against
    if wanted is None:
        return next(answering[name] for name in AGAINST if name in answering)
    if wanted not in answering:
        why = next((f": {row.skipped}" for row in rows if row.name == wanted and row.skipped), "")
        raise StudyError(
            f"judging.against: no row {wanted!r} has answers{why} (those that have some: {', '.join(answering)})"
        )
    return answering[wanted]


def _engines(labels: Labels, name: str, judge: Component) -> Engines:
    return Engines(settings=engines_of(judge), ours=labels.own(judge, f"judges.{name}"))

"""Who judges: every row's answers against those of one row, and each judge against people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.errors import StudyError
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import RowStages
from trimtab.pipeline.plan.order import test_pairs_in_file_order
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.judge import judge_human_pairs_stage, judge_stage

# The rows that others are judged against where a study names none: the first of these that has answers.
DEFAULT_BASELINE_ROWS = ("sft", "base")


@dataclass(frozen=True, kw_only=True)
class JudgeStages:
    """The rows with their verdicts, the row that they were judged against, and the stages that hold judges to people."""

    rows: tuple[RowStages, ...]
    baseline: str
    human_verdicts: dict[str, Stage]


def build_judge_stages(study: Study, labels: LabelingPlanner, rows: Sequence[RowStages]) -> JudgeStages:
    """Every row that has answers, judged by each judge. Raises `StudyError` where the row to judge against has none."""
    if not study.judges:
        return JudgeStages(rows=tuple(rows), baseline="", human_verdicts={})
    against = _select_baseline(study, rows)
    engines = {name: _judge_engines(labels, name, judge) for name, judge in study.judges.items()}
    count, draw = study.judging.human_agreement_pairs, test_pairs_in_file_order(study)
    people = {
        name: judge_human_pairs_stage(
            f"judge-human-pairs.{name}", judge, engines[name], labels.split, count, shuffle=draw
        )
        for name, judge in study.judges.items()
        if count
    }
    done = tuple(_add_verdicts(study, engines, row, against) for row in rows)
    return JudgeStages(rows=done, baseline=against.name, human_verdicts=people)


def _add_verdicts(study: Study, engines: dict[str, EngineResources], row: RowStages, against: RowStages) -> RowStages:
    if row.completions is None or against.completions is None or row.name == against.name:
        return row
    verdicts = {
        name: judge_stage(f"judge.{row.name}.{name}", judge, engines[name], row.completions, against.completions)
        for name, judge in study.judges.items()
    }
    return replace(row, verdicts=verdicts)


def _select_baseline(study: Study, rows: Sequence[RowStages]) -> RowStages:
    answering = {row.name: row for row in rows if row.completions is not None}
    wanted = study.judging.baseline
    if wanted is None:
        return next(answering[name] for name in DEFAULT_BASELINE_ROWS if name in answering)
    if wanted not in answering:
        why = next((f": {row.skipped}" for row in rows if row.name == wanted and row.skipped), "")
        raise StudyError(
            f"judging.baseline: no row {wanted!r} has answers{why} (those that have some: {', '.join(answering)})"
        )
    return answering[wanted]


def _judge_engines(labels: LabelingPlanner, name: str, judge: Component) -> EngineResources:
    return EngineResources(
        configs=list_engine_configs(judge), study_models=labels.resolve_models(judge, f"judges.{name}")
    )

"""Stages of judges: the responses of every row against those of a baseline, and pairs of the test and unlabeled splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab.config.data_sources import PredefinedSplits
from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.errors import StudyError
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import RowStages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.judge import judge_human_pairs_stage, judge_stage, judge_unlabeled_pairs_stage

# The baseline if the study names none: the first of these rows that has responses.
DEFAULT_BASELINE_ROWS = ("sft", "base")


@dataclass(frozen=True, kw_only=True)
class JudgeStages:
    """The rows with their verdicts, the name of the baseline, and the verdicts on test and on unlabeled pairs, by judge."""

    rows: tuple[RowStages, ...]
    baseline: str = ""
    human_verdicts: Mapping[str, Stage] = field(default_factory=dict)
    unlabeled_verdicts: Mapping[str, Stage] = field(default_factory=dict)


def build_judge_stages(
    study: Study, labeling: LabelingPlanner, rows: Sequence[RowStages], *, human_on_unlabeled: bool
) -> JudgeStages:
    """Every row with responses, judged by each judge. Raises `StudyError` if the baseline has no responses."""
    if not study.judges:
        return JudgeStages(rows=tuple(rows))
    baseline = _select_baseline(study, rows)
    engines = {name: _judge_engines(labeling, name, judge) for name, judge in study.judges.items()}
    count, shuffle = study.judging.human_agreement_pairs, test_pairs_in_file_order(study)
    human_verdicts = {
        name: judge_human_pairs_stage(
            f"judge-human-pairs.{name}", judge, engines[name], labeling.split, count, shuffle=shuffle
        )
        for name, judge in study.judges.items()
        if count
    }
    return JudgeStages(
        rows=tuple(_add_verdicts(study, labeling.split, engines, row, baseline) for row in rows),
        baseline=baseline.name,
        human_verdicts=human_verdicts,
        unlabeled_verdicts=_build_unlabeled_verdicts(study, labeling, engines, human_on_unlabeled),
    )


def _build_unlabeled_verdicts(
    study: Study, labeling: LabelingPlanner, engines: Mapping[str, EngineResources], human_on_unlabeled: bool
) -> dict[str, Stage]:
    """Each judge's verdicts on unlabeled pairs, by whether the arm `weak` labeled them as humans did."""
    count = study.judging.match_mismatch_pairs
    if not count:
        return {}
    if not human_on_unlabeled:
        raise StudyError(
            "judging.match_mismatch_pairs: the unlabeled pairs have no human labels to compare weak labels with; set it to 0"
        )
    labels = labeling.raw_labels("weak")
    return {
        name: judge_unlabeled_pairs_stage(
            f"judge-unlabeled-pairs.{name}", judge, engines[name], labeling.split, labels, count
        )
        for name, judge in study.judges.items()
    }


def test_pairs_in_file_order(study: Study) -> bool:
    """Whether the test pairs are in the order of their source, which may be sorted.

    Splits drawn by the study are in the order of a seed's hash, and so are the pairs that a source's `limit` selects.
    """
    return isinstance(study.data, PredefinedSplits) and getattr(study.data.test, "limit", None) is None


def _add_verdicts(
    study: Study, split: Stage, engines: Mapping[str, EngineResources], row: RowStages, baseline: RowStages
) -> RowStages:
    num_prompts = study.judging.num_prompts
    if row.completions is None or baseline.completions is None or row.name == baseline.name or num_prompts == 0:
        return row
    verdicts = {
        name: judge_stage(
            f"judge.{row.name}.{name}",
            judge,
            engines[name],
            row.completions,
            baseline.completions,
            num_prompts,
            split=split,
        )
        for name, judge in study.judges.items()
    }
    return replace(row, verdicts=verdicts)


def _select_baseline(study: Study, rows: Sequence[RowStages]) -> RowStages:
    candidates = {row.name: row for row in rows if row.completions is not None}
    requested = study.judging.baseline
    if requested is None:
        return next(candidates[name] for name in DEFAULT_BASELINE_ROWS if name in candidates)
    if requested not in candidates:
        reason = next((f": {row.skipped}" for row in rows if row.name == requested and row.skipped), "")
        raise StudyError(
            f"judging.baseline: no row {requested!r} has responses{reason} (rows with responses: {', '.join(candidates)})"
        )
    return candidates[requested]


def _judge_engines(labeling: LabelingPlanner, name: str, judge: Component) -> EngineResources:
    return EngineResources(
        configs=list_engine_configs(judge), study_models=labeling.resolve_models(judge, f"judges.{name}")
    )

"""What a report says, as values: everything that a page, a terminal table and `report.json` show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trimtab.errors import DataError
from trimtab.metrics import judge_quality
from trimtab.metrics.judge_quality import JudgeInfo, RaterAgreement
from trimtab.report.collect import rewards as reward_rows
from trimtab.report.collect import similarities
from trimtab.report.collect.rewards import RewardInfo
from trimtab.report.collect.search_trees import SearchInfo, search_info_from_json, search_info_to_json
from trimtab.report.collect.similarities import SimilarityInfo
from trimtab.report.collect.training_curves import TrainingCurve
from trimtab.report.collect.training_curves import curve_from_json as curve_back
from trimtab.report.collect.training_curves import curve_to_json as plain_curve
from trimtab.types import Cost, Metric

ArmRole = Literal["reference", "arm"]

# The order of every table and figure: the reference rows first, where they exist, and the weak model itself last.
FIRST_ARMS = ("base", "sft", "human", "weak", "flipped")
LAST_ARMS = ("weak_model",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyInfo:
    """The study that was run. `version` is Trimtab's; `yaml` is the study's settings in full."""

    name: str
    seed: int
    weak: str
    student: str
    description: str = ""
    version: str = ""
    fingerprint: str = ""
    yaml: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One row of the results. `skipped` says why an arm has no figures; it is empty where the arm was run.

    `pending` says what of it is not there yet, in a study that is not finished; `against` are the rows that the study has it
    compared with.
    """

    name: str
    role: ArmRole
    description: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    skipped: str = ""
    pending: tuple[str, ...] = ()
    compare_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A paired difference: `difference` is `metric` of `arm` minus that of `against`, over the rows that both have. On `above`
    of them the arm has more, on `below` less; `p_value` is that of the exact test over prompts (`statistics.mcnemar`), None
    where nothing differs or nothing was tested."""

    arm: str
    baseline: str
    metric: str
    difference: Metric
    wins: int = 0
    losses: int = 0
    p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramBin:
    """Labels whose `p_a` is in [low, high), or in [low, high] for the last bin.

    `n` counts all labels in the bin. `human_a` is the share for which the human preferred `a`, over those of them that
    have a human label: calibrated labels have it near `mean_p`, the mean `p_a` in the bin (None in an empty bin).
    """

    low: float
    high: float
    n: int
    mean_p_a: float | None
    human_a_rate: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInfo:
    """The labels that an arm's student was trained on: `metrics` are agreement, coverage, kappa and so on.

    `source` names the stage that gave the labels, before any filter: arms with the same one share its `cost`.
    """

    arm: str
    annotator: str
    n_pairs: int
    source: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    histogram: tuple[HistogramBin, ...] = ()
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """One split of the data: its pairs, its distinct prompts and the rows that could not become pairs."""

    name: str
    pairs: int
    prompts: int
    failures: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What a stage took. `seconds` and `tokens` are of the run that made it, also where it was `cached` this time."""

    name: str
    seconds: float
    from_cache: bool = False
    tokens: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One test prompt and what each arm answered, with the reward of each answer where there is one, which `metric` names."""

    prompt: str
    completions: Mapping[str, str]
    scores: Mapping[str, float | None] = field(default_factory=dict)
    metric: str = "gold_reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it. `notes` are sentences that a reader must know, such as that the data is synthetic.

    `missing` names the stages that are not there; it is empty where the study is finished.
    """

    study: StudyInfo
    arms: tuple[Arm, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    labels: tuple[LabelInfo, ...] = ()
    searches: tuple[SearchInfo, ...] = ()
    rewards: tuple[RewardInfo, ...] = ()
    judges: tuple[JudgeInfo, ...] = ()
    rater_agreements: tuple[RaterAgreement, ...] = ()
    similarities: tuple[SimilarityInfo, ...] = ()
    data: tuple[SplitInfo, ...] = ()
    stage_costs: tuple[StageCost, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    missing_stages: tuple[str, ...] = ()
    training_curves: tuple[TrainingCurve, ...] = ()

    def get_difference(self, arm: str, baseline: str, metric: str) -> Metric | None:
        """The paired difference of these two arms, or None where they were not compared."""
        wanted = (arm, baseline, metric)
        found = (each for each in self.comparisons if (each.arm, each.baseline, each.metric) == wanted)
        return next((each.difference for each in found), None)


def sort_arm_names(names: Iterable[str]) -> list[str]:
    """The names in the order of every table: `FIRST_ARMS`, then the others as they came, then `LAST_ARMS`."""
    given = list(dict.fromkeys(names))
    middle = [name for name in given if name not in FIRST_ARMS + LAST_ARMS]
    return [*(n for n in FIRST_ARMS if n in given), *middle, *(n for n in LAST_ARMS if n in given)]


def classify_difference(difference: Metric) -> Literal["above", "below", "unclear"]:
    """Which side of zero the whole interval lies on; touching zero, or no interval, is unclear."""
    if difference.low is None or difference.high is None:
        return "unclear"
    if difference.low > 0:
        return "above"
    return "below" if difference.high < 0 else "unclear"


def report_to_json(report: Report) -> dict[str, Any]:
    """The contents of `report.json`, the contract for programs: plain JSON values, None for what is not a number.

    `arms` and `labels` hold figures only: {NAME: {METRIC: {"value", "low", "high", "n", "n_failed"}}}; what is said of
    an arm or a labeler stands under `arms_about` and `labels_about`. `cost` is the sum over `stages`.
    """
    return {
        "study": asdict(report.study),
        "arms": {arm.name: _metrics_to_json(arm.metrics) for arm in report.arms},
        "arms_about": {
            arm.name: {
                "role": arm.role,
                "description": arm.description,
                "skipped": arm.skipped,
                "pending": list(arm.pending),
                "against": list(arm.compare_with),
            }
            for arm in report.arms
        },
        "comparisons": [_comparison_to_json(each) for each in report.comparisons],
        "labels": {label.arm: _metrics_to_json(label.metrics) for label in report.labels},
        "labels_about": {label.arm: _label_info_to_json(label) for label in report.labels},
        "searches": [search_info_to_json(each) for each in report.searches],
        "similarities": [similarities.similarity_to_json(each) for each in report.similarities],
        "rewards": {each.name: reward_rows.reward_to_json(each) for each in report.rewards},
        "judges": [judge_quality.judge_to_json(each) for each in report.judges],
        "rater_agreements": [judge_quality.judge_to_json(each) for each in report.rater_agreements],
        "data": {split.name: {k: v for k, v in asdict(split).items() if k != "name"} for split in report.data},
        "cost": {
            "seconds": sum(stage.seconds for stage in report.stage_costs),
            "tokens": sum(stage.tokens for stage in report.stage_costs),
        },
        "stages": [asdict(stage) for stage in report.stage_costs],
        "samples": [
            {
                "prompt": sample.prompt,
                "completions": dict(sample.completions),
                "scores": {arm: _finite_or_none(score) for arm, score in sample.scores.items()},
                "metric": sample.metric,
            }
            for sample in report.samples
        ],
        "notes": list(report.notes),
        "missing": list(report.missing_stages),
        "training": {each.stage: plain_curve(each) for each in report.training_curves},
    }


def report_from_json(document: Mapping[str, Any]) -> Report:
    """The report that `to_json` wrote. Raises `DataError` where a part is missing or has fields that no report has."""
    try:
        return Report(
            study=StudyInfo(**document["study"]),
            arms=tuple(
                _arm_from_json(name, figures, document["arms_about"][name])
                for name, figures in document["arms"].items()
            ),
            comparisons=tuple(_comparison_from_json(each) for each in document["comparisons"]),
            labels=tuple(
                _label_from_json(name, figures, document["labels_about"][name])
                for name, figures in document["labels"].items()
            ),
            searches=tuple(search_info_from_json(each) for each in document["searches"]),
            similarities=tuple(similarities.similarity_from_json(each) for each in document.get("similarities", ())),
            rewards=tuple(
                reward_rows.reward_from_json(name, each) for name, each in document.get("rewards", {}).items()
            ),
            judges=tuple(judge_quality.judge_from_json(each) for each in document.get("judges", ())),
            rater_agreements=tuple(
                judge_quality.agreement_from_json(each) for each in document.get("rater_agreements", ())
            ),
            data=tuple(SplitInfo(name=name, **split) for name, split in document["data"].items()),
            stage_costs=tuple(StageCost(**stage) for stage in document["stages"]),
            samples=tuple(Sample(**sample) for sample in document["samples"]),
            notes=tuple(document["notes"]),
            missing_stages=tuple(document.get("missing", ())),
            training_curves=tuple(curve_back(stage, each) for stage, each in document.get("training", {}).items()),
        )
    except KeyError as error:
        raise DataError(
            f"report.json: there is no {error} where one belongs; make it again with `trimtab report`"
        ) from error
    except (TypeError, AttributeError) as error:
        raise DataError(f"report.json: {error}; make it again with `trimtab report`") from error


def _finite_or_none(value: float | None) -> float | None:
    """JSON has no NaN and no infinity; both mean that there is no figure."""
    return value if value is not None and math.isfinite(value) else None


def _metric_to_json(metric: Metric) -> dict[str, Any]:
    bounds = {
        "value": _finite_or_none(metric.value),
        "low": _finite_or_none(metric.low),
        "high": _finite_or_none(metric.high),
    }
    return {**bounds, "n": metric.n, "n_failed": metric.n_failed}


def _metrics_to_json(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: _metric_to_json(metric) for name, metric in metrics.items()}


def _metrics_from_json(figures: Mapping[str, Any]) -> dict[str, Metric]:
    return {name: Metric(**figure) for name, figure in figures.items()}


def _label_info_to_json(label: LabelInfo) -> dict[str, Any]:
    bins = [{**asdict(each), "human_a": _metric_to_json(each.human_a_rate)} for each in label.histogram]
    about = {"annotator": label.annotator, "n_pairs": label.n_pairs, "source": label.source}
    return {**about, "cost": asdict(label.cost), "histogram": bins}


def _arm_from_json(name: str, figures: Mapping[str, Any], about: Mapping[str, Any]) -> Arm:
    lists = {key: tuple(about.get(key, ())) for key in ("pending", "against")}
    return Arm(name=name, metrics=_metrics_from_json(figures), **{**about, **lists})


def _label_from_json(arm: str, figures: Mapping[str, Any], about: Mapping[str, Any]) -> LabelInfo:
    return LabelInfo(
        arm=arm,
        annotator=about["annotator"],
        n_pairs=about["n_pairs"],
        source=about["source"],
        metrics=_metrics_from_json(figures),
        histogram=tuple(HistogramBin(**{**each, "human_a": Metric(**each["human_a"])}) for each in about["histogram"]),
        cost=Cost(**about["cost"]),
    )


def _comparison_to_json(each: Comparison) -> dict[str, Any]:
    names = {"arm": each.arm, "against": each.baseline, "metric": each.metric}
    test = {"above": each.wins, "below": each.losses, "p_value": each.p_value}
    return {**names, **_metric_to_json(each.difference), **test}


def _comparison_from_json(each: Mapping[str, Any]) -> Comparison:
    figure = {key: each[key] for key in ("value", "low", "high", "n", "n_failed")}
    rest = {key: value for key, value in each.items() if key not in figure}
    return Comparison(difference=Metric(**figure), **rest)

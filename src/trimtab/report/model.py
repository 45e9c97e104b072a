"""The contents of a report as values. The page, the terminal tables and `report.json` show these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from trimtab.config.names import SFT_ROW, is_sft_row
from trimtab.errors import DataError
from trimtab.metrics.judge_quality import JudgedArm, JudgedCriterion, RaterAgreement
from trimtab.metrics.label_certificate import LabelCertificate
from trimtab.metrics.label_criteria import LabelCriterion
from trimtab.metrics.model_preference import ModelPreference
from trimtab.report.collect.label_worth import LabelWorthInfo
from trimtab.report.collect.rewards import RewardInfo
from trimtab.report.collect.rounds import RoundInfo
from trimtab.report.collect.search_trees import SearchInfo
from trimtab.report.collect.similarities import SimilarityCorrelation, SimilarityInfo
from trimtab.report.collect.training_curves import TrainingCurve
from trimtab.types import Cost, Metric

ArmRole = Literal["reference", "arm"]
# The side of zero that a paired difference is on, by its whole interval.
Direction = Literal["above", "below", "unclear"]

# The order of every table and figure: reference arms first, the weak model last.
FIRST_ARMS = ("base", SFT_ROW, "human", "weak", "flipped")
LAST_ARMS = ("weak_model",)
# In tables, if each arm started from an SFT of its own.
OWN_SFT = "its own SFT"

# The version of the fields of `report.json` (docs/schema/report.json). Higher if a field is removed, renamed or changed, not
# for a new field.
REPORT_SCHEMA_VERSION = 1
# Parts of `report.json` that are keyed by name: the field that is the key, and the part that holds everything but metrics.
METRICS_BY_NAME = {"arms": ("name", "arm_info"), "labels": ("arm", "label_info")}
VALUES_BY_NAME = {"rewards": "name", "data": "name", "training_curves": "stage"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyInfo:
    """The study. `weak` and `student` are model names, `version` is Trimtab's version, `yaml` has all settings."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    seed: int
    weak: str
    student: str
    description: str = ""
    version: str = ""
    fingerprint: str = ""
    yaml: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One row of the results.

    `skipped` is the reason why the arm was not run, and empty if it was. `pending` lists its unfinished parts. `start` is the
    row of the model that its training started from, or empty. `compare_with` lists the arms that the study compares it with.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    role: ArmRole
    description: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    skipped: str = ""
    pending: tuple[str, ...] = ()
    start: str = ""
    compare_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """A paired difference: `metric` of `arm` minus `metric` of `baseline`, over the prompts or pairs that both have.

    `wins` and `losses` count those on which the arm's value is higher and lower. `p_value` is from the exact test over
    prompts (`stats.mcnemar_test`); None if no value differs or the metric is not tested.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    arm: str
    baseline: str
    metric: str
    difference: Metric
    wins: int = 0
    losses: int = 0
    p_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramBin:
    """Labels with `p_a` in [low, high), or in [low, high] for the last bin.

    `n` counts all labels in the bin, and `mean_p_a` is their mean `p_a`, None in an empty bin. `human_a_rate` is the share
    of the human-labeled ones on which the human preferred `a`; it is close to `mean_p_a` if labels are calibrated.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    low: float
    high: float
    n: int
    mean_p_a: float | None
    human_a_rate: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInfo:
    """The labels that an arm's student is trained on, with metrics such as agreement, coverage and kappa.

    `source` is the stage that annotated, before any filter. Arms with the same source share its `cost`. `certificate` is that
    of the filter `certified`. `model_preferences` compare the models that wrote the responses, if the data names them.
    `criteria` are those of the annotator, if it has any.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    arm: str
    annotator: str
    n_pairs: int
    source: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    histogram: tuple[HistogramBin, ...] = ()
    cost: Cost = field(default_factory=Cost)
    certificate: LabelCertificate | None = None
    model_preferences: tuple[ModelPreference, ...] = ()
    criteria: Mapping[str, LabelCriterion] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeInfo:
    """One judge, with the arms that it compared to `baseline`.

    `metrics` are over all its verdicts, those on pairs included, and `criteria` has those of each criterion it is asked about.
    `queries_one_order` is true if it saw each comparison in one presentation order. `warnings` are sentences about its limits.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    engine: str
    baseline: str
    arms: Mapping[str, JudgedArm]
    metrics: Mapping[str, Metric]
    criteria: Mapping[str, JudgedCriterion] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)
    queries_one_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """One split of the data. `prompts` counts distinct prompts, `failures` the rows that are not valid pairs."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    pairs: int
    prompts: int
    failures: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """The cost of a stage. `seconds` and `tokens` are from the run that executed it, even if it is `from_cache` this time."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    seconds: float
    from_cache: bool = False
    tokens: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A test prompt with each arm's response. `scores` are the responses' rewards by `metric`, None if there is none."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    prompt: str
    completions: Mapping[str, str]
    scores: Mapping[str, float | None] = field(default_factory=dict)
    metric: str = "gold_reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything in a report. `notes` are sentences that readers must know, for example that the data is synthetic.

    `missing_stages` lists unfinished stages; it is empty if the study is finished.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    study: StudyInfo
    arms: tuple[ArmResult, ...] = ()
    comparisons: tuple[ArmComparison, ...] = ()
    label_worths: tuple[LabelWorthInfo, ...] = ()
    labels: tuple[LabelInfo, ...] = ()
    searches: tuple[SearchInfo, ...] = ()
    rewards: tuple[RewardInfo, ...] = ()
    judges: tuple[JudgeInfo, ...] = ()
    rater_agreements: tuple[RaterAgreement, ...] = ()
    similarities: tuple[SimilarityInfo, ...] = ()
    similarity_correlations: tuple[SimilarityCorrelation, ...] = ()
    data: tuple[SplitInfo, ...] = ()
    stage_costs: tuple[StageCost, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    missing_stages: tuple[str, ...] = ()
    training_curves: tuple[TrainingCurve, ...] = ()
    rounds: tuple[RoundInfo, ...] = ()

    def get_difference(self, arm: str, baseline: str, metric: str) -> Metric | None:
        """The paired difference of two arms, or None if they were not compared."""
        key = (arm, baseline, metric)
        return next((c.difference for c in self.comparisons if (c.arm, c.baseline, c.metric) == key), None)

    def get_baseline(self, arm: str) -> str:
        """The row that every table compares an arm with: the one that it started from, else SFT, else the base model.

        Empty for SFT itself.
        """
        if is_sft_row(arm):
            return ""
        start = next((each.start for each in self.arms if each.name == arm), "")
        compared = {comparison.baseline for comparison in self.comparisons if comparison.arm == arm}
        return start or ("base" if "base" in compared and SFT_ROW not in compared else SFT_ROW)

    def get_baseline_difference(self, arm: str, metric: str) -> Metric | None:
        """The paired difference of an arm to its baseline, or None if they were not compared."""
        return self.get_difference(arm, self.get_baseline(arm), metric)

    def describe_baselines(self, metric: str) -> str:
        """The row that differences of this metric are to, `its own SFT` if arms differ in it, or empty without differences."""
        arms = [arm.name for arm in self.arms if self.get_baseline_difference(arm.name, metric) is not None]
        baselines = sorted({self.get_baseline(arm) for arm in arms})
        return OWN_SFT if len(baselines) > 1 else "".join(baselines)


def sort_arm_names(names: Iterable[str]) -> list[str]:
    """The distinct names in table order: `FIRST_ARMS` with all rows of SFT, then all others in the given order, then
    `LAST_ARMS`."""
    distinct = list(dict.fromkeys(names))
    sft = [name for name in distinct if is_sft_row(name)]
    first = [name for arm in FIRST_ARMS for name in (sft if arm == SFT_ROW else [arm]) if name in distinct]
    last = [name for name in LAST_ARMS if name in distinct]
    return [*first, *(name for name in distinct if name not in (*first, *last)), *last]


def classify_difference(difference: Metric) -> Direction:
    """The side of zero that the whole interval is on; unclear if it touches zero or there is no interval."""
    if difference.low is None or difference.high is None:
        return "unclear"
    if difference.low > 0:
        return "above"
    return "below" if difference.high < 0 else "unclear"


def report_to_json(report: Report) -> dict[str, Any]:
    """The contents of `report.json`, in plain JSON values. NaN and infinity become None.

    `arms` and `labels` are {NAME: {METRIC: {"value", "low", "high", "n", "n_failed"}}}; their other fields are in `arm_info`
    and `label_info`. `rewards`, `data` and `training_curves` are keyed by name, too. `cost` is the sum of `stage_costs`.
    """
    document = dict(json.loads(_report_adapter().dump_json(report)))
    for part, (key, info_part) in METRICS_BY_NAME.items():
        items = document[part]
        document[part] = {item[key]: item.pop("metrics") for item in items}
        document[info_part] = {item.pop(key): item for item in items}
    for part, key in VALUES_BY_NAME.items():
        document[part] = {item.pop(key): item for item in document[part]}
    cost = {unit: sum(getattr(stage, unit) for stage in report.stage_costs) for unit in ("seconds", "tokens")}
    return {"schema_version": REPORT_SCHEMA_VERSION, **document, "cost": cost}


def report_from_json(document: Mapping[str, Any]) -> Report:
    """The inverse of `report_to_json`. Raises `DataError` that names missing, unknown and invalid fields."""
    version = document.get("schema_version", REPORT_SCHEMA_VERSION)
    if version != REPORT_SCHEMA_VERSION:
        raise DataError(
            f"report.json: schema_version is {version!r}, expected {REPORT_SCHEMA_VERSION}; run `trimtab report` again"
        )
    values = {key: value for key, value in document.items() if key not in ("schema_version", "cost")}
    try:
        for part, (key, info_part) in METRICS_BY_NAME.items():
            info = values.pop(info_part)
            values[part] = [{key: name, "metrics": metrics, **info[name]} for name, metrics in values[part].items()]
        for part, key in VALUES_BY_NAME.items():
            values[part] = [{key: name, **item} for name, item in values[part].items()]
        return _report_adapter().validate_python(values)
    except KeyError as error:
        raise DataError(f"report.json: {error} is missing; run `trimtab report` again") from error
    except (TypeError, AttributeError) as error:
        raise DataError(f"report.json: {error}; run `trimtab report` again") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"report.json: {place}: {first['msg']}; run `trimtab report` again") from error


@cache
def _report_adapter() -> TypeAdapter[Report]:
    return TypeAdapter(Report)

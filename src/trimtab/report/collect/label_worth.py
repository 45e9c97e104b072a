"""How many human labels each arm's labels are worth, if a study has arms on different numbers of human labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ConfigDict

from trimtab import stats
from trimtab.annotators.human import Human
from trimtab.config.study import Arm
from trimtab.core.engine_configs import get_requirements
from trimtab.filters.subset import Subset
from trimtab.pipeline.plan.labeling_stages import build_arms
from trimtab.pipeline.plan.study_models import list_study_models
from trimtab.report.collect.arm_values import ArmValues
from trimtab.report.run_reader import Run
from trimtab.stats import LabelWorth

# Metrics whose learning curves are read, by family: `accuracy.DOMAIN` is one, too.
METRIC_FAMILIES = ("gold_reward", "proxy_reward", "accuracy")
MIN_CURVE_ARMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """An arm of the learning curve, with its number of human labels and the mean of the metric over rows and seeds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    arm: str
    num_labels: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelWorthInfo:
    """How many human labels the labels of `arm` are worth by `metric`, read off `curve`, whose points are in ascending order.

    `value` is the arm's own mean of the metric. `labels_used` is the number of human labels that the labels depend on, None if
    they depend on those of the unlabeled pairs, as random flips do. `label_price` is the study's.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    arm: str
    metric: str
    value: float
    worth: LabelWorth
    curve: tuple[CurvePoint, ...]
    labels_used: int | None
    label_price: float | None = None

    @property
    def curve_rises(self) -> bool:
        """Whether the student on most human labels is better than the one on fewest: only then can a worth be read off."""
        return self.curve[-1].value > self.curve[0].value


def collect_label_worths(runs: Sequence[Run], values: Sequence[Mapping[str, ArmValues]]) -> tuple[LabelWorthInfo, ...]:
    """The worth of every arm that is not on the curve, by every reward and accuracy.

    `runs` are one study with different seeds and the same test pairs, `values` the values of each. The curve are the arms on
    all human labels or on a random subset, trained like `human`. It is empty for fewer than two numbers of labels, and if the
    numbers differ between runs.
    """
    counts = [_count_curve_labels(run) for run in runs]
    first = runs[0]
    if len(counts[0]) < MIN_CURVE_ARMS or any(each != counts[0] for each in counts):
        return ()
    arms = build_arms(first.study)
    others = [name for name in values[0] if name in arms and name not in _list_human_arms(first)]
    return tuple(
        info
        for arm in others
        for metric in values[0][arm].values
        if metric.partition(".")[0] in METRIC_FAMILIES
        for info in _estimate(first, counts[0], arm, metric, values)
    )


def _estimate(
    run: Run, counts: Mapping[str, int], arm: str, metric: str, values: Sequence[Mapping[str, ArmValues]]
) -> Iterator[LabelWorthInfo]:
    """One, or none if too few arms have the metric in all runs."""
    by_arm = {
        name: [seed[name].values.get(metric, {}) if name in seed else {} for seed in values] for name in (arm, *counts)
    }
    curve = {name: count for name, count in counts.items() if all(by_arm[name])}
    if not all(by_arm[arm]) or len(curve) < MIN_CURVE_ARMS:
        return
    tables = [seed for name in (arm, *curve) for seed in by_arm[name]]
    shared = set.intersection(*(set(seed) for seed in tables))
    if not shared:
        return
    worth = stats.estimate_label_worth(
        {count: by_arm[name] for name, count in curve.items()},
        by_arm[arm],
        clusters={key: run.prompt_ids.get(key, key) for key in shared},
    )
    points = (
        CurvePoint(arm=name, num_labels=count, value=_mean_over_seeds(by_arm[name])) for name, count in curve.items()
    )
    yield LabelWorthInfo(
        arm=arm,
        metric=metric,
        value=_mean_over_seeds(by_arm[arm]),
        worth=worth,
        curve=tuple(points),
        labels_used=_count_labels_used(run, arm),
        label_price=run.study.label_price,
    )


def _mean_over_seeds(seeds: Sequence[Mapping[str, float]]) -> float:
    return sum(sum(values.values()) / len(values) for values in seeds) / len(seeds)


def _count_curve_labels(run: Run) -> dict[str, int]:
    """The number of labels of each arm on the curve, ascending; the first arm with a number, if several have it."""
    human = _list_human_arms(run)
    counts: dict[int, str] = {}
    for row in run.arms:
        if row.name in human and row.labels and row.training:
            num_labels = sum(label.choice is not None for label in run.annotations(row.labels).values())
            counts.setdefault(num_labels, row.name)
    return {name: count for count, name in sorted(counts.items())}


def _list_human_arms(run: Run) -> list[str]:
    """The arms on all human labels or on a random subset whose students are trained like that of `human`."""
    arms = build_arms(run.study)
    return [name for name, arm in arms.items() if _is_human(arm) and _training(arm) == _training(arms["human"])]


def _is_human(arm: Arm) -> bool:
    return isinstance(arm.annotator, Human) and isinstance(arm.filter, Subset | None) and not arm.labels_only


def _training(arm: Arm) -> tuple[object, object]:
    return arm.dpo, arm.preference_model


def _count_labels_used(run: Run, arm: str) -> int | None:
    """The labeled pairs if the arm's labels depend on them, 0 if not, None if they depend on human labels of the pool."""
    arms = build_arms(run.study)
    sources = [arms[name] for name in _list_sources(arms, arm)]
    if any(get_requirements(source.annotator).human_labels for source in sources):
        return None
    return sum(pair.human is not None for pair in run.labeled) if any(map(_learns, sources)) else 0


def _list_sources(arms: Mapping[str, Arm], name: str) -> list[str]:
    """The arm and all arms whose labels it reads, directly or not."""
    found, queue = {name: None}, [name]
    while queue:
        arm = arms[queue.pop()]
        needed = [get_requirements(part).arms for part in (arm.annotator, arm.filter) if part is not None]
        new = [other for others in needed for other in others if other in arms and other not in found]
        found |= dict.fromkeys(new)
        queue += new
    return list(found)


def _learns(arm: Arm) -> bool:
    """Whether a model or a calibration that the labels depend on learns from the labeled pairs."""
    requirements = get_requirements(arm.annotator)
    models = [*requirements.logprob_models, *list_study_models(arm.annotator).values()]
    filter_learns = arm.filter is not None and get_requirements(arm.filter).learns
    own_models = (model for model in models if model.startswith("@") and not model.endswith(".base"))
    return requirements.learns or arm.calibration is not None or filter_learns or any(own_models)

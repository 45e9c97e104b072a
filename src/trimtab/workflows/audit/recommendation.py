"""The recommendation of an audit: use the labels, use some of them, or do not use them. It follows from the intervals."""

from __future__ import annotations

from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.stats import required_sample_size
from trimtab.types import Metric

# If at least this fraction of the labels is worth keeping, a filter is not recommended.
NEARLY_ALL = 0.9


def build_recommendation(
    name: str, agreement: Metric, baseline: str, improvement: Metric, selection: SelectedFraction
) -> str:
    """Builds the recommendation.

    `baseline` is the better length baseline, `improvement` the annotator's improvement over it, and `selection` the most
    informative fraction of the labels.
    """
    finding = f"{name} agrees with human labels on {_format_percent(agreement)} of {agreement.n} pairs"
    objection = find_objection(name, finding, agreement, baseline, improvement)
    if objection:
        return objection
    ahead = f"{_format_points(improvement)} points better than the length baseline `{baseline}`"
    if selection.fraction < NEARLY_ALL:
        return (
            f"Use it on part: {finding}, {ahead}; the top {selection.fraction:.0%} of its labels by confidence, with "
            f"{_format_percent(selection.accuracy)} human agreement, are more informative than all of them."
        )
    return f"Use it: {finding}, {ahead}."


def find_objection(name: str, finding: str, agreement: Metric, baseline: str, improvement: Metric) -> str:
    """The reason not to use the labels; empty if there is none."""
    if agreement.low is None or agreement.high is None:
        return f"Do not use it: {name} labels too few of the pairs for a conclusion."
    if agreement.high < 0.5:
        return f"Do not use it: {finding}, worse than chance; check whether its labels are inverted."
    if agreement.low <= 0.5:
        return f"Do not use it: {finding}, not significantly better than chance."
    if improvement.high is not None and improvement.high < 0:
        return (
            f"Do not use it: {finding}, and the free length baseline `{baseline}` is "
            f"{_format_points(improvement, negate=True)} points better."
        )
    if improvement.low is None or improvement.low <= 0:
        return (
            f"Do not use it yet: {finding}, but its difference of {_format_points(improvement)} points from the free length "
            f"baseline `{baseline}` is not significant{_sample_size_hint(improvement)}."
        )
    return ""


def _sample_size_hint(improvement: Metric) -> str:
    """The number of labeled pairs needed to detect the observed improvement."""
    count = required_sample_size(improvement)
    if count is None or count <= improvement.n:
        return ""
    return f"; about {float(f'{count:.2g}'):,.0f} labeled pairs would be needed to detect it"


def _format_percent(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "none"
    return f"{metric.value:.1%} [{metric.low:.1%}, {metric.high:.1%}]"


def _format_points(metric: Metric, *, negate: bool = False) -> str:
    value, low, high = (100 * (number or 0.0) for number in (metric.value, metric.low, metric.high))
    return f"{-value:.1f} [{-high:.1f}, {-low:.1f}]" if negate else f"{value:.1f} [{low:.1f}, {high:.1f}]"

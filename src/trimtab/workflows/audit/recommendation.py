"""The sentence that an audit ends with: use the labels, use a part of them, or do not. Its words follow the intervals."""

from __future__ import annotations

from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.stats import required_sample_size
from trimtab.types import Metric

# Where so much of the labels is worth keeping, dropping the rest is not worth a filter.
NEARLY_ALL = 0.9


def build_recommendation(name: str, agreement: Metric, rule: str, lead: Metric, kept: SelectedFraction) -> str:
    """`rule` is the better of the length rules and `lead` the annotator's lead over it; `kept` the share that is worth most."""
    told = f"{name} agrees with people on {_format_percent(agreement)} of {agreement.n} pairs"
    against = _find_objection(name, told, agreement, rule, lead)
    if against:
        return against
    ahead = f"{_format_points(lead)} points ahead of the rule `{rule}`"
    if kept.fraction < NEARLY_ALL:
        return (
            f"Use it on part: {told}, {ahead}, and the surest {kept.fraction:.0%} of its labels, on which it agrees with "
            f"people on {_format_percent(kept.accuracy)}, tell more than all of them (filter: budget)."
        )
    return f"Use it: {told}, {ahead}."


def _find_objection(name: str, told: str, agreement: Metric, rule: str, lead: Metric) -> str:
    """What speaks against any use; empty where nothing does."""
    if agreement.low is None or agreement.high is None:
        return f"Do not use it: {name} labels too few of the pairs to tell anything."
    if agreement.high < 0.5:
        return f"Do not use it: {told}, worse than chance; look whether its labels are the wrong way round."
    if agreement.low <= 0.5:
        return f"Do not use it: {told}, which chance could do."
    if lead.high is not None and lead.high < 0:
        return f"Do not use it: {told}, and the rule `{rule}` is {_format_points(lead, negate=True)} points better for nothing."
    if lead.low is None or lead.low <= 0:
        return (
            f"Do not use it yet: {told}, but its lead of {_format_points(lead)} points over the rule `{rule}`, which costs nothing, "
            f"could be chance{_sample_size_hint(lead)}."
        )
    return ""


def _sample_size_hint(lead: Metric) -> str:
    """How many labeled pairs would tell, where the lead at hand is the true one."""
    count = required_sample_size(lead)
    return (
        f"; about {float(f'{count:.2g}'):,.0f} labeled pairs would tell" if count is not None and count > lead.n else ""
    )


def _format_percent(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "none"
    return f"{metric.value:.1%} [{metric.low:.1%}, {metric.high:.1%}]"


def _format_points(metric: Metric, *, negate: bool = False) -> str:
    value, low, high = (100 * (each or 0.0) for each in (metric.value, metric.low, metric.high))
    return f"{-value:.1f} [{-high:.1f}, {-low:.1f}]" if negate else f"{value:.1f} [{low:.1f}, {high:.1f}]"

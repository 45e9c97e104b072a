"""Renders an audit for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.types import Metric
from trimtab.workflows.audit import Audit

LENGTH_GROUP_TITLES = {
    "human_prefers_longer": "human label prefers the longer response",
    "human_prefers_shorter": "human label prefers the shorter response",
    "small_difference": "small length difference",
    "medium_difference": "medium length difference",
    "large_difference": "large length difference",
}
BASELINE_TITLES = {"longer": "length baseline: longer response", "shorter": "length baseline: shorter response"}


def render_audit(audit: Audit) -> Group:
    """Renders the tables, most important first, and the recommendation."""
    return Group(*_render_sections(audit), Text(audit.recommendation, style="bold"))


def _render_sections(audit: Audit) -> Iterator[RenderableType]:
    yield _build_table("labels", "human agreement", _agreement_rows(audit))
    yield _build_table(
        "pairs",
        "human agreement",
        [(LENGTH_GROUP_TITLES[key], _format_share(metric)) for key, metric in audit.by_length.items()],
    )
    yield _build_table(
        "confidence",
        "accuracy",
        [(f"{point.confidence:.1%}", _format_share(point.accuracy)) for point in audit.by_confidence],
    )
    yield _calibration_table(audit)
    if audit.learning_curve:
        rows = [(f"{n:,} labeled pairs", _format_share(metric)) for n, metric in audit.learning_curve.items()]
        if audit.last_doubling is not None:
            rows.append(("gain from the last doubling", _format_points(audit.last_doubling)))
        yield _build_table("trained on", "human agreement", rows)
    rows = [(f"{accuracy:.0%}", f"{share:.0%}") for accuracy, share in audit.certified_shares.items()]
    yield _build_table("accuracy, certified with 95% confidence", "of the labels", rows)
    if not audit.has_equal_confidences:
        yield from _render_selection(audit)
    forecast = audit.worth_forecast
    title = f"forecast, not measured: {forecast.num_labels:,} labels, used as"
    yield _build_table(title, "are worth human labels", list(forecast.rows()))
    yield _build_table("cost", "", list(_cost_rows(audit)))


def _render_selection(audit: Audit) -> Iterator[RenderableType]:
    rows = [(f"{fraction:.0%}", _format_share(metric)) for fraction, metric in audit.by_retained_fraction.items()]
    yield _build_table("top-confidence labels kept", "accuracy", rows)
    selection = audit.optimal_selection
    accuracy = _format_share(selection.accuracy)
    yield Text(f"most informative: the top {selection.fraction:.0%} by confidence, accuracy {accuracy}\n")


def _agreement_rows(audit: Audit) -> list[tuple[str, str]]:
    rows = [(audit.annotator, _format_share(audit.agreement)), ("chance", "50.0%")]
    rows += [(BASELINE_TITLES[name], _format_share(metric)) for name, metric in audit.length_baselines.items()]
    if audit.reference_model:
        rows.append(("reference model, prompted without training", _format_share(audit.reference_model)))
    rows.append((f"improvement over the baseline `{audit.best_baseline}`", _format_points(audit.improvement)))
    if audit.order_inconsistency:
        rows.append(("position inconsistency", _format_share(audit.order_inconsistency)))
    if audit.unlabeled_accuracy:
        title = f"expected accuracy on the {audit.n_unlabeled:,} unlabeled pairs"
        rows.append((title, _format_share(audit.unlabeled_accuracy)))
    return rows


def _calibration_table(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("probabilities")
    for heading in ("uncalibrated", "calibrated"):
        table.add_column(heading, justify="right")
    for name, title in (
        ("brier", "Brier score (uninformative: 0.25)"),
        ("log_loss", "log loss, nats (uninformative: 0.693)"),
        ("calibration_error", "expected calibration error"),
    ):
        metrics = (getattr(metrics, name) for metrics in (audit.before_calibration, audit.after_calibration))
        table.add_row(title, *map(_format_number, metrics))
    table.add_section()
    table.add_row("")
    return table


def _cost_rows(audit: Audit) -> Iterator[tuple[str, str]]:
    cost = audit.cost
    yield "seconds per 1,000 labels", f"{cost.seconds_per_1000.value or 0:,.1f}"
    yield "tokens per 1,000 labels", f"{cost.tokens_per_1000.value or 0:,.0f}"
    yield "seconds of training", f"{cost.training_seconds.value or 0:,.1f}"


def _build_table(first: str, second: str, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    table.add_column(second, justify="right")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    table.add_row("")
    return table


def _format_share(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "none"
    bounds = "" if metric.low is None or metric.high is None else f" [{metric.low:.1%}, {metric.high:.1%}]"
    abstained = f", {metric.n_failed:,} abstained" if metric.n_failed else ""
    return f"{metric.value:.1%}{bounds} of {metric.n:,}{abstained}"


def _format_points(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "none"
    return f"{100 * metric.value:+.1f} [{100 * metric.low:+.1f}, {100 * metric.high:+.1f}] points"


def _format_number(metric: Metric) -> str:
    if metric.value is None:
        return "none"
    bounds = "" if metric.low is None or metric.high is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{bounds}"

"""An audit as a person reads it in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.stats.calibration import ReliabilityBin
from trimtab.types import Metric
from trimtab.workflows.audit import Audit

LENGTH_GROUP_TITLES = {
    "human_prefers_longer": "people prefer the longer response",
    "human_prefers_shorter": "people prefer the shorter response",
    "small_difference": "lengths much alike",
    "medium_difference": "lengths somewhat apart",
    "large_difference": "lengths far apart",
}


def render_audit(audit: Audit) -> Group:
    """Tables, most important first, and the verdict at the end."""
    return Group(*_render_sections(audit), Text(audit.recommendation, style="bold"))


def _render_sections(audit: Audit) -> Iterator[RenderableType]:
    yield _build_table("labels", "agreement with people", _agreement_rows(audit))
    yield _build_table(
        "where",
        "agreement with people",
        [(LENGTH_GROUP_TITLES[key], _format_share(each)) for key, each in audit.by_length.items()],
    )
    yield _build_table("sure of its label", "right", [_confidence_row(each) for each in audit.by_confidence])
    yield _calibration_table(audit)
    if audit.learning_curve:
        rows = [(f"{n:,} labeled pairs", _format_share(each)) for n, each in audit.learning_curve.items()]
        if audit.last_doubling is not None:
            rows.append(("the last doubling brought", _format_points(audit.last_doubling)))
        yield _build_table("learned from", "agreement with people", rows)
    kept = audit.optimal_selection
    yield _build_table(
        "surest labels kept",
        "right",
        [(f"{share:.0%}", _format_share(each)) for share, each in audit.by_kept_fraction.items()],
    )
    yield Text(f"worth most: the surest {kept.fraction:.0%}, of which {_format_share(kept.accuracy)} are right\n")
    yield _build_table("cost", "", list(_cost_rows(audit)))


def _agreement_rows(audit: Audit) -> list[tuple[str, str]]:
    rules = [(f"the rule {name}", _format_share(each)) for name, each in audit.length_baselines.items()]
    strong = (
        [("the strong model, asked untrained", _format_share(audit.reference_model))] if audit.reference_model else []
    )
    flips = (
        [("its two orders contradict each other", _format_share(audit.order_inconsistency))]
        if audit.order_inconsistency
        else []
    )
    pool = (
        [(f"expected on the {audit.n_unlabeled:,} unlabeled pairs", _format_share(audit.unlabeled_accuracy))]
        if audit.unlabeled_accuracy
        else []
    )
    return [
        (audit.annotator, _format_share(audit.agreement)),
        ("chance", "50.0%"),
        *rules,
        *strong,
        (f"lead over {audit.best_baseline}", _format_points(audit.improvement)),
        *flips,
        *pool,
    ]


def _confidence_row(each: ReliabilityBin) -> tuple[str, str]:
    return f"{each.confidence:.1%}", _format_share(each.accuracy)


def _calibration_table(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("probabilities")
    for heading in ("as given", "calibrated"):
        table.add_column(heading, justify="right")
    for name, title in (
        ("brier", "Brier score (0.25 says nothing)"),
        ("log_loss", "log-loss, nats (0.693 says nothing)"),
        ("calibration_error", "expected calibration error"),
    ):
        table.add_row(
            title,
            *(_format_number(getattr(each, name)) for each in (audit.before_calibration, audit.after_calibration)),
        )
    table.add_section()
    table.add_row("")
    return table


def _cost_rows(audit: Audit) -> Iterator[tuple[str, str]]:
    cost = audit.cost
    yield "seconds for 1,000 labels", f"{cost.seconds_per_1000.value or 0:,.1f}"
    yield "tokens for 1,000 labels", f"{cost.tokens_per_1000.value or 0:,.0f}"
    yield "seconds of training before", f"{cost.training_seconds.value or 0:,.1f}"


def _build_table(first: str, second: str, rows: list[tuple[str, str]]) -> Table:
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
    silent = f", says nothing of {metric.n_failed:,}" if metric.n_failed else ""
    return f"{metric.value:.1%}{bounds} of {metric.n:,}{silent}"


def _format_points(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "none"
    return f"{100 * metric.value:+.1f} [{100 * metric.low:+.1f}, {100 * metric.high:+.1f}] points"


def _format_number(metric: Metric) -> str:
    if metric.value is None:
        return "none"
    bounds = "" if metric.low is None or metric.high is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{bounds}"

"""An audit as a person reads it in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.audit import Audit
from trimtab.calibration import Bin
from trimtab.types import Metric

LENGTHS = {
    "people_prefer_longer": "people prefer the longer response",
    "people_prefer_shorter": "people prefer the shorter response",
    "much_alike": "lengths much alike",
    "somewhat_apart": "lengths somewhat apart",
    "far_apart": "lengths far apart",
}


def told(audit: Audit) -> Group:
    """Tables, most important first, and the verdict at the end."""
    return Group(*_parts(audit), Text(audit.verdict, style="bold"))


def _parts(audit: Audit) -> Iterator[RenderableType]:
    yield _table("labels", "agreement with people", _beside(audit))
    yield _table(
        "where", "agreement with people", [(LENGTHS[key], _share(each)) for key, each in audit.by_length.items()]
    )
    yield _table("sure of its label", "right", [_sure(each) for each in audit.by_confidence])
    yield _calibration(audit)
    if audit.curve:
        rows = [(f"{n:,} labeled pairs", _share(each)) for n, each in audit.curve.items()]
        if audit.doubled is not None:
            rows.append(("the last doubling brought", _points(audit.doubled)))
        yield _table("learned from", "agreement with people", rows)
    kept = audit.kept
    yield _table(
        "surest labels kept", "right", [(f"{share:.0%}", _share(each)) for share, each in audit.by_share.items()]
    )
    yield Text(f"worth most: the surest {kept.fraction:.0%}, of which {_share(kept.accuracy)} are right\n")
    yield _table("cost", "", list(_costs(audit)))


def _beside(audit: Audit) -> list[tuple[str, str]]:
    rules = [(f"the rule {name}", _share(each)) for name, each in audit.rules.items()]
    strong = [("the strong model, asked untrained", _share(audit.strong))] if audit.strong else []
    flips = [("its two orders contradict each other", _share(audit.order_flips))] if audit.order_flips else []
    pool = [(f"expected on the {audit.n_pool:,} unlabeled pairs", _share(audit.pool))] if audit.pool else []
    return [
        (audit.annotator, _share(audit.agreement)),
        ("chance", "50.0%"),
        *rules,
        *strong,
        (f"lead over {audit.better_rule}", _points(audit.lead)),
        *flips,
        *pool,
    ]


def _sure(each: Bin) -> tuple[str, str]:
    return f"{each.confidence:.1%}", _share(each.share)


def _calibration(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("probabilities")
    for heading in ("as given", "calibrated"):
        table.add_column(heading, justify="right")
    for name, title in (
        ("brier", "Brier score (0.25 says nothing)"),
        ("log_loss", "log-loss, nats (0.693 says nothing)"),
        ("calibration_error", "expected calibration error"),
    ):
        table.add_row(title, *(_number(getattr(each, name)) for each in (audit.before, audit.after)))
    table.add_section()
    table.add_row("")
    return table


def _costs(audit: Audit) -> Iterator[tuple[str, str]]:
    cost = audit.cost
    yield "seconds for 1,000 labels", f"{cost.seconds_per_1000.value or 0:,.1f}"
    yield "tokens for 1,000 labels", f"{cost.tokens_per_1000.value or 0:,.0f}"
    yield "seconds of training before", f"{cost.training_seconds.value or 0:,.1f}"


def _table(first: str, second: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    table.add_column(second, justify="right")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    table.add_row("")
    return table


def _share(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "none"
    bounds = "" if metric.low is None or metric.high is None else f" [{metric.low:.1%}, {metric.high:.1%}]"
    silent = f", says nothing of {metric.n_failed:,}" if metric.n_failed else ""
    return f"{metric.value:.1%}{bounds} of {metric.n:,}{silent}"


def _points(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "none"
    return f"{100 * metric.value:+.1f} [{100 * metric.low:+.1f}, {100 * metric.high:+.1f}] points"


def _number(metric: Metric) -> str:
    if metric.value is None:
        return "none"
    bounds = "" if metric.low is None or metric.high is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{bounds}"

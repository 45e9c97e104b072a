"""Renders a label comparison in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from trimtab.report.formatting import MetricCell
from trimtab.report.label_comparison.metrics import LabelComparison, LabelSourceInfo
from trimtab.report.metric_info import MetricInfo
from trimtab.report.table import Column, Table, TableRow, render_terminal_table
from trimtab.report.value_format import format_value
from trimtab.types import Metric

# On mismatching pairs, one of the two sources is right, so chance is one half.
CHANCE = 0.5
_LEGEND = "Chosen is the response that A prefers, rejected the other one. Lengths are in characters."


def _info(name: str, label: str, digits: int = 3) -> MetricInfo:
    return MetricInfo(name=name, label=label, better="neither", count_noun="pairs", description="", digits=digits)


LABEL_COMPARISON_METRICS = {
    info.name: info
    for info in (
        _info("share", "share of pairs"),
        _info("agreement", "agreement"),
        _info("kappa", "kappa"),
        _info("confidence_a", "confidence of A"),
        _info("confidence_b", "confidence of B"),
        _info("accuracy_a", "accuracy of A"),
        _info("accuracy_b", "accuracy of B"),
        _info("length_difference", "length difference", digits=1),
        _info("chosen_length", "chosen length", digits=1),
    )
}

_GOLD_LABELS = {
    "gold_chosen": "chosen",
    "gold_rejected": "rejected",
    "gold_margin": "margin",
    "gold_higher": "chosen is higher",
    "gold_chosen_b": "chosen by B",
    "gold_rejected_b": "rejected by B",
    "gold_margin_b": "margin of B",
}


def render_label_comparison(comparison: LabelComparison) -> Group:
    """The two sources, notes, a summary, and tables of the subsets and bins."""
    parts: list[RenderableType] = [
        Text(f"A: {_source_line(comparison.a)}\nB: {_source_line(comparison.b)}"),
        *(Text(f"Note: {note}.", style="yellow") for note in comparison.notes),
        Text(" ".join(summarize_label_comparison(comparison))),
        Text(),
        render_terminal_table(build_subset_table(comparison)),
    ]
    bins = [Text(), render_terminal_table(build_bin_table(comparison))] if comparison.bins else []
    return Group(*parts, *bins)


def summarize_label_comparison(comparison: LabelComparison) -> list[str]:
    """Sentences on agreement, and on which source is more accurate if the interval allows a conclusion."""
    agreement = _format_metric(comparison.agreement, "agreement")
    kappa = _format_metric(comparison.kappa, "kappa")
    return [
        f"They agree on {agreement} of the {comparison.agreement.n:,} pairs on which both prefer a response; kappa {kappa}.",
        *_accuracy_sentences(comparison),
        *_gold_sentences(comparison),
    ]


def _accuracy_sentences(comparison: LabelComparison) -> list[str]:
    accuracy = comparison.subsets["mismatch"].metrics.get("accuracy_a")
    if accuracy is None or accuracy.low is None or accuracy.high is None or comparison.b.is_human:
        return []
    conclusion = (
        "A is more accurate"
        if accuracy.low > CHANCE
        else "B is more accurate"
        if accuracy.high < CHANCE
        else "inconclusive"
    )
    formatted = _format_metric(accuracy, "accuracy_a")
    return [f"If they differ, the human label agrees with A on {formatted} of {accuracy.n:,} pairs: {conclusion}."]


def _gold_sentences(comparison: LabelComparison) -> list[str]:
    """One sentence per scorer on the mismatch set, as in Tao & Li (2025), section 4."""
    sentences = []
    for name, rate in comparison.subsets["mismatch"].metrics.items():
        family, _, scorer = name.partition(".")
        if family == "gold_higher":
            missing = f" ({rate.n_failed:,} have no reward)" if rate.n_failed else ""
            sentences.append(
                f"If they differ, A prefers the response with the higher reward by {scorer} on "
                f"{_format_metric(rate, name)} of {rate.n:,} pairs{missing}."
            )
    return sentences


def _source_line(source: LabelSourceInfo) -> str:
    human = ", human labels" if source.is_human else ""
    return f"{source.name}: {source.num_labels:,} labels{human}, {source.num_with_choice:,} of which prefer a response"


def build_subset_table(comparison: LabelComparison) -> Table:
    """A row per metric; columns for all pairs, the match set and the mismatch set."""
    subsets = comparison.subsets
    columns = [
        Column(title=f"{name}, {subset.num_pairs:,} pairs", keep_with_previous=name == "mismatch")
        for name, subset in subsets.items()
    ]
    rows = [
        TableRow(
            name=_label_metric_info(name).label,
            cells=tuple(_build_cell(subset.metrics.get(name), name) for subset in subsets.values()),
        )
        for name in subsets["all"].metrics
    ]
    return Table(title="", row_title="metric", columns=tuple(columns), rows=tuple(rows), legend=_LEGEND)


def build_bin_table(comparison: LabelComparison) -> Table:
    """A row per bin of the bin variable, with its number of pairs and metrics."""
    names = list(comparison.bins[0].metrics)
    rows = [
        TableRow(
            name=f"{pair_bin.low:.4g} to {pair_bin.high:.4g}",
            cells=(
                f"{pair_bin.metrics['agreement'].n:,}",
                *(_build_cell(pair_bin.metrics.get(name), name) for name in names),
            ),
        )
        for pair_bin in comparison.bins
    ]
    columns = (
        Column(title="pairs", numeric=True),
        *(Column(title=_label_metric_info(name).label) for name in names),
    )
    return Table(title="", row_title=f"by {comparison.bin_variable}", columns=columns, rows=tuple(rows))


def _label_metric_info(name: str) -> MetricInfo:
    """The display of a metric; `gold_margin.proxy` is shown as `proxy: margin`."""
    family, _, scorer = name.partition(".")
    return _info(name, f"{scorer}: {_GOLD_LABELS[family]}") if scorer else LABEL_COMPARISON_METRICS[name]


def _build_cell(metric: Metric | None, name: str) -> MetricCell | None:
    if metric is None:
        return None
    value, interval = format_value(metric, _label_metric_info(name))
    return MetricCell(value=value, interval=interval, sample_size="")


def _format_metric(metric: Metric, name: str) -> str:
    return " ".join(filter(None, format_value(metric, _label_metric_info(name))))

"""Figures as inline SVG: the same report always gives the same bytes, and the page's colors show through.

Text stays text, in the page's font. Colors are CSS variables (`--arm`, `--reference`, `--grid`, `--zero`), by default
from the color-blind-safe palette of Okabe and Ito, so one figure reads on light and on dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from trimtab.report.metrics import MetricInfo, metric_info, written
from trimtab.report.model import Arm, LabelInfo, Report, arm_order
from trimtab.report.verdict import BASELINE
from trimtab.types import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib knows no CSS: each stands for a color of the page and is replaced in the finished SVG.
INK, REFERENCE, ARM, GRID, ZERO = "#010101", "#010102", "#010103", "#010104", "#010105"
_ON_PAGE = {
    INK: "currentColor",
    REFERENCE: "var(--reference, #767676)",
    ARM: "var(--arm, #0072b2)",
    GRID: "var(--grid, #e4e4e4)",
    ZERO: "var(--zero, #999999)",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trimtab",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.unicode_minus": True,
}
_WIDTH = 5.6  # inches, 72 points each: two panels fit a page side by side, one a phone


def arms_figure(report: Report, metric: str) -> str:
    """Every arm's value of one metric with its 95 % interval; the empty string where no arm has one."""
    arms = {arm.name: arm for arm in report.arms}
    rows = [(arms[name], arms[name].metrics[metric]) for name in arm_order(arms) if metric in arms[name].metrics]
    return whiskers(rows, metric_info(metric), f"{metric_info(metric).label} by arm", zero=False)


def differences_figure(report: Report, metric: str, against: str = BASELINE) -> str:
    """Every arm's paired difference to `against` with its 95 % interval; the empty string where there is none."""
    arms = {arm.name: arm for arm in report.arms}
    found = ((arms[name], report.comparison(name, against, metric)) for name in arm_order(arms))
    rows = [(arm, difference) for arm, difference in found if difference is not None]
    return whiskers(rows, metric_info(metric), f"{metric_info(metric).label}, difference to {against}", zero=True)


def labels_figure(label: LabelInfo) -> str:
    """How sure the labels are (bars, by `p_a`) and how often humans agree (dots on the diagonal where calibrated).

    The empty string where there are no labels to count.
    """
    if not sum(each.n for each in label.histogram):
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(STYLE):
        figure, (bars, dots) = panel(4.2, rows=2)
        _histogram(bars, label)
        _reliability(dots, label)
        return svg(figure, f"labels-{label.arm}", f"Labels of {label.arm}: probabilities, and agreement with humans")


def whiskers(
    rows: Sequence[tuple[Arm, Metric]], info: MetricInfo, title: str, *, zero: bool, line: float | None = None
) -> str:
    """A line a row from the low to the high bound; `zero` where the figures are differences, `line` where something else than
    zero is to be told apart from. Empty where there is no figure."""
    if not any(figure.value is not None for _, figure in rows):
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(STYLE):
        figure, (axes,) = panel(0.75 + 0.36 * len(rows))
        level = 0.0 if zero else line
        if level is not None:
            axes.axvline(level, color=ZERO, linewidth=1.2, zorder=1)
        for place, (arm, value) in enumerate(rows):
            _whisker(axes, place, value, ARM if arm.role == "arm" else REFERENCE)
        axes.set_yticks(range(len(rows)), labels=[arm.name for arm, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(f"{info.label}{f' ({info.unit})' if info.unit else ''}{', difference' if zero else ''}")
        _values_at_the_right(axes, [written(value, info, signed=zero)[0] for _, value in rows])
        return svg(figure, f"{'difference' if zero else 'arms'}-{info.name}", title)


def _whisker(axes: Axes, place: int, metric: Metric, color: str) -> None:
    if metric.value is None:
        return
    if metric.low is not None and metric.high is not None:
        axes.plot([metric.low, metric.high], [place, place], color=color, linewidth=2.4, solid_capstyle="round")
    axes.plot([metric.value], [place], color=color, marker="o", markersize=7, linestyle="none")


def _values_at_the_right(axes: Axes, values: Sequence[str]) -> None:
    for place, value in enumerate(values):
        axes.annotate(
            value,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )


def _histogram(axes: Axes, label: LabelInfo) -> None:
    for each in label.histogram:
        width = each.high - each.low
        axes.bar(each.low + width / 2, each.n, width=0.86 * width, color=ARM, linewidth=0)
    axes.set_xlim(0, 1)
    axes.set_ylabel("labels")
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(labelbottom=False)


def _reliability(axes: Axes, label: LabelInfo) -> None:
    axes.plot([0, 1], [0, 1], color=ZERO, linewidth=1.2, zorder=1)
    for each in label.histogram:
        share = each.human_a
        if each.mean_p is None or share.value is None:
            continue
        if share.low is not None and share.high is not None:
            axes.plot([each.mean_p] * 2, [share.low, share.high], color=ARM, linewidth=2, solid_capstyle="round")
        axes.plot([each.mean_p], [share.value], color=ARM, marker="o", markersize=6, linestyle="none", clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(axis="x", pad=9)
    axes.set_xlabel("probability that a is better, by the label")
    axes.set_ylabel("humans say a")
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)


def panel(height: float, rows: int = 1, width: float = _WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure of bare axes under one another: no frame, a light grid, no tick marks."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    panels: list[Axes] = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in panels:
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    return figure, panels


def svg(figure: Figure, name: str, title: str) -> str:
    """The SVG element alone, with ids of its own, so that several fit one page."""
    out = io.StringIO()
    empty: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(out, format="svg", metadata=empty)
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Matplotlib's own style element would reach the whole page, and its list of fonts would override the page's.
    text = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;", "", text)
    prefix = re.sub(r"[^A-Za-z0-9-]", "-", name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for stand_in, color in _ON_PAGE.items():
        text = text.replace(stand_in, color)
    label = escape(title, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def as_file(drawing: str) -> str:
    """A figure of the page as a file of its own, in the colors of a light page, for programs that know no CSS variables."""
    plain = re.sub(r"var\(--[a-z]+, (#[0-9a-f]+)\)", r"\1", drawing).replace("currentColor", "#1b1f24")
    return plain.replace("<svg ", '<svg style="font-family: sans-serif; background: #ffffff" ', 1) + "\n"

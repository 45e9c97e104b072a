"""Figures as inline SVG. The output is deterministic.

Text is SVG text in the page's font. Colors are CSS variables (`--arm`, `--reference`, `--grid`, `--zero`), so that figures
follow the light and the dark theme; their defaults are from the color-blind-safe palette of Okabe and Ito.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from trimtab.report.metric_info import MetricInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import ArmResult, LabelInfo, Report, sort_arm_names
from trimtab.report.value_format import format_value
from trimtab.types import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders: Matplotlib has no CSS colors, so these are replaced by the page's colors in the finished SVG.
TEXT_COLOR, REFERENCE_COLOR, ARM_COLOR, GRID_COLOR, ZERO_LINE_COLOR = (
    "#010101",
    "#010102",
    "#010103",
    "#010104",
    "#010105",
)
_CSS_COLORS = {
    TEXT_COLOR: "currentColor",
    REFERENCE_COLOR: "var(--reference, #767676)",
    ARM_COLOR: "var(--arm, #0072b2)",
    GRID_COLOR: "var(--grid, #e4e4e4)",
    ZERO_LINE_COLOR: "var(--zero, #999999)",
}
MATPLOTLIB_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "trimtab",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,
    "text.color": TEXT_COLOR,
    "axes.labelcolor": TEXT_COLOR,
    "xtick.color": TEXT_COLOR,
    "ytick.color": TEXT_COLOR,
    "axes.unicode_minus": True,
}
_FIGURE_WIDTH = 5.6  # inches; a page is two panels wide, a phone one


def draw_arm_values(report: Report, metric: str) -> str:
    """Every arm's value of a metric with its 95% interval; empty if no arm has one."""
    arms = {arm.name: arm for arm in report.arms}
    values = [(arms[name], arms[name].metrics[metric]) for name in sort_arm_names(arms) if metric in arms[name].metrics]
    info = get_metric_info(metric)
    return draw_intervals(values, info, f"{info.label} by arm", is_difference=False)


def draw_arm_differences(report: Report, metric: str) -> str:
    """Every arm's paired difference to the row that it started from, with its 95% interval; empty if there is none."""
    arms = {arm.name: arm for arm in report.arms}
    by_arm = ((arms[name], report.get_baseline_difference(name, metric)) for name in sort_arm_names(arms))
    differences = [(arm, difference) for arm, difference in by_arm if difference is not None]
    info = get_metric_info(metric)
    title = f"{info.label}, difference to {report.describe_baselines(metric)}"
    return draw_intervals(differences, info, title, is_difference=True)


def draw_label_histogram(label: LabelInfo) -> str:
    """The histogram of label probabilities (bars), and the human agreement of each bin (dots, on the diagonal if calibrated).

    Without human labels the histogram alone; empty if there are no labels.
    """
    if not sum(histogram_bin.n for histogram_bin in label.histogram):
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        if has_human_labels(label):
            figure, (histogram_axes, last_axes) = create_panels(4.2, rows=2)
            histogram_axes.tick_params(labelbottom=False)
            _draw_reliability(last_axes, label)
            title = f"Labels of {label.arm}: probabilities, and agreement with humans"
        else:
            figure, (histogram_axes,) = create_panels(2.3)
            last_axes, title = histogram_axes, f"Labels of {label.arm}: probabilities"
        _draw_histogram(histogram_axes, label)
        last_axes.set_xlabel("label probability that a is better")
        return render_svg(figure, f"labels-{label.arm}", title)


def has_human_labels(label: LabelInfo) -> bool:
    """Whether a bin of the histogram has pairs with a human label."""
    return any(histogram_bin.human_a_rate.n for histogram_bin in label.histogram)


def draw_intervals(
    values: Sequence[tuple[ArmResult, Metric]],
    info: MetricInfo,
    title: str,
    *,
    is_difference: bool,
    reference_line: float | None = None,
) -> str:
    """One interval per arm, with a vertical line at zero for differences and at `reference_line` otherwise.

    Empty if no metric has a value.
    """
    if not any(metric.value is not None for _, metric in values):
        return ""
    import matplotlib  # noqa: PLC0415

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure, (axes,) = create_panels(0.75 + 0.36 * len(values))
        line = 0.0 if is_difference else reference_line
        if line is not None:
            axes.axvline(line, color=ZERO_LINE_COLOR, linewidth=1.2, zorder=1)
        for y, (arm, metric) in enumerate(values):
            _draw_interval(axes, y, metric, ARM_COLOR if arm.role == "arm" else REFERENCE_COLOR)
        axes.set_yticks(range(len(values)), labels=[arm.name for arm, _ in values])
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.locator_params(axis="x", nbins=6)
        unit = f" ({info.unit})" if info.unit else ""
        axes.set_xlabel(f"{info.label}{unit}{', difference' if is_difference else ''}")
        _annotate_values(axes, [format_value(metric, info, signed=is_difference)[0] for _, metric in values])
        return render_svg(figure, f"{'difference' if is_difference else 'arms'}-{info.name}", title)


def _draw_interval(axes: Axes, y: int, metric: Metric, color: str) -> None:
    if metric.value is None:
        return
    if metric.low is not None and metric.high is not None:
        axes.plot([metric.low, metric.high], [y, y], color=color, linewidth=2.4, solid_capstyle="round")
    axes.plot([metric.value], [y], color=color, marker="o", markersize=7, linestyle="none")


def _annotate_values(axes: Axes, values: Sequence[str]) -> None:
    """Writes the values at the right of the axes."""
    for y, value in enumerate(values):
        axes.annotate(
            value,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )


def _draw_histogram(axes: Axes, label: LabelInfo) -> None:
    for histogram_bin in label.histogram:
        width = histogram_bin.high - histogram_bin.low
        axes.bar(histogram_bin.low + width / 2, histogram_bin.n, width=0.86 * width, color=ARM_COLOR, linewidth=0)
    axes.set_xlim(0, 1)
    axes.set_ylabel("labels")
    axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)


def _draw_reliability(axes: Axes, label: LabelInfo) -> None:
    axes.plot([0, 1], [0, 1], color=ZERO_LINE_COLOR, linewidth=1.2, zorder=1)
    for histogram_bin in label.histogram:
        x, rate = histogram_bin.mean_p_a, histogram_bin.human_a_rate
        if x is None or rate.value is None:
            continue
        if rate.low is not None and rate.high is not None:
            axes.plot([x] * 2, [rate.low, rate.high], color=ARM_COLOR, linewidth=2, solid_capstyle="round")
        axes.plot([x], [rate.value], color=ARM_COLOR, marker="o", markersize=6, linestyle="none", clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.tick_params(axis="x", pad=9)
    axes.set_ylabel("humans prefer a")
    axes.grid(visible=True, axis="y", color=GRID_COLOR, linewidth=0.8)


def create_panels(height: float, rows: int = 1, width: float = _FIGURE_WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure with `rows` axes below each other: no frame, a light grid, no tick marks. Sizes are in inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    panels: list[Axes] = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in panels:
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.grid(visible=True, axis="x", color=GRID_COLOR, linewidth=0.8)
    return figure, panels


def render_svg(figure: Figure, name: str, title: str) -> str:
    """The SVG element without a header. Ids are prefixed with `name`, so that several figures fit one page."""
    buffer = io.StringIO()
    no_metadata: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=no_metadata)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Matplotlib's style element would apply to the whole page, and its fonts would override the page's.
    text = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;", "", text)
    prefix = re.sub(r"[^A-Za-z0-9-]", "-", name)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for placeholder, color in _CSS_COLORS.items():
        text = text.replace(placeholder, color)
    label = escape(title, quote=True)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def to_standalone_svg(svg: str) -> str:
    """The figure as an SVG file in the colors of the light theme, for programs without CSS variables."""
    light = re.sub(r"var\(--[a-z]+, (#[0-9a-f]+)\)", r"\1", svg).replace("currentColor", "#1b1f24")
    return light.replace("<svg ", '<svg style="font-family: sans-serif; background: #ffffff" ', 1) + "\n"

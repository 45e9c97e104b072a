"""The worth of labels in words: the number of human labels, the labels saved, and the money saved."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.collect.label_worth import LabelWorthInfo
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report
from trimtab.report.text.phrases import capitalize_first, format_arm_name, lowercase_first
from trimtab.stats import LabelWorth


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthText:
    """A number with its interval: `1,873` and `[1,204, 2,950]`. Outside the curve, the value is `more than 3,870`."""

    value: str
    interval: str

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".rstrip()


def format_label_worth(worth: LabelWorth, *, minus: int = 0, price: float = 1.0) -> WorthText:
    """The worth in human labels, or `minus` some labels and times a price. Open ends are `less than` and `more than`.

    Where the labels are worth at most as many as `minus`, they save `none`.
    """
    if minus and worth.high is not None and worth.high <= minus:
        return WorthText(value="none", interval="")

    def convert(num_labels: float) -> str:
        return "none" if minus and num_labels <= minus else _format_amount((num_labels - minus) * price)

    smallest = "none" if minus and worth.smallest <= minus else f"less than {convert(worth.smallest)}"
    largest = "unknown" if minus and worth.largest <= minus else f"more than {convert(worth.largest)}"
    low = smallest if worth.low is None else convert(worth.low)
    high = largest if worth.high is None else convert(worth.high)
    value = smallest if worth.position == "below" else largest if worth.value is None else convert(worth.value)
    return WorthText(value=value, interval=f"[{low}, {high}]")


def build_label_worth_sentence(report: Report, arm: str, metric: str) -> str:
    """What the labels of an arm are worth by a metric, and what they save; empty if the study has no learning curve."""
    info = next((info for info in report.label_worths if (info.arm, info.metric) == (arm, metric)), None)
    if info is None:
        return ""
    worth, name, label = info.worth, format_arm_name(arm), lowercase_first(get_metric_info(metric).label)
    if not info.curve_rises:
        fewest, most = info.curve[0], info.curve[-1]
        return (
            f"More human labels did not give a higher {label} here ({fewest.value:.3f} with {fewest.num_labels:,}, "
            f"{most.value:.3f} with {most.num_labels:,}), so what {name} are worth in human labels cannot be read off."
        )
    if worth.low is None and worth.high is None:
        return (
            f"In human labels, {name} could be worth anything from less than {worth.smallest:,} to more than "
            f"{worth.largest:,} by {label}: this test set cannot tell."
        )
    interval = f"the interval is over {worth.n:,} {get_metric_info(metric).count_noun}{describe_seeds(worth)}"
    return (
        f"{capitalize_first(name)} are worth {format_label_worth(worth)} human labels by {label}; {interval}."
        f"{_describe_savings(info)}"
    )


def describe_seeds(worth: LabelWorth) -> str:
    """What the interval covers besides rows."""
    return " and one seed, without the variation between seeds" if worth.n_seeds == 1 else f" and {worth.n_seeds} seeds"


def _describe_savings(info: LabelWorthInfo) -> str:
    if info.labels_used is None:
        return ""
    saved = format_label_worth(info.worth, minus=info.labels_used)
    source = (
        f"They depend on {info.labels_used:,} human labels" if info.labels_used else "They depend on no human labels"
    )
    if info.label_price is None:
        return f" {source}, so they save {saved}."
    money = format_label_worth(info.worth, minus=info.labels_used, price=info.label_price)
    return f" {source}, so they save {saved}: {money} at {info.label_price:g} per label."


def _format_amount(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 or float(amount).is_integer() else f"{amount:,.2f}"

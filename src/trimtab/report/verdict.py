"""The outcome in a few sentences of plain language, none of which claims more than its interval allows."""

from __future__ import annotations

from trimtab.report.metrics import metric_info, written
from trimtab.report.model import Arm, Report, arm_order, differs
from trimtab.statistics import rows_to_settle
from trimtab.types import Metric

BASELINE = "sft"
_SPOKEN = {
    "base": "the untuned base",
    "sft": "SFT alone",
    "human": "human labels",
    "weak": "weak labels",
    "flipped": "labels flipped at random",
    "weak_model": "the weak model itself",
}
_HEADLINES = ("gold_reward", "proxy_reward", "accuracy")


def verdict(report: Report) -> tuple[str, ...]:
    """Two or three sentences: the main arm against SFT alone, against human labels, and then the other arms.

    The main arm is `weak`, or else the first one that is not a reference. Gold reward is compared where there is one,
    and accuracy otherwise. With no flipped or further arm to speak of, there is no third sentence.
    """
    arm = main_arm(report)
    if arm is None:
        return ("No arm was trained on labels, so there is nothing to compare.",)
    if arm.skipped:
        return (f"{_capital(spoken(arm.name))} were not tried: {arm.skipped.rstrip('.')}.",)
    metric = headline_metric(report)
    if metric is None and report.missing:
        return (f"Nothing can be said yet of {spoken(arm.name)}: {_awaited(arm)}.",)
    if metric is None:
        return ("No arm was compared with another on the same rows, so nothing can be said of which is better.",)
    sentences = [_against(report, arm.name, BASELINE, metric), _against(report, arm.name, "human", metric)]
    sentences.append(_others(report, arm.name, metric) or _against(report, arm.name, "flipped", metric))
    said = tuple(sentence for sentence in sentences if sentence)
    return said or (f"{_capital(spoken(arm.name))} were compared with neither SFT alone nor human labels.",)


def _awaited(arm: Arm) -> str:
    return f"{_names(list(arm.pending))} still to come" if arm.pending else "what it is compared with is still to come"


def question(report: Report) -> str:
    """What the study asks: its description where that is a question, else what its main arm was trained to show."""
    description = report.study.description.strip()
    if description.endswith("?"):
        return description
    arm = main_arm(report)
    if arm is None:
        return "How good is the student as it came, and after SFT alone?"
    against = {each.against for each in report.comparisons if each.arm == arm.name}
    other = "human" if BASELINE not in against and "human" in against else BASELINE
    return f"Is the student better after {spoken(arm.name)} than after {spoken(other)}?"


def main_arm(report: Report) -> Arm | None:
    """The arm that the verdict is about: `weak` where there is one, else the first that is not a reference."""
    by_name = {arm.name: arm for arm in report.arms if arm.role == "arm"}
    first = next((name for name in arm_order(by_name)), None)
    return by_name.get("weak") or (by_name[first] if first else None)


def headline_metric(report: Report) -> str | None:
    """The compared metric that matters most: the first gold reward, else accuracy, else None."""
    compared = [each.metric for each in report.comparisons]
    for family in _HEADLINES:
        found = next((name for name in compared if name.partition(".")[0] == family), None)
        if found is not None:
            return found
    return None


def spoken(name: str) -> str:
    """An arm as it is called within a sentence."""
    return _SPOKEN.get(name, f"“{name}” labels")


def _against(report: Report, arm: str, other: str, metric: str) -> str:
    difference = report.comparison(arm, other, metric)
    if difference is None:
        return ""
    info = metric_info(metric)
    ours, theirs, what = _capital(spoken(arm)), spoken(other), _lower(info.label)
    unit = info.rows.removesuffix("s") if difference.n == 1 else info.rows
    rows = f"n = {difference.n:,} {unit}" + (f", {difference.n_failed} left out" if difference.n_failed else "")
    if difference.value is None:
        return f"{ours} and {theirs} could not be compared: they share no {info.rows} ({rows})."
    side = differs(difference)
    if side == "unclear":
        figures = _figures(difference, metric, signed=True)
        return (
            f"{ours} against {theirs}: a difference of {figures} {what} ({rows}), {_unsettled(difference, info.rows)}."
        )
    verb = "beat" if side == "above" else "fall short of"
    return f"{ours} {verb} {theirs} by {_figures(_size(difference), metric)} {what} ({rows})."


def _unsettled(difference: Metric, rows: str) -> str:
    """Why it is open which is better, and how many rows would tell if the difference is as large as it looks."""
    if difference.low is None:
        return "too few for an interval"
    enough = rows_to_settle(difference)
    rest = f"; about {_rounded(enough):,} would settle one of this size" if enough else ""
    return f"no difference that these {rows} could show{rest}"


def _rounded(count: int) -> int:
    """Up to two significant digits: more would claim a precision that the difference does not have."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def _others(report: Report, arm: str, metric: str) -> str:
    """One sentence on every other arm that is not a reference, sorted by which side of SFT alone it is on."""
    sides: dict[str, list[str]] = {"above": [], "below": [], "unclear": []}
    for name in arm_order(each.name for each in report.arms if each.role == "arm" and each.name != arm):
        difference = report.comparison(name, BASELINE, metric)
        if difference is not None:
            sides[differs(difference)].append(name)
    parts = [
        f"{_names(names)} {'is' if len(names) == 1 else 'are'} {phrase}"
        for names, phrase in (
            (sides["above"], "above SFT alone"),
            (sides["below"], "below it" if sides["above"] else "below SFT alone"),
            (sides["unclear"], "not told apart from SFT alone"),
        )
        if names
    ]
    return f"Of the other arms, {'; '.join(parts)}." if parts else ""


def _figures(difference: Metric, metric: str, *, signed: bool = False) -> str:
    value, interval = written(difference, metric_info(metric), signed=signed)
    return f"{value} {interval}".rstrip()


def _size(difference: Metric) -> Metric:
    """The difference as a distance: `fall short by 0.08 [0.04, 0.12]` reads without minus signs."""
    value, low, high = difference.value, difference.low, difference.high
    if value is None or low is None or high is None or low > 0:
        return difference
    return Metric(value=-value, low=-high, high=-low, n=difference.n, n_failed=difference.n_failed)


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

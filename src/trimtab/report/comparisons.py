"""Which rows of the results are compared with which, and how."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from trimtab import statistics
from trimtab.report.model import Comparison, Report
from trimtab.report.side_effects import OF_THEIR_OWN
from trimtab.report.verdict import main_arm

# What every arm is compared with, as far as a study has it.
BASELINES = ("sft", "base", "human", "flipped")
# What the main arm is compared with besides SFT alone, which every table has.
_BESIDE = ("human", "flipped")
_TESTED = ("gold_reward", "accuracy")
_SHOWN = (*_TESTED, "proxy_reward")
_LEAST = 0.001

Figures = Mapping[str, Mapping[str, float]]


def comparisons(
    rows: Mapping[str, Figures], clusters: Mapping[str, Hashable], asked: Mapping[str, Sequence[str]]
) -> list[Comparison]:
    """Paired by prompt or pair, on what both rows have, `rows` being each row's figures by metric and id. `asked` are the rows
    that a study has an arm compared with; `clusters` gives the prompt of a pair, and other ids are their own."""
    return [
        _comparison(name, against, metric, rows, clusters)
        for name, against in _pairs(rows, asked)
        for metric in rows[name]
        if metric in rows[against] and _compared(metric, against, asked.get(name, ()))
    ]


def head_to_head(report: Report) -> list[Comparison]:
    """The comparisons that a study asks for with `against`, and its main arm's with human and flipped labels, by the figures
    that matter most."""
    main = main_arm(report)
    wanted = [(arm.name, against) for arm in report.arms for against in arm.against]
    wanted += [(main.name, against) for against in _BESIDE] if main else []
    by_pair: dict[tuple[str, str], list[Comparison]] = {}
    for each in report.comparisons:
        if each.metric.partition(".")[0] in _SHOWN:
            by_pair.setdefault((each.arm, each.against), []).append(each)
    return [each for pair in dict.fromkeys(wanted) for each in by_pair.get(pair, [])]


def p_told(p_value: float | None) -> str:
    """`0.125`, `< 0.001`, or a dash where nothing differs."""
    if p_value is None:
        return "–"
    return f"< {_LEAST}" if p_value < _LEAST else f"{p_value:.3f}"


def _pairs(rows: Mapping[str, Figures], asked: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    always = [
        (name, against)
        for against in BASELINES
        if against in rows
        for name in rows
        if name != against and (against != "base" or "sft" not in rows or name == "sft")
    ]
    own = [(name, against) for name in rows for against in asked.get(name, ()) if against in rows]
    yield from dict.fromkeys([*always, *own])


def _compared(metric: str, against: str, asked: Sequence[str]) -> bool:
    """Side effects are told against where a student began, and against what a study asks for."""
    return metric != "ended" and (metric not in OF_THEIR_OWN or against in ("sft", "base") or against in asked)


def _comparison(
    name: str, against: str, metric: str, rows: Mapping[str, Figures], clusters: Mapping[str, Hashable]
) -> Comparison:
    ours, theirs = rows[name][metric], rows[against][metric]
    prompts = {key: clusters.get(key, key) for key in ours}
    difference = statistics.paired_difference(ours, theirs, clusters=prompts)
    if metric.partition(".")[0] not in _TESTED:
        return Comparison(arm=name, against=against, metric=metric, difference=difference)
    found = statistics.mcnemar(ours, theirs, clusters=prompts)
    return Comparison(
        arm=name,
        against=against,
        metric=metric,
        difference=difference,
        above=found.above,
        below=found.below,
        p_value=found.p_value,
    )

"""Renders one pair in a terminal: its texts, the arms' labels, and the provenance of prompted labels.

Text from data and models is printed verbatim; it is never interpreted as markup or control codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trimtab.report.pair_view.details import render_detail
from trimtab.report.pair_view.excerpt import format_excerpt
from trimtab.report.pair_view.judge_votes import CriterionRow, PairVerdict, build_criterion_rows, build_verdict_rows
from trimtab.report.pair_view.model import ArmLabel, PairView, load_pair_view
from trimtab.report.pair_view.selection import InterestingPair, select_interesting_pairs
from trimtab.report.run_reader import Run
from trimtab.types import Cost, format_conversation


def render_show_command(
    folder: Path, pair: str | None, arm: str | None = None, *, show_text: bool = True
) -> RenderableType:
    """The pair whose id starts with `pair`, with the labels of all arms or of `arm`; without `pair`, a list of pairs.

    Without `show_text`, the texts of the pair and of models are omitted. Raises `StoreError` if the folder holds no run,
    `DataError` unless exactly one id matches, and `StudyError` for an unknown arm.
    """
    run = Run(folder)
    if pair is None:
        return _render_pair_list(run, arm)
    return render_pair(load_pair_view(run, pair, arm), show_text=show_text)


def render_pair(view: PairView, *, show_text: bool = True) -> Group:
    """A pair with its labels; the provenance of a label is rendered once for all arms that share it."""
    pair = view.pair
    human = f"human label {pair.human}" if pair.human else "no human label"
    parts: list[RenderableType] = [Text.assemble((f"pair {pair.id}", "bold"), f", {view.split}: {human}")]
    if show_text:
        parts += _text_block("conversation", format_conversation(pair.prompt))
        parts += _text_block("a" + (", preferred by humans" if pair.human == "a" else ""), pair.a)
        parts += _text_block("b" + (", preferred by humans" if pair.human == "b" else ""), pair.b)
    parts += [Text(), _labels_table(view.labels) if view.labels else Text("No arm has a label for this pair.")]
    for arms, arm_label in _group_by_source(view.labels):
        detail = render_detail(arm_label.label, show_text=show_text)
        if detail:
            cost = _format_cost(arm_label.label.cost)
            heading = Text.assemble(
                (", ".join(arms), "bold"), f" by {arm_label.annotator}", (f", {cost}" if cost else "", "dim")
            )
            parts += [Text(), heading, *(Padding(part, (0, 0, 0, 2)) for part in detail)]
    if view.verdicts:
        parts += [Text(), _verdicts_table(view.verdicts)]
    if criteria := build_criterion_rows(view.verdicts):
        parts += [Text(), _criteria_table(criteria)]
    return Group(*parts)


def _text_block(title: str, text: str) -> list[RenderableType]:
    return [Text(), Text(title, style="bold"), Padding(format_excerpt(text), (0, 0, 0, 2))]


def _labels_table(labels: Sequence[ArmLabel]) -> Table:
    table = _new_table(("arm", "annotator", "p_a", "status", "filter", "note"))
    for arm_label in labels:
        label = arm_label.label
        p_a = "–" if label.p_a is None else f"{label.p_a:.3f}"
        note = " ".join(label.note.split())
        cells = (arm_label.arm, arm_label.annotator, p_a, label.status, _filter_result(arm_label), note)
        table.add_row(*(format_excerpt(cell) for cell in cells))
    return table


def _verdicts_table(verdicts: Sequence[PairVerdict]) -> Table:
    table = _new_table(("judge", "order", "votes", "choice", "outcome"))
    for row in build_verdict_rows(verdicts):
        table.add_row(*map(Text, (row.judge, row.order, row.votes, row.choice, row.outcome)))
    return table


def _criteria_table(rows: Sequence[CriterionRow]) -> Table:
    table = _new_table(("judge", "criterion", "weight", "p_a, a first", "p_a, b first"))
    for row in rows:
        table.add_row(*map(Text, (row.judge, row.criterion, row.weight, row.p_a_first, row.p_b_first)))
    return table


def _filter_result(arm_label: ArmLabel) -> str:
    if not arm_label.filter or arm_label.label.status != "ok":
        return ""
    return f"kept by {arm_label.filter}" if arm_label.passed_filter else f"dropped by {arm_label.filter}"


def _group_by_source(labels: Sequence[ArmLabel]) -> list[tuple[list[str], ArmLabel]]:
    groups: dict[str, list[ArmLabel]] = {}
    for arm_label in labels:
        groups.setdefault(arm_label.source, []).append(arm_label)
    return [([arm_label.arm for arm_label in group], group[0]) for group in groups.values()]


def _format_cost(cost: Cost) -> str:
    if not cost.calls:
        return ""
    return (
        f"{cost.calls} calls, {cost.prompt_tokens:,} prompt tokens, {cost.cached_tokens:,} cached, "
        f"{cost.generated_tokens:,} generated, {cost.seconds:.1f} s"
    )


def _render_pair_list(run: Run, arm: str | None) -> RenderableType:
    selected = select_interesting_pairs(run, arm)
    parts: list[RenderableType] = []
    higher_gold_title = (
        f"Labels of {selected.compared_arms} that differ from the human label, and prefer the response with the higher reward "
        f"by {selected.scorer}"
    )
    for title, pairs in (
        ("Largest disagreement between labels", selected.most_disagreement),
        ("Most search backtracks", selected.most_backtracks),
        (higher_gold_title, selected.higher_gold),
        (f"Most divided votes of the judge {selected.judge}", selected.divided_votes),
    ):
        if pairs:
            parts += [Text(title, style="bold"), _interesting_pair_table(pairs), Text()]
    listed = (
        *selected.most_disagreement,
        *selected.most_backtracks,
        *selected.higher_gold,
        *selected.divided_votes,
    )
    if not listed:
        return Text("All labels agree on every pair, and no search backtracked.")
    legend = Text("human: the better response by the human label; p_a: the probability that response a is better.\n")
    return Group(*parts, legend, Text(f"To inspect a pair: trimtab show {run.folder} {listed[0].short_id}"))


def _interesting_pair_table(pairs: Sequence[InterestingPair]) -> Table:
    """Search trees and rewards have a column only if one of these pairs has them."""
    rows = [
        {
            "pair": pair.short_id,
            "human": pair.human or "–",
            "p_a by arm": _format_probabilities(pair.p_a) or "–",
            "backtracks": str(pair.backtracks or ""),
            "majority share": "" if pair.vote_share is None else f"{pair.vote_share:.2f}",
            "reward difference": "" if pair.gold_margin is None else f"{pair.gold_margin:+.3f}",
        }
        for pair in pairs
    ]
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    table = _new_table(columns)
    for row in rows:
        table.add_row(*(Text(row[name]) for name in columns))
    return table


def _format_probabilities(p_a: Mapping[str, float]) -> str:
    return ", ".join(f"{arms} {value:.3f}" for arms, value in p_a.items())


def _new_table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

"""A paper's numbers next to those of runs: which values are computed, and when a direction agrees."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.errors import StoreError, StudyError
from trimtab.report.label_comparison.sources import LabelSource, LabelSourcePair
from trimtab.report.paper_comparison.published import Expectation, PublishedPaper, load_published_paper
from trimtab.report.paper_comparison.quantities import compute_agreement_gain, compute_row_gain
from trimtab.report.paper_comparison.runs import group_runs, open_runs
from trimtab.report.paper_comparison.tables import (
    build_paper_table,
    compare_with_paper,
    judge_expectation,
    list_missing_studies,
)
from trimtab.storage.recipe import hash_json
from trimtab.types import Annotation, Metric

PUBLISHED = """
paper: A paper
tables:
  - title: Table 1
    place: page 7
    study: tiny
    note: A note.
    rows:
      - {name: human labels, row: human, paper: 4.63}
      - {name: no such arm, row: nowhere, paper: 1}
    differences:
      - {name: weak minus human, row: weak, minus: human, paper: 0.21}
      - {name: weak minus weak, row: weak, minus: weak, paper: -0.5, expect: {within: 0.1, share_of: [weak, human]}}
    labels:
      - {name: agreement, metric: agreement, paper: 0.606, expect: {between: [-1, 2]}}
      - {name: share, pairs: mismatch, metric: share, paper: 0.394}
      - {name: no gold reward, metric: gold_margin, pairs: match, paper: 2.27}
    judges: [{name: votes, metric: vote_agreement}]
    seeds: [{name: mean over seeds, row: weak, paper: 4.81}]
    similarities: [{name: correlation, metric: with_human}]
  - {title: Table 9, place: page 8, study: other}
"""


def metric(low: float | None, high: float | None) -> Metric:
    return Metric(value=0.0, low=low, high=high, n=10)


@pytest.mark.parametrize(
    ("expect", "low", "high", "verdict"),
    [
        ({"above": 0}, 0.1, 0.3, "yes"),
        ({"above": 0}, -0.1, 0.3, "undecided"),
        ({"above": 0}, -0.3, -0.1, "no"),
        ({"below": 0}, -0.3, -0.1, "yes"),
        ({"below": 0}, 0.1, 0.3, "no"),
        ({"between": [0.5, 1]}, 0.55, 0.65, "yes"),
        ({"between": [0.5, 1]}, 0.45, 0.65, "undecided"),
        ({"between": [0.5, 1]}, 0.3, 0.4, "no"),
        ({"within": 0.25, "share_of": ["a", "b"]}, -0.2, 0.2, "yes"),  # a quarter of 1 is 0.25
        ({"within": 0.25, "share_of": ["a", "b"]}, -0.3, 0.2, "undecided"),
        ({"within": 0.25, "share_of": ["a", "b"]}, 0.3, 0.4, "no"),
        ({"above": -0.25, "share_of": ["a", "b"]}, -0.2, 3.0, "yes"),
        ({"above": -0.25, "share_of": ["a", "b"]}, -0.3, 3.0, "undecided"),
        ({"above": -0.25, "share_of": ["a", "b"]}, -0.4, -0.3, "no"),
        ({"above": 0}, None, None, "undecided"),
    ],
)
def test_a_direction_agrees_if_the_whole_interval_is_on_its_side(
    expect: dict[str, object], low: float | None, high: float | None, verdict: str
) -> None:
    share_of = Metric(value=-1.0, low=None, high=None, n=10)  # its sign does not matter
    assert judge_expectation(Expectation.model_validate(expect), metric(low, high), share_of) == verdict


def test_a_share_is_in_the_unit_of_its_difference() -> None:
    gain = Metric(value=4.0, low=None, high=None, n=10)
    share_of = ("a", "b")  # a quarter of 4 is 1
    assert judge_expectation(Expectation(within=0.25, share_of=share_of), metric(-0.9, 0.9), gain) == "yes"
    assert judge_expectation(Expectation(above=-0.25, share_of=share_of), metric(-0.9, 9.0), gain) == "yes"
    assert judge_expectation(Expectation(above=-0.25), metric(-0.9, 9.0), gain) == "undecided"


@pytest.mark.parametrize(
    "expect", [Expectation(within=0.25, share_of=("a", "b")), Expectation(above=-0.25, share_of=("a", "b"))]
)
def test_a_share_of_an_unknown_difference_decides_nothing(expect: Expectation) -> None:
    assert judge_expectation(expect, metric(-0.1, 0.1), None) == "undecided"


def test_the_agreement_gain_is_the_difference_between_the_halves_by_gold_gap() -> None:
    rewards = {"a": (0.0, 1.0), "b": (2.0, 0.0), "c": (0.0, 3.0), "d": (4.0, 0.0), "e": (0.0, 5.0)}
    weak = dict(zip("abcde", ("a", "b", "a", "a", "a"), strict=True))
    human = dict(zip("abcde", ("b", "b", "a", "a", "b"), strict=True))  # the two agree on b, c and d
    sources = (
        LabelSource(
            name=name, labels={key: Annotation(pair_id=key, p_a=float(each == "a")) for key, each in choices.items()}
        )
        for name, choices in (("weak", weak), ("human", human))
    )
    gain = compute_agreement_gain(LabelSourcePair(a=next(sources), b=next(sources), gold_rewards={"gold": rewards}))
    assert gain is not None
    assert gain.value == pytest.approx(2 / 3 - 1 / 2)  # c, d and e, minus a and b


def test_the_agreement_gain_of_halves_with_the_same_agreement_has_the_width_of_two_proportions() -> None:
    keys = [f"pair{index:03}" for index in range(400)]
    rewards = {key: (float(index), 0.0) for index, key in enumerate(keys)}
    weak = {key: Annotation(pair_id=key, p_a=1.0) for key in keys}
    human = {
        key: Annotation(pair_id=key, p_a=float(index % 5 < 3)) for index, key in enumerate(keys)
    }  # 60 % in each half
    sources = LabelSourcePair(
        a=LabelSource(name="weak", labels=weak),
        b=LabelSource(name="human", labels=human),
        gold_rewards={"gold": rewards},
    )
    gain = compute_agreement_gain(sources)
    assert gain is not None and gain.low is not None and gain.high is not None
    assert gain.value == 0.0
    assert (gain.high - gain.low) / 2 == pytest.approx(1.96 * math.sqrt(2 * 0.6 * 0.4 / 200), rel=0.05)


@pytest.fixture
def paper() -> PublishedPaper:
    return PublishedPaper.model_validate(yaml.safe_load(PUBLISHED))


def test_every_number_has_the_value_of_the_run_or_is_missing(paper: PublishedPaper, finished_run: Path) -> None:
    runs = open_runs([finished_run])
    (compared,) = compare_with_paper(paper, runs)
    by_name = {each.number.name: each for each in compared.numbers}
    human, difference, agreement = (by_name[name] for name in ("human labels", "weak minus human", "agreement"))
    assert human.quantity.metric is not None
    assert human.verdict == ""
    assert human.quantity.metric.n == 6
    assert difference.quantity.metric is not None
    assert difference.verdict in ("yes", "no", "undecided")
    assert agreement.verdict == "yes"
    same = by_name["weak minus weak"].quantity.metric
    assert same is not None
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    missing = {name for name, each in by_name.items() if each.quantity.metric is None}
    assert missing == {"no such arm", "no gold reward", "votes", "mean over seeds", "correlation"}
    assert list_missing_studies(paper, runs) == ["other"]
    table = build_paper_table(compared)
    assert table.title == "Table 1 (page 7)"
    assert table.rows[0].cells[0] == "4.63"
    assert table.rows[2].cells[0] == "+0.21"


def test_variants_are_found_in_the_folder_of_a_study(paper: PublishedPaper, finished_run: Path, tmp_path: Path) -> None:
    for variant in ("one", "two"):
        folder = shutil.copytree(finished_run, tmp_path / variant)
        text = (folder / "study.yaml").read_text().replace("name: tiny", f"name: tiny-{variant}")
        (folder / "study.yaml").write_text(text)
        index = json.loads((folder / "run.json").read_text())
        index = {**index, "study": f"tiny-{variant}", "study_sha256": hashlib.sha256(text.encode()).hexdigest()}
        index.pop("checksum")
        (folder / "run.json").write_text(json.dumps({**index, "checksum": hash_json(index)}))
    document = {
        "title": "Table",
        "place": "page 1",
        "study": "tiny",
        "rows": [{"name": "human", "row": "two/human"}, {"name": "unknown variant", "row": "three/human"}],
        "differences": [{"name": "two minus one", "row": "two/weak", "minus": "one/weak", "paper": 1}],
        "seeds": [
            {"name": "mean", "row": "weak"},
            {"name": "variance", "row": "weak", "statistic": "variance"},
            {"name": "gain", "row": "weak", "minus": "base", "paper": 0.14},
        ],
    }
    variants = PublishedPaper.model_validate({"paper": "A paper", "tables": [document]})
    (compared,) = compare_with_paper(variants, open_runs([tmp_path]))
    values = {each.number.name: each.quantity.metric for each in compared.numbers}
    assert compared.variants == ("one", "two")
    assert values["human"] is not None
    assert values["unknown variant"] is None
    assert values["two minus one"] is not None
    assert values["two minus one"].value == 0.0
    assert values["variance"] is not None
    assert values["variance"].value == 0.0
    assert dict(zip(values, build_paper_table(compared).rows, strict=True))["gain"].cells[0] == "+0.14"
    runs, gain = group_runs("tiny", open_runs([tmp_path])), compared.numbers[-1]
    assert compute_row_gain(gain.number, runs, ("weak", "base")) == gain.quantity, "over the variants, not of the first"


def test_the_command_prints_the_tables(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "published.yaml").write_text(PUBLISHED)
    arguments = ["compare-paper", str(tmp_path / "published.yaml"), str(finished_run), "--markdown"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "| human labels | 4.63 | " in done.output
    assert "no run of: other" in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paper: x\ntables: [{title: a, place: b, study: c, rows: [{name: d}]}]", "tables.0.rows.0.row: required setting"),
        ("paper: x\ntables: [{title: a, place: b, study: c, rows: [{name: d, row: e, expect: {}}]}]", "exactly one of above"),
        ("paper: x\ntables: [{title: a, place: b, study: c, rows: [{name: d, row: e, expect: {within: 1}}]}]", "share_of"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_the_entry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=message) as caught:
        load_published_paper(path)
    assert str(path) in str(caught.value)


def test_a_folder_without_runs_and_a_run_of_another_paper_are_errors(
    paper: PublishedPaper, finished_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="holds no finished run, and no folder in it does"):
        open_runs([tmp_path])
    with pytest.raises(StudyError, match="No such file"):
        load_published_paper(tmp_path / "none.yaml")
    others = PublishedPaper(paper="x", tables=paper.tables[1:])
    with pytest.raises(StudyError, match=r"none of the runs is of a study of this paper: tiny \(expected: other\)"):
        list_missing_studies(others, open_runs([finished_run]))

"""The pairs on the page: fairly chosen, within their room, and escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from large_run import HOSTILE, make_large

from trimtab.report.collect.report import collect_report
from trimtab.report.model import Report, Sample
from trimtab.report.page.html import MAX_PAGE_BYTES, render_page
from trimtab.report.page.pair_browser import build_pair_browser, count_row_bytes
from trimtab.report.page.sections.section import PageContents
from trimtab.report.run_reader import Run
from trimtab.report.write_report import write_report
from trimtab.storage.artifacts import Draft, open_artifact
from trimtab.storage.schemas import ANNOTATION_SCHEMA


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large(tmp_path_factory.mktemp("large"), 90, 8, words=20)


def labeled_anew(folder: Path, arm: str, p_a: float) -> None:
    """Gives every label of the arm this probability."""
    (stage,) = folder.glob(f"stages/annotate.{arm}-*")
    rows = [
        {**row, "p_a": p_a, "margin": p_a - 0.5, "status": "ok", "note": ""}
        for row in open_artifact(stage).read_rows("annotations")
    ]
    Draft(folder=stage).write_rows("annotations", rows, ANNOTATION_SCHEMA)


def heavier(report: Report, weight: int) -> Report:
    """The report with a sample of so many bytes more."""
    sample = Sample(prompt="Long?", completions={"weak": "x" * weight}, scores={})
    return replace(report, samples=(*report.samples, sample))


def document(text: str) -> dict[str, object]:
    (found,) = re.findall(r'<script type="application/json" id="pair-rows">(.*?)</script>', text, flags=re.DOTALL)
    return dict(json.loads(found))


def test_rows_are_in_the_order_of_their_ids_and_stop_where_the_room_does(large: Path) -> None:
    ids = sorted(pair.id for pair in Run(large).unlabeled)
    every, some = build_pair_browser(Run(large)), build_pair_browser(Run(large), max_bytes=20_000)
    assert every is not None and some is not None
    assert [json.loads(row)[0] for row in every.rows] == ids
    assert 10 < len(some.rows) < 90
    assert some.rows == every.rows[: len(some.rows)]
    assert sum(len(row.encode()) + 2 for row in some.rows) <= 20_000
    assert some.num_pairs == 90


def test_the_page_says_how_many_pairs_it_shows_of_how_many(large: Path) -> None:
    report = collect_report(large)
    text = render_page(PageContents(report=report, pairs=build_pair_browser(Run(large), max_bytes=20_000))).html
    shown = len(document(text)["rows"])  # type: ignore[arg-type]
    assert f"{shown} of the 90 unlabeled pairs, drawn by their ids" in text
    assert (
        "All 90 unlabeled pairs" in render_page(PageContents(report=report, pairs=build_pair_browser(Run(large)))).html
    )


def test_markup_in_a_pair_ends_no_element_and_comes_back_as_it_was(large: Path) -> None:
    text = render_page(PageContents(report=collect_report(large), pairs=build_pair_browser(Run(large)))).html
    embedded = text.split('id="pair-rows">')[1].split("</script>")[0]
    assert not set("<>&") & set(embedded)
    prompts = [row[1] for row in document(text)["rows"]]  # type: ignore[attr-defined]
    assert f"User: {HOSTILE}" in prompts


def test_a_label_that_a_filter_dropped_keeps_its_probability_and_a_failed_one_its_note(large: Path) -> None:
    found = build_pair_browser(Run(large))
    assert found is not None
    place = {arm.name: number for number, arm in enumerate(found.arms)}
    assert found.arms[place["weak"]].source == found.arms[place["weak_sure"]].source
    assert found.arms[place["weak_sure"]].filter == "uncertainty"
    labels = [json.loads(row)[5] for row in found.rows]
    dropped = [each for each in labels if isinstance(each[place["weak_sure"]], list)]
    states = {each[place["weak_sure"]][1] for each in dropped}
    assert states >= {1}
    for each in dropped:
        p_a, state, note = each[place["weak_sure"]]
        if state == 1:
            assert p_a == each[place["weak"]]
        else:
            assert (p_a, state, note) == (None, 3, "<b>no verdict</b>")


@pytest.mark.parametrize(
    ("p_a", "embedded"), [(0.50001, 0.5001), (0.49999, 0.4999), (0.5, 0.5), (0.12344, 0.1234), (0.99999, 1.0)]
)
def test_a_label_that_is_near_one_half_stays_on_its_side(tmp_path: Path, p_a: float, embedded: float) -> None:
    folder = make_large(tmp_path, 4, 4, words=5)
    labeled_anew(folder, "weak", p_a)
    found = build_pair_browser(Run(folder))
    assert found is not None
    place = [arm.name for arm in found.arms].index("weak")
    assert {json.loads(row)[5][place] for row in found.rows} == {embedded}


def test_pairs_that_leave_room_are_cut_where_the_rest_of_the_page_is_heavy(large: Path) -> None:
    report, found = collect_report(large), build_pair_browser(Run(large))
    assert found is not None
    bare = len(render_page(PageContents(report=report, pairs=replace(found, rows=()))).html.encode())
    weight = MAX_PAGE_BYTES - bare - count_row_bytes(found.rows) // 2
    text = render_page(PageContents(report=heavier(report, weight), pairs=found)).html
    assert MAX_PAGE_BYTES - 5_000 < len(text.encode()) < MAX_PAGE_BYTES + 100
    shown = document(text)["rows"]
    assert isinstance(shown, list) and 30 < len(shown) < 60
    assert "MB without any of its pairs" not in text


def test_a_page_that_is_too_heavy_without_pairs_says_so(large: Path) -> None:
    heavy = heavier(collect_report(large), MAX_PAGE_BYTES)
    text = render_page(PageContents(report=heavy, pairs=build_pair_browser(Run(large)))).html
    assert document(text)["rows"] == []
    assert "MB without any of its pairs; a lower `samples` in the study makes it lighter." in text


def test_a_page_that_would_be_too_heavy_shows_fewer_pairs(tmp_path: Path) -> None:
    folder = make_large(tmp_path, 2500, 8, words=400)
    report = write_report(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_PAGE_BYTES < 5_000_000
    assert f"of the {report.data[1].pairs:,} unlabeled pairs, drawn by their ids" in text


def test_every_figure_is_also_a_file_and_old_ones_are_taken_away(tmp_path: Path) -> None:
    folder = make_large(tmp_path, 20, 4, words=5)
    (folder / "figures").mkdir()
    (folder / "figures" / "arms-old.svg").write_text("<svg/>")
    write_report(folder)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"arms-gold_reward.svg", "labels-weak.svg", "training-dpo.weak.svg"} <= names
    assert "arms-old.svg" not in names
    text = (folder / "figures" / "arms-gold_reward.svg").read_text(encoding="utf-8")
    assert "var(" not in text and "currentColor" not in text

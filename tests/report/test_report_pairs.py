"""The pair browser on the page: a random sample, within its size limit, and escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from large_run import HOSTILE, create_large_run

from trimtab.report.collect.report import collect_report
from trimtab.report.model import Report, Sample
from trimtab.report.page.html import MAX_PAGE_BYTES, render_page
from trimtab.report.page.pair_browser import build_pair_browser, count_row_bytes
from trimtab.report.page.sections.section import PageContents
from trimtab.report.run_reader import Run
from trimtab.report.write_report import write_report
from trimtab.storage.artifacts import Draft, open_artifact
from trimtab.storage.record import write_record
from trimtab.storage.schemas import ANNOTATION_SCHEMA


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_large_run(tmp_path_factory.mktemp("large"), 90, 8, words=20)


def replace_labels(folder: Path, arm: str, p_a: float) -> None:
    """Sets the probability of every label of the arm."""
    (stage,) = folder.glob(f"stages/annotate.{arm}-*")
    rows = [
        {**row, "p_a": p_a, "margin": p_a - 0.5, "status": "ok", "note": ""}
        for row in open_artifact(stage).read_rows("annotations")
    ]
    Draft(folder=stage).write_rows("annotations", rows, ANNOTATION_SCHEMA)
    write_record(stage, json.loads((stage / "record.json").read_text()))


def add_sample(report: Report, num_bytes: int) -> Report:
    """The report with another sample of this many bytes."""
    sample = Sample(prompt="Long?", completions={"weak": "x" * num_bytes}, scores={})
    return replace(report, samples=(*report.samples, sample))


def document(text: str) -> dict[str, object]:
    (found,) = re.findall(r'<script type="application/json" id="pair-rows">(.*?)</script>', text, flags=re.DOTALL)
    return dict(json.loads(found))


def test_rows_are_in_order_of_id_up_to_the_size_limit(large: Path) -> None:
    ids = sorted(pair.id for pair in Run(large).unlabeled)
    full, limited = build_pair_browser(Run(large)), build_pair_browser(Run(large), max_bytes=20_000)
    assert full is not None and limited is not None
    assert [json.loads(row)[0] for row in full.rows] == ids
    assert 10 < len(limited.rows) < 90
    assert limited.rows == full.rows[: len(limited.rows)]
    assert sum(len(row.encode()) + 2 for row in limited.rows) <= 20_000
    assert limited.num_pairs == 90


def test_the_page_says_how_many_pairs_it_shows_of_how_many(large: Path) -> None:
    report = collect_report(large)
    text = render_page(PageContents(report=report, pairs=build_pair_browser(Run(large), max_bytes=20_000))).html
    shown = len(document(text)["rows"])  # type: ignore[arg-type]
    assert f"{shown} of the 90 unlabeled pairs, a random sample by pair id" in text
    assert (
        "All 90 unlabeled pairs" in render_page(PageContents(report=report, pairs=build_pair_browser(Run(large)))).html
    )


def test_markup_in_a_pair_ends_no_element_and_is_restored_verbatim(large: Path) -> None:
    text = render_page(PageContents(report=collect_report(large), pairs=build_pair_browser(Run(large)))).html
    embedded = text.split('id="pair-rows">')[1].split("</script>")[0]
    assert not set("<>&") & set(embedded)
    prompts = [row[1] for row in document(text)["rows"]]  # type: ignore[attr-defined]
    assert f"User: {HOSTILE}" in prompts


def test_a_label_dropped_by_a_filter_keeps_its_probability_and_a_failed_one_its_note(large: Path) -> None:
    data = build_pair_browser(Run(large))
    assert data is not None
    index = {arm.name: position for position, arm in enumerate(data.arms)}
    assert data.arms[index["weak"]].source == data.arms[index["weak_sure"]].source
    assert data.arms[index["weak_sure"]].filter == "uncertainty"
    labels = [json.loads(row)[5] for row in data.rows]
    dropped = [row for row in labels if isinstance(row[index["weak_sure"]], list)]
    states = {row[index["weak_sure"]][1] for row in dropped}
    assert states >= {1}
    for row in dropped:
        p_a, state, note = row[index["weak_sure"]]
        if state == 1:
            assert p_a == row[index["weak"]]
        else:
            assert (p_a, state, note) == (None, 3, "<b>no verdict</b>")


def test_a_row_has_the_difference_of_the_gold_rewards_of_both_responses(large: Path) -> None:
    run = Run(large)
    data = build_pair_browser(run)
    assert data is not None and data.scorer == "gold"
    differences = {json.loads(row)[0]: json.loads(row)[7] for row in data.rows}
    rewards = run.unlabeled_rewards["gold"]
    for key, (a, b) in rewards.items():
        assert differences[key] == pytest.approx(a - b, rel=1e-3)
    assert [differences[key] for key in differences if key not in rewards] == [None]
    page = render_page(PageContents(report=collect_report(large), pairs=data)).html
    assert '<option value="higher">differs, higher reward by gold</option>' in page
    without = render_page(PageContents(report=collect_report(large), pairs=replace(data, scorer=""))).html
    assert 'value="higher"' not in without


@pytest.mark.parametrize(
    ("p_a", "embedded"), [(0.50001, 0.5001), (0.49999, 0.4999), (0.5, 0.5), (0.12344, 0.1234), (0.99999, 1.0)]
)
def test_rounding_keeps_a_label_on_its_side_of_one_half(tmp_path: Path, p_a: float, embedded: float) -> None:
    folder = create_large_run(tmp_path, 4, 4, words=5)
    replace_labels(folder, "weak", p_a)
    data = build_pair_browser(Run(folder))
    assert data is not None
    index = [arm.name for arm in data.arms].index("weak")
    assert {json.loads(row)[5][index] for row in data.rows} == {embedded}


def test_a_large_page_shows_fewer_pairs_up_to_the_size_limit(large: Path) -> None:
    report, data = collect_report(large), build_pair_browser(Run(large))
    assert data is not None
    bytes_without_pairs = len(render_page(PageContents(report=report, pairs=replace(data, rows=()))).html.encode())
    num_bytes = MAX_PAGE_BYTES - bytes_without_pairs - count_row_bytes(data.rows) // 2
    text = render_page(PageContents(report=add_sample(report, num_bytes), pairs=data)).html
    assert MAX_PAGE_BYTES - 5_000 < len(text.encode()) < MAX_PAGE_BYTES + 100
    shown = document(text)["rows"]
    assert isinstance(shown, list) and 30 < len(shown) < 60
    assert "MB without any pairs" not in text


def test_a_page_that_is_too_large_without_pairs_has_a_note(large: Path) -> None:
    large_report = add_sample(collect_report(large), MAX_PAGE_BYTES)
    text = render_page(PageContents(report=large_report, pairs=build_pair_browser(Run(large)))).html
    assert document(text)["rows"] == []
    assert "MB without any pairs; lower `num_report_samples` in the study to make it smaller." in text


def test_a_page_that_would_be_too_large_shows_fewer_pairs(tmp_path: Path) -> None:
    folder = create_large_run(tmp_path, 2500, 8, words=400)
    report = write_report(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_PAGE_BYTES < 5_000_000
    assert f"of the {report.data[1].pairs:,} unlabeled pairs, a random sample by pair id" in text


def test_every_figure_is_also_a_file_and_old_files_are_removed(tmp_path: Path) -> None:
    folder = create_large_run(tmp_path, 20, 4, words=5)
    (folder / "figures").mkdir()
    (folder / "figures" / "arms-old.svg").write_text("<svg/>")
    write_report(folder)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"arms-gold_reward.svg", "labels-weak.svg", "training-dpo.weak.svg"} <= names
    assert "arms-old.svg" not in names
    text = (folder / "figures" / "arms-gold_reward.svg").read_text(encoding="utf-8")
    assert "var(" not in text and "currentColor" not in text

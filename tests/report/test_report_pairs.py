"""The pairs on the page: fairly chosen, within their room, and escaped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from large_run import HOSTILE, make_large

from trimtab.report.browse import browse
from trimtab.report.collect import collect
from trimtab.report.folder import Run
from trimtab.report.html import MOST_BYTES, page
from trimtab.report.remake import remake
from trimtab.report.sections.section import Contents


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large(tmp_path_factory.mktemp("large"), 90, 8, words=20)


def document(text: str) -> dict[str, object]:
    (found,) = re.findall(r'<script type="application/json" id="pair-rows">(.*?)</script>', text, flags=re.DOTALL)
    return dict(json.loads(found))


def test_rows_are_in_the_order_of_their_ids_and_stop_where_the_room_does(large: Path) -> None:
    ids = sorted(pair.id for pair in Run(large).unlabeled)
    every, some = browse(Run(large)), browse(Run(large), room=20_000)
    assert every is not None and some is not None
    assert [json.loads(row)[0] for row in every.rows] == ids
    assert 10 < len(some.rows) < 90
    assert some.rows == every.rows[: len(some.rows)]
    assert sum(len(row.encode()) + 2 for row in some.rows) <= 20_000
    assert some.total == 90


def test_the_page_says_how_many_pairs_it_shows_of_how_many(large: Path) -> None:
    report = collect(large)
    text = page(Contents(report=report, pairs=browse(Run(large), room=20_000))).text
    shown = len(document(text)["rows"])  # type: ignore[arg-type]
    assert f"{shown} of the 90 unlabeled pairs, drawn by their ids" in text
    assert "All 90 unlabeled pairs" in page(Contents(report=report, pairs=browse(Run(large)))).text


def test_markup_in_a_pair_ends_no_element_and_comes_back_as_it_was(large: Path) -> None:
    text = page(Contents(report=collect(large), pairs=browse(Run(large)))).text
    embedded = text.split('id="pair-rows">')[1].split("</script>")[0]
    assert not set("<>&") & set(embedded)
    prompts = [row[1] for row in document(text)["rows"]]  # type: ignore[attr-defined]
    assert f"User: {HOSTILE}" in prompts


def test_a_label_that_a_filter_dropped_keeps_its_probability_and_a_failed_one_its_note(large: Path) -> None:
    found = browse(Run(large))
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


def test_a_page_that_would_be_too_heavy_shows_fewer_pairs(tmp_path: Path) -> None:
    folder = make_large(tmp_path, 2500, 8, words=400)
    report = remake(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES < 5_000_000
    assert f"of the {report.data[1].pairs:,} unlabeled pairs, drawn by their ids" in text


def test_every_figure_is_also_a_file_and_old_ones_are_taken_away(tmp_path: Path) -> None:
    folder = make_large(tmp_path, 20, 4, words=5)
    (folder / "figures").mkdir()
    (folder / "figures" / "arms-old.svg").write_text("<svg/>")
    remake(folder)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"arms-gold_reward.svg", "labels-weak.svg", "training-dpo.weak.svg"} <= names
    assert "arms-old.svg" not in names
    text = (folder / "figures" / "arms-gold_reward.svg").read_text(encoding="utf-8")
    assert "var(" not in text and "currentColor" not in text

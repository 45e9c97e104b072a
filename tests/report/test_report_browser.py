"""The page in a real browser, at two widths: tabs and filters work, and the console has no errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import OpenPage, chromium, needs_chromium
from large_run import HOSTILE, create_large_run
from scripted_run import create_scripted_run

from trimtab.report.run_reader import Run
from trimtab.report.write_report import write_report
from trimtab.storage.artifacts import Draft, open_artifact
from trimtab.storage.record import write_record
from trimtab.storage.schemas import ANNOTATION_SCHEMA

pytestmark = needs_chromium
WIDTHS = (1280, 390)
N = 120


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = create_large_run(tmp_path_factory.mktemp("large"), N, 20, words=20)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def seam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = create_scripted_run(tmp_path_factory.mktemp("seam"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: OpenPage) -> Iterator[OpenPage]:
    browser.errors.clear()
    yield browser
    assert browser.errors == []


def wait_for_panel(page: OpenPage, panel: str) -> None:
    """Waits until this panel is the only visible one; panels follow the address."""
    shown = "[...document.querySelectorAll('.panel')].filter(p => p.offsetHeight).map(p => p.id).join()"
    page.wait_for(f"{shown} === {json.dumps(panel)}")


def shown_tabs(page: OpenPage) -> list[str]:
    return list(page.run("[...document.querySelectorAll('.panel')].filter(p => p.offsetHeight).map(p => p.id)"))


def choose(page: OpenPage, filter_id: str, value: str) -> None:
    event = "change" if filter_id != "pair-search" else "input"
    page.run(
        f"{{ const chosen = document.getElementById({json.dumps(filter_id)}); chosen.value = {json.dumps(value)};"
        f" chosen.dispatchEvent(new Event('{event}', {{bubbles: true}})); new Promise(done => setTimeout(done, 200)) }}"
    )


def count(page: OpenPage) -> int:
    return int(page.run("document.getElementById('pair-count').textContent").split(" of ")[0].replace(",", ""))


def open_pairs(page: OpenPage, folder: Path, width: int = 1280) -> None:
    page.open(folder / "report.html", width, fragment="#pairs")


def shown_pair(page: OpenPage) -> str:
    return str(page.run("document.querySelector('#pair-shown code').textContent"))


def labels_of(folder: Path, arm: str) -> dict[str, Any]:
    run = Run(folder)
    stage = next(row.labels for row in run.arms if row.name == arm)
    assert stage is not None
    return dict(run.annotations(stage))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_every_tab_shows_its_own_panel_and_nothing_is_wider_than_the_screen(
    page: OpenPage, large: Path, width: int, dark: bool
) -> None:
    page.open(large / "report.html", width, dark=dark)
    names = page.run("[...document.querySelectorAll('.tabs a')].map(tab => tab.textContent)")
    assert names == ["Results", "Labels", "Training", "Students", "Pairs", "Cost", "Study"]
    for name in names:
        page.run(f"document.getElementById('tab-{name.lower()}').click()")
        wait_for_panel(page, f"{name.lower()}-panel")
        assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_has_the_question_the_verdict_and_the_arms(page: OpenPage, large: Path, width: int) -> None:
    page.open(large / "report.html", width, 844)
    assert page.run("document.querySelector('.verdict').getBoundingClientRect().bottom") < 422
    assert page.run("document.querySelector('#headline svg').getBoundingClientRect().bottom") < 844


def test_an_address_opens_its_tab_and_arrow_keys_switch_tabs(page: OpenPage, large: Path) -> None:
    page.open(large / "report.html", 1280, fragment="#cost")
    assert shown_tabs(page) == ["cost-panel"]
    page.run("document.getElementById('tab-cost').focus()")
    page.press("ArrowRight")
    wait_for_panel(page, "study-panel")


def test_home_end_and_space_select_tabs(page: OpenPage, large: Path) -> None:
    page.open(large / "report.html", 1280, fragment="#cost")
    page.run("document.getElementById('tab-cost').focus()")
    for key, panel in (("End", "study-panel"), ("Home", "results-panel")):
        page.press(key)
        wait_for_panel(page, panel)
    page.run("document.getElementById('tab-labels').focus()")
    page.press(" ")
    wait_for_panel(page, "labels-panel")
    assert page.run("document.activeElement.id") == "tab-labels"


@pytest.mark.parametrize("fragment", ["#%", "#%E0%A4%A", "#unknown-section"])
def test_an_unknown_address_opens_the_first_tab_and_the_pair_browser_works(
    page: OpenPage, large: Path, fragment: str
) -> None:
    page.open(large / "report.html", 1280, fragment=fragment)
    assert shown_tabs(page) == ["results-panel"]
    page.run("document.getElementById('tab-pairs').click()")
    wait_for_panel(page, "pairs-panel")
    assert count(page) == N


def test_the_keyboard_scrolls_a_table_that_is_wider_than_a_phone(page: OpenPage, large: Path) -> None:
    page.open(large / "report.html", 390)
    page.run("document.querySelector('#results .wide').focus()")
    assert page.run("document.activeElement.className") == "wide"
    assert page.run("document.activeElement.scrollWidth > document.activeElement.clientWidth")
    page.press("ArrowRight")
    page.wait_for("document.activeElement.scrollLeft > 0")


def test_shift_with_an_arrow_key_stays_at_the_pair(page: OpenPage, large: Path) -> None:
    open_pairs(page, large)
    before = shown_pair(page)
    page.press("ArrowRight", shift=True)
    assert shown_pair(page) == before
    page.press("ArrowRight")
    assert shown_pair(page) != before


def test_a_label_close_to_one_half_keeps_its_choice(page: OpenPage, tmp_path: Path) -> None:
    folder = create_large_run(tmp_path, 6, 4, words=5)
    (stage,) = folder.glob("stages/annotate.weak-*")
    rows = [
        {**row, "p_a": 0.50001, "status": "ok", "note": ""} for row in open_artifact(stage).read_rows("annotations")
    ]
    Draft(folder=stage).write_rows("annotations", rows, ANNOTATION_SCHEMA)
    write_record(stage, json.loads((stage / "record.json").read_text()))
    write_report(folder)
    open_pairs(page, folder)
    choose(page, "pair-label", "kept")
    assert count(page) == 6
    choose(page, "pair-label", "match")
    assert count(page) == sum(pair.human == "a" for pair in Run(folder).unlabeled)


def test_markup_in_a_pair_is_shown_as_text(page: OpenPage, large: Path) -> None:
    open_pairs(page, large)
    choose(page, "pair-search", "onerror=alert")
    assert count(page) == 1
    assert HOSTILE in page.run("document.querySelector('#pair-shown .prompt').textContent")
    assert page.run("document.querySelectorAll('#pair-shown script, #pair-shown img').length") == 0


def test_each_filter_keeps_the_matching_pairs(page: OpenPage, large: Path) -> None:
    open_pairs(page, large)
    weak, human = labels_of(large, "weak"), {pair.id: pair.human for pair in Run(large).unlabeled}
    right = sum(label.choice == human[key] for key, label in weak.items() if label.choice)
    failed = sum(label.choice is None for label in weak.values())
    sure = sum(max(label.p_a, 1 - label.p_a) >= 0.9 for label in weak.values() if label.p_a is not None)
    higher = sum(
        ((rewards[0] - rewards[1]) * (1 if label.choice == "a" else -1)) > 0
        for key, rewards in Run(large).unlabeled_rewards["gold"].items()
        if (label := weak[key]).choice and label.choice != human[key]
    )
    assert failed > 0 and higher > 0
    for value, expected in (
        ("match", right),
        ("mismatch", N - right - failed),
        ("higher", higher),
        ("none", failed),
        ("any", N),
    ):
        choose(page, "pair-label", value)
        assert count(page) == expected, value
    choose(page, "pair-confidence", "0.9")
    assert abs(count(page) - sure) <= 1  # probabilities on the page have four decimals
    choose(page, "pair-confidence", "")
    arms = page.run("[...document.querySelectorAll('#pair-arm option')].map(option => option.textContent)")
    choose(page, "pair-arm", str(arms.index("weak_sure")))
    choose(page, "pair-label", "kept")
    assert count(page) == sum(label.choice is not None for label in labels_of(large, "weak_sure").values())
    choose(page, "pair-label", "dropped")
    assert count(page) == sum(label.choice is None for label in labels_of(large, "weak_sure").values()) - failed


def test_the_search_covers_prompts_and_responses(page: OpenPage, large: Path) -> None:
    open_pairs(page, large)
    wanted = Run(large).unlabeled[77]
    choose(page, "pair-search", "question 77: first")
    assert count(page) == 1
    assert shown_pair(page) == wanted.id
    choose(page, "pair-search", "no text contains this")
    assert count(page) == 0
    assert page.run("document.getElementById('pair-shown').textContent") == "No matching pair."


def test_pairs_are_ordered_by_confidence(page: OpenPage, large: Path) -> None:
    open_pairs(page, large)
    weak = {
        key: max(label.p_a, 1 - label.p_a) for key, label in labels_of(large, "weak").items() if label.p_a is not None
    }
    choose(page, "pair-label", "kept")
    choose(page, "pair-order", "unsure")
    assert weak[shown_pair(page)] == pytest.approx(min(weak.values()), abs=1e-4)
    choose(page, "pair-order", "sure")
    assert weak[shown_pair(page)] == pytest.approx(max(weak.values()), abs=1e-4)


@pytest.mark.parametrize("width", WIDTHS)
def test_arrow_keys_move_between_pairs_and_across_pages(page: OpenPage, large: Path, width: int) -> None:
    open_pairs(page, large, width)
    ids = sorted(pair.id for pair in Run(large).unlabeled)
    assert shown_pair(page) == ids[0]
    page.press("ArrowRight")
    assert shown_pair(page) == ids[1]
    page.run("document.getElementById('pair-list').focus()")
    page.press("ArrowDown")
    page.press("ArrowUp")
    page.press("PageDown")
    assert shown_pair(page) == ids[26]
    assert page.run("document.getElementById('pair-page').textContent") == "2 of 5"
    page.run("document.getElementById('pair-on').click()")
    assert shown_pair(page) == ids[50]
    page.press("/")
    assert page.run("document.activeElement.id") == "pair-search"


def test_only_one_page_of_pairs_is_in_the_document(page: OpenPage, large: Path) -> None:
    open_pairs(page, large)
    assert page.run("document.querySelectorAll('#pair-list li').length") == 25


def test_a_search_label_shows_its_tree_and_a_debate_label_its_arguments(page: OpenPage, seam: Path) -> None:
    open_pairs(page, seam)
    arms = page.run("[...document.querySelectorAll('#pair-arm option')].map(option => option.textContent)")
    choose(page, "pair-arm", str(arms.index("seam")))
    choose(page, "pair-search", "tea")
    assert page.run("document.querySelectorAll('#pair-shown .tree li').length") > 3
    assert "The weak model decided given" in page.run("document.getElementById('pair-shown').textContent")
    choose(page, "pair-arm", str(arms.index("debate")))
    assert "argument for a, a first" in page.run("document.getElementById('pair-shown').textContent")


def test_in_print_every_panel_is_visible_and_the_pair_browser_is_not(page: OpenPage, large: Path) -> None:
    page.open(large / "report.html", 1280)
    page.send("Emulation.setEmulatedMedia", media="print")
    assert len(shown_tabs(page)) == 7
    assert page.run("document.getElementById('browser').offsetHeight") == 0
    page.send("Emulation.setEmulatedMedia", media="")

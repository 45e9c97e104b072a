"""The labeling page in a real browser: keys and buttons, undo, reload, a killed server, a second tab, a full disk."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_server import run_label_server

from trimtab.labeling.labeling_session import build_event_log
from trimtab.labeling.rater_history import RaterHistory, read_history
from trimtab.types import Pair, build_user_prompt

sys.path[:0] = [str(Path(__file__).parents[1] / "report")]
from chromium import OpenPage, chromium, needs_chromium  # noqa: E402 - tests/report is not a package

pytestmark = needs_chromium

HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"><b>bold</b>"
CODE = "Use a loop:\n```python\nfor i in range(3):\n    print(i)\n```\nDone & <dusted>."
KEYS = {
    "1": "left",
    "ArrowLeft": "left",
    "2": "right",
    "ArrowRight": "right",
    "0": "no_difference",
    " ": "no_difference",
}
# The page ignores keys that come sooner after a new pair.
GUARD_SECONDS = 0.3


def write_pool(folder: Path, size: int) -> Path:
    rows = [{"prompt": f"question {i}", "response_a": f"first {i}", "response_b": f"second {i}"} for i in range(size)]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pool.jsonl"


def history_of(pool: Path) -> RaterHistory:
    return read_history(build_event_log(pool.parent / "out", "ana"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: OpenPage) -> Iterator[OpenPage]:
    """The browser. Requests may fail, but scripts and the security policy may not."""
    browser.errors.clear()
    yield browser
    assert [error for error in browser.errors if "Failed to load resource" not in error] == []


def wait_until_ready(page: OpenPage) -> None:
    page.wait_for("document.body.dataset.busy === 'false'")
    time.sleep(GUARD_SECONDS)


def open_page(page: OpenPage, link: str, width: int = 1280) -> None:
    page.open_address(link, width)
    wait_until_ready(page)


def shown(page: OpenPage) -> str:
    return str(page.run("document.body.dataset.presentation"))


def texts(page: OpenPage) -> tuple[str, str]:
    left, right = page.run("['left', 'right'].map(id => document.getElementById(id).textContent)")
    return left, right


def notice(page: OpenPage) -> str:
    return str(
        page.run("document.getElementById('notice').hidden ? '' : document.getElementById('notice').textContent")
    )


def press_and_wait(page: OpenPage, key: str, **options: Any) -> None:
    before = shown(page)
    page.press(key, **options)
    page.wait_for(f"document.body.dataset.presentation !== {json.dumps(before)}")
    wait_until_ready(page)


class Rater:
    """Labels with the keyboard, and remembers the text on the left and the choice of every answer that counts."""

    def __init__(self, page: OpenPage) -> None:
        self.page = page
        self.answers: list[tuple[str, str]] = []

    def label(self, count: int) -> None:
        for _ in range(count):
            key = [*KEYS][len(self.answers) % len(KEYS)]
            self.answers.append((texts(self.page)[0], KEYS[key]))
            press_and_wait(self.page, key)

    def undo(self, count: int) -> None:
        for _ in range(count):
            press_and_wait(self.page, "u")
            assert texts(self.page)[0] == self.answers.pop()[0]

    def press_without_server(self) -> str:
        """Gives an answer that the page keeps, and tries to give another one. Returns the presentation."""
        before = shown(self.page)
        self.answers.append((texts(self.page)[0], "left"))
        self.page.press("1")
        self.page.wait_for("!document.getElementById('notice').hidden")
        self.page.press("2")
        assert "the server does not respond" in notice(self.page)
        assert shown(self.page) == before
        return before


@pytest.mark.slow
def test_sixty_pairs_by_keyboard_with_undo_reload_a_killed_server_and_a_second_tab(
    page: OpenPage, tmp_path: Path
) -> None:
    pool, rater = write_pool(tmp_path, 60), Rater(page)
    first_tab = page.open_tab()
    with run_label_server(pool, "--rater", "ana") as (server, link):
        open_page(page, link)
        assert page.run("location.search") == ""
        rater.label(12)
        rater.undo(3)
        rater.label(10)
        before = shown(page)
        open_page(page, link.partition("?")[0])
        assert shown(page) == before
        rater.label(5)
        server.kill()
        server.wait()
        before = rater.press_without_server()
    with run_label_server(pool, "--rater", "ana") as (server, link):
        second_tab = page.open_tab()
        open_page(page, link)  # sends the answer that waits
        current = shown(page)
        assert current not in ("end", before)
        page.select_tab(first_tab)  # sends it as well
        page.wait_for(f"document.body.dataset.presentation === {json.dumps(current)}")
        wait_until_ready(page)
        rater.label(10)
        page.select_tab(second_tab)
        page.wait_for(f"document.body.dataset.presentation !== {json.dumps(current)}")
        wait_until_ready(page)
        answer_behind_the_page(rater)
        rater.answers.append((texts(page)[0], "right"))
        press_and_wait(page, "2", held=8)
        page.select_tab(first_tab)
        open_page(page, link.partition("?")[0])
        while shown(page) != "end":
            rater.label(1)
        server.send_signal(signal.SIGINT)
        output, _ = server.communicate(timeout=60)
    assert output.startswith("pairs with a preferred response: 40, without: 20"), output
    require_same_answers(pool, rater.answers)


def answer_behind_the_page(rater: Rater) -> None:
    """Saves an answer as another tab would, and answers the same pair on the page, which does not know it."""
    page = rater.page
    rater.answers.append((texts(page)[0], "right"))
    body = {"id": "another tab", "presentation": shown(page), "choice": "right", "note": "", "milliseconds": 1}
    options = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
    assert page.run(f"fetch('/answer', {json.dumps(options)}).then(response => response.status)") == 200
    press_and_wait(page, "1")
    assert "answered in another tab" in notice(page)


def require_same_answers(pool: Path, answers: list[tuple[str, str]]) -> None:
    """The log and the file of labels have exactly these answers."""
    history = history_of(pool)
    made = (Pair.from_responses(build_user_prompt(f"question {i}"), f"first {i}", f"second {i}") for i in range(60))
    pairs = {pair.id: pair for pair in made}
    assert [(pairs[each.pair].response(each.left), each.choice) for each in history.answers] == answers
    assert (len(answers), len(history.undone)) == (66, 3)
    rows = [json.loads(line) for line in (pool.parent / "out" / "labeled.jsonl").read_text().splitlines()]
    preferred = {each.pair: each.preferred for each in history.answers if not each.is_repeat and each.preferred}
    assert {row["id"]: row["label"] for row in rows} == preferred


def test_texts_are_shown_as_they_are(page: OpenPage, tmp_path: Path) -> None:
    row = {"prompt": HOSTILE, "response_a": HOSTILE, "response_b": CODE}
    (tmp_path / "pool.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "guideline.txt").write_text(HOSTILE)
    with run_label_server(
        tmp_path / "pool.jsonl", "--rater", "ana", "--guideline", str(tmp_path / "guideline.txt")
    ) as (
        _,
        link,
    ):
        open_page(page, link)
        assert set(texts(page)) == {HOSTILE, CODE}
        assert page.run("document.querySelector('#prompt .text').textContent") == HOSTILE
        assert page.run("document.getElementById('guideline-text').textContent") == HOSTILE
        assert page.run("document.querySelector('.both pre').textContent").splitlines()[1] == "for i in range(3):"
        assert page.run("document.querySelectorAll('main b, main img, main script').length") == 0
        assert page.run("document.title") == "Label pairs · Trimtab"


def test_the_last_turn_of_a_long_conversation_and_both_responses_are_visible(page: OpenPage, tmp_path: Path) -> None:
    roles = ["user", "assistant"] * 4 + ["user"]
    prompt = [{"role": role, "content": f"turn {i} " + "word " * 100} for i, role in enumerate(roles)]
    row = {"prompt": prompt, "response_a": "one " * 900, "response_b": "two " * 900}
    (tmp_path / "pool.jsonl").write_text(json.dumps(row) + "\n")
    with run_label_server(tmp_path / "pool.jsonl", "--rater", "ana") as (_, link):
        open_page(page, link)
        box = "document.querySelector('{}').getBoundingClientRect()"
        turn, left = (box.format(name) for name in (".turn:last-child", "#left"))
        assert page.run(f"{turn}.top") >= page.run(f"{box.format('#prompt')}.top")
        assert page.run("document.querySelector('.turn:last-child .role').textContent") == "User"
        assert page.run(f"{left}.top") < 600


def test_buttons_and_notes_do_what_keys_do(page: OpenPage, tmp_path: Path) -> None:
    pool = write_pool(tmp_path, 10)
    with run_label_server(pool, "--rater", "ana") as (_, link):
        open_page(page, link)
        page.press("n")
        page.send("Input.insertText", text="both are short 1 u")
        page.press("s")  # a letter of the note
        page.press("Escape")
        before = shown(page)
        page.run("document.querySelector('[data-choice=right]').click()")
        page.wait_for(f"document.body.dataset.presentation !== {json.dumps(before)}")
        wait_until_ready(page)
        page.run("document.getElementById('undo').click()")
        page.wait_for(f"document.body.dataset.presentation === {json.dumps(before)}")
        wait_until_ready(page)
        assert page.run("document.getElementById('note').value") == "both are short 1 us"
        assert page.run("document.querySelector('.previous').dataset.choice") == "right"
        press_and_wait(page, "s")
    (answer,) = history_of(pool).answers
    assert (answer.choice, answer.note) == ("skip", "both are short 1 us")
    assert answer.milliseconds > 0


def test_responses_are_next_to_each_other_or_stacked_and_nothing_is_wider_than_the_screen(
    page: OpenPage, tmp_path: Path
) -> None:
    row = {"prompt": "word " * 500, "response_a": "w" * 3000, "response_b": f"```\n{'code ' * 200}\n```"}
    (tmp_path / "pool.jsonl").write_text(json.dumps(row) + "\n")
    with run_label_server(tmp_path / "pool.jsonl", "--rater", "ana") as (_, link):
        open_page(page, link)
        for width, is_stacked, dark in (
            (1280, False, False),
            (701, False, True),
            (700, True, False),
            (390, True, True),
        ):
            page.open_address(link.partition("?")[0], width, 844, dark=dark)
            wait_until_ready(page)
            left, right = page.run(
                "['left', 'right'].map(id => document.getElementById(id).getBoundingClientRect().left)"
            )
            assert (left == right) is is_stacked
            assert page.run("document.documentElement.scrollWidth") <= width
            # the buttons are visible without scrolling
            assert page.run("document.querySelector('.actions').getBoundingClientRect().bottom") == 844

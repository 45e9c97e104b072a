"""The web application: answers are saved before the page moves on, and only its own page may send them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from labeling_pool import build_pool, open_session
from starlette.testclient import TestClient

from trimtab.labeling.access_control import AccessControl
from trimtab.labeling.labeling_session import LabelingSession
from trimtab.labeling.page_html import build_labeling_page
from trimtab.labeling.web_app import MAX_REQUEST_BYTES, build_web_app
from trimtab.types import Pair, build_user_prompt

HOST = "127.0.0.1:4321"
PAGE = build_labeling_page()
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Browser:
    """A client with the cookie of the page. POST requests have the page's origin."""

    def __init__(self, session: LabelingSession, guideline: str = "") -> None:
        self.session, self.access = session, AccessControl((HOST, "localhost:4321"), 4321)
        app = build_web_app(session, guideline, self.access, PAGE)
        self.client = TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)

    def open_link(self) -> httpx2.Response:
        return self.client.get(self.access.link)

    def state(self) -> dict[str, Any]:
        return dict(self.client.get("/state").json())

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> httpx2.Response:
        return self.client.post(path, json=body, headers={"Origin": f"http://{HOST}", **headers})

    def answer(self, event_id: str = "one", **changes: Any) -> httpx2.Response:
        presentation = self.state()["presentation"]["id"]
        body = {
            "id": event_id,
            "presentation": presentation,
            "choice": "left",
            "note": "",
            "milliseconds": 900,
            **changes,
        }
        return self.post("/answer", body)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    browser = Browser(open_session(tmp_path, build_pool(40)))
    assert browser.open_link().status_code == 200
    return browser


def num_saved(browser: Browser) -> int:
    return sum(logged.event["event"] != "start" for logged in browser.session.log.read())


def test_an_answer_is_in_the_log_when_the_response_arrives(browser: Browser) -> None:
    before = browser.state()
    response = browser.answer(note="both are short")
    assert response.status_code == 200
    assert num_saved(browser) == 1
    (answer,) = browser.session.history.answers
    assert (answer.choice, answer.note, answer.milliseconds) == ("left", "both are short", 900)
    assert response.json()["presentation"]["id"] != before["presentation"]["id"]
    assert response.json()["num_left"] == before["num_left"] - 1


def test_the_sides_are_those_of_the_log(browser: Browser) -> None:
    shown = browser.state()["presentation"]
    browser.answer()
    (answer,) = browser.session.history.answers
    pair = browser.session.pairs[answer.pair]
    assert (shown["left"], shown["right"]) == (pair.response(answer.left), pair.a if answer.left == "b" else pair.b)
    assert answer.preferred == answer.left


def test_a_retry_after_a_lost_response_is_saved_once(browser: Browser) -> None:
    presentation = browser.state()["presentation"]["id"]
    first, retry = browser.answer(presentation=presentation), browser.answer(presentation=presentation)
    assert (first.status_code, retry.status_code) == (200, 200)
    assert first.json() == retry.json()
    assert num_saved(browser) == 1


def test_a_second_tab_learns_that_the_pair_was_answered(browser: Browser) -> None:
    presentation = browser.state()["presentation"]["id"]
    browser.answer("one", presentation=presentation)
    response = browser.answer("two", presentation=presentation)
    assert response.status_code == 409
    assert response.json() == browser.state()
    assert num_saved(browser) == 1


def test_undo_shows_the_pair_again_with_its_note_and_choice(browser: Browser) -> None:
    shown = browser.state()["presentation"]
    browser.answer("one", choice="right", note="close")
    assert browser.state()["last_answer"] == "one"
    response = browser.post("/undo", {"id": "undo", "answer": "one"})
    assert response.json()["presentation"] == {**shown, "note": "close", "undone_choice": "right"}
    assert browser.post("/undo", {"id": "undo twice", "answer": "one"}).status_code == 409
    assert browser.session.history.answers == []


def test_a_full_disk_is_an_error_and_the_page_does_not_advance(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = browser.state()

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        response = browser.answer()
    assert response.status_code == 507
    assert "no space left" in response.text
    assert browser.state() == before
    assert browser.answer().status_code == 200
    assert num_saved(browser) == 1


def test_the_page_shows_neither_labels_nor_pair_ids(tmp_path: Path) -> None:
    pairs = [Pair.from_responses(build_user_prompt("q"), "one", "two", "first")]
    browser = Browser(open_session(tmp_path, pairs))
    browser.open_link()
    state = browser.state()
    assert state["presentation"].keys() == {"id", "prompt", "left", "right", "note", "undone_choice"}
    assert pairs[0].id not in str(state)


def test_the_progress_is_the_interval_of_an_audit(browser: Browser) -> None:
    assert browser.state()["interval"]["now"] is None
    for number in range(10):
        browser.answer(str(number))
    browser.answer("skipped", choice="skip")
    interval = browser.state()["interval"]
    # Wilson for p = 0.8: 1.96 √(0.16/10 + 1.96²/400) / (1 + 1.96²/10) = 0.2265, and 0.1215 for 40
    assert (interval["num_labels"], interval["num_planned"]) == (10, 40)
    assert interval["now"] == pytest.approx(0.2265, abs=5e-4)
    assert interval["planned"] == pytest.approx(0.1215, abs=5e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "both"},
        {"milliseconds": -1},
        {"milliseconds": 1.5},
        {"milliseconds": True},
        {"note": "a" * 2001},
        {"note": None},
        {"id": ""},
        {"id": "a" * 65},
        {"presentation": 3},
    ],
)
def test_an_invalid_answer_is_rejected(browser: Browser, change: dict[str, Any]) -> None:
    assert browser.answer(**change).status_code == 400
    assert num_saved(browser) == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"[" * 60_000, b" " * (MAX_REQUEST_BYTES + 1)])
def test_a_body_that_is_not_an_object_is_rejected(browser: Browser, body: bytes) -> None:
    headers = {"Origin": f"http://{HOST}", "Content-Type": "application/json"}
    assert browser.client.post("/answer", content=body, headers=headers).status_code == 400


def test_a_form_is_rejected(browser: Browser) -> None:
    headers = {"Origin": f"http://{HOST}"}
    assert browser.client.post("/answer", data={"id": "one"}, headers=headers).status_code == 400


def test_a_note_with_half_of_a_character_is_saved(browser: Browser) -> None:
    headers = {"Origin": f"http://{HOST}", "Content-Type": "application/json"}
    presentation = browser.state()["presentation"]["id"]
    body = f'{{"id": "1", "presentation": "{presentation}", "choice": "left", "note": "\\ud83d", "milliseconds": 1}}'
    assert browser.client.post("/answer", content=body, headers=headers).status_code == 200
    assert num_saved(browser) == 1


class TestAccess:
    def test_without_the_link_nothing_is_shown(self, tmp_path: Path) -> None:
        browser = Browser(open_session(tmp_path, build_pool(40)))
        for path in ("/", "/state", "/?token=", "/?token=wrong"):
            response = browser.client.get(path)
            assert response.status_code == 403
            assert "question" not in response.text
        assert browser.post("/answer", {}).status_code == 403

    def test_the_link_works_once(self, browser: Browser) -> None:
        assert browser.open_link().status_code == 200  # the browser with the cookie
        browser.client.cookies.clear()
        response = browser.open_link()
        assert response.status_code == 403
        assert "was used already" in response.text

    def test_the_cookie_is_for_this_site_only_and_hidden_from_scripts(self, tmp_path: Path) -> None:
        browser = Browser(open_session(tmp_path, build_pool(40)))
        cookie = browser.open_link().headers["set-cookie"]
        assert re.fullmatch(r"trimtab_label_4321=[\w-]{32}; HttpOnly; Path=/; SameSite=strict", cookie)
        assert browser.access.link.partition("token=")[2] not in cookie

    def test_a_wrong_cookie_is_rejected(self, browser: Browser) -> None:
        browser.client.cookies.clear()
        browser.client.cookies.set("trimtab_label_4321", "wrong")
        assert browser.client.get("/state").status_code == 403

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:4321", "127.0.0.1:4322", "127.0.0.1", ""])
    def test_another_host_name_is_rejected(self, browser: Browser, host: str) -> None:
        assert browser.client.get("/state", headers={"Host": host}).status_code == 403

    def test_localhost_is_accepted(self, browser: Browser) -> None:
        cookie = {"Cookie": f"trimtab_label_4321={browser.client.cookies['trimtab_label_4321']}"}
        assert browser.client.get("/state", headers={"Host": "localhost:4321", **cookie}).status_code == 200

    @pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:4321", "http://127.0.0.1:1", "null"])
    def test_a_foreign_origin_is_rejected(self, browser: Browser, origin: str) -> None:
        assert browser.post("/answer", {}, Origin=origin).status_code == 403
        assert browser.client.get("/state", headers={"Origin": origin}).status_code == 403

    def test_a_request_without_an_origin_changes_nothing(self, browser: Browser) -> None:
        assert browser.client.post("/undo", json={"id": "1", "answer": "one"}).status_code == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_a_request_from_another_site_is_rejected(self, browser: Browser, site: str) -> None:
        assert browser.client.get("/state", headers={"Sec-Fetch-Site": site}).status_code == 403
        assert browser.post("/undo", {"id": "1", "answer": "1"}, **{"Sec-Fetch-Site": site}).status_code == 403

    def test_no_response_allows_another_origin(self, browser: Browser) -> None:
        headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        responses = [browser.client.options("/answer", headers=headers), browser.client.get("/state"), browser.answer()]
        for response in responses:
            assert not [name for name in response.headers if name.startswith("access-control")]
            assert response.headers["content-security-policy"] == PAGE.policy
            assert response.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize(
        "path",
        [
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/label.js",
            "/events/ana.jsonl",
            "//evil.example/",
            "/docs",
        ],
    )
    def test_no_path_is_a_file(self, browser: Browser, path: str) -> None:
        response = browser.client.get(f"http://{HOST}{path}")
        assert response.status_code == 404
        assert response.text == "Not Found"


def test_the_page_has_no_data_and_its_policy_allows_only_its_own_script_and_style(tmp_path: Path) -> None:
    pairs = [Pair.from_responses(build_user_prompt(HOSTILE), f"{HOSTILE} 1", f"{HOSTILE} 2")]
    browser = Browser(open_session(tmp_path, pairs), guideline=HOSTILE)
    html = browser.open_link().text
    assert "alert(1)" not in html
    assert not re.search(r"\son\w+=|style=|https?://", html)
    assert "unsafe" not in PAGE.policy
    assert PAGE.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in PAGE.policy
    assert browser.state()["presentation"]["prompt"] == [{"role": "user", "text": HOSTILE}]
    assert browser.client.get("/state").headers["content-type"] == "application/json"

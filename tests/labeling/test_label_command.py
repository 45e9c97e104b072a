"""`trimtab label` serves the page until it is stopped, and then writes the labels and a summary."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import httpx2
import pytest
from label_server import run_label_server
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.errors import DataError, StoreError, StudyError

ROWS = [{"prompt": f"question {i}", "response_a": f"good {i}", "response_b": f"bad {i}"} for i in range(4)]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def answer_one(link: str) -> None:
    address = link.partition("/?")[0]
    with httpx2.Client(base_url=address, headers={"Origin": address}) as client:
        assert client.get(link).status_code == 200
        state = client.get("/state").json()
        shown = state["presentation"]
        choice = "left" if shown["left"].startswith("good") else "right"
        body = {"id": shown["id"], "presentation": shown["id"], "choice": choice, "note": "", "milliseconds": 5}
        assert client.post("/answer", json=body).status_code == 200


def run(*arguments: str | Path) -> str:
    return CliRunner().invoke(app, ["label", *map(str, arguments)], catch_exceptions=False).output


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_page_writes_the_labels_and_a_summary(pool: Path, stop: signal.Signals) -> None:
    with run_label_server(pool, "--rater", "ana") as (process, link):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", link)
        answer_one(link)
        process.send_signal(stop)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.startswith("pairs with a preferred response: 1, without: 0")
    (row,) = [json.loads(line) for line in (pool.parent / "out" / "labeled.jsonl").read_text().splitlines()]
    assert row[f"response_{row['label']}"].startswith("good")
    assert row["inclusion_probability"] == 0.25


def test_a_killed_page_resumes_at_the_same_address_without_losing_an_answer(pool: Path) -> None:
    with run_label_server(pool, "--rater", "ana") as (process, link):
        answer_one(link)
        process.kill()
        process.wait()
    with run_label_server(pool, "--rater", "ana") as (process, second):
        assert second.partition("/?")[0] == link.partition("/?")[0]
        assert second != link
        answer_one(second)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert output.startswith("pairs with a preferred response: 2")


def test_the_labels_name_the_models_of_the_pool_and_the_summary_compares_them(pool: Path) -> None:
    rows = [{**row, "model_a": "big", "model_b": "small"} for row in ROWS]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with run_label_server(pool, "--rater", "ana") as (process, link):
        answer_one(link)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "\nbig preferred over small: 100% of 1 pair\n" in output
    (row,) = [json.loads(line) for line in (pool.parent / "out" / "labeled.jsonl").read_text().splitlines()]
    for side in ("a", "b"):
        assert row[f"model_{side}"] == ("big" if row[f"response_{side}"].startswith("good") else "small")


def test_a_second_server_on_the_same_file_is_an_error(pool: Path) -> None:
    with (
        run_label_server(pool, "--rater", "ana"),
        pytest.raises(StoreError, match=r"ana\.jsonl is in use by another process"),
    ):
        run(pool, "--rater", "Ana", "--out", pool.parent / "out")


def test_two_raters_label_at_the_same_time_and_are_exported_together(pool: Path) -> None:
    with run_label_server(pool, "--rater", "ana") as (_, ana), run_label_server(pool, "--rater", "ben") as (_, ben):
        answer_one(ana)
        answer_one(ben)
        output = run(pool, "--out", pool.parent / "out", "--export", pool.parent / "trl.jsonl", "--format", "trl")
    assert "ana: preferences 1, no difference 0" in output
    assert "ben: preferences 1, no difference 0" in output
    assert all(json.loads(row)["chosen"] for row in (pool.parent / "trl.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rater", "ana/eve"], "--rater 'ana/eve': a name consists of letters"),
        ([], "--rater NAME: is required"),
        (["--rater", "ana", "--format", "trl"], "--format, --combine: require --export FILE"),
        (["--rater", "ana", "--host", "0.0.0.0"], r"--host 0\.0\.0\.0: give the one address"),  # noqa: S104
        (["--rater", "ana", "--guideline", "missing.txt"], r"--guideline missing\.txt: cannot be read"),
        (["--rater", "ana", "--host", "192.0.2.1"], r"--host 192\.0\.2\.1: Cannot assign"),
    ],
)
def test_an_argument_that_cannot_be_used_is_an_error(pool: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        run(pool, *arguments, "--out", pool.parent / "out")


def test_another_host_comes_with_a_warning_that_recommends_a_tunnel(pool: Path) -> None:
    with pytest.raises(StudyError) as raised:
        arguments = [str(pool), "--rater", "ana", "--host", "192.0.2.1", "--out", str(pool.parent / "out")]
        result = CliRunner().invoke(app, ["label", *arguments])
        assert "ssh -L PORT:127.0.0.1:PORT" in result.stderr
        raise result.exception or AssertionError
    assert "192.0.2.1" in str(raised.value)


def test_a_pool_without_texts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ids.jsonl").write_text('{"id": "1", "p_a": 0.5, "status": "ok"}\n')
    with pytest.raises(DataError, match=r"ids\.jsonl: no layout fits"):
        run(tmp_path / "ids.jsonl", "--rater", "ana", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pool_of_identical_responses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "same.jsonl").write_text('{"prompt": "q", "response_a": "one", "response_b": "one"}\n')
    with pytest.raises(DataError, match=r"none of the 1 rows is usable, starting with .*same\.jsonl:1: .*identical"):
        run(tmp_path / "same.jsonl", "--rater", "ana", "--out", tmp_path / "out")


def test_a_pair_with_identical_responses_is_left_out_and_named(pool: Path) -> None:
    with pool.open("a") as file:
        file.write('{"prompt": "q", "response_a": "one", "response_b": "one"}\n')
    with run_label_server(pool, "--rater", "ana") as (process, link):
        assert httpx2.get(link).status_code == 200
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert re.search(r"rows left out: 1, starting with pool\.jsonl:5: .*identical", errors)
    assert output == "no answers so far, so no labels were written\n"

"""The datasets of Tao & Li (2025), as published: TL;DR and HH, with made-up rows, from files and through `datasets`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.sources.file import File
from trimtab.sources.hub import Hub
from trimtab.types import Dataset, Message, Pair, build_user_prompt

POST = {"id": "t3_1", "post": "My cat sleeps. \n", "title": "Cat", "subreddit": "pets", "site": None, "article": None}
TLDR: dict[str, Any] = {
    "info": POST,
    "summaries": [
        {"text": " It is dead.", "policy": "sup1", "note": "bad"},
        {"text": " My cat sleeps.", "policy": "ref", "note": None},
    ],
    "choice": 1,
    "worker": "w",
    "batch": "batch3",
    "split": "train",
    "extra": {"confidence": 7},
}
TLDR_PROMPT = build_user_prompt("SUBREDDIT: r/pets\n\nTITLE: Cat\n\nPOST: My cat sleeps.\n\nTL;DR:")
MIRROR = {
    "prompt": "SUBREDDIT: r/pets\nTITLE: Cat\nPOST: My cat sleeps.",
    "chosen": "TL;DR: My cat sleeps.",
    "rejected": "TL;DR: It is dead.",
}
OPEN = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a color.\n\nAssistant:"
DAHOAS = {"prompt": OPEN, "response": " Blue.", "chosen": " Blue.", "rejected": " Seven."}
ANTHROPIC = {"chosen": f"{OPEN} Blue.", "rejected": f"{OPEN} Seven."}
HH_PROMPT = (
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello!"),
    Message(role="user", content="Name a color."),
)
HH_PAIR = Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first")


def load_jsonl(rows: list[dict[str, Any]], folder: Path) -> Dataset:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return File(path=str(folder / "rows.jsonl")).load()


def load_parquet(rows: list[dict[str, Any]], folder: Path) -> Dataset:
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return File(path=str(folder / "rows.parquet")).load()


def load_with_datasets(rows: list[dict[str, Any]], folder: Path) -> Dataset:
    """As the Hub keeps it in `refs/convert/parquet`: a folder for the subset, with one for the split."""
    (folder / "comparisons" / "train").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "comparisons" / "train" / "0000.parquet")
    return Hub(id=str(folder), subset="comparisons").load()


@pytest.mark.parametrize("load", [load_jsonl, load_parquet, load_with_datasets])
@pytest.mark.parametrize(
    ("row", "pair", "layout"),
    [
        (
            TLDR,
            Pair.from_responses(TLDR_PROMPT, "My cat sleeps.", "It is dead.", "first"),
            "two summaries of a post, the chosen one in 'choice'",
        ),
        (
            MIRROR,
            Pair.from_responses(build_user_prompt(MIRROR["prompt"]), MIRROR["chosen"], MIRROR["rejected"], "first"),
            "preference, text, explicit prompt",
        ),
        (DAHOAS, HH_PAIR, "preference, transcript, explicit prompt"),
        (ANTHROPIC, HH_PAIR, "preference, transcript, implicit prompt"),
    ],
    ids=["openai/summarize_from_feedback", "CarperAI mirror", "Dahoas/full-hh-rlhf", "Anthropic/hh-rlhf"],
)
def test_a_row_as_published_is_a_labeled_pair(
    load: Callable[[list[dict[str, Any]], Path], Dataset],
    row: dict[str, Any],
    pair: Pair,
    layout: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    dataset = load([row], tmp_path)
    assert dataset.pairs == (pair,)
    assert dataset.failures == ()
    assert dataset.layout == layout


ARTICLE = {**POST, "post": None, "title": None, "subreddit": None, "article": "News.", "site": "dailymail"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"info": ARTICLE}, "'info' has a news article instead of a post, so the row is not of TL;DR"),
        ({"info": {**POST, "post": ""}}, "'info', 'post' is empty"),
        ({"choice": 2}, "'choice' is 2; expected 0 or 1, the index of the better summary"),
        ({"choice": None}, "'choice' is None; expected 0 or 1, the index of the better summary"),
        ({"summaries": TLDR["summaries"][:1]}, "'summaries' is a list of 1; expected two summaries"),
        ({"summaries": [{"text": "A"}, {"text": ""}]}, "'summaries', item 2 is empty"),
        ({"summaries": ["A", "B"]}, "'summaries', item 1 is a text of 1 characters, expected an object with a text"),
        ({"summaries": [{"text": "A"}, {"text": " A"}]}, "'summary 1' and 'summary 2' are identical"),
    ],
)
def test_a_comparison_that_cannot_be_read_fails_with_the_reason(
    changed: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    dataset = load_jsonl([TLDR, {**TLDR, **changed}], tmp_path)
    assert [failure.reason for failure in dataset.failures] == [reason]
    assert len(dataset.pairs) == 1


def test_two_workers_who_disagree_about_the_same_summaries_are_failures(tmp_path: Path) -> None:
    other_post = {**TLDR, "info": {**POST, "post": "My dog sleeps."}}
    dataset = load_jsonl([TLDR, other_post, {**TLDR, "choice": 0}, other_post], tmp_path)
    assert len(dataset.pairs) == 1
    assert sorted(failure.kind for failure in dataset.failures) == ["duplicate", "failed", "failed"]

"""The pairs of each layout's rows, and the reason of every unusable row."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trimtab.data.parsing.dataset_builder import build_dataset
from trimtab.data.parsing.row_columns import LayoutName
from trimtab.data.parsing.rows import SourceRow
from trimtab.errors import DataError
from trimtab.types import Dataset, Message, Pair, build_user_prompt

QUESTION = [{"role": "user", "content": "Name a color."}]
GOOD = {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "Seven."}
BLUE_PREFERRED = Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.", "first")
PRIVATE = "zebra crossing"

HH_CHOSEN = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a color.\n\nAssistant: Blue."
HH_REJECTED = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a color.\n\nAssistant: Seven."
HH_PROMPT = (
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello!"),
    Message(role="user", content="Name a color."),
)


def parse(*rows: dict[str, Any], layout: LayoutName = "auto") -> Dataset:
    numbered = (SourceRow(location=f"pairs.jsonl:{number}", cells=row) for number, row in enumerate(rows, start=1))
    return build_dataset(numbered, "pairs.jsonl", layout=layout)


def failure_reason(row: dict[str, Any], usable: dict[str, Any] = GOOD) -> str:
    """The failure reason of `row` next to a usable row."""
    dataset = parse(usable, row)
    assert len(dataset.pairs) == 1
    (failure,) = dataset.failures
    assert failure.location == "pairs.jsonl:2"
    return failure.reason


def build_messages(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


BLUE = build_messages(("assistant", "Blue."))
SEVEN = build_messages(("assistant", "Seven."))


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        (GOOD, "preference, text, explicit prompt"),
        (GOOD | {"prompt": QUESTION}, "preference, messages, explicit prompt"),
        (
            GOOD | {"prompt": QUESTION, "chosen": BLUE, "rejected": SEVEN},
            "preference, messages, explicit prompt",
        ),
        (GOOD | {"chosen": QUESTION + BLUE, "rejected": QUESTION + SEVEN}, "preference, text, explicit prompt"),
        ({"chosen": QUESTION + BLUE, "rejected": QUESTION + SEVEN}, "preference, messages, implicit prompt"),
        (
            {"chosen": "Name a color.\nBlue.", "rejected": "Name a color.\nSeven."},
            "preference, text, implicit prompt",
        ),
        (
            {"chosen": "Name a color. Blue.", "rejected": "Name a color. Seven."},
            "preference, text, implicit prompt",
        ),
        (
            {"prompt": "\n\nHuman: Name a color.\n\nAssistant:", "chosen": " Blue.", "rejected": " Seven."},
            "preference, transcript, explicit prompt",
        ),
        (
            {"prompt": "Name a color.", "response_a": "Seven.", "response_b": "Blue.", "winner": "b"},
            "two responses, text, labels in 'winner'",
        ),
        (
            {"prompt": QUESTION, "response_0": "Blue.", "response_1": "Seven.", "preferred": "response_0"},
            "two responses, messages, labels in 'preferred'",
        ),
    ],
)
def test_every_layout_gives_the_same_pair(row: dict[str, Any], layout: str) -> None:
    dataset = parse(row)
    assert dataset.failures == ()
    assert dataset.pairs == (BLUE_PREFERRED,)
    assert dataset.layout == layout


def test_the_common_turns_of_transcripts_are_the_prompt() -> None:
    dataset = parse({"chosen": HH_CHOSEN, "rejected": HH_REJECTED})
    assert dataset.layout == "preference, transcript, implicit prompt"
    assert dataset.pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)


def test_the_transcript_layout_ignores_a_prompt_column() -> None:
    row = {"prompt": "ignored", "chosen": HH_CHOSEN, "rejected": HH_REJECTED}
    assert parse(row, layout="transcript").pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)


def test_other_role_names_are_mapped_and_a_system_turn_is_kept() -> None:
    row = GOOD | {
        "prompt": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello!"},
            {"role": "human", "content": "Name a color."},
        ]
    }
    (pair,) = parse(row).pairs
    assert pair.prompt == (Message(role="system", content="Be brief."), *HH_PROMPT)


def test_an_empty_system_turn_is_skipped() -> None:
    (pair,) = parse(GOOD | {"prompt": build_messages(("system", ""), ("user", "Name a color."))}).pairs
    assert pair == BLUE_PREFERRED


@pytest.mark.parametrize("empty", [None, ""])
def test_a_pair_without_a_label_is_unlabeled(empty: str | None) -> None:
    row = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
    assert parse(row).layout == "two responses, text, unlabeled"
    assert parse(row).pairs[0].human is None
    assert parse(row | {"label": empty}).pairs[0].human is None


@pytest.mark.parametrize("label", ["a", "A", "response_a"])
def test_a_label_names_the_preferred_response(label: str) -> None:
    row = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven.", "preference": label}
    assert parse(row).pairs == (BLUE_PREFERRED,)


@pytest.mark.parametrize(("label", "shown"), [(0, "0"), ("1", "'1'"), (PRIVATE, "a text of 14 characters")])
def test_an_ambiguous_label_fails_with_the_expected_values(label: object, shown: str) -> None:
    good = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven.", "label": "a"}
    result = failure_reason(good | {"response_b": "Nine.", "label": label}, usable=good)
    expected = "'response_a', 'response_b', 'a', 'b', 'model_a', 'model_b', or empty if unlabeled"
    assert (
        result == f"'label' is {shown}; expected {expected}; set `label_values` for other labels, such as "
        "`label_values: {1: a, 2: b}`"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"chosen": "  "}, "'chosen' is empty"),
        ({"chosen": None}, "'chosen' is None, expected text"),
        ({"rejected": 7}, "'rejected' is 7, expected text"),
        ({"rejected": {"text": PRIVATE}}, "'rejected' is a dict of 1, expected text"),
        ({"rejected": "Blue.\n"}, "'chosen' and 'rejected' are identical"),
        ({"rejected": f"{PRIVATE} \ud800"}, "'rejected' is not valid UTF-8 text"),
        ({"prompt": " "}, "'prompt' is empty"),
        ({"prompt": []}, "'prompt' is empty: it has no user turn"),
        (
            {"prompt": [PRIVATE]},
            "'prompt', turn 1 is a text of 14 characters, expected an object with role and content",
        ),
        (
            {"prompt": build_messages((PRIVATE, "Hi"))},
            "'prompt', turn 1 has the role a text of 14 characters; expected one of system, user, "
            "human, assistant, gpt, bot, tool",
        ),
        ({"prompt": build_messages(("user", ""))}, "the content of 'prompt', turn 1 is empty"),
        (
            {"prompt": build_messages(("user", "Hi"), ("assistant", PRIVATE))},
            "'prompt' ends with an assistant turn; the last turn must be the user's",
        ),
        (
            {"prompt": build_messages(("user", "Hi"), ("user", PRIVATE))},
            "'prompt' does not alternate between user and assistant, starting with the user",
        ),
        (
            {"prompt": build_messages(("user", "Hi"), ("system", PRIVATE), ("user", "Hi"))},
            "'prompt' has a system turn that is not the first",
        ),
        (
            {"chosen": HH_CHOSEN, "rejected": HH_REJECTED},
            "'chosen' and 'rejected' are whole transcripts that include the prompt; set `layout: transcript`",
        ),
        (
            {"prompt": '[{"role": "user", "content": "Hi"}]'},
            "'prompt' is a list of messages serialized as text; use a real list, in jsonl or parquet",
        ),
        (
            {"chosen": build_messages(("assistant", "Hi"), ("user", PRIVATE), ("assistant", "Blue."))},
            "'chosen' has assistant, user, assistant after the prompt; expected one assistant turn",
        ),
    ],
)
def test_an_unusable_row_is_a_failure_with_a_reason_that_does_not_quote_it(
    change: dict[str, Any], expected: str
) -> None:
    result = failure_reason(GOOD | change)
    assert result == expected
    assert PRIVATE not in result


def test_a_missing_cell_fails_that_row_alone() -> None:
    assert failure_reason({"prompt": "Hi", "chosen": "Blue."}) == "column 'rejected' is missing from this row"


HH_GOOD = {"chosen": HH_CHOSEN, "rejected": HH_REJECTED}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (HH_CHOSEN.replace("Hello!", "Hey!"), "the prompts of 'chosen' and 'rejected' differ, starting with turn 2"),
        ("\n\nHuman: Hi\n\nAssistant: Hello!", "the prompts of 'chosen' and 'rejected' differ, starting with turn 2"),
        ("\n\nHuman: Hi", "'chosen' does not end with an assistant turn"),
        ("\n\nHuman: Hi\n\nAssistant:", "'chosen', turn 2 is empty"),
        ("Blue.", "'chosen' does not start with 'Human:'"),
        (HH_REJECTED, "'chosen' and 'rejected' are identical"),
    ],
)
def test_a_transcript_that_does_not_share_its_prompt_fails(chosen: str, expected: str) -> None:
    assert failure_reason({"chosen": chosen, "rejected": HH_REJECTED}, usable=HH_GOOD) == expected


def test_the_same_pair_under_opposite_labels_fails_both_rows() -> None:
    other = {"prompt": "Name a number.", "chosen": "Seven.", "rejected": "Blue."}
    dataset = parse(GOOD, other, GOOD | {"chosen": "Seven.", "rejected": "Blue."})
    assert [pair.prompt for pair in dataset.pairs] == [build_user_prompt("Name a number.")]
    assert [(failure.location, failure.reason) for failure in dataset.failures] == [
        ("pairs.jsonl:1", "duplicate pair with opposite labels"),
        ("pairs.jsonl:3", "duplicate pair with opposite labels"),
    ]


def test_the_same_pair_twice_is_kept_once() -> None:
    assert failure_reason(GOOD) == "duplicate pair"


def test_a_repeated_pair_keeps_the_label_that_one_row_has() -> None:
    row = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
    dataset = parse(row | {"label": ""}, row | {"label": "a"})
    assert dataset.pairs == (BLUE_PREFERRED,)
    assert len(dataset.failures) == 1


def test_responses_without_a_prompt_are_rejected() -> None:
    rows = [{"question": "Q", "chosen": f"Yes, {n} it is.", "rejected": f"No, {n} it is not."} for n in range(9)]
    with pytest.raises(DataError, match="do not start with a shared prompt, and 'prompt' is missing") as caught:
        parse(*rows)
    assert "columns found: question, chosen, rejected" in str(caught.value)


def test_unknown_columns_are_reported_with_the_accepted_layouts() -> None:
    with pytest.raises(DataError) as caught:
        parse({"prompt": PRIVATE, "choosen": PRIVATE, "rejected": PRIVATE})
    message = str(caught.value)
    assert message.startswith("pairs.jsonl: no layout fits; columns found: prompt, choosen, rejected; did you mean")
    assert "'chosen' for choosen" in message
    assert "accepted: prompt, chosen, rejected (text or messages)" in message
    assert PRIVATE not in message


def test_a_column_name_that_may_be_text_is_not_repeated() -> None:
    with pytest.raises(DataError, match=re.escape("columns found: (a name of 14 characters)")):
        parse({PRIVATE: "x"})


def test_a_requested_layout_reports_the_missing_column() -> None:
    with pytest.raises(DataError, match="layout 'explicit' needs the column 'prompt'"):
        parse({"chosen": HH_CHOSEN, "rejected": HH_REJECTED}, layout="explicit")


def test_two_label_columns_are_rejected() -> None:
    row = {"prompt": "Hi", "response_a": "Blue.", "response_b": "Seven.", "label": "a", "winner": "b"}
    with pytest.raises(DataError, match="'label' and 'winner' could both be the label column"):
        parse(row)


def test_a_source_without_usable_rows_is_rejected_with_the_most_common_reasons() -> None:
    rows: list[dict[str, Any]] = [GOOD | {"chosen": ""}, GOOD | {"chosen": ""}, GOOD | {"rejected": 7}]
    expected = "none of the 3 rows is usable, starting with pairs.jsonl:1: 'chosen' is empty (2 rows); 'rejected' is 7"
    with pytest.raises(DataError, match=re.escape(expected)):
        parse(*rows)


CONTEXT: dict[str, Any] = {
    "context": [
        {"role": "human", "text": "Hi"},
        {"role": "assistant", "text": "Hello!"},
        {"role": "human", "text": "Name a color."},
    ],
    "chosen": {"role": "assistant", "text": "Blue."},
    "rejected": {"role": "assistant", "text": "Seven."},
}
SAFE = {
    "prompt": "Name a color.",
    "response_0": "Seven.",
    "response_1": "Blue.",
    "is_response_0_safe": True,
    "is_response_1_safe": True,
    "better_response_id": 1,
    "safer_response_id": 0,
}


def test_a_context_of_turns_is_a_prompt_and_a_single_turn_a_response() -> None:
    dataset = parse(CONTEXT)
    assert dataset.pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)
    assert dataset.layout == "preference, messages, explicit prompt"


def test_a_context_that_is_text_is_not_the_prompt() -> None:
    dataset = parse({"context": "from a forum", "chosen": HH_CHOSEN, "rejected": HH_REJECTED})
    assert dataset.pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)
    assert dataset.layout == "preference, transcript, implicit prompt"


@pytest.mark.parametrize("row", [CONTEXT, {"chosen": HH_CHOSEN, "rejected": HH_REJECTED}])
def test_turns_last_keeps_the_responses_and_the_label(row: dict[str, Any]) -> None:
    dataset = build_dataset([SourceRow(location="p:1", cells=row)], "p", turns="last")
    assert dataset.pairs == (BLUE_PREFERRED,)
    assert dataset.layout.endswith(", last turn only")


def test_rows_that_differ_only_before_the_last_turn_become_one_pair() -> None:
    other = CONTEXT | {"context": CONTEXT["context"][-1:]}
    dataset = build_dataset(
        [SourceRow(location=f"p:{n}", cells=row) for n, row in enumerate((CONTEXT, other))], "p", turns="last"
    )
    assert dataset.pairs == (BLUE_PREFERRED,)
    assert [failure.reason for failure in dataset.failures] == ["duplicate pair"]


def test_the_better_of_two_safe_responses_is_preferred() -> None:
    dataset = parse(SAFE)
    assert dataset.pairs == (BLUE_PREFERRED,)
    assert dataset.layout == "two responses, the better one if both are safe, else the safer one"


@pytest.mark.parametrize("unsafe", [["is_response_0_safe"], ["is_response_0_safe", "is_response_1_safe"]])
def test_if_a_response_is_unsafe_the_safer_one_is_preferred(unsafe: list[str]) -> None:
    (pair,) = parse(SAFE | dict.fromkeys(unsafe, False) | {"safer_response_id": 1, "better_response_id": 0}).pairs
    assert pair == BLUE_PREFERRED


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"better_response_id": 2}, "'better_response_id' is 2; expected 0 or 1, for response_0 or response_1"),
        (
            {"better_response_id": True},
            "'better_response_id' is True; expected 0 or 1, for response_0 or response_1",
        ),
        ({"is_response_0_safe": 1}, "'is_response_0_safe' is 1; expected true or false"),
        ({"response_0": "Blue."}, "'response_0' and 'response_1' are identical"),
    ],
)
def test_a_row_with_invalid_safety_columns_fails(cells: dict[str, Any], reason: str) -> None:
    assert failure_reason(SAFE | cells, usable=SAFE) == reason


def test_the_safety_layout_requires_its_columns() -> None:
    with pytest.raises(DataError, match="layout 'safety' needs the column 'is_response_0_safe', 'is_response_1_safe'"):
        parse({"prompt": "Hi", "response_0": "Blue.", "response_1": "Seven."}, layout="safety")

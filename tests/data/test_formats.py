"""What each layout's rows become, and why a row that becomes nothing did not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trimtab.data.parsing.dataset_builder import build_dataset
from trimtab.data.parsing.files import SourceRow
from trimtab.data.parsing.layouts import LayoutName
from trimtab.errors import DataError
from trimtab.types import Dataset, Message, Pair, build_user_prompt

ASKED = [{"role": "user", "content": "Name a color."}]
GOOD = {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "Seven."}
BLUE_FIRST = Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.", "first")
PRIVATE = "zebra crossing"

HH_CHOSEN = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a color.\n\nAssistant: Blue."
HH_REJECTED = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a color.\n\nAssistant: Seven."
HH_PROMPT = (
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello!"),
    Message(role="user", content="Name a color."),
)


def read(*rows: dict[str, Any], layout: LayoutName = "auto") -> Dataset:
    numbered = (SourceRow(location=f"pairs.jsonl:{number}", cells=row) for number, row in enumerate(rows, start=1))
    return build_dataset(numbered, "pairs.jsonl", layout=layout)


def reason(row: dict[str, Any], beside: dict[str, Any] = GOOD) -> str:
    """The reason for which `row` fails beside a row that does not."""
    dataset = read(beside, row)
    assert len(dataset.pairs) == 1
    (failure,) = dataset.failures
    assert failure.location == "pairs.jsonl:2"
    return failure.reason


def as_messages(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


SAID_BLUE = as_messages(("assistant", "Blue."))
SAID_SEVEN = as_messages(("assistant", "Seven."))


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        (GOOD, "preference, text, explicit prompt"),
        (GOOD | {"prompt": ASKED}, "preference, messages, explicit prompt"),
        (
            GOOD | {"prompt": ASKED, "chosen": SAID_BLUE, "rejected": SAID_SEVEN},
            "preference, messages, explicit prompt",
        ),
        (GOOD | {"chosen": ASKED + SAID_BLUE, "rejected": ASKED + SAID_SEVEN}, "preference, text, explicit prompt"),
        ({"chosen": ASKED + SAID_BLUE, "rejected": ASKED + SAID_SEVEN}, "preference, messages, implicit prompt"),
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
            {"prompt": ASKED, "response_0": "Blue.", "response_1": "Seven.", "preferred": "response_0"},
            "two responses, messages, labels in 'preferred'",
        ),
    ],
)
def test_every_layout_tells_the_same_pair(row: dict[str, Any], layout: str) -> None:
    dataset = read(row)
    assert dataset.failures == ()
    assert dataset.pairs == (BLUE_FIRST,)
    assert dataset.layout == layout


def test_a_transcript_keeps_its_common_turns_as_the_prompt() -> None:
    dataset = read({"chosen": HH_CHOSEN, "rejected": HH_REJECTED})
    assert dataset.layout == "preference, transcript, implicit prompt"
    assert dataset.pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)


def test_a_forced_transcript_layout_passes_over_a_prompt_column() -> None:
    row = {"prompt": "ignored", "chosen": HH_CHOSEN, "rejected": HH_REJECTED}
    assert read(row, layout="transcript").pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)


def test_roles_of_other_houses_become_ours_and_a_system_turn_stays() -> None:
    row = GOOD | {
        "prompt": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello!"},
            {"role": "human", "content": "Name a color."},
        ]
    }
    (pair,) = read(row).pairs
    assert pair.prompt == (Message(role="system", content="Be brief."), *HH_PROMPT)


def test_a_system_turn_without_text_is_left_out() -> None:
    (pair,) = read(GOOD | {"prompt": as_messages(("system", ""), ("user", "Name a color."))}).pairs
    assert pair == BLUE_FIRST


@pytest.mark.parametrize("empty", [None, ""])
def test_a_pair_without_a_label_is_unlabeled(empty: str | None) -> None:
    row = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
    assert read(row).layout == "two responses, text, unlabeled"
    assert read(row).pairs[0].human is None
    assert read(row | {"label": empty}).pairs[0].human is None


@pytest.mark.parametrize("label", ["a", "A", "response_a"])
def test_a_label_means_the_response_it_names(label: str) -> None:
    row = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven.", "preference": label}
    assert read(row).pairs == (BLUE_FIRST,)


@pytest.mark.parametrize(
    ("label", "shown"), [("tie", "'tie'"), (0, "0"), ("1", "'1'"), (PRIVATE, "a text of 14 characters")]
)
def test_a_label_that_could_mean_either_fails_and_says_what_is_right(label: object, shown: str) -> None:
    good = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven.", "label": "a"}
    found = reason(good | {"response_b": "Nine.", "label": label}, beside=good)
    right = "'response_a', 'response_b', 'a', 'A', 'b', 'B', or empty where nobody has judged"
    assert found == f"'label' is {shown}; right are {right}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"chosen": "  "}, "'chosen' is empty"),
        ({"chosen": None}, "'chosen' is None, text is needed"),
        ({"rejected": 7}, "'rejected' is 7, text is needed"),
        ({"rejected": {"text": PRIVATE}}, "'rejected' is a dict of 1, text is needed"),
        ({"rejected": "Blue.\n"}, "'chosen' and 'rejected' are identical"),
        ({"rejected": f"{PRIVATE} \ud800"}, "'rejected' is not valid UTF-8 text"),
        ({"prompt": " "}, "'prompt' is empty"),
        ({"prompt": []}, "'prompt' is empty: it holds no user turn"),
        (
            {"prompt": [PRIVATE]},
            "'prompt', turn 1 is a text of 14 characters, an object with role and content is needed",
        ),
        (
            {"prompt": as_messages((PRIVATE, "Hi"))},
            "'prompt', turn 1 has the role a text of 14 characters; known are system, user, human, assistant, gpt, bot",
        ),
        ({"prompt": as_messages(("user", ""))}, "the content of 'prompt', turn 1 is empty"),
        (
            {"prompt": as_messages(("user", "Hi"), ("assistant", PRIVATE))},
            "'prompt' ends with a turn of the assistant; the last turn must be the user's",
        ),
        (
            {"prompt": as_messages(("user", "Hi"), ("user", PRIVATE))},
            "'prompt' does not alternate between user and assistant, the user first",
        ),
        (
            {"prompt": as_messages(("user", "Hi"), ("system", PRIVATE), ("user", "Hi"))},
            "'prompt' has a system turn that is not the first",
        ),
        (
            {"chosen": HH_CHOSEN, "rejected": HH_REJECTED},
            "'chosen' and 'rejected' are whole transcripts, prompt included; set `layout: transcript`",
        ),
        (
            {"prompt": '[{"role": "user", "content": "Hi"}]'},
            "'prompt' is a list of messages written as text; write it as a list, in jsonl or parquet",
        ),
        (
            {"chosen": as_messages(("assistant", "Hi"), ("user", PRIVATE), ("assistant", "Blue."))},
            "'chosen' has assistant, user, assistant after the prompt; one assistant turn is needed",
        ),
    ],
)
def test_an_unusable_row_is_a_failure_with_a_reason_and_without_its_text(change: dict[str, Any], expected: str) -> None:
    found = reason(GOOD | change)
    assert found == expected
    assert PRIVATE not in found


def test_a_missing_cell_fails_that_row_alone() -> None:
    assert reason({"prompt": "Hi", "chosen": "Blue."}) == "column 'rejected' is missing from this row"


HH_GOOD = {"chosen": HH_CHOSEN, "rejected": HH_REJECTED}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (HH_CHOSEN.replace("Hello!", "Hey!"), "the prompts of 'chosen' and 'rejected' differ from turn 2 on"),
        ("\n\nHuman: Hi\n\nAssistant: Hello!", "the prompts of 'chosen' and 'rejected' differ from turn 2 on"),
        ("\n\nHuman: Hi", "'chosen' does not end with a turn of the assistant"),
        ("\n\nHuman: Hi\n\nAssistant:", "'chosen', turn 2 is empty"),
        ("Blue.", "'chosen' does not open with 'Human:'"),
        (HH_REJECTED, "'chosen' and 'rejected' are identical"),
    ],
)
def test_a_transcript_that_does_not_share_its_prompt_fails(chosen: str, expected: str) -> None:
    assert reason({"chosen": chosen, "rejected": HH_REJECTED}, beside=HH_GOOD) == expected


def test_the_same_pair_under_opposite_labels_fails_both_rows() -> None:
    other = {"prompt": "Name a number.", "chosen": "Seven.", "rejected": "Blue."}
    dataset = read(GOOD, other, GOOD | {"chosen": "Seven.", "rejected": "Blue."})
    assert [pair.prompt for pair in dataset.pairs] == [build_user_prompt("Name a number.")]
    assert [(failure.location, failure.reason) for failure in dataset.failures] == [
        ("pairs.jsonl:1", "the same pair with opposite labels"),
        ("pairs.jsonl:3", "the same pair with opposite labels"),
    ]


def test_the_same_pair_twice_is_kept_once() -> None:
    assert reason(GOOD) == "repeated: the same pair came before"


def test_a_repeated_pair_keeps_the_label_that_one_row_has() -> None:
    row = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
    dataset = read(row | {"label": ""}, row | {"label": "a"})
    assert dataset.pairs == (BLUE_FIRST,)
    assert len(dataset.failures) == 1


def test_responses_without_their_prompt_are_refused_at_the_door() -> None:
    rows = [{"question": "Q", "chosen": f"Yes, {n} it is.", "rejected": f"No, {n} it is not."} for n in range(9)]
    with pytest.raises(DataError, match="do not begin with a shared prompt, and 'prompt' is missing") as caught:
        read(*rows)
    assert "columns found: question, chosen, rejected" in str(caught.value)


def test_columns_that_fit_no_layout_are_named_with_the_accepted_ones() -> None:
    with pytest.raises(DataError) as caught:
        read({"prompt": PRIVATE, "choosen": PRIVATE, "rejected": PRIVATE})
    message = str(caught.value)
    assert message.startswith("pairs.jsonl: no layout fits; columns found: prompt, choosen, rejected; did you mean")
    assert "'chosen' for choosen" in message
    assert "accepted: prompt, chosen, rejected (text or messages)" in message
    assert PRIVATE not in message


def test_a_column_name_that_may_be_text_is_not_repeated() -> None:
    with pytest.raises(DataError, match=re.escape("columns found: (a name of 14 characters)")):
        read({PRIVATE: "x"})


def test_a_forced_layout_names_the_column_it_lacks() -> None:
    with pytest.raises(DataError, match="layout 'explicit' lacks the column 'prompt'"):
        read({"chosen": HH_CHOSEN, "rejected": HH_REJECTED}, layout="explicit")


def test_two_label_columns_are_refused() -> None:
    row = {"prompt": "Hi", "response_a": "Blue.", "response_b": "Seven.", "label": "a", "winner": "b"}
    with pytest.raises(DataError, match="'label' and 'winner' could both be the label"):
        read(row)


def test_a_source_without_one_usable_row_is_refused_with_its_commonest_reasons() -> None:
    rows: list[dict[str, Any]] = [GOOD | {"chosen": ""}, GOOD | {"chosen": ""}, GOOD | {"rejected": 7}]
    expected = "none of the 3 rows can be used, first pairs.jsonl:1: 'chosen' is empty (2 rows); 'rejected' is 7"
    with pytest.raises(DataError, match=re.escape(expected)):
        read(*rows)


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
    dataset = read(CONTEXT)
    assert dataset.pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)
    assert dataset.layout == "preference, messages, explicit prompt"


def test_a_context_in_words_does_not_count_as_the_prompt() -> None:
    dataset = read({"context": "from a forum", "chosen": HH_CHOSEN, "rejected": HH_REJECTED})
    assert dataset.pairs == (Pair.from_responses(HH_PROMPT, "Blue.", "Seven.", "first"),)
    assert dataset.layout == "preference, transcript, implicit prompt"


@pytest.mark.parametrize("row", [CONTEXT, {"chosen": HH_CHOSEN, "rejected": HH_REJECTED}])
def test_the_last_turn_alone_keeps_the_responses_and_the_label(row: dict[str, Any]) -> None:
    dataset = build_dataset([SourceRow(where="p:1", cells=row)], "p", turns="last")
    assert dataset.pairs == (BLUE_FIRST,)
    assert dataset.layout.endswith(", last turn alone")


def test_rows_that_differ_before_the_last_turn_alone_become_one_pair() -> None:
    other = CONTEXT | {"context": CONTEXT["context"][-1:]}
    dataset = build_dataset(
        [SourceRow(location=f"p:{n}", cells=row) for n, row in enumerate((CONTEXT, other))], "p", turns="last"
    )
    assert dataset.pairs == (BLUE_FIRST,)
    assert [failure.reason for failure in dataset.failures] == ["repeated: the same pair came before"]


def test_the_better_of_two_safe_responses_is_preferred() -> None:
    dataset = read(SAFE)
    assert dataset.pairs == (BLUE_FIRST,)
    assert dataset.layout == "two responses, the better where both are safe and else the safer"


@pytest.mark.parametrize("unsafe", [["is_response_0_safe"], ["is_response_0_safe", "is_response_1_safe"]])
def test_where_a_response_is_unsafe_the_safer_one_is_preferred(unsafe: list[str]) -> None:
    (pair,) = read(SAFE | dict.fromkeys(unsafe, False) | {"safer_response_id": 1, "better_response_id": 0}).pairs
    assert pair == BLUE_FIRST


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"better_response_id": 2}, "'better_response_id' is 2; right are 0 and 1, for response_0 and response_1"),
        (
            {"better_response_id": True},
            "'better_response_id' is True; right are 0 and 1, for response_0 and response_1",
        ),
        ({"is_response_0_safe": 1}, "'is_response_0_safe' is 1, true or false is needed"),
        ({"response_0": "Blue."}, "'response_0' and 'response_1' are identical"),
    ],
)
def test_a_row_whose_safety_is_unclear_fails(cells: dict[str, Any], said: str) -> None:
    assert reason(SAFE | cells, beside=SAFE) == said


def test_without_its_safety_columns_the_layout_is_refused() -> None:
    with pytest.raises(DataError, match="layout 'safety' lacks the column 'is_response_0_safe', 'is_response_1_safe'"):
        read({"prompt": "Hi", "response_0": "Blue.", "response_1": "Seven."}, layout="safety")

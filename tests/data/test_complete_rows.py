"""No part of a row disappears: it is read, or the row fails with the part's name."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.dataset_builder import build_dataset
from trimtab.data.parsing.rows import SourceRow
from trimtab.types import Dataset, Message, Pair, Prompt, build_user_prompt

GOOD = {"prompt": "Hi", "chosen": "Yes.", "rejected": "No."}
ROW = {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "Seven."}
USER = {"role": "user", "content": "Name a color."}
BLUE, SEVEN = ({"role": "assistant", "content": text} for text in ("Blue.", "Seven."))
CALL = [{"type": "function", "function": {"name": "delete", "arguments": "{}"}}]
EARLIER = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
SYSTEM = Message(role="system", content="Be brief.")
QUESTION: Prompt = build_user_prompt("Name a color.")
HISTORY: Prompt = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello!"))
BLUE_PREFERRED = Pair.from_responses(QUESTION, "Blue.", "Seven.", "first")


def parse(*rows: dict[str, Any], **names: Any) -> Dataset:
    numbered = [SourceRow(location=f"p:{number}", cells=row) for number, row in enumerate(rows, start=1)]
    return build_dataset(numbered, "p", columns=ColumnSettings(names=names))  # type: ignore[arg-type]


def parse_prompt(row: dict[str, Any]) -> Prompt:
    (pair,) = parse(row).pairs
    return pair.prompt


def failure_reason(row: dict[str, Any]) -> str:
    (failure,) = parse(GOOD, row).failures
    return failure.reason


@pytest.mark.parametrize("part", ["function_call", "reasoning_content", "images", "audio"])
@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
def test_a_turn_that_is_more_than_its_text_fails(part: str, column: str) -> None:
    messages = {"prompt": [*EARLIER, USER], "chosen": [BLUE], "rejected": [SEVEN]}
    turns = messages[column]
    row = messages | {column: [*turns[:-1], turns[-1] | {part: CALL}]}
    reason = failure_reason(row)
    assert reason == f"{column!r}, turn {len(turns)} has {part!r}, which is not read; expected turns of text only"
    assert parse(messages | {column: [*turns[:-1], turns[-1] | {part: None}]}).failures == ()


@pytest.mark.parametrize(("name", "value"), [("images", ["a.png"]), ("image", {"bytes": "x"}), ("functions", "[{}]")])
def test_a_column_of_media_or_functions_fails_the_row_unless_it_is_empty(name: str, value: Any) -> None:
    assert failure_reason(ROW | {name: value}).startswith(f"{name!r} is not empty: ")
    empties: tuple[Any, ...] = (None, [], "", "[]")
    for empty in empties:
        assert parse(ROW | {name: empty}).pairs == (BLUE_PREFERRED,)


def test_text_parts_are_joined_and_other_parts_fail() -> None:
    def build(*parts: Any) -> dict[str, Any]:
        return ROW | {"prompt": [{"role": "user", "content": list(parts)}]}

    assert parse_prompt(build({"type": "text", "text": "Name "}, {"type": "text", "text": "a color."})) == QUESTION
    reason = failure_reason(build({"type": "text", "text": "Look."}, {"type": "image", "image": "x"}))
    assert (
        reason
        == "'prompt', turn 1 has a part of the type 'image', which Trimtab does not read; expected text parts only"
    )


@pytest.mark.parametrize("name", ["system", "system_prompt"])
@pytest.mark.parametrize("row", [ROW, {"chosen": [USER, BLUE], "rejected": [USER, SEVEN]}, ROW | {"prompt": [USER]}])
def test_a_system_column_is_the_system_turn(row: dict[str, Any], name: str) -> None:
    assert parse_prompt(row | {name: "Be brief."}) == (SYSTEM, *QUESTION)
    assert parse_prompt(row | {name: ""}) == QUESTION


def test_rows_that_differ_by_the_system_prompt_are_different_pairs() -> None:
    swapped = ROW | {"chosen": "Seven.", "rejected": "Blue."}
    dataset = parse(ROW | {"system": "Be right."}, swapped | {"system": "Be wrong."})
    assert (len(dataset.pairs), dataset.failures) == (2, ())


def test_two_different_system_prompts_fail() -> None:
    row = ROW | {"prompt": [{"role": "system", "content": "Be long."}, USER], "system": "Be brief."}
    assert failure_reason(row) == "'system' differs from the system turn of the prompt; keep one of them"


@pytest.mark.parametrize("history", [[["Hi", "Hello!"]], '[["Hi", "Hello!"]]', EARLIER])
def test_a_history_column_holds_the_earlier_turns(history: Any) -> None:
    assert parse_prompt(ROW | {"history": history, "system": "Be brief."}) == (SYSTEM, *HISTORY, *QUESTION)


def test_an_unreadable_history_fails_unless_it_is_not_read() -> None:
    row = ROW | {"history": "once upon a time"}
    assert failure_reason(row).startswith(
        "'history' is a text of 16 characters; expected messages or [user, assistant] pairs"
    )
    assert parse(row, history=None).pairs == (BLUE_PREFERRED,)


def test_whole_conversations_with_a_history_fail() -> None:
    row = {"chosen": [USER, BLUE], "rejected": [USER, SEVEN], "history": [["Hi", "Hello!"]]}
    assert failure_reason(row).startswith("the responses are whole conversations, and 'history' has earlier turns")


@pytest.mark.parametrize("prompt", ["Hi", "Name a color.", [USER]])
def test_conversations_with_more_turns_than_the_prompt_are_the_prompt(prompt: Any) -> None:
    row = {"prompt": prompt, "chosen": [*EARLIER, USER, BLUE], "rejected": [*EARLIER, USER, SEVEN]}
    assert parse_prompt(row) == (*HISTORY, *QUESTION)


def test_conversations_without_the_prompt_fail_and_name_the_layout() -> None:
    row = {"prompt": "Other?", "chosen": [*EARLIER, USER, BLUE], "rejected": [*EARLIER, USER, SEVEN]}
    assert failure_reason(row).endswith("to use the conversations alone, set `layout: implicit`")


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("<|im_start|>user\nHi<|im_end|>", "<|im_start|>"),
        ("<|start_header_id|>user<|end_header_id|>\n\nHi", "<|start_header_id|>"),
        ("<start_of_turn>user\nHi", "<start_of_turn>user"),
        ("<|user|>\nHi", "<|user|>"),
        ("<s>[INST] Hi [/INST]", "<s>[INST]"),
        ("<\uff5cUser\uff5c>Hi", "<\uff5cUser\uff5c>"),
        ("Fine.<|eot_id|>\n", "<|eot_id|>"),
    ],
)
@pytest.mark.parametrize("column", ["prompt", "chosen"])
def test_text_in_the_marks_of_a_chat_template_fails(text: str, mark: str, column: str) -> None:
    reason = failure_reason(ROW | {column: text})
    assert reason == f"{column!r} contains {mark}, a mark of a chat template; use plain text or messages"


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("Below is an instruction.\n\n### Instruction:\nName a color.\n\n### Response:\n", "### Response:"),
        ("### User:\nName a color.\n\n### Assistant:\n", "### Assistant:"),
        ("BEGINNING OF CONVERSATION: USER: Name a color. ASSISTANT:", "ASSISTANT:"),
    ],
)
def test_a_prompt_that_ends_with_the_heading_of_an_answer_fails(text: str, heading: str) -> None:
    reason = failure_reason(ROW | {"prompt": text})
    assert reason == (
        f"'prompt' ends with {heading!r}, the heading of an answer in a chat template; use plain text or messages"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Explain </s>, <b>, [INST] and what <|im_end|> means.",
        "What does ### Response: mean?",
        "Write the job description of an ASSISTANT:",
    ],
)
def test_text_about_markup_is_read(text: str) -> None:
    assert parse_prompt(ROW | {"prompt": text}) == build_user_prompt(text)


def test_helpsteer_prompts_are_split_into_turns() -> None:
    text = "Hi\n<extra_id_1>Assistant\nHello!\n<extra_id_1>User\nName a color."
    assert parse_prompt(ROW | {"prompt": text}) == (*HISTORY, *QUESTION)


@pytest.mark.parametrize(
    "prompt",
    [
        {"role": ["user"], "content": ["Name a color."]},
        {"from": ["human"], "value": ["Name a color."], "weight": None},
        [{"role": "user", "content": "Name a color.", "from": None, "value": None}],
        [{"role": None, "content": None, "from": "human", "value": "Name a color."}],
    ],
)
def test_null_keys_are_absent_and_lists_in_an_object_are_messages(prompt: Any) -> None:
    assert parse_prompt(ROW | {"prompt": prompt}) == QUESTION


def test_values_that_are_not_a_number_are_absent() -> None:
    nan = float("nan")
    row = ROW | {"system": nan, "history": nan, "images": nan, "tools": nan, "response_a": nan, "response_b": nan}
    assert parse_prompt(row) == QUESTION
    message = {"role": "user", "content": "Name a color.", "from": nan, "tool_calls": nan}
    assert parse_prompt(ROW | {"prompt": [message]}) == QUESTION
    two = {"prompt": "Name a color.", "response_a": "Blue.", "response_b": "Seven.", "chosen": nan, "rejected": nan}
    (pair,) = parse(two | {"label": nan}).pairs
    assert pair.human is None


def test_lists_of_different_lengths_are_not_messages() -> None:
    reason = failure_reason(ROW | {"prompt": {"role": ["user", "assistant"], "content": ["Hi"]}})
    assert reason == "'prompt' is an object of lists of different lengths, expected messages"


def test_transcripts_with_windows_line_ends_are_read() -> None:
    text = "\r\n\r\nHuman: Hi\r\n\r\nAssistant: Hello!\r\n\r\nHuman: Name a color.\r\n\r\nAssistant: "
    assert parse_prompt({"chosen": f"{text}Blue.", "rejected": f"{text}Seven."}) == (*HISTORY, *QUESTION)
    assert parse_prompt(ROW | {"prompt": text.rstrip(" ")}) == (*HISTORY, *QUESTION)

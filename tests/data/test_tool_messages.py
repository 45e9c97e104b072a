"""Rows with tools: calls, results and definitions are read, or the row fails with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab.core.tool_calls import append_tool_calls, build_tool_call
from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.dataset_builder import PromptTurns, build_dataset
from trimtab.data.parsing.rows import SourceRow
from trimtab.types import Dataset, Message

GOOD = {"prompt": "Hi", "chosen": "Yes.", "rejected": "No."}
USER: dict[str, Any] = {"role": "user", "content": "Weather in Oslo and Rome?"}
CALLS: list[dict[str, Any]] = [
    {"id": f"c{number}", "type": "function", "function": {"name": "weather", "arguments": {"town": town}}}
    for number, town in ((1, "Oslo"), (2, "Rome"))
]
ASSISTANT = {"role": "assistant", "content": "I look.", "tool_calls": CALLS}
RESULTS = [{"role": "tool", "tool_call_id": f"c{n}", "name": "weather", "content": f"{n} C"} for n in (1, 2)]
ROW: dict[str, Any] = {"prompt": [USER, ASSISTANT, *RESULTS], "chosen": "1 and 2.", "rejected": "No idea."}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "default": None}}}]
WRITTEN = append_tool_calls(
    "I look.", [build_tool_call("weather", {"town": town}, call) for call, town in (("c1", "Oslo"), ("c2", "Rome"))]
)
PROMPT = (
    Message(role="user", content=USER["content"]),
    Message(role="assistant", content=WRITTEN),
    Message(role="tool", content="1 C"),
    Message(role="tool", content="2 C"),
)


def parse(*rows: dict[str, Any], turns: PromptTurns = "all", **names: Any) -> Dataset:
    numbered = [SourceRow(location=f"p:{number}", cells=row) for number, row in enumerate(rows, start=1)]
    return build_dataset(numbered, "p", columns=ColumnSettings(names=names), turns=turns)  # type: ignore[arg-type]


def failure_reason(row: dict[str, Any]) -> str:
    (failure,) = parse(GOOD, row).failures
    return failure.reason


def change_prompt(index: int, **changes: Any) -> dict[str, Any]:
    turns = [turn | changes if number == index else turn for number, turn in enumerate(ROW["prompt"])]
    return ROW | {"prompt": turns}


def in_json(call: dict[str, Any]) -> dict[str, Any]:
    return call | {"function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"])}}


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        change_prompt(1, tool_calls=list(map(in_json, CALLS))),
        change_prompt(1, tool_calls=json.dumps(CALLS)),
        change_prompt(1, tool_calls=[{"id": call["id"], **call["function"]} for call in CALLS]),
        change_prompt(3, tool_call_id=None, name=None),
        {"chosen": [*ROW["prompt"], {"role": "assistant", "content": "1 and 2."}],
         "rejected": [*ROW["prompt"], {"role": "assistant", "content": "No idea."}]},
    ],
)  # fmt: skip
def test_calls_and_results_are_turns_of_the_prompt(row: dict[str, Any]) -> None:
    (pair,) = parse(row).pairs
    assert pair.prompt == PROMPT


def test_a_response_keeps_its_calls() -> None:
    other = [CALLS[0] | {"function": {"name": "delete_all", "arguments": "{}"}}]
    row = {"prompt": [USER], "chosen": [ASSISTANT | {"content": None}], "rejected": [ASSISTANT | {"tool_calls": other}]}
    (pair,) = parse(row).pairs
    assert {pair.a, pair.b} == {
        WRITTEN.removeprefix("I look.\n"),
        'I look.\n<tool_call name="delete_all" id="c1">{}</tool_call>',
    }


def test_definitions_are_the_first_turn() -> None:
    for tools in (TOOLS, [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]):
        first, second = parse(ROW | {"tools": tools, "system": "Be brief."}).pairs[0].prompt[:2]
        assert (first.role, second.role) == ("tools", "system")
        assert json.loads(first.content)[0]["function"]["parameters"] == {"type": "object"}  # null keys are absent
    (pair,) = parse(ROW | {"tools": json.dumps(TOOLS)}).pairs
    assert json.loads(pair.prompt[0].content) == TOOLS  # but JSON text is unchanged
    assert parse(ROW | {"tools": TOOLS}, tools=None).pairs[0].prompt == PROMPT
    assert parse(ROW | {"tools": []}).pairs[0].prompt == PROMPT


def test_the_last_turn_of_a_prompt_has_its_calls_and_results() -> None:
    earlier = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    row = ROW | {"prompt": [*earlier, *ROW["prompt"]], "tools": TOOLS}
    assert parse(row, turns="last").pairs[0].prompt == PROMPT


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (change_prompt(0, tool_calls=CALLS), "turn 1 has 'tool_calls', which is not read"),
        (change_prompt(1, function_call={"name": "x"}), "turn 2 has 'function_call', which is not read"),
        (change_prompt(1, tool_calls="?"), "turn 2 has a tool call or definition whose text is not JSON"),
        (change_prompt(1, tool_calls={"id": ["c1"]}), "turn 2 has 'tool_calls' that are a dict of 1"),
        (change_prompt(1, tool_calls=["weather"]), "turn 2 has a tool call without a function name"),
        (change_prompt(1, tool_calls=[{"name": "weather", "arguments": "[]"}]), "are not a JSON object"),
        (change_prompt(1, tool_calls=[{"name": "the weather"}]), "a name or an id of a tool call"),
        (change_prompt(2, tool_call_id="c2"), "turn 3 is the result of another tool call"),
        (change_prompt(2, name="delete_all"), "turn 3 is the result of another tool call"),
        (change_prompt(1, tool_calls=CALLS[:1]), "turn 4 is the result of another tool call"),
        (change_prompt(1, tool_calls=None), "turn 3 is the result of another tool call"),
        (
            {"prompt": [USER, {"role": "assistant", "content": "I look."}, {"role": "tool", "content": "1"}]},
            "more tool results",
        ),
        ({"prompt": [*ROW["prompt"], USER]}, "does not alternate"),
        ({"prompt": [*ROW["prompt"][:2]]}, "ends with an assistant turn"),
        ({"tools": "weather"}, "'tools' has a tool call or definition whose text is not JSON"),
        ({"tools": ["weather"]}, "'tools' is a list of 1, expected a list of tool definitions"),
        ({"tools": [{"type": "function"}]}, "'tools' has a tool definition without a name"),
        ({"functions": TOOLS}, "'functions' is not empty: expected tool definitions in the column 'tools'"),
    ],
)  # fmt: skip
def test_other_rows_with_tools_fail_with_the_reason(row: dict[str, Any], reason: str) -> None:
    assert reason in failure_reason(ROW | row)

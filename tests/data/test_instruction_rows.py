"""Rows with one response become instructions, and every other row is counted with the reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.data.instructions import InstructionSource
from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.instruction_rows import parse_instruction
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.errors import DataError, StudyError
from trimtab.sources.concat import Concat
from trimtab.sources.file import File
from trimtab.sources.hub import Hub
from trimtab.types import Message, build_user_prompt

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "sft_alpaca_claude_5k.jsonl.gz"
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


@pytest.mark.parametrize(
    ("cells", "columns", "prompt", "response"),
    [
        ({"prompt": "Name a color.", "response": "Blue."}, {}, "Name a color.", "Blue."),
        ({"instruction": "Add.", "input": "1 and 2", "output": "3"}, {}, "Add.\n\n1 and 2", "3"),
        ({"instruction": "Name a color.", "input": "", "output": "Blue."}, {}, "Name a color.", "Blue."),
        ({"prompt": "Name a color.", "completion": "Blue.", "response": None}, {}, "Name a color.", "Blue."),
        (
            {"question": "Name a color.", "answer": "Blue."},
            {"prompt": "question", "response": "answer"},
            "Name a color.",
            "Blue.",
        ),
        ({"messages": TURNS}, {}, "Hi", "Hello!"),
        ({"prompt": TURNS[:1], "response": "Hello!", "written_by": "someone"}, {}, "Hi", "Hello!"),
    ],
)
def test_public_forms_and_own_columns_give_one_instruction(
    cells: dict[str, Any], columns: dict[Any, Any], prompt: str, response: str
) -> None:
    instruction = parse_instruction(cells, ColumnSettings(names=columns))
    assert (instruction.prompt, instruction.response) == (build_user_prompt(prompt), response)


def test_a_system_prompt_is_part_of_the_prompt() -> None:
    instruction = parse_instruction({"system": "Be brief.", "prompt": "Hi", "response": "Hello!"})
    assert instruction.prompt[0] == Message(role="system", content="Be brief.")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (
            {"prompt": "Hi"},
            "its columns have no response: prompt; expected prompt and response, instruction and output",
        ),
        ({"response": "Hello!"}, "its columns have no prompt: response"),
        ({"prompt": "Hi", "response": 3}, "'response' is 3, expected text"),
        ({"messages": TURNS[:1]}, "'messages' does not end with an assistant turn"),
        ({"prompt": TURNS, "response": "Hello!"}, "'prompt' ends with an assistant turn"),
        ({"prompt": "Hi", "response": "Hello!", "image": "x.png"}, "'image' is not empty: Trimtab reads only text"),
    ],
)
def test_a_row_without_an_instruction_has_a_reason(cells: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        parse_instruction(cells)


def test_a_file_gives_each_instruction_once_and_a_sample_by_seed(tmp_path: Path) -> None:
    rows = [
        *({"prompt": f"Say {n}", "response": f"{n}"} for n in range(8)),
        {"prompt": "Say 3", "response": "3"},
        {"prompt": ""},
    ]
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as stream:
        stream.write("\n".join(map(json.dumps, rows)))
    dataset = File(path=str(path)).load_instructions()
    assert [each.response for each in dataset.instructions] == [str(n) for n in range(8)]
    assert [(failure.kind, failure.row) for failure in dataset.failures] == [("duplicate", 9), ("failed", 10)]
    samples = [
        {each.response for each in File(path=str(path), limit=4, seed=seed).load_instructions().instructions}
        for seed in (1, 1, 2)
    ]
    assert samples[0] == samples[1] != samples[2]
    assert {len(sample) for sample in samples} == {4}


def test_a_file_without_instructions_is_an_error_that_quotes_no_text(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "secret", "chosen": "a", "rejected": "b"}) + "\n")
    with pytest.raises(
        DataError, match=r"none of the 1 rows is usable as an instruction, starting with .*:1: its columns"
    ) as caught:
        File(path=str(path)).load_instructions()
    assert "secret" not in str(caught.value)


def test_sources_of_rows_can_be_read_as_instructions_and_others_are_refused_in_the_study() -> None:
    assert isinstance(File(path="x"), InstructionSource)
    assert isinstance(Hub(id="x"), InstructionSource)
    assert not isinstance(Concat(sources=(File(path="x"), File(path="y"))), InstructionSource)
    study = "name: x\ndata: starter\nmodels: {weak: smollm2-135m-instruct, student: smollm2-135m-instruct}"
    for value, message in {
        "starter": "must be human_chosen, arm_chosen or a source of prompts and responses, got 'starter'",
        "{kind: starter}": "starter has pairs of responses; expected a source of prompts and responses: file or hub",
        "{kind: file, path: a, rating_column: r}": "rating_column: unused, since each row has one response",
    }.items():
        with pytest.raises(StudyError, match=r"^training\.sft_data") as caught:
            Study.parse(study, [f"training.sft_data={value}"])
        assert message in str(caught.value)
    source = Study.parse(study, ["training.sft_data={kind: file, path: a, limit: 5}"])
    assert Study.parse(source.to_yaml()) == source


@pytest.mark.skipif(not SHARED.is_file(), reason=f"needs {SHARED}")
def test_a_real_instruction_file_is_read() -> None:
    dataset = File(path=str(SHARED)).load_instructions()
    assert len(dataset.instructions) + len(dataset.failures) == 5301
    assert len(dataset.instructions) > 5200

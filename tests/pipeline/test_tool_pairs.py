"""Pairs with tools are used by models whose chat template renders them, and counted as unusable for other models."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.runtime import Runtime
from trimtab.data.split import SplitSettings
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.pipeline.stage_scheduler import execute_stages
from trimtab.pipeline.stages.logprobs import compute_pair_logprobs
from trimtab.pipeline.stages.split import split_stage
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.workflows.annotate_file import annotate_file

TEMPLATE = (
    "{% for tool in tools or [] %}{{ '<s>' + tool | tojson + '</s>' }}{% endfor %}"
    "{% for m in messages %}{{ '<s>' + m.role + ' ' + m.content }}"
    "{% for call in m.tool_calls or [] %}{{ ' ' + call.function | tojson }}{% endfor %}{{ '</s>' }}{% endfor %}"
)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"town": "Oslo"}}}
TOOL_ROWS: list[dict[str, Any]] = [
    {
        "tools": TOOLS,
        "prompt": [
            {"role": "user", "content": f"Weather {number}?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
            {"role": "tool", "content": f"{number} C"},
        ],
        "chosen": f"It is {number} degrees.",
        "rejected": [{"role": "assistant", "content": "Again.", "tool_calls": [CALL]}],
    }
    for number in range(3)
]
PLAIN_ROWS = [{"prompt": f"Say {number}.", "chosen": f"{number}, gladly", "rejected": "No."} for number in range(6)]
MARKED = {"prompt": "Say this.", "chosen": "### User:\nHi", "rejected": "No."}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def split(path: Path, model: Model, folder: Path, runtime: Runtime) -> Any:
    stage = split_stage({"all": File(path=str(path))}, SplitSettings(labeled=0.5, test=0.2), 4000, {"weak": model})
    artifacts: dict[str, Artifact] = {}
    execute_stages([stage], Store(folder), runtime, artifacts, lambda *_: None)
    return artifacts[stage.fingerprint].record["facts"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", [*TOOL_ROWS, *PLAIN_ROWS, MARKED])


@pytest.fixture
def tool_model(tiny_model: Path, tmp_path: Path) -> Model:
    template = tmp_path / "tools.jinja"
    template.write_text(TEMPLATE)
    return Model(base=str(tiny_model), chat_template=str(template))


def test_a_split_counts_pairs_that_the_template_cannot_render(
    pairs: Path, tiny_model: Path, tool_model: Model, runtime: Runtime, tmp_path: Path
) -> None:
    facts = split(pairs, Model(base=str(tiny_model)), tmp_path / "plain", runtime)
    assert (sum(facts["pairs"].values()), facts["failures"]) == (7, 3)
    assert "rejects a conversation with tools" in next(iter(facts["reasons"]))
    facts = split(pairs, tool_model, tmp_path / "tools", runtime)
    assert (sum(facts["pairs"].values()), facts["failures"]) == (10, 0)


def test_a_split_of_only_such_pairs_is_an_error_with_the_reason(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "tools.jsonl", TOOL_ROWS)
    with pytest.raises(DataError, match=r"none of the 3 pairs is usable: .*rejects a conversation with tools"):
        split(path, Model(base=str(tiny_model)), tmp_path / "run", runtime)


def test_a_split_reports_texts_that_look_like_turns(
    pairs: Path, tiny_model: Path, runtime: Runtime, tmp_path: Path, notices: list[str]
) -> None:
    split(pairs, Model(base=str(tiny_model)), tmp_path / "run", runtime)
    assert [notice for notice in notices if "between turns" in notice] == [
        "1 of 7 pairs contain text that the weak model's chat template writes between turns, such as '### User:'; the model "
        "may read it as the start of a turn"
    ]


def test_log_probabilities_of_such_pairs_are_missing_with_the_reason(
    pairs: Path, tiny_model: Path, tool_model: Model, runtime: Runtime
) -> None:
    dataset = File(path=str(pairs)).load()
    plain = ModelRef(Model(base=str(tiny_model))).lazy(print, "cpu")
    scores = compute_pair_logprobs(plain, dataset.pairs, runtime)
    missing = [score for score in scores.values() if math.isnan(score.a)]
    assert len(missing) == 3
    assert all("rejects a conversation with tools" in score.note for score in missing)
    scores = compute_pair_logprobs(ModelRef(tool_model).lazy(print, "cpu"), dataset.pairs, runtime)
    assert all(math.isfinite(score.a) and math.isfinite(score.b) for score in scores.values())


def test_labels_in_the_format_of_trl_have_structured_calls_and_are_read_as_the_same_pairs(
    pairs: Path, runtime: Runtime, tmp_path: Path
) -> None:
    output = tmp_path / "labels.jsonl"
    annotate_file(pairs, "length", (), None, output, runtime, label_format="trl")
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    first = rows[0]
    assert json.loads(first["tools"]) == TOOLS
    assert [message["role"] for message in first["prompt"]] == ["user", "assistant", "tool"]
    assert first["prompt"][1]["tool_calls"] == [CALL]
    assert first["prompt"][2] == {"role": "tool", "name": "weather", "content": "0 C"}
    assert [CALL] in [first[side][0].get("tool_calls") for side in ("chosen", "rejected")]
    before, after = (File(path=str(path)).load() for path in (pairs, output))
    assert [pair.id for pair in before.pairs] == [pair.id for pair in after.pairs]

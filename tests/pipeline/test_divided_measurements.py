"""Any number of processes, one of them killed, write KL and the scores of a custom scorer as one process does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest
from run_results import wait_until

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_scheduler import StageScheduler
from trimtab.pipeline.stages import kl, score
from trimtab.storage.artifacts import Draft, Store
from trimtab.storage.chunks import ChunkTable
from trimtab.storage.schemas import COMPLETION_SCHEMA, SAMPLED_TOKENS_SCHEMA, completion_to_row
from trimtab.storage.stage_locks import StageLocks
from trimtab.types import Completion, Score, build_user_prompt, prompt_hash

ROWS_PER_CHUNK = 2
PROMPTS = [build_user_prompt("very " * (n % 4) + f"long question {n}?") for n in range(6 * ROWS_PER_CHUNK + 1)]


class Lengths(Component):
    """Scores a response by its length."""

    INDEPENDENT: ClassVar[bool] = True

    def content_hash(self) -> str:
        return "lengths"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        del runtime
        assert 0 < len(completions) <= ROWS_PER_CHUNK
        return [Score(prompt_id=item.prompt_id, value=float(len(item.text))) for item in completions]


def write_completions(draft: Draft, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
    del inputs, runtime
    completions, tokens = [], []
    for number, prompt in enumerate(PROMPTS):
        id_ = prompt_hash(prompt)
        completion = Completion(
            prompt_id=id_, prompt=prompt, text="a" * (number % 5), n_tokens=number % 5 + 1, finish_reason="end"
        )
        completions.append(completion_to_row(completion))
        tokens.append({"id": id_, "token_ids": [40] * (number % 5) + [1], "logprob": -1.0 * number})
    draft.write_rows("completions", completions, COMPLETION_SCHEMA)
    draft.write_rows("sampled_tokens", tokens, SAMPLED_TOKENS_SCHEMA)
    return {}


def execute(kind: str, folder: Path, model: str, runtime: Runtime) -> None:
    """Executes the stage, or computes chunks for the process that executes it."""
    completions = Stage(name="generate", kind="generate", execute=write_completions)
    stage = (
        kl.kl_stage("kl.x", Model(base=model, dtype="float32"), completions)
        if kind == "kl"
        else score.score_stage("score.x.lengths", Lengths(), completions, None)
    )
    StageScheduler(
        source=StageCache(Store(folder), None, {}, runtime),
        on_stage_start=lambda *_: None,
        locks=StageLocks(folder),
    ).execute([completions, stage])


def execute_with_others(kind: str, folder: Path, model: str, meeting: Path, num_processes: int, *, dies: bool) -> None:
    """Saves no chunk until so many processes have computed one; then saves it, or is killed."""
    save, marker = ChunkTable.save, meeting / str(os.getpid())

    def meet_and_save(table: ChunkTable, start: int, content: bytes) -> None:
        if not marker.exists():
            marker.touch()
            wait_until(lambda: len(list(meeting.iterdir())) >= num_processes, 300)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
        save(table, start, content)

    ChunkTable.save = meet_and_save  # type: ignore[assignment,method-assign]
    kl.KL_CHUNK = score.SCORES_PER_CHUNK = ROWS_PER_CHUNK
    runtime = Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)
    execute(kind, folder, model, runtime)


@pytest.mark.parametrize("num_processes", [1, 2, 3])
@pytest.mark.parametrize("kind", [pytest.param("kl", marks=pytest.mark.slow), "score"])
def test_processes_of_which_one_is_killed_write_the_bytes_of_one_process(
    kind: str,
    num_processes: int,
    tiny_model: Path,
    tmp_path: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone, run, meeting = (tmp_path / name for name in ("alone", "run", "meeting"))
    for folder in (alone, run, meeting):
        folder.mkdir()
    monkeypatch.setattr(kl, "KL_CHUNK", ROWS_PER_CHUNK)
    monkeypatch.setattr(score, "SCORES_PER_CHUNK", ROWS_PER_CHUNK)
    execute(kind, alone, str(tiny_model), runtime)

    def start(role: str) -> subprocess.Popen[bytes]:
        arguments = [kind, str(run), str(tiny_model), str(meeting), str(num_processes), role]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, str(Path(__file__)), *arguments], env=environment)

    victim, others = start("dies"), [start("works") for _ in range(num_processes - 1)]
    assert victim.wait(600) == -signal.SIGKILL
    others.append(start("works"))
    assert [process.wait(600) for process in others] == [0] * num_processes
    (expected,), (found,) = ([*folder.glob(f"stages/{kind}.*/*.parquet")] for folder in (alone, run))
    assert found.read_bytes() == expected.read_bytes()
    assert {path.name for path in found.parent.iterdir()} == {found.name, "record.json"}


if __name__ == "__main__":
    kind, run, model, meeting, num_processes, role = sys.argv[1:]
    execute_with_others(kind, Path(run), model, Path(meeting), int(num_processes), dies=role == "dies")

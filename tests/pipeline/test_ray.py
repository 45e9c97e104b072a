"""Workers in a Ray cluster: each stage once, with the results of a single process, and clear errors for unfit clusters."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock
import pytest
from run_results import list_results, wait_until

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import ClusterError
from trimtab.pipeline import ray_pool
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.ray_actor import NodeRequirements
from trimtab.pipeline.ray_pool import RayPool, require_ray
from trimtab.storage.artifacts import Store

SCENARIOS = Path(__file__).with_name("ray_scenarios.py")
# Ray gives a node 15 seconds to start, which a busy machine can exceed.
SLOW_START = "The current node timed out during startup"


def _find_reason_against_clusters() -> str:
    """Why no cluster can be started here, or an empty text. Its servers need a network of their own."""
    if importlib.util.find_spec("ray") is None:
        return "ray is not installed"
    if shutil.which("unshare") is None:
        return "needs unshare, for a network without other hosts"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"], capture_output=True, check=False
    )
    return "" if done.returncode == 0 else f"cannot create a network namespace: {done.stderr.decode().strip()}"


needs_clusters = pytest.mark.skipif(
    bool(_find_reason_against_clusters()), reason=_find_reason_against_clusters() or "clusters can be started"
)


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """Ray's sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        yield folder


def run_scenario(ray_folder: str, *arguments: str | Path) -> dict[str, Any]:
    """Runs a function of `ray_scenarios` in a namespace that has only a loopback interface, and returns its result."""
    command = f'ip link set lo up && exec "{sys.executable}" "{SCENARIOS}" "$@"'
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", command, "sh", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_TMPDIR": ray_folder, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if SLOW_START in done.stderr:
        pytest.skip("Ray's node did not start in time: the machine is too busy")
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@needs_clusters
def test_workers_of_which_one_is_killed_and_one_loses_its_node_give_the_results_of_one_process(
    tiny_study: str, finished_run: Path, tmp_path: Path, ray_folder: str
) -> None:
    study, run = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(tiny_study)
    found = run_scenario(ray_folder, "lose_workers", study, run)
    assert "cannot connect to a Ray cluster ([Errno 111] Connection refused)" in found["unreachable"]
    assert "no node of the cluster is large enough for a worker, which needs 1 GPU and 1 CPU" in found["no GPU"]
    assert "start nodes with GPUs, or use --device cpu" in found["no GPU"]
    messages = " ".join(found["messages"].split())
    assert found["status"] == 0, messages[-3000:]
    assert list_results(run) == list_results(finished_run)
    assert found["remaining"] == 0
    assert messages.count("is lost (") == 2, messages[-3000:]
    assert messages.count("Ray starts another one where there is room") == 2
    assert "raylet" not in messages + found["output"]
    assert "Traceback" not in messages


@pytest.mark.slow
@needs_clusters
def test_a_node_that_cannot_take_part_is_an_error_and_the_gpu_of_the_main_process_is_left_alone(
    tmp_path: Path, ray_folder: str
) -> None:
    found = run_scenario(ray_folder, "refuse_nodes", tmp_path)
    assert "does not see the run folder" in found["hidden folder"]
    assert f"has Trimtab 9.9, and the run has {version('trimtab')}; install one version" in found["other version"]
    for text in (found["hidden folder"], found["other version"]):
        assert text.startswith("--ray 127.0.0.1:")
        assert "\n" not in text
    assert any("1 of 3 workers wait for room in the cluster" in notice for notice in found["notices"])
    assert sum("got the GPU of the main process and does not work" in notice for notice in found["notices"]) == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", "Ray Client is not supported"),
        ("head", r"expected auto, or HOST:PORT of the head of a cluster"),
        ("http://head:8265", "expected auto, or HOST:PORT"),
        ("", "expected auto, or HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_one_is_an_error(address: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        require_ray(address)


def test_a_missing_package_is_an_error_that_names_the_extra(
    tiny_study: str, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"the package ray is missing; install trimtab\[ray\]"):
        run_study(Study.parse(tiny_study), tmp_path, runtime, lambda *_: None, ray_address="auto")


@contextmanager
def start_pool(folder: Path, runtime: Runtime) -> Iterator[RayPool]:
    pool = RayPool(address="auto", count=None, runtime=runtime, on_stage_start=lambda *_: None)
    with Store(folder).lock():
        try:
            pool.start(folder, None)
            yield pool
        finally:
            pool.stop()


def test_a_connection_to_ray_that_is_never_made_is_an_error(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "LAUNCHER_CODE", "raise SystemExit(3)")
    expected = pytest.raises(ClusterError, match="--ray auto: the process that connects to Ray ended with status 3")
    with expected, start_pool(tmp_path, runtime):
        pass


def test_a_connection_to_ray_that_is_lost_is_a_notice(
    tmp_path: Path, runtime: Runtime, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; sys.stdin.readline(); print('[\"ready\"]', flush=True); sys.stdin.readline(); sys.exit(3)"
    monkeypatch.setattr(ray_pool, "LAUNCHER_CODE", code)
    with start_pool(tmp_path, runtime) as pool:
        pool.begin()
        wait_until(lambda: notices)
    assert notices == ["the connection to Ray is lost (status 3); the run continues without its workers"]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeRequirements]:
    """What a node needs, on a node that has it."""
    owner = tmp_path / "run.lock.json"
    owner.write_text("owner")
    with filelock.FileLock(tmp_path / "run.lock", timeout=0):
        yield NodeRequirements(
            version=version("trimtab"),
            working_directory=str(tmp_path),
            owner_file=str(owner),
            owner="owner",
            lock_file=str(tmp_path / "run.lock"),
            wait_seconds=0.0,
        )


def change(node: NodeRequirements, **values: Any) -> NodeRequirements:
    return NodeRequirements(**{**vars(node), **values})


def test_a_node_that_has_all_it_needs_has_no_problem(node: NodeRequirements) -> None:
    assert node.find_problem() == ""


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"version": "0.0.7"}, f"has Trimtab {version('trimtab')}, and the run has 0.0.7; install one version"),
        ({"working_directory": "/nowhere"}, "does not see the working directory /nowhere; start the run in a folder"),
        ({"owner": "of another run"}, "does not see the run folder"),
        ({"owner_file": "/nowhere/run.lock.json"}, "does not see the run folder /nowhere; give --out a folder"),
    ],
)
def test_a_node_names_what_it_lacks(node: NodeRequirements, values: dict[str, Any], problem: str) -> None:
    assert problem in change(node, **values).find_problem()


def test_a_file_system_without_shared_locks_is_a_problem(node: NodeRequirements, tmp_path: Path) -> None:
    problem = change(node, lock_file=str(tmp_path / "not-held.lock")).find_problem()
    assert "shares no file locks with the main process" in problem
    assert "it got a lock that the main process holds" in problem

"""Scenarios for `test_ray.py`, in a process of their own: Ray starts servers, which need a network namespace.

Each scenario starts a cluster of nodes on this machine and prints what it found as JSON on the last line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from run_results import wait_until

from trimtab.core.runtime import Runtime, show_no_progress
from trimtab.errors import ClusterError
from trimtab.pipeline import ray_pool
from trimtab.pipeline.ray_pool import RayPool
from trimtab.storage.artifacts import Store

OBJECT_STORE_BYTES = 80 << 20
START_SECONDS = 600


@contextmanager
def start_cluster(**head: Any) -> Iterator[Cluster]:
    """A cluster whose head runs no workers unless its resources are given."""
    options = {"num_cpus": 0, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False, **head}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Cluster, **options: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES, **options)


def list_processes(text: str) -> dict[int, int]:
    """The parents of all processes of this scenario's network namespace whose command contains `text`, by process ID."""
    namespace = os.readlink("/proc/self/ns/net")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text in (folder / "cmdline").read_text() and os.readlink(folder / "ns/net") == namespace:
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, UnicodeDecodeError):  # it ended
            continue
    return found


def lose_workers(study: Path, run: Path) -> dict[str, Any]:
    """Kills an actor and removes a node while a study runs with two workers on two nodes. The cluster has no GPU."""
    unreachable = describe_start(run, "127.0.0.1:1")
    with start_cluster() as cluster:
        no_gpu = describe_start(run, cluster.address, device="cuda")
        nodes = [add_node(cluster), add_node(cluster)]
        log = run.with_name("messages")
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", "run", str(study), "--out", str(run), "--ray", "auto"],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        wait_until(lambda: len(list_processes("trimtab.pipeline.stage_worker")) == 2, START_SECONDS)
        wait_until(lambda: len(list((run / "stages").glob("*/record.json"))) >= 2, START_SECONDS)
        workers = list_processes("trimtab.pipeline.stage_worker")
        actor = next(iter(workers.values()))
        os.kill(actor, signal.SIGKILL)
        wait_until(lambda: "is lost" in log.read_text(), START_SECONDS)
        wait_until(
            lambda: len(list_processes("trimtab.pipeline.stage_worker").keys() - workers.keys()) == 1, START_SECONDS
        )
        cluster.remove_node(nodes[1], allow_graceful=False)
        output, _ = process.communicate()
        remaining = len(list_processes("trimtab.pipeline.stage_worker"))
    return {
        "unreachable": unreachable,
        "no GPU": no_gpu,
        "status": process.returncode,
        "output": output,
        "messages": log.read_text(),
        "remaining": remaining,
    }


def refuse_nodes(folder: Path) -> dict[str, Any]:
    """A cluster with a node that cannot take part, and with the GPU of the main process. Ray does not look for GPUs."""
    found: dict[str, Any] = {}
    with start_cluster(num_cpus=2, num_gpus=2) as cluster:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ray_pool, "list_gpus", lambda: ["0", "1"])
            notices: list[str] = []
            with start_pool(folder / "run", cluster.address, "cuda", 3, notices) as pool:
                pool.begin()
                wait_until(lambda: any("GPU" in notice for notice in notices), START_SECONDS)
            found["notices"] = notices
        hidden = folder / "hidden"
        hidden.mkdir()
        code = f"mount -t tmpfs tmpfs {hidden} && {sys.executable} {__file__} describe_start {hidden}/run {cluster.address}"
        done = subprocess.run(["unshare", "--mount", "sh", "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        found["hidden folder"] = json.loads(done.stdout.splitlines()[-1])
        packages = folder / "packages"
        (packages / "trimtab-9.9.dist-info").mkdir(parents=True)
        (packages / "trimtab-9.9.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: trimtab\nVersion: 9.9\n"
        )
        path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
        add_node(cluster, env_vars={"PYTHONPATH": path})
        found["other version"] = describe_start(folder / "run", cluster.address)
    return found


def describe_start(run: Path, address: str, device: str = "cpu") -> str:
    """Starts the workers of a run without stages. Returns the error, or an empty text."""
    try:
        with start_pool(run, address, device, None, []):
            return ""
    except ClusterError as error:
        return str(error)


@contextmanager
def start_pool(run: Path, address: str, device: str, count: int | None, notices: list[str]) -> Iterator[RayPool]:
    runtime = Runtime(progress=show_no_progress, notify=notices.append, device=device)
    pool = RayPool(address=address, count=count, runtime=runtime, on_stage_start=lambda *_: None)
    with Store(run).lock():
        try:
            pool.start(run, None)
            yield pool
        finally:
            pool.stop()


if __name__ == "__main__":
    scenarios: dict[str, Callable[..., Any]] = {
        "lose_workers": lambda study, run: lose_workers(Path(study), Path(run)),
        "refuse_nodes": lambda folder: refuse_nodes(Path(folder)),
        "describe_start": lambda run, address: describe_start(Path(run), address),
    }
    sys.stdout.write(json.dumps(scenarios[sys.argv[1]](*sys.argv[2:])) + "\n")

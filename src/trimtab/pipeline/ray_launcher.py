"""The process of a run that talks to a Ray cluster: keeps one actor per worker, and forwards their messages.

It is apart from the main process because Ray prints to both standard streams, handles signals, and ends its process if the
cluster's head is gone. The run then continues without the cluster.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray

from trimtab.errors import ClusterError
from trimtab.pipeline import ray_actor
from trimtab.pipeline.ray_actor import NodeReport, NodeRequirements, StageActor
from trimtab.pipeline.ray_cluster import connect_to_cluster, count_places, describe_too_small_cluster
from trimtab.pipeline.worker_protocol import GO_LINE, Send, open_message_stream

# A node that imports packages from a network file system needs half a minute and more.
START_SECONDS = 120.0
PATIENT_SECONDS = 10.0
MAX_ACTORS = 64
# A worker that is lost again and again right after its start is not started again.
SHORT_LIFE_SECONDS = 60.0
MAX_SHORT_LIVES = 3


def run_ray_launcher() -> None:
    """Reads a request from standard input, starts the workers, and ends when standard input does."""
    send = open_message_stream()
    request = json.loads(sys.stdin.readline())
    workers = RayWorkers(
        send=send,
        resources=request["resources"],
        main_gpu=request["main_gpu"],
        arguments=(
            NodeRequirements(**request["requirements"]),
            request["job_line"],
            request["import_path"],
            request["environment"],
        ),
    )
    try:
        connect_to_cluster(request["address"])
        workers.start(request["address"], request["count"])
    except ClusterError as error:
        send("problem", str(error))
        os._exit(1)
    send("ready")
    if sys.stdin.readline() == GO_LINE:
        workers.begin()
        os.read(sys.stdin.fileno(), 1)
    workers.stop()
    os._exit(0)


@dataclass(kw_only=True)
class RayWorkers:
    """Actors that execute stages. Each of them needs `resources`. `arguments` are those of `StageActor.start`.

    A worker that is lost is replaced by a new actor, which Ray puts on any node that has room. Ray could restart an actor, but
    not its stream of messages. `main_gpu` is the GPU of the main process, or None.
    """

    send: Send
    resources: Mapping[str, float]
    arguments: tuple[Any, ...]
    main_gpu: str | None
    _actors: dict[int, Any] = field(default_factory=dict)
    _reports: dict[int, Any] = field(default_factory=dict)
    _is_stopping: bool = False

    def start(self, address: str, count: int | None) -> None:
        """Raises `ClusterError` if no node is large enough for a worker, or if a node lacks something."""
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        nodes = ray.nodes()
        places = count_places(nodes, self.resources)
        if places == 0:
            raise ClusterError(describe_too_small_cluster(address, nodes, self.resources))
        count = count or min(places, MAX_ACTORS)
        for number in range(1, count + 1):
            self._start_actor(number)
        ready = self._wait_for_reports(min(count, places))
        problems = {_describe_problem(report) for report in map(_get_report, ready) if report and report["problem"]}
        if problems:
            raise ClusterError("\n".join(f"--ray {address}: {problem}" for problem in sorted(problems)))
        if len(ready) < count:
            waiting = f"{count - len(ready)} of {count} workers wait for room in the cluster"
            self.send("notify", f"{waiting}; the run continues without them until then")

    def _wait_for_reports(self, expected: int) -> list[Any]:
        """The reports of workers that have started. Waits for `expected` ones, but not for a busy cluster."""
        reports = list(self._reports.values())
        ready, _ = ray.wait(reports, num_returns=expected, timeout=PATIENT_SECONDS)
        if len(ready) < expected:
            self.send("notify", f"waiting up to {START_SECONDS:g} s for workers in the Ray cluster")
            ready, _ = ray.wait(reports, num_returns=expected, timeout=START_SECONDS)
        return list(ready)

    def begin(self) -> None:
        for number in self._actors:
            threading.Thread(target=self._follow, args=(number,), daemon=True).start()

    def stop(self) -> None:
        self._is_stopping = True
        for actor in list(self._actors.values()):
            _kill(actor)

    def _start_actor(self, number: int) -> None:
        options = {
            "num_cpus": self.resources.get("CPU", 0),
            "num_gpus": self.resources.get("GPU", 0),
            "scheduling_strategy": "SPREAD",
        }
        self._actors[number] = ray.remote(StageActor).options(**options).remote()
        self._reports[number] = self._actors[number].start.remote(*self.arguments)

    def _follow(self, number: int) -> None:
        """Forwards the messages of a worker, and replaces it if it is lost."""
        short_lives = 0
        while True:
            place, began = f"worker {number}", time.monotonic()
            try:
                report: NodeReport = ray.get(self._reports[number])
                place, began = f"worker {number} on node {report['node']}", time.monotonic()
                if not self._is_usable(number, report) or not self._forward_messages(number, place):
                    return
                reason = "its process was killed"
            except ray.exceptions.RayTaskError as error:
                self.send("notify", f"{place} failed ({error.cause}); the run continues without it")
                return
            except ray.exceptions.ActorUnavailableError:
                reason = "it does not answer"
            except ray.exceptions.RayError:  # such as ActorDiedError
                reason = "its actor died"
            if self._is_stopping:
                return
            _kill(self._actors[number])
            short_lives = short_lives + 1 if time.monotonic() - began < SHORT_LIFE_SECONDS else 0
            if short_lives == MAX_SHORT_LIVES:
                self.send("notify", f"{place} is lost ({reason}), as those before it; the run continues without it")
                return
            self.send("notify", f"{place} is lost ({reason}); Ray starts another one where there is room")
            self._start_actor(number)

    def _is_usable(self, number: int, report: NodeReport) -> bool:
        """Whether the worker can work. An actor with the GPU of the main process keeps it from the others."""
        if report["problem"]:
            self.send("notify", f"{_describe_problem(report)}; the run continues without worker {number}")
            return False
        is_on_main_node = report["node_id"] == ray.get_runtime_context().get_node_id()
        if is_on_main_node and self.main_gpu in report["gpus"]:
            self.send("notify", f"worker {number} got the GPU of the main process and does not work")
            return False
        return True

    def _forward_messages(self, number: int, place: str) -> bool:
        """Whether the worker was killed. It ends by itself if no stage is left, or if it cannot work."""
        for line in self._actors[number].execute.options(num_returns="streaming").remote(GO_LINE):
            kind, *values = json.loads(ray.get(line))
            if kind != "ended":
                self.send(kind, *values)
            elif values[0] < 0:
                return True
            elif values[0]:
                self.send("notify", f"{place} ended with status {values[0]}; the run continues without it")
        return False


def _get_report(reference: Any) -> NodeReport | None:
    """The report of a node; None if its actor failed, which `_follow` tells."""
    with suppress(ray.exceptions.RayError):
        report: NodeReport = ray.get(reference)
        return report
    return None


def _describe_problem(report: NodeReport) -> str:
    return f"node {report['node']} {report['problem']}"


def _kill(actor: Any) -> None:
    with suppress(ray.exceptions.RayError, ValueError):  # it is dead already
        ray.kill(actor)

"""The connection to a Ray cluster, and what fits into it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray._private.services import canonicalize_bootstrap_address

from trimtab.errors import ClusterError

CONNECT_SECONDS = 10.0


def connect_to_cluster(address: str) -> None:
    """Raises `ClusterError` if no cluster answers there, or if this host is not one of its nodes."""
    try:
        # Ray itself tries an address at which nothing listens for eight minutes
        found = canonicalize_bootstrap_address(address) or address
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address=found, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(_describe_connection(address, error)) from error


def _describe_connection(address: str, error: Exception) -> str:
    reason = " ".join(f"{error}".split())
    return (
        f"--ray {address}: cannot connect to a Ray cluster ({reason}); start Trimtab on a node of the cluster, or start a "
        "cluster with: ray start --head"
    )


def count_places(nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float]) -> int:
    """For how many workers the nodes are large enough, whether or not they are busy."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return sum(min(int(node.get(name, 0) // amount) for name, amount in resources.items()) for node in alive)


def describe_too_small_cluster(address: str, nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float]) -> str:
    """Why no worker fits: what one needs, what the nodes have, and what to do."""
    found = ", ".join(
        f"{node['NodeManagerHostname']} {_describe_amounts({name: node['Resources'].get(name, 0) for name in resources})}"
        for node in nodes
        if node["Alive"]
    )
    remedy = (
        "start nodes with GPUs, or use --device cpu" if "GPU" in resources else "set OMP_NUM_THREADS to fewer threads"
    )
    return (
        f"--ray {address}: no node of the cluster is large enough for a worker, which needs {_describe_amounts(resources)}; "
        f"the nodes have: {found}; {remedy}"
    )


def _describe_amounts(amounts: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in amounts.items())

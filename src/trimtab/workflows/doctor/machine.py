"""Devices, threads, memory, disks and caches of this machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from trimtab.core.openmp import find_openmp_problem
from trimtab.models.config import Model
from trimtab.models.scoring.logprob_cache import get_logprob_cache_dir
from trimtab.models.sources.download_cache import get_cache_dir
from trimtab.workflows.doctor.findings import FactGroup, Findings, format_bytes

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_DYNAMIC", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
# Memory information of Linux, and the limits of a container: cgroup version 2, then version 1.
_MEMORY_FILE = Path("/proc/meminfo")
_CONTAINER_FILES = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
_KIBIBYTES = re.compile(r"(\w+):\s+(\d+) kB")


def describe_machine(folder: Path) -> Findings:
    """The machine's devices, threads, memory and caches. `folder` is where runs are written."""
    problem = find_openmp_problem()
    sections = (
        FactGroup("devices", (*_list_devices(), ("memory", _describe_memory()))),
        FactGroup("threads", _list_thread_settings()),
        FactGroup("disks and caches", _list_disks(folder)),
    )
    return Findings(sections, (f"environment: {problem}",) if problem else ())


def find_available_memory() -> int | None:
    """Bytes of memory that new processes can use, at most what a container has left. None if the system does not say."""
    values = _read_memory_file()
    limits = [values["MemAvailable"]] if "MemAvailable" in values else []
    for limit_file, usage_file in _CONTAINER_FILES:
        limit, usage = _read_number(limit_file), _read_number(usage_file)
        if limit is not None and usage is not None:
            limits.append(max(0, limit - usage))
    return min(limits, default=None)


def find_free_device_memory(device: str) -> int | None:
    """Free bytes of memory of a device; None if the system does not say."""
    import torch  # noqa: PLC0415

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return find_available_memory() if device == "cpu" else None


def measure_folder(folder: Path) -> int:
    """Bytes of all files in a folder. A link counts as nothing, so that no file counts twice."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                total += 0 if path.is_symlink() else path.stat().st_size
            except OSError:  # it was removed meanwhile
                continue
    return total


def find_free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _list_devices() -> list[tuple[str, str]]:
    import torch  # noqa: PLC0415

    from trimtab.models.loading import resolve_dtype_name  # noqa: PLC0415

    names = ["cpu"]
    descriptions = [f"{platform.machine()}, {_count_cores()} cores"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            names.append(f"cuda:{index}")
            sizes = f"{format_bytes(free)} free of {format_bytes(total)}"
            descriptions.append(f"{torch.cuda.get_device_name(index)}, {sizes}")
    if torch.backends.mps.is_available():
        names.append("mps")
        descriptions.append("Apple GPU")
    auto = Model(base="auto")
    dtypes = [resolve_dtype_name(auto, name) for name in names]
    return [
        (name, f"{description}; weights in {dtype}")
        for name, description, dtype in zip(names, descriptions, dtypes, strict=True)
    ]


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _list_thread_settings() -> tuple[tuple[str, str], ...]:
    import torch  # noqa: PLC0415

    settings = tuple((name, os.environ[name]) for name in THREAD_VARIABLES if name in os.environ)
    count = torch.get_num_threads()
    return (("torch", f"{count} thread{'s' * (count > 1)}"), *settings)


def _describe_memory() -> str:
    available, total = find_available_memory(), _read_memory_file().get("MemTotal")
    if available is None:
        return "unknown on this system"
    return f"{format_bytes(available)} available" + (f" of {format_bytes(total)}" if total else "")


def _list_disks(folder: Path) -> tuple[tuple[str, str], ...]:
    from huggingface_hub import constants  # noqa: PLC0415

    caches = {
        "models": get_cache_dir() / "models",
        "log-probabilities": get_logprob_cache_dir(),
        "Hub models": Path(constants.HF_HUB_CACHE),
        "Hub datasets": Path(os.environ.get("HF_DATASETS_CACHE", Path(constants.HF_HOME) / "datasets")),
    }
    runs = (f"runs in {folder}", f"{format_bytes(find_free_space(folder))} free")
    cache = (f"cache in {get_cache_dir()}", f"{format_bytes(find_free_space(get_cache_dir()))} free")
    return (runs, cache, *((name, _describe_cache(path)) for name, path in caches.items()))


def _describe_cache(folder: Path | None) -> str:
    if folder is None:
        return "off"
    return f"{format_bytes(measure_folder(folder))} in {folder}" if folder.is_dir() else f"empty ({folder})"


def _read_memory_file() -> Mapping[str, int]:
    """Sizes in bytes by name; empty on systems without this file."""
    try:
        text = _MEMORY_FILE.read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    return {match[1]: int(match[2]) * 1024 for match in _KIBIBYTES.finditer(text)}


def _read_number(path: Path) -> int | None:
    """The number in a file; None without one, such as `max`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None

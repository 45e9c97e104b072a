"""Threads of an idle process do not slow a busy one, and a variable that makes results wrong is reported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trimtab.core.openmp import SPIN_COUNT, find_openmp_problem, limit_thread_spinning


@pytest.mark.parametrize(
    ("environment", "spin_count"),
    [({}, SPIN_COUNT), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "PASSIVE"}, None)],
)
def test_the_users_settings_are_kept(environment: dict[str, str], spin_count: str | None) -> None:
    limit_thread_spinning(environment)
    assert environment.get("GOMP_SPINCOUNT") == spin_count


def test_importing_trimtab_limits_spinning_before_torch_is_loaded() -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    code = "import sys, trimtab, os; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [SPIN_COUNT, "False"]


def test_a_variable_that_makes_results_wrong_is_named() -> None:
    assert find_openmp_problem({}) is None
    assert find_openmp_problem({"OMP_DYNAMIC": "false"}) is None
    assert "unset OMP_DYNAMIC" in str(find_openmp_problem({"OMP_DYNAMIC": "true"}))

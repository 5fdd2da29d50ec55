from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Small examples, few of them, the same each run; MVD_HYPOTHESIS=thorough looks further.
settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "thorough", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("MVD_HYPOTHESIS", "fast"))

# The tests are run from a checkout, whose mvd_toolkit/ has no built extension: programs they start
# must import the installed package, not what lies in the current folder.
os.environ["PYTHONSAFEPATH"] = "1"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums in one order, and small networks are quicker so."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dask_client() -> Iterator[Any]:
    """A scheduler of Dask and two worker processes, which are replaced when they die."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``cuda`` where it cannot run, and say why."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if marked and (reason := _no_cuda()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_cuda() -> str:
    """Why CUDA tests cannot run here; empty where they can."""
    import torch

    from mvd_toolkit import _core

    if not hasattr(_core, "cuda"):
        return f"this build has CUDA {_core.cuda_build()}"
    return "" if torch.cuda.is_available() else "no usable GPU"

"""What CUDA is measured against gives what it should: plain torch equals the operations."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from strategies import noise

from mvd_toolkit import _core, ops


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    from rows import plain_torch

    return plain_torch


def test_operations_in_plain_torch(plain: ModuleType) -> None:
    dense = torch.from_numpy(noise((2, 64, 64, 64), 0.02))
    odms = ops.extract_odms(dense)
    signed = odms.view(torch.int16)
    assert torch.equal(plain.extract_odms(dense), signed)
    assert torch.equal(plain.project_odms(signed, 2), ops.project_odms(odms, 2))
    smoothed = ops.smooth_odms(odms, 12).view(torch.int16)
    assert torch.equal(plain.smooth_odms(signed, 12), smoothed)
    low = ops.pool(dense, 8)
    assert torch.equal(plain.carve(low, signed, 8), ops.carve(low, odms, 8))
    assert torch.equal(plain.pack(dense), ops.pack(dense))
    assert torch.equal(plain.unpack(ops.pack(dense)), dense)
    for rule, pooled in (("any", plain.pool_any), ("half", plain.pool_half)):
        assert torch.equal(pooled(dense, 2), ops.pool(dense, 2, rule))
    assert torch.equal(plain.iou(dense, dense.flip(0)), ops.iou(dense, dense.flip(0)))


def test_voxelization_in_plain_torch(plain: ModuleType) -> None:
    rng = np.random.default_rng(0)
    vertices = np.round(rng.uniform(1, 23, (30, 3)) * 64) / 64
    faces = rng.integers(0, 30, (40, 3))
    packed, *_ = _core.voxelize_surface(vertices, faces, 24, 24, 24)
    expected = _core.unpack(packed[None], 24)[0]
    met = plain.voxelize(torch.from_numpy(vertices), torch.from_numpy(faces), 24)
    assert np.array_equal(met.numpy(), expected)


def test_rows_without_a_gpu(plain: ModuleType) -> None:
    from rows import cuda
    from rows.measure import MissingPeer, Settings

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(MissingPeer, match="no GPU"):
        next(cuda.cuda(Settings((64,), 0.0, None)))

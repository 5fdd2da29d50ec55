from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mvd_toolkit.grid import VoxelGrid


@pytest.fixture
def write_bytes(tmp_path: Path) -> Callable[..., Path]:
    """Writes bytes to a file of a fresh folder and gives its path."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def grid() -> VoxelGrid:
    """A grid that is no cube, no multiple of 64 deep and not at the origin."""
    dense = np.random.default_rng(7).random((5, 9, 70)) < 0.3
    return VoxelGrid.from_dense(dense, (-1.5, 0.1, 1e-3), 0.1)

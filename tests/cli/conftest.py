"""`mvd` in this process, and small inputs for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvd_toolkit import VoxelGrid
from mvd_toolkit.cli import run

CUBE = """
v 10 20 30\nv 14 20 30\nv 14 24 30\nv 10 24 30\nv 10 20 34\nv 14 20 34\nv 14 24 34\nv 10 24 34
f 1 2 3 4\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8
"""


@dataclass
class Result:
    """What one run of `mvd` gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Stdout, which must be exactly one JSON document."""
        document: dict[str, Any] = json.loads(self.out)
        assert set(document) - {"error"} == {"schema", "ok", "items", "summary", "warnings"}
        assert document["ok"] is (self.code == 0)
        assert ("error" in document) is (self.code != 0)
        return document


@pytest.fixture
def mvd(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run `mvd` with these arguments."""

    def call(*args: object) -> Result:
        capfd.readouterr()
        code = run([str(arg) for arg in args])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def ball() -> VoxelGrid:
    """A ball of 16³ voxels, somewhere in the world."""
    distance = np.linalg.norm(np.indices((16,) * 3).T - 7.5, axis=-1)
    return VoxelGrid.from_dense(distance < 6.2, (1.5, -2.0, 0.25), 0.125)


@pytest.fixture
def ball_file(ball: VoxelGrid, tmp_path: Path) -> Path:
    """That ball as binvox."""
    from mvd_toolkit import save

    path = tmp_path / "ball.binvox"
    save(ball, path)
    return path


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """A cube of edge 4 with its corner at (10, 20, 30)."""
    path = tmp_path / "cube.obj"
    path.write_text(CUBE)
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with small untrained networks."""
    import torch

    from mvd_toolkit.model import Model
    from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor

    torch.manual_seed(0)
    config = {"backbone": "unet", "scale": 8, "options": {"width": 8, "blocks": 1}}
    model = Model.from_predictors(
        SilhouettePredictor.from_config(config), DepthPredictor.from_config(config), scale=8
    )
    return model.save(tmp_path_factory.mktemp("models") / "tiny")

"""3MF and glTF: meshes that a scene puts together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenes import as_trimesh, assert_same_solid, ball

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

SUFFIXES = (".3mf", ".glb", ".gltf")


class TestBoth:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_round_trip(self, tmp_path: Path, suffix: str) -> None:
        source = io.Mesh(ball().vertices, ball().faces)
        io.save_mesh(source, tmp_path / f"a{suffix}")
        assert io.sniff(tmp_path / f"a{suffix}").suffixes == (suffix,)
        assert_same_solid(io.load_mesh(tmp_path / f"a{suffix}"), ball())
        io.save_mesh(source, tmp_path / "again", format=suffix[1:])
        assert (tmp_path / "again").read_bytes() == (tmp_path / f"a{suffix}").read_bytes()
        assert io.sniff(tmp_path / "again").suffixes == (suffix,)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_surface_of_a_grid_is_closed(
        self, tmp_path: Path, grid: VoxelGrid, suffix: str
    ) -> None:
        io.save(grid, tmp_path / f"a{suffix}")
        found = io.load_mesh(tmp_path / f"a{suffix}")
        assert as_trimesh(found).is_watertight
        expected = io.surface_mesh(grid)
        assert np.allclose(found.vertices.min(0), expected.vertices.min(0), atol=1e-5)
        assert np.allclose(found.vertices.max(0), expected.vertices.max(0), atol=1e-5)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_an_empty_mesh_is_written_and_refused(self, tmp_path: Path, suffix: str) -> None:
        empty = io.Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
        io.save_mesh(empty, tmp_path / f"a{suffix}")
        with pytest.raises(InputError, match="found no face"):
            io.load_mesh(tmp_path / f"a{suffix}")

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_limits(self, tmp_path: Path, suffix: str) -> None:
        io.save_mesh(io.Mesh(ball().vertices, ball().faces), tmp_path / f"a{suffix}")
        with pytest.raises(InputError, match=r"MVD_MAX_FACES raises the limit|from 0 to 150"):
            io.load_mesh(tmp_path / f"a{suffix}", limits=io.Limits(faces=50))

"""How a mesh file is written: what ``--smooth``, ``--faces`` and ``--size`` say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvd_toolkit import io
from mvd_toolkit.batch import Unready
from mvd_toolkit.decimate import check_faces, decimate, needed_simplify
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid


@dataclass(frozen=True)
class Meshing:
    """What to do about the surface of a grid when a mesh is to be written.

    Attributes:
        smooth: whether to take the staircase away; None: yes.
        faces: how many triangles to come down to; None: as many as there are.
        size: length of the longest side in the world, in millimetres; None: numbers stay.

    Raises:
        UsageError: ``faces`` are too few for a closed mesh.
    """

    smooth: bool | None = None
    faces: int | None = None
    size: float | None = None

    def __post_init__(self) -> None:
        if self.faces is not None:
            check_faces(self.faces)

    def recipe(self, form: io.Format) -> dict[str, Any]:
        """What of it decides the content of a file.

        Raises:
            UsageError: something is asked for that a grid format has no use for.
            Unready: fewer faces need an extra that is not installed.
        """
        if form.kind == "mesh":
            self._check_extra()
            return {
                "smooth": self.smooth is not False,
                "faces": self.faces,
                "size_mm": self.size,
            }
        if (self.smooth, self.faces, self.size) != (None, None, None):
            raise UsageError(
                f"--smooth, --faces and --size are for meshes, and {form.name} holds a grid"
            )
        return {}

    def save(self, grid: VoxelGrid, output: Path, form: io.Format, threads: int) -> dict[str, Any]:
        """Write a grid, or its surface to a mesh format: facts about the mesh, and notes."""
        if form.kind != "mesh":
            io.save(grid, output, format=form.name, overwrite=True)
            return {"notes": []}
        surface = io.surface_mesh(grid, smooth=self.smooth is not False, threads=threads)
        return self.save_mesh(surface, output, form)

    def save_mesh(self, mesh: io.Mesh, output: Path, form: io.Format) -> dict[str, Any]:
        """Write a mesh of no more triangles than asked for, as long as asked for.

        Returns:
            Facts about it, and notes.
        """
        mesh, notes = self._fewer(mesh)
        facts: dict[str, Any] = {"vertices": len(mesh.vertices), "triangles": len(mesh.faces)}
        if self.size is not None:
            mesh, facts["scale"] = io.scaled_to(mesh, self.size, form)
            facts["unit"] = form.unit or "mm"
        io.save_mesh(mesh, output, format=form.name, overwrite=True)
        return {**facts, "notes": notes}

    def _check_extra(self) -> None:
        if self.faces is None:
            return
        try:
            needed_simplify()
        except UnavailableError as error:
            raise Unready(error) from error

    def _fewer(self, mesh: io.Mesh) -> tuple[io.Mesh, list[str]]:
        if self.faces is None:
            return mesh, []
        try:
            return decimate(mesh, self.faces), []
        except InputError as error:
            return mesh, [f"all {len(mesh.faces)} triangles are kept: {error}"]

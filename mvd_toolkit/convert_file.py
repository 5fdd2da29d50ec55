"""Convert one file: any format to any other, what `batch.run` maps over many.

A grid becomes a grid of another format, a coarser one, or a mesh; a mesh becomes a grid. The place
in the world stays.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mvd_toolkit import io, ops, sidecar
from mvd_toolkit.batch import Destination, Made, make_once
from mvd_toolkit.conventions import SOFT_RULE
from mvd_toolkit.errors import UsageError
from mvd_toolkit.filling import MeshFill
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.mesh_frame import DEFAULT_RESOLUTION
from mvd_toolkit.meshing import Meshing
from mvd_toolkit.progress import Progress
from mvd_toolkit.sidecar import OnExists, Recipe
from mvd_toolkit.sources import Source
from mvd_toolkit.voxelize import SurfaceReport, Up, voxelize

POOL_FACTOR = 8
"""How many times finer a mesh is voxelized when a low rule says how to make the grid of it."""


@dataclass
class ConvertFile:
    """Reads a grid or mesh and writes it in another format.

    Attributes:
        destination: where outputs go.
        format: name of the output's format; None: that of the named file.
        resolution: longest edge of the grid; None: the grid's own, 256 for a mesh.
        voxel_size: edge of a mesh's voxels, world units, instead of a resolution.
        bounds: lowest and highest corner of a mesh's grid, world units; None: the mesh's.
        up: a mesh's vertical; None: nothing is turned.
        low_rule: how a coarser grid is pooled, soft: with the fraction of each voxel that is
            occupied; None: any for grids, and a mesh is voxelized at the resolution itself.
        fill: see `filling`; grids know all but centre. None: hull for meshes, none for grids.
        on_exists: what to do about a file in the way.
        threads: 0: one a core.
        meshing: how a surface is made when the output is a mesh.
    """

    destination: Destination
    format: str | None = None
    resolution: int | None = None
    low_rule: str | None = None
    fill: MeshFill | None = None
    on_exists: OnExists = "error"
    threads: int = 0
    meshing: Meshing = field(default_factory=Meshing)
    voxel_size: float | None = None
    bounds: tuple[float, ...] | None = None
    up: Up | None = None

    def __call__(self, source: Source, progress: Progress | None = None) -> Made:
        """Convert one file; ``progress`` is told its steps.

        Raises:
            InputError: it cannot be read.
            UsageError: the conversion makes no sense.
            OutputExistsError: something else is where the output goes.
        """
        tell = progress or (lambda step, fraction: None)
        form = self._format(source.path)
        output = self.destination.path(source, f"{io.stem(source.path)}{form.suffixes[0]}")
        input_hash = sidecar.file_hash(source.path)
        recipe = self._recipe(form)

        def make() -> dict[str, Any]:
            start = time.perf_counter()
            tell("read", 0.0)
            facts = self._make(source.path, output, form, tell)
            return {**facts, "seconds": {"total": time.perf_counter() - start}}

        return make_once(output, recipe, input_hash, self.on_exists, make)

    def _make(self, source: Path, output: Path, form: io.Format, tell: Progress) -> dict[str, Any]:
        if io.sniff(source).kind == "mesh" and form.kind == "mesh":
            self._only_for_grids(source)
            mesh = io.load_mesh(source)
            facts = self.meshing.save_mesh(mesh, output, form)
            notes = _dropped(mesh) + self._conventions(source, form)
            return {**facts, "notes": notes + facts["notes"]}
        grid, notes, filling = self._grid(source, tell)
        of_grid = sidecar.grid_facts(grid)
        if not of_grid["occupied"]:
            outside = "nothing of the mesh lies within --bounds: " if self.bounds else ""
            notes.append(f"{outside}the grid is empty, and so is the result")
        notes += self._conventions(source, form)
        tell("write", 0.8)
        facts = self.meshing.save(grid, output, form, self.threads)
        return {
            **facts,
            **filling,
            **of_grid,
            "notes": notes + facts["notes"],
        }

    def _grid(self, source: Path, tell: Progress) -> tuple[VoxelGrid, list[str], dict[str, Any]]:
        """The grid, notes, and facts of how it was filled."""
        if io.sniff(source).kind == "mesh":
            return self._voxelized(source, tell)
        if self.voxel_size or self.bounds or self.up or self.fill == "centre":
            raise UsageError(
                f"{source}: --voxel-size, --bounds, --up and --fill centre are for meshes, and "
                "this is a grid"
            )
        grid = sidecar.load_grid(source)
        if self.fill == "hull":
            grid = ops.hull(grid, threads=self.threads)
        elif self.fill == "flood":
            grid = ops.fill_holes(grid, threads=self.threads)
        return self._pooled(grid, source), [], {}

    def _voxelized(
        self, source: Path, tell: Progress
    ) -> tuple[VoxelGrid, list[str], dict[str, Any]]:
        mesh = io.load_mesh(source)
        factor = POOL_FACTOR if self.low_rule else 1
        if self.resolution is not None and self.resolution < 3 and self.bounds is None:
            raise UsageError(
                "--resolution: expected at least 3 for a mesh, as a voxel on each side is margin, "
                f"found {self.resolution}"
            )
        resolution = None
        if self.voxel_size is None:
            resolution = (self.resolution or DEFAULT_RESOLUTION) * factor
        tell("voxelize", 0.2)
        made = voxelize(
            mesh.vertices,
            mesh.faces,
            resolution,
            fill=self.fill or "hull",
            margin=factor,
            voxel_size=self.voxel_size and self.voxel_size / factor,
            bounds=self.bounds,
            up=self.up or "z",
            threads=self.threads,
        )
        grid = made.grid
        if self.low_rule:
            grid = self._coarser(grid, factor)
        notes = _dropped(mesh) + _unusual(made.report)
        if made.filling is None:
            return grid, notes, {}
        return grid, notes + made.filling.doubts(), {"filling": asdict(made.filling)}

    def _pooled(self, grid: VoxelGrid, source: Path) -> VoxelGrid:
        edge = max(grid.shape)
        if self.resolution is None or self.resolution == edge:
            return grid
        if self.resolution > edge:
            raise UsageError(
                f"{source}: --resolution {self.resolution} is finer than its {edge}; "
                f"`mvd upscale {source}` makes it finer"
            )
        if edge % self.resolution:
            works = [edge // factor for factor in range(2, edge + 1) if edge % factor == 0]
            raise UsageError(
                f"{source}: --resolution {self.resolution} does not divide its {edge}; "
                f"these do: {', '.join(map(str, works))}"
            )
        return self._coarser(grid, edge // self.resolution)

    def _coarser(self, grid: VoxelGrid, factor: int) -> VoxelGrid:
        if self.low_rule == SOFT_RULE:
            return ops.coverage(grid, factor)
        return ops.pool(grid, factor, self.low_rule or "any", threads=self.threads)

    def _conventions(self, source: Path, form: io.Format) -> list[str]:
        """What a user should know of two formats that mean different things by numbers."""
        own = io.sniff(source)
        notes = []
        if own.up and form.up and own.up != form.up and self.up is None:
            notes.append(
                f"{own.name} is {own.up} up and {form.name} {form.up} up; nothing is turned"
            )
        if own.unit and form.unit and own.unit != form.unit and self.meshing.size is None:
            units = f"{own.name} counts in {own.unit} and {form.name} in {form.unit}"
            notes.append(f"{units}; numbers are kept, --size scales them")
        return notes

    def _only_for_grids(self, source: Path) -> None:
        frame = (self.resolution, self.voxel_size, self.bounds, self.up)
        if any((*frame, self.low_rule, self.fill)) or self.meshing.smooth is not None:
            raise UsageError(
                f"{source}: mesh to mesh takes no --resolution, --voxel-size, --bounds, --up, "
                "--low-rule, --fill or --smooth; convert to a grid first"
            )

    def _format(self, source: Path) -> io.Format:
        named = self.destination.file
        if self.format is None and named is None:
            raise UsageError("format: expected the name of one, as the destination is no file")
        form = io.output_format(named or source, self.format, ("grid", "mesh"))
        if self.low_rule == SOFT_RULE and not form.coverage:
            raise UsageError(f"low rule soft: {form.name} keeps no fractions, npz does")
        return form

    def _recipe(self, form: io.Format) -> Recipe:
        options = {
            "format": form.name,
            "resolution": self.resolution,
            "low_rule": self.low_rule,
            "fill": self.fill,
            "voxel_size": self.voxel_size,
            "bounds": self.bounds and list(self.bounds),
            "up": self.up,
            **self.meshing.recipe(form),
        }
        return Recipe("convert", options)


def _dropped(mesh: io.Mesh) -> list[str]:
    """What a user should know of reading a mesh."""
    count = mesh.report.dropped
    return [f"{count} faces of fewer than three corners left out"] if count else []


def _unusual(report: SurfaceReport) -> list[str]:
    """What a user should know of voxelizing a mesh."""
    counts = {"without area": report.degenerate, "left out as not finite or not there": report.bad}
    return [
        f"{count} of {report.triangles} triangles {what}" for what, count in counts.items() if count
    ]

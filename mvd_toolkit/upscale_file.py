"""Upscale one file: what `batch.run` maps over many."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvd_toolkit import io, sidecar
from mvd_toolkit.batch import Destination, Made, Source
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.meshing import Meshing
from mvd_toolkit.sidecar import OnExists, Recipe
from mvd_toolkit.upscale import Progress, Upscaler, result_size
from mvd_toolkit.voxelize import Fill

DEFAULT_FORMAT = "binvox"
"""Format of the output when the input's own cannot be written."""


@dataclass
class UpscaleFile:
    """Reads a grid, upscales it, writes it as ``<stem>_<N>.<ext>`` with its sidecar.

    Attributes:
        upscaler: the loaded model.
        destination: where outputs go.
        to: longest edge of the result; None: the default.
        format: name of the output's format; None: that of the named file, else the input's.
        low_rule: any, half, centre or auto.
        fill: hull or none.
        on_exists: what to do about a file in the way.
        threads: 0: one a core.
        meshing: how a surface is made when the output is a mesh.
    """

    upscaler: Upscaler
    destination: Destination
    to: int | None = None
    format: str | None = None
    low_rule: str = "auto"
    fill: Fill = "hull"
    on_exists: OnExists = "error"
    threads: int = 0
    meshing: Meshing = field(default_factory=Meshing)

    def __post_init__(self) -> None:
        self._model_hash = self.upscaler.model.hash

    def __call__(self, source: Source, progress: Progress | None = None) -> Made:
        """Upscale one file; ``progress`` is told its steps.

        Raises:
            InputError: it cannot be read, is no grid or is too large.
            UsageError: the size cannot be made from it.
            OutputExistsError: something else is where the output goes.
        """
        if io.sniff(source.path).kind == "mesh":
            raise InputError(
                f"{source.path}: expected a voxel grid, found a mesh; `mvd convert {source.path} "
                f"-o {source.path.stem}.binvox --resolution 32` makes a grid of it"
            )
        input_hash = sidecar.file_hash(source.path)
        grid = sidecar.load_grid(source.path)
        size = result_size(max(grid.shape), self.upscaler.scale, self.to)
        form = self._format(source.path)
        output = self.destination.path(source, f"{io.stem(source.path)}_{size}{form.suffixes[0]}")
        recipe = self._recipe(size, form)
        if not sidecar.should_make(output, recipe, input_hash, self.on_exists):
            return Made(output, "skipped", {})
        with sidecar.making(output, recipe, input_hash) as facts:
            facts.update(self._make(grid, size, output, form, progress))
        return Made(output, "made", facts, tuple(facts["notes"]))

    def _make(
        self,
        grid: VoxelGrid,
        size: int,
        output: Path,
        form: io.Format,
        progress: Progress | None,
    ) -> dict[str, Any]:
        start = time.perf_counter()
        result = self.upscaler.detailed(
            grid, size, self.low_rule, self.fill, self.threads, progress
        )
        save_start = time.perf_counter()
        saved = self.meshing.save(result.grid, output, form, self.threads)
        end = time.perf_counter()
        return {
            "input_shape": list(grid.shape),
            "shape": list(result.grid.shape),
            "occupied": result.grid.count(),
            "origin": list(result.grid.origin),
            "spacing": list(result.grid.spacing),
            "low_rule": result.low_rule.rule,
            "low_rule_confidence": round(result.low_rule.confidence, 3),
            "low_rule_guessed": result.low_rule.guessed,
            "device": str(self.upscaler.device),
            "seconds": {**result.seconds, "save": end - save_start, "total": end - start},
            **saved,
            "notes": [*result.notes, *saved["notes"]],
        }

    def _recipe(self, size: int, form: io.Format) -> Recipe:
        return Recipe(
            "upscale",
            {
                "model": self._model_hash,
                "size": size,
                "format": form.name,
                "low_rule": self.low_rule,
                "fill": self.fill,
                **self.meshing.recipe(form),
            },
        )

    def _format(self, source: Path) -> io.Format:
        named = self.destination.file
        if self.format is not None or named is not None:
            return io.output_format(named or source, self.format, ("grid", "mesh"))
        own = io.sniff(source)
        return own if own.writes else io.output_format(source, DEFAULT_FORMAT, ("grid",))

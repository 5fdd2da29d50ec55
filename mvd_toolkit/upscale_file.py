"""Upscale one file: what `batch.run` maps over many."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvd_toolkit import io, model_directory, sidecar
from mvd_toolkit.batch import Destination, Made
from mvd_toolkit.device import usable_device
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.meshing import Meshing
from mvd_toolkit.model_output import loading, make_with, save_fine
from mvd_toolkit.progress import Progress
from mvd_toolkit.sidecar import OnExists, Recipe
from mvd_toolkit.sources import Source
from mvd_toolkit.upscale import Upscaler
from mvd_toolkit.upscale_request import check_request
from mvd_toolkit.voxelize import Fill

DEFAULT_FORMAT = "binvox"
"""Format of the output when the input's own cannot be written."""

_KEPT_MODELS = 2


class UpscalerOnDemand:
    """A model of which no network is loaded before a file needs it.

    What is sent to another process is the model's name: a process loads it once, however many
    files it is sent.

    Attributes:
        config: what the model says of itself.
        hash: of the model, see `Model.hash`.
    """

    def __init__(
        self, model: str | Path | None = None, device: str = "cpu", tile: int | None = None
    ) -> None:
        """Look at a model directory, or at the model that comes with the package.

        Args:
            model: its directory or name; None: the one that comes with the package.
            device: where the networks will run.
            tile: see `Upscaler.use_tiles`.

        Raises:
            UnavailableError: no such model or device.
            InputError: a file of the model is missing or malformed.
        """
        self._directory = model_directory.find_model(model).absolute()
        self.config = model_directory.read_config(self._directory)
        self.hash = model_directory.directory_hash(self._directory)
        self._device = device
        self._tile = tile
        if device != "cpu":  # that one is there; asking would load torch
            usable_device(device)

    @property
    def upscaler(self) -> Upscaler:
        """The upscaler, loaded by the first who asks.

        Raises:
            Unready: the model cannot be loaded.
        """
        with loading():
            return _load(self._directory, self.hash, self._device, self._tile)


@functools.lru_cache(_KEPT_MODELS)
def _load(directory: Path, model_hash: str, device: str, tile: int | None) -> Upscaler:
    """The model of that hash, as long as it is among the last ones used."""
    upscaler = Upscaler.load(directory, device)
    upscaler.use_tiles(tile)
    return upscaler


@dataclass
class UpscaleFile:
    """Reads a grid, upscales it, writes it as ``<stem>_<N>.<ext>`` with its sidecar.

    Attributes:
        model: loaded when a file is found to need it.
        destination: where outputs go.
        to: longest edge of the result; None: the default.
        format: name of the output's format; None: that of the named file, else the input's.
        low_rule: any, half, centre or auto.
        fill: hull or none.
        on_exists: what to do about a file in the way.
        threads: 0: one a core.
        meshing: how a surface is made when the output is a mesh.
        keep_parts: keep crumbs.
    """

    model: UpscalerOnDemand
    destination: Destination
    to: int | None = None
    format: str | None = None
    low_rule: str = "auto"
    fill: Fill = "hull"
    on_exists: OnExists = "error"
    threads: int = 0
    meshing: Meshing = field(default_factory=Meshing)
    keep_parts: bool = False

    def __call__(self, source: Source, progress: Progress | None = None) -> Made:
        """Upscale one file; ``progress`` is told its steps.

        Raises:
            InputError: it cannot be read, is no grid or is too large.
            UsageError: the size cannot be made from it.
            OutputExistsError: something else is where the output goes.
            UnavailableError: the model gave no maps that can be used.
            Unready: the model cannot be loaded.
        """
        if io.sniff(source.path).kind == "mesh":
            raise InputError(
                f"{source.path}: expected a voxel grid, found a mesh; `mvd convert {source.path} "
                f"-o {source.path.stem}.binvox --resolution 32` makes a grid of it"
            )
        grid = sidecar.load_grid(source.path)
        size = check_request(grid.shape, self.model.config, self.to, self.low_rule, self.fill)
        form = self._format(source.path)
        output = self.destination.path(source, f"{io.stem(source.path)}_{size}{form.suffixes[0]}")
        recipe = self._recipe(size, form)

        def make(upscaler: Upscaler) -> dict[str, Any]:
            return self._make(upscaler, grid, size, output, form, progress)

        return make_with(
            lambda: self.model.upscaler, make, source.path, output, recipe, self.on_exists
        )

    def _make(
        self,
        upscaler: Upscaler,
        grid: VoxelGrid,
        size: int,
        output: Path,
        form: io.Format,
        progress: Progress | None,
    ) -> dict[str, Any]:
        start = time.perf_counter()
        result = upscaler.detailed(
            grid,
            size,
            self.low_rule,
            self.fill,
            self.threads,
            progress,
            keep_parts=self.keep_parts,
        )
        rule = result.low_rule
        return {
            "input_shape": list(grid.shape),
            "low_rule": rule and rule.rule,
            "low_rule_confidence": rule and round(rule.confidence, 3),
            "low_rule_guessed": rule and rule.guessed,
            "device": str(upscaler.device),
            **save_fine(result, output, form, self.meshing, self.threads, start),
        }

    def _recipe(self, size: int, form: io.Format) -> Recipe:
        return Recipe(
            "upscale",
            {
                "model": self.model.hash,
                "size": size,
                "format": form.name,
                "low_rule": self.low_rule,
                "fill": self.fill,
                "keep_parts": self.keep_parts,
                **self.meshing.recipe(form),
            },
        )

    def _format(self, source: Path) -> io.Format:
        named = self.destination.file
        if self.format is not None or named is not None:
            return io.output_format(named or source, self.format, ("grid", "mesh"))
        own = io.sniff(source)
        return own if own.writes else io.output_format(source, DEFAULT_FORMAT, ("grid",))

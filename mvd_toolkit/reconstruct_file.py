"""Reconstruct one picture file: what `batch.run` maps over many."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvd_toolkit import io, model_directory, sidecar
from mvd_toolkit.batch import Destination, Made
from mvd_toolkit.device import usable_device
from mvd_toolkit.errors import InputError
from mvd_toolkit.meshing import Meshing
from mvd_toolkit.model_output import loading, make_with, save_fine
from mvd_toolkit.progress import Progress
from mvd_toolkit.reconstruction import Reconstructor, check_fit, check_size
from mvd_toolkit.reconstructor_config import ReconstructorConfig
from mvd_toolkit.sidecar import OnExists, Recipe
from mvd_toolkit.sources import Source

DEFAULT_FORMAT = "glb"
"""Format of the output when none is named."""


class ReconstructorOnDemand:
    """Models of which no network is loaded before a picture needs it.

    What is sent to another process is the models' names, as of `upscale_file.UpscalerOnDemand`.

    Attributes:
        configs: what the models say of themselves.
        upscaler: what the upscaler's model says of itself.
        hashes: of the models, the upscaler's last.
    """

    def __init__(
        self,
        models: Sequence[str | Path] = (),
        upscaler: str | Path | None = None,
        device: str = "cpu",
    ) -> None:
        """Look at model directories, or at those that come with the package.

        Raises:
            UnavailableError: no such model or device.
            InputError: a file of a model is missing or malformed.
            UsageError: the models cannot vote.
        """
        several: list[str | Path | None] = list(models) or [None]
        self._places = [model_directory.find_reconstructor(model).absolute() for model in several]
        self._upscaler_place = model_directory.find_upscaler(upscaler, self._places[0]).absolute()
        self.configs = [_config(place) for place in self._places]
        check_fit(self.configs)
        self.upscaler = model_directory.read_config(self._upscaler_place)
        self.hashes = [
            *(sidecar.file_hash(place / "reconstructor.safetensors") for place in self._places),
            model_directory.directory_hash(self._upscaler_place),
        ]
        self._device = device
        if device != "cpu":
            usable_device(device)

    @property
    def reconstructor(self) -> Reconstructor:
        """The reconstructor, loaded by the first who asks.

        Raises:
            Unready: a model cannot be loaded.
        """
        with loading():
            return _load(
                tuple(self._places), self._upscaler_place, self._device, tuple(self.hashes)
            )


@functools.lru_cache(1)
def _load(
    places: tuple[Path, ...], upscaler: Path, device: str, hashes: tuple[str, ...]
) -> Reconstructor:
    """The models of these hashes, as long as they are the last ones used."""
    return Reconstructor.load(places, upscaler, device)


@dataclass
class ReconstructFile:
    """Reads a picture, makes its grid, writes it as ``<stem>_<N>.<ext>`` with its sidecar.

    Attributes:
        models: loaded when a picture is found to need them.
        destination: where outputs go.
        to: longest edge of the result; None: the default.
        format: name of the output's format; None: that of the named file, else GLB.
        ensemble: let several looks at the picture vote.
        mirror: take the object to be symmetric.
        keep_parts: keep all parts, not the largest alone.
        on_exists: what to do about a file in the way.
        threads: 0: one a core.
        meshing: how a surface is made when the output is a mesh.
    """

    models: ReconstructorOnDemand
    destination: Destination
    to: int | None = None
    format: str | None = None
    ensemble: bool = False
    mirror: bool = False
    keep_parts: bool = False
    on_exists: OnExists = "error"
    threads: int = 0
    meshing: Meshing = field(default_factory=Meshing)

    def __call__(self, source: Source, progress: Progress | None = None) -> Made:
        """Reconstruct one picture; ``progress`` is told its steps.

        Raises:
            InputError: it is no picture, is broken or too large, or nothing is in it.
            UsageError: the size cannot be made.
            OutputExistsError: something else is where the output goes.
            Unready: a model cannot be loaded.
        """
        if not source.path.is_file():
            raise InputError(f"{source.path}: no such file")
        size = check_size(self.models.configs[0], self.models.upscaler, self.to)
        named = self.destination.file
        chosen = self.format or (None if named else DEFAULT_FORMAT)
        form = io.output_format(named or source.path, chosen, ("grid", "mesh"))
        output = self.destination.path(source, f"{source.path.stem}_{size}{form.suffixes[0]}")
        recipe = self._recipe(size, form)

        def make(reconstructor: Reconstructor) -> dict[str, Any]:
            return self._make(reconstructor, source.path, size, output, form, progress)

        return make_with(
            lambda: self.models.reconstructor, make, source.path, output, recipe, self.on_exists
        )

    def _make(
        self,
        reconstructor: Reconstructor,
        picture: Path,
        size: int,
        output: Path,
        form: io.Format,
        progress: Progress | None,
    ) -> dict[str, Any]:
        start = time.perf_counter()
        made = reconstructor.detailed(
            picture,
            size,
            ensemble=self.ensemble,
            mirror=self.mirror,
            keep_parts=self.keep_parts,
            threads=self.threads,
            progress=progress,
        )
        return {
            "expected_iou": round(made.confidence, 3),
            "distance": None if made.distance is None else round(made.distance, 3),
            "cut": made.cut,
            "device": str(reconstructor.device),
            **save_fine(made, output, form, self.meshing, self.threads, start),
        }

    def _recipe(self, size: int, form: io.Format) -> Recipe:
        return Recipe(
            "reconstruct",
            {
                "models": self.models.hashes,
                "configs": [_deciding(config) for config in self.models.configs],
                "size": size,
                "format": form.name,
                "ensemble": self.ensemble,
                "mirror": self.mirror,
                "keep_parts": self.keep_parts,
                **self.meshing.recipe(form),
            },
        )


def _config(place: Path) -> ReconstructorConfig:
    with model_directory.naming(place / model_directory.CONFIG):
        content = model_directory.read_json(place / model_directory.CONFIG)
        return ReconstructorConfig.from_dict(content)


def _deciding(config: ReconstructorConfig) -> dict[str, Any]:
    ignored = ("about", "version", "plugin_version")
    return {key: value for key, value in config.to_dict().items() if key not in ignored}

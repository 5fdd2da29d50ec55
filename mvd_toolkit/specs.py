"""What a plugin declares: `BackboneSpec`, `PredictorSpec`, `ReconstructorSpec`, `MetricSpec`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import torch

    from mvd_toolkit.comparison import Comparison

Role = Literal["silhouette", "depth"]

MORE_NETWORKS: Final = ("subvoxel", "boundary")
"""The networks that a model may have beside its two predictors: one fills by fractions, one has a
say on what was carved. Its files, config and training call them so.
"""


@dataclass(frozen=True)
class NoOptions:
    """The options of a plugin that has none."""


@dataclass(frozen=True)
class BackboneSpec:
    """A 2-D network that upscales images; the core gives it features and takes its output.

    Attributes:
        name: what ``--backbone`` calls it.
        build: ``build(in_channels, out_channels, scale, **options)`` gives a ``torch.nn.Module``
            that maps (B, in_channels, L, L) to (B, out_channels, L * scale, L * scale) float32.
        options: a dataclass of the options ``build`` takes, with their types and defaults.
        scales: the scales it can be built for.
        receptive_field: edge, in input pixels, of what one output pixel depends on, its own pixel
            in the middle; or a function of the options that gives it; None: all.
        step: product of the network's strides: an input that is cut at a multiple of it is seen as
            the whole is.
        licence: SPDX name of the licence of its code.
        description: one line.
        api: version of this contract.
    """

    name: str
    build: Callable[..., torch.nn.Module]
    options: type = NoOptions
    scales: tuple[int, ...] = (2, 4, 8)
    receptive_field: int | Callable[..., int] | None = None
    licence: str = "MIT"
    description: str = ""
    api: int = 1
    step: int = 1

    def field(self, options: Mapping[str, Any]) -> int | None:
        """The receptive field of what is built with these options, all of them."""
        if callable(self.receptive_field):
            return self.receptive_field(**options)
        return self.receptive_field


@dataclass(frozen=True)
class PredictorSpec:
    """A predictor that is no backbone: it is trained and loaded by its own code.

    Attributes:
        name: what ``--silhouette`` or ``--depth`` calls it.
        role: which of the two predictions it makes.
        fit: ``fit(dataset, run, **options)`` trains it and writes it under ``run``.
        load: ``load(directory)`` gives a callable from low grids (B, N, N, N) bool to
            (B, 6, s*N, s*N) float32: probability of silhouette, or depth in fine voxels.
        options: a dataclass of the options ``fit`` takes.
        scales: the scales it serves.
        licence: SPDX name of the licence of its code.
        description: one line.
        api: version of this contract.
    """

    name: str
    role: Role
    fit: Callable[..., None]
    load: Callable[..., Callable[[Any], Any]]
    options: type = field(default=NoOptions)
    scales: tuple[int, ...] = (2, 4, 8)
    licence: str = "MIT"
    description: str = ""
    api: int = 1


@dataclass(frozen=True)
class ReconstructorSpec:
    """A network that makes a coarse grid of one picture; the core prepares the picture.

    Attributes:
        name: what ``--reconstructor`` calls it.
        build: ``build(size, edge, **options)`` gives a ``torch.nn.Module`` that maps pictures
            (B, 3, size, size) float32, red, green and blue from 0 to 1, to logits (B, edge, edge,
            edge) of a voxel being occupied, indexed [x, y, z] with z up. It may have a method
            ``features`` that maps them to (B, D), what it sees in them: then the model can tell
            pictures that are unlike those it learned from.
        loss: maps logits and targets (B, edge, edge, edge), in [0, 1], to a number; None: binary
            cross-entropy plus Dice.
        options: a dataclass of the options ``build`` takes, with their types and defaults.
        size: edge of the pictures, pixels.
        threshold: a voxel is occupied when its probability is above it.
        licence: SPDX name of the licence of its code.
        description: one line.
        api: version of this contract.
    """

    name: str
    build: Callable[..., torch.nn.Module]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    options: type = NoOptions
    size: int = 128
    threshold: float = 0.5
    licence: str = "MIT"
    description: str = ""
    api: int = 1


@dataclass(frozen=True)
class MetricSpec:
    """A score of a prediction against its truth.

    Attributes:
        name: the key in what `score` returns.
        compute: a `Comparison` to a number; or to several by name, which become ``name.which``.
            NaN means that it is undefined for this pair.
        better: whether a higher or a lower value is the better one, or neither says so.
        unit: of the value; empty for a plain number.
        default: whether it is computed when no metrics are named.
        licence: SPDX name of the licence of its code.
        description: one line.
        api: version of this contract.
    """

    name: str
    compute: Callable[[Comparison], float | Mapping[str, float]]
    better: Literal["higher", "lower", "neither"] = "higher"
    unit: str = ""
    default: bool = True
    licence: str = "MIT"
    description: str = ""
    api: int = 1

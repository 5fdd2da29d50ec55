"""A reconstructor with its config, and the directory that holds them.

::

    MODEL/
      config.json                  ReconstructorConfig
      reconstructor.safetensors    weights, half precision
      README.md                    the card
      upscaler/                    a model for its grids (`Model`), if it has one of its own
      voter/                       another reconstructor that votes with it, if there is one
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import nn

from mvd_toolkit import plugins
from mvd_toolkit.card import reconstructor_card
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.model_directory import CONFIG, naming, read_json, weights_hash, with_voter
from mvd_toolkit.model_files import CARD, half_state, new_directory, read_weights, write
from mvd_toolkit.options import parse_options
from mvd_toolkit.reconstructor_config import SCHEMA, ReconstructorConfig

WEIGHTS: Final = "reconstructor.safetensors"


class ReconstructorNetwork(nn.Module):
    """A plugin's network, its loss, and what it knows of the pictures it learned from.

    Attributes:
        network: (B, 3, S, S) to logits (B, N, N, N).
        centre: (D,) mean of the features of those pictures; D is 0 without ``features``.
        whitening: (D, D), turns features about the mean into uncorrelated ones of size 1.
    """

    centre: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, name: str, size: int, edge: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        spec = plugins.reconstructor(name)
        self._loss = spec.loss or dice_loss
        self.network = spec.build(size, edge, **parse_options(spec, options))
        features = self._feature_count(size) if hasattr(self.network, "features") else 0
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("whitening", torch.eye(features))

    def _feature_count(self, size: int) -> int:
        place = next(self.network.parameters(), torch.zeros(())).device
        training = self.network.training
        with torch.no_grad():
            features = self.network.eval().features(torch.zeros(1, 3, size, size, device=place))  # type: ignore[operator]
        self.network.train(training)
        return int(features.shape[1])

    def loss(
        self, pictures: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Training loss.

        Args:
            pictures: (B, 3, S, S) float32, 0 to 1.
            target: (B, N, N, N) float32, occupancy.

        Returns:
            the loss, and figures for the log.
        """
        loss = self._loss(self.network(pictures).float(), target)
        return loss, {"loss": float(loss.detach())}

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, N, N, N) float32 probabilities of pictures (B, 3, S, S)."""
        probabilities: torch.Tensor = self.network(pictures).float().sigmoid()
        return probabilities

    def distance(self, pictures: torch.Tensor) -> torch.Tensor | None:
        """(B,) how far pictures are from those it learned from; None: it cannot tell.

        Mahalanobis' distance of the features, over the root of their number: 1 is usual.
        """
        if not len(self.centre):
            return None
        features = self.network.features(pictures).float()  # type: ignore[operator]
        centred = (features - self.centre) @ self.whitening
        distance: torch.Tensor = centred.square().mean(dim=1).sqrt()
        return distance

    def learn_familiar(self, features: torch.Tensor) -> None:
        """Keep mean and whitening of features (M, D) of the pictures it learned from."""
        wide = features.double()
        self.centre.copy_(wide.mean(dim=0))
        covariance = (wide - wide.mean(dim=0)).T @ (wide - wide.mean(dim=0)) / len(wide)
        values, vectors = torch.linalg.eigh(covariance)
        floor = 0.01 * float(values.mean())  # directions that hardly vary say little
        self.whitening.copy_(vectors / (values.clamp(min=0) + floor).sqrt())


class ReconstructorModel:
    """A network and its config.

    Attributes:
        config: what config.json holds.
        network: in eval mode.
    """

    def __init__(self, config: ReconstructorConfig, network: ReconstructorNetwork) -> None:
        self.config = config
        self.network = network.eval()

    @classmethod
    def build(cls, config: ReconstructorConfig) -> ReconstructorModel:
        """A model with random weights; the plugin it needs is noted in its config.

        Raises:
            UnavailableError: there is no such reconstructor.
            UsageError: an option that it does not take.
        """
        spec = plugins.reconstructor(config.reconstructor)
        row = plugins.provider("reconstructor", config.reconstructor)
        config = replace(
            config,
            options=parse_options(spec, config.options),
            plugin=row.module,
            plugin_version=row.version,
        )
        return cls(config, _network(config))

    @classmethod
    def load(cls, directory: Path) -> ReconstructorModel:
        """Load a model directory.

        Raises:
            UnavailableError: a plugin that it needs is missing.
            InputError: a file is missing or malformed, or does not fit the config.
        """
        config = read_reconstructor_config(directory)
        needs = f"plugin {config.plugin or '?'} {config.plugin_version}".rstrip()
        if config.reconstructor not in plugins.reconstructors():
            raise UnavailableError(
                f"the model needs reconstructor {config.reconstructor!r} of {needs}, which is not "
                "installed (`mvd plugins` lists what is)"
            )
        try:
            with torch.device("meta"):  # where it costs nothing
                expected = _network(config).state_dict()
        except (UsageError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{directory / CONFIG}: {error}") from error
        state = read_weights(directory / WEIGHTS, expected, needs)
        network = _network(config)
        network.load_state_dict(state)
        return cls(config, network)

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model directory: a temporary folder first, then renamed.

        Raises:
            OutputExistsError: the directory exists and may not be replaced.
            InputError: a weight is not finite in half precision.
        """
        with new_directory(directory, SCHEMA, overwrite=overwrite) as place:
            write(place / WEIGHTS, save(half_state(self.network)))
            write(place / CARD, self.card().encode())
            write(place / CONFIG, (json.dumps(self.config.to_dict(), indent=2) + "\n").encode())
        return Path(directory)

    def to(self, device: str | torch.device) -> ReconstructorModel:
        """Move the network to a device, in place."""
        self.network.to(device)
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the model's answers; the card and versions do not count."""
        return weights_hash(_deciding(self.config), _contents(self.network))

    def card(self) -> str:
        """README.md of the model directory, in Markdown."""
        parameters = sum(weight.numel() for weight in self.network.parameters())
        return reconstructor_card(self.config.to_dict(), parameters)


def load_voters(directory: Path) -> list[ReconstructorModel]:
    """The model saved in a directory and, if it holds one, the other that votes with it.

    Raises:
        InputError: a file is missing or malformed.
        UnavailableError: the plugin that one needs is missing.
    """
    return [ReconstructorModel.load(place) for place in with_voter(directory)]


def vote(models: Sequence[ReconstructorModel], pictures: torch.Tensor) -> npt.NDArray[np.float32]:
    """(B, N, N, N) the chances that models see in pictures (B, 3, S, S) beside them.

    Their mean, by the weights of their configs.
    """
    with torch.inference_mode():
        votes = [model.network(pictures).cpu().numpy() for model in models]
    weights = [model.config.weight for model in models]
    return np.average(votes, axis=0, weights=weights).astype(np.float32)


def read_reconstructor_config(directory: Path) -> ReconstructorConfig:
    """What config.json of a reconstructor's directory says.

    Raises:
        InputError: it is missing, malformed or of another schema.
    """
    with naming(directory / CONFIG):
        return ReconstructorConfig.from_dict(read_json(directory / CONFIG))


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus 1 - Dice's coefficient, each grid counting the same."""
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    chance = logits.sigmoid().flatten(1)
    wanted = target.flatten(1)
    shared = 2 * (chance * wanted).sum(dim=1) + 1
    dice = shared / (chance.sum(dim=1) + wanted.sum(dim=1) + 1)
    return entropy + 1 - dice.mean()


def _network(config: ReconstructorConfig) -> ReconstructorNetwork:
    return ReconstructorNetwork(
        config.reconstructor, config.size, config.edge, config.options
    ).eval()


def _deciding(config: ReconstructorConfig) -> dict[str, Any]:
    ignored = ("about", "version", "plugin_version")
    return {key: value for key, value in config.to_dict().items() if key not in ignored}


def _contents(network: nn.Module) -> Iterator[tuple[str, bytes]]:
    for name, tensor in sorted(half_state(network).items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}", tensor.numpy().tobytes()

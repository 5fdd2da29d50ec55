"""A model: its networks, how their answers are fused, and the directory that holds them.

::

    MODEL/
      config.json               ModelConfig; what it takes to build the predictors again
      silhouette.safetensors    weights, half precision; float32 once loaded
      depth.safetensors
      subvoxel.safetensors      the same of the network that fills by fractions, if there is one
      boundary.safetensors      that of the network with a say on what was carved, if there is one
      README.md                 the card: data, licence, scores, plugins needed

A predictor that a plugin trains and loads by itself (`PredictorSpec`) has a folder ``silhouette/``
or ``depth/`` of its own files in place of the safetensors.

Loading believes nothing: the schema, every key, and the names and shapes of the weights are checked
before anything is allocated; no pickle is read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from safetensors.torch import save

from mvd_toolkit import plugins
from mvd_toolkit.boundary import BoundaryPredictor
from mvd_toolkit.card import model_card
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.model_config import SCHEMA, Fusion, ModelConfig
from mvd_toolkit.model_directory import (
    BOUNDARY,
    CONFIG,
    ROLES,
    SUBVOXEL,
    find_model,
    folder_contents,
    model_hash,
    naming,
    read_config,
)
from mvd_toolkit.model_files import CARD, half_state, new_directory, read_weights, write
from mvd_toolkit.specs import Role
from mvd_toolkit.subvoxel import SubvoxelNetwork, SubvoxelPredictor

Predictor = Callable[[torch.Tensor, str], torch.Tensor]
"""(B, N, N, N) bool low grids and the rule they were made by, to (B, 6, sN, sN) float32."""

_Network = TypeVar("_Network", bound=SubvoxelNetwork)


class Model:
    """A silhouette and a depth predictor, the networks beside them, if any, and their config.

    Attributes:
        config: what config.json holds.
        silhouette: (B, N, N, N) bool, rule -> (B, 6, sN, sN) float32, probability.
        depth: the same for depth, in fine voxels.
        subvoxel: fills by fractions; None: the depths do.
        boundary: has a say on what was carved; None: nothing has.

    Raises:
        UsageError: a network is of another scale than the config's.
    """

    def __init__(
        self,
        config: ModelConfig,
        silhouette: Predictor,
        depth: Predictor,
        subvoxel: SubvoxelPredictor | None = None,
        boundary: BoundaryPredictor | None = None,
    ) -> None:
        self.config = config
        self.silhouette = silhouette
        self.depth = depth
        self.subvoxel = subvoxel
        self.boundary = boundary
        for name, network in ((SUBVOXEL, subvoxel), (BOUNDARY, boundary)):
            if network is not None and network.scale != config.scale:
                raise UsageError(
                    f"{name}: expected a network of scale {config.scale}, as the model's, "
                    f"found one of {network.scale}"
                )

    @classmethod
    def from_predictors(
        cls,
        silhouette: Predictor,
        depth: Predictor,
        *,
        scale: int,
        rules: tuple[str, ...] = LOW_RULES,
        fusion: Fusion | None = None,
        about: Mapping[str, Any] | None = None,
        subvoxel: SubvoxelPredictor | None = None,
        boundary: BoundaryPredictor | None = None,
    ) -> Model:
        """A model of two predictors; the plugins they need are noted in its config.

        Args:
            silhouette: the silhouette predictor, with a method ``config``.
            depth: the depth predictor.
            scale: fine edge / coarse edge.
            rules: the low rules it is good for.
            fusion: by default the paper's, smoothing at 1.5 x ``scale``.
            about: what the card tells.
            subvoxel: of the same scale; fills grids of fractions.
            boundary: of the same scale; has a say on what was carved.
        """
        config = ModelConfig(
            scale=scale,
            silhouette=_describe(silhouette),
            depth=_describe(depth),
            rules=rules,
            fusion=fusion or Fusion(smooth_threshold=1.5 * scale),
            subvoxel=None if subvoxel is None else subvoxel.config(),
            boundary=None if boundary is None else boundary.config(),
            about=about or {},
        )
        return cls(config, silhouette, depth, subvoxel, boundary)

    @classmethod
    def load(cls, model: str | Path | None = None) -> Model:
        """Load a model.

        Args:
            model: None for the default model; the name of a model that comes with the package; or
                the path of a model directory.

        Raises:
            UnavailableError: there is no such model, or a plugin that it needs is missing.
            InputError: a file is missing or malformed, or does not fit the config.
        """
        directory = find_model(model)
        config = read_config(directory)
        built = {role: _load_predictor(directory, role, config) for role in ROLES}
        subvoxel = _load_more(directory, config, SUBVOXEL, SubvoxelPredictor)
        boundary = _load_more(directory, config, BOUNDARY, BoundaryPredictor)
        return cls(config, built["silhouette"], built["depth"], subvoxel, boundary)

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model directory: a temporary folder first, then renamed.

        Args:
            directory: where to.
            overwrite: replace a model that is there. What is no model is never replaced.

        Raises:
            OutputExistsError: the directory exists and may not be replaced.
            InputError: a weight is not finite in half precision.
        """
        with new_directory(directory, SCHEMA, overwrite=overwrite) as place:
            for name, network in self._networks().items():
                _save_network(network, place, name)
            write(place / CARD, self.card().encode())
            config = json.dumps(self.config.to_dict(), indent=2) + "\n"
            write(place / CONFIG, config.encode())
        return Path(directory)

    def to(self, device: str | torch.device) -> Model:
        """Move the networks to a device, in place; on a GPU with channels last."""
        on_gpu = torch.device(device).type == "cuda"
        layout = torch.channels_last if on_gpu else torch.contiguous_format
        for module in self.modules():
            module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        return self

    def modules(self) -> list[torch.nn.Module]:
        """Its networks but for those that a plugin keeps to itself."""
        networks = self._networks().values()
        return [network for network in networks if isinstance(network, torch.nn.Module)]

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the model's answers: kinds, options, fusion and weights.

        The same before saving and after loading; the card and versions do not count.
        """
        contents = {name: _contents(network) for name, network in self._networks().items()}
        return model_hash(self.config, dict(contents))

    def card(self) -> str:
        """README.md of the model directory, in Markdown."""
        parameters = {
            name: sum(parameter.numel() for parameter in network.parameters())
            for name, network in self._networks().items()
            if isinstance(network, torch.nn.Module)
        }
        return model_card(self.config.to_dict(), parameters)

    def _networks(self) -> dict[str, Predictor | SubvoxelNetwork]:
        """By the names of their files."""
        networks: dict[str, Predictor | SubvoxelNetwork | None] = {
            "silhouette": self.silhouette,
            "depth": self.depth,
            SUBVOXEL: self.subvoxel,
            BOUNDARY: self.boundary,
        }
        return {name: network for name, network in networks.items() if network is not None}


class ExternalPredictor:
    """A predictor of a plugin (`PredictorSpec`), loaded from a folder of its own files."""

    def __init__(self, name: str, directory: str | Path) -> None:
        self.name = name
        self.directory = Path(directory)
        self._spec = plugins.predictor(name)
        self._predict = self._spec.load(self.directory)

    def __call__(self, low: torch.Tensor, rule: str = "any") -> torch.Tensor:
        """(B, N, N, N) bool to (B, 6, sN, sN) float32; the rule is not passed on."""
        return cast(torch.Tensor, self._predict(low))

    def config(self) -> dict[str, Any]:
        """JSON-able description."""
        return {"kind": "plugin", "role": self._spec.role, "predictor": self.name}


# Building and reading predictors


def _describe(predictor: Any) -> dict[str, Any]:
    """A predictor's config, with the plugin that it needs."""
    section = dict(predictor.config())
    kind: Literal["backbone", "predictor"] = "backbone" if "backbone" in section else "predictor"
    row = plugins.provider(kind, section[kind])
    return {**section, "plugin": row.module, "plugin_version": row.version}


def _load_predictor(directory: Path, role: Role, config: ModelConfig) -> Predictor:
    section = dict(config.section(role))
    with naming(directory / CONFIG):
        needs = _plugin_of(section, role)
    if section.get("kind") == "plugin":
        try:
            return ExternalPredictor(section["predictor"], directory / role)
        except Exception as error:  # a plugin's own loader may raise anything
            raise InputError(f"{directory / role}: {needs} cannot load it: {error}") from error
    path = directory / f"{role}.safetensors"
    with torch.device("meta"):
        expected = _build(role, section, directory, config.scale).state_dict()
    state = read_weights(path, expected, needs)
    predictor = _build(role, section, directory, config.scale)
    predictor.load_state_dict(state)
    return cast(Predictor, predictor.eval())


def _load_more(
    directory: Path, config: ModelConfig, name: str, kind: type[_Network]
) -> _Network | None:
    options = config.more_networks.get(name)
    if options is None:
        return None
    with naming(directory / CONFIG), torch.device("meta"):
        try:
            network = kind.from_config(options, config.scale)
        except (InputError, RuntimeError) as error:
            raise InputError(f"{name}: {error}") from error
    state = read_weights(directory / f"{name}.safetensors", network.state_dict(), "mvd_toolkit")
    network.load_state_dict(state, assign=True)
    return network.eval()


def _plugin_of(section: Mapping[str, Any], role: Role) -> str:
    """Check that the plugin is there; how to call it in messages."""
    kind: Literal["backbone", "predictor"]
    kind = "predictor" if section.get("kind") == "plugin" else "backbone"
    name = section.get(kind)
    if not isinstance(name, str):
        raise InputError(f"{role}.{kind}: expected a name, found {name!r}")
    needs = f"plugin {section.get('plugin', '?')} {section.get('plugin_version', '')}".rstrip()
    if name not in (plugins.predictors() if kind == "predictor" else plugins.backbones()):
        raise UnavailableError(
            f"the model's {role} predictor needs {kind} {name!r} of {needs}, which is not "
            "installed (`mvd plugins` lists what is)"
        )
    return needs


def _build(role: Role, section: dict[str, Any], directory: Path, scale: int) -> torch.nn.Module:
    """The predictor with random weights; on the meta device it costs nothing."""
    kind = section.get("kind")
    values = {k: v for k, v in section.items() if k not in ("plugin", "plugin_version")}
    if values.get("role", role) != role or values.get("scale", scale) != scale:
        raise InputError(
            f"{directory / CONFIG}: {role}: expected role {role!r} and scale {scale}, "
            f"found {values.get('role')!r} and {values.get('scale')!r}"
        )
    try:
        return cast(torch.nn.Module, predictor_class(kind, role).from_config(values))
    except (InputError, UsageError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{directory / CONFIG}: {role}: {error}") from error


def predictor_class(kind: Any, role: Role) -> Any:
    """The class of a predictor that is a module here: kind "view", "paper" or "regression".

    Raises:
        InputError: another kind.
    """
    if kind == "view":
        from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor

        return SilhouettePredictor if role == "silhouette" else DepthPredictor
    if kind == "paper":
        from mvd_toolkit.paper import PaperDepth, PaperSilhouette

        return PaperSilhouette if role == "silhouette" else PaperDepth
    if kind == "regression" and role == "depth":
        from mvd_toolkit.regressed_depth import RegressedDepth

        return RegressedDepth
    raise InputError(f"{role}.kind: expected view, paper or plugin, found {kind!r}")


# Writing


def _contents(network: Any) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of all that a network is made of, in a fixed order."""
    if isinstance(network, ExternalPredictor):
        yield from folder_contents(network.directory)
    elif isinstance(network, torch.nn.Module):
        for name, tensor in sorted(half_state(network).items()):
            yield f"{name} {tensor.dtype} {tuple(tensor.shape)}", tensor.numpy().tobytes()


def _save_network(network: Any, directory: Path, name: str) -> None:
    if isinstance(network, ExternalPredictor):
        shutil.copytree(network.directory, directory / name)
    elif isinstance(network, torch.nn.Module):
        # save_file would make it readable by its owner alone.
        write(directory / f"{name}.safetensors", save(half_state(network)))
    else:
        raise UsageError(f"{name}: a {type(network).__name__} cannot be saved")

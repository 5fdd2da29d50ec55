"""What a training run is told: presets, options, and the length of the run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mvd_toolkit import plugins
from mvd_toolkit.conventions import INPUT_RULES, SOFT_RULE
from mvd_toolkit.errors import UnavailableError, UsageError
from mvd_toolkit.options import parse_options
from mvd_toolkit.silhouette_weights import SilhouetteWeights
from mvd_toolkit.specs import MORE_NETWORKS, Role

Unit = Literal["epochs", "steps", "minutes"]

_ROLES: Final[tuple[Role, ...]] = ("silhouette", "depth")


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, apart from the data; JSON-able.

    Attributes:
        preset: which preset it started from.
        kind: "view" or "paper": which predictors stand over the backbones; "reconstruct": none do.
        silhouette: backbone or predictor of the silhouette.
        depth: backbone or predictor of the depth.
        reconstructor: the network from pictures to grids, for kind "reconstruct".
        options: role -> what its predictor is built with: ``options`` of the backbone, and
            whatever else its config takes; ``subvoxel`` and ``boundary`` -> the options of those
            networks, where they learn.
        unit: what the run's length is counted in.
        length: the run's length.
        batch_size: shapes in a step.
        faces: of each shape, that a step looks at.
        lr: highest learning rate.
        schedule: "cosine" falls to 1 % at the end; "constant" stays.
        warmup: steps over which the rate rises; 5 % of the run where that is less.
        betas: of Adam.
        weight_decay: of AdamW.
        clip: longest gradient; None: any.
        ema: decay of the averaged weights; None: no averaging.
        augment: turn shapes by the symmetries of the cube.
        rules: low rule -> how often, relative.
        seed: of weights, order and draws.
        precision: "bf16" runs the networks in bfloat16 where it is safe, "auto" does on devices
            that compute in it.
        deterministic: use no algorithm whose result may differ between runs.
        silhouette_weights: pixels that count more in the silhouette's loss: "plain" none,
            "balanced" those of the rarer class, "boundary" those near the edge.
        depth_head: "distribution"; "linear" or "log" tell one offset, see `regressed_depth`.
        adversarial: weight of an adversary's judgement in each loss; 0: there is none.
        patience: validations without a better IoU after which a run ends; None: it never does.
        validate_every: steps between validations; None: an epoch, at least 100.
        validate_items: shapes that validation looks at.
        start: a model whose networks learn on; None: they start from random weights.
        boundary: a network learns to have a say on what was carved, too.
        predicted_by: a reconstructor whose grids of the dataset's pictures are the low grids; None:
            they are pooled.
    """

    preset: str = "default"
    kind: str = "view"
    silhouette: str = "unet"
    depth: str = "unet"
    reconstructor: str = ""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unit: Unit = "epochs"
    length: float = 40
    batch_size: int = 16
    faces: int = 2
    lr: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 200
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float | None = 1.0
    ema: float | None = 0.999
    augment: bool = True
    rules: Mapping[str, float] = field(
        default_factory=lambda: {"any": 0.5, "half": 0.25, "centre": 0.25}
    )
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: bool = False
    silhouette_weights: SilhouetteWeights = "plain"
    depth_head: Literal["distribution", "linear", "log"] = "distribution"
    adversarial: float = 0.0
    patience: int | None = None
    validate_every: int | None = None
    validate_items: int = 32
    start: str | None = None
    boundary: bool = False
    predicted_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Read what `to_dict` gave."""
        return cls(**{**values, "betas": tuple(values["betas"])})

    @property
    def more_networks(self) -> list[str]:
        """Those that learn beside the two predictors; a run of old, which names none, has none."""
        return [name for name in MORE_NETWORKS if name in self.options]

    def name(self, role: Role) -> str:
        """The backbone or predictor of a role."""
        return self.silhouette if role == "silhouette" else self.depth


PRESETS: Final[Mapping[str, Settings]] = {
    "default": Settings(),
    "paper": Settings(
        preset="paper",
        kind="paper",
        silhouette="resnet",
        depth="resnet",
        options={role: {"options": {"variant": "authors"}} for role in ("silhouette", "depth")},
        length=250,
        batch_size=64,
        faces=1,
        lr=1e-4,
        schedule="constant",
        warmup=0,
        betas=(0.5, 0.9),
        weight_decay=0.0,
        clip=None,
        ema=None,
        augment=False,
        rules={"any": 1.0},
    ),
}
"""``--preset``: "paper" follows the authors' code, see docs/method.md; a run tells what differs."""


def make_settings(
    preset: str | None = None,
    *,
    backbone: str | None = None,
    silhouette: str | None = None,
    depth: str | None = None,
    options: Mapping[str, Any] | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    **changes: Any,
) -> Settings:
    """Settings of a run, checked.

    Args:
        preset: name in `PRESETS`; by default "default".
        backbone: for both roles.
        silhouette: backbone or predictor for that role; goes before ``backbone``.
        depth: the same.
        options: ``--set`` values by name. ``width`` is an option of both backbones,
            ``depth.width`` of one; ``features.NAME``, ``symmetries``, ``depth.quantile`` and, in
            preset paper, ``depth.range`` belong to the predictor over the backbone;
            ``subvoxel.NAME`` to the network that fills by fractions, ``boundary.NAME`` to that
            which has a say on what was carved; ``train.NAME`` is a field of `Settings`.
        epochs: length of the run in epochs.
        steps: its length in steps.
        minutes: its length in minutes of training.
        changes: other fields of `Settings`; None leaves the preset's.

    Raises:
        UsageError: an unknown preset, field or option, two lengths, or a value out of range.
        UnavailableError: an unknown backbone, predictor or model.
    """
    preset = preset or "default"
    if preset not in PRESETS:
        raise UsageError(f"preset: expected one of {', '.join(PRESETS)}, found {preset!r}")
    base = PRESETS[preset]
    given = dict(options or {})
    changes = {name: value for name, value in changes.items() if value is not None}
    changes = take_training_options(given) | changes
    prefixes = tuple(f"{network}." for network in MORE_NETWORKS)
    more = {name: given.pop(name) for name in list(given) if name.startswith(prefixes)}
    if changes.get("start") is not None:
        base = _learn_on(base, changes["start"])
    if changes.get("predicted_by") is not None:
        _check_predicted(base, changes)
        changes.setdefault("boundary", False)
        changes["rules"] = {SOFT_RULE: 1.0}
    unknown = set(changes) - {f.name for f in dataclasses.fields(Settings)}
    if unknown:
        raise UsageError(f"training has no setting {sorted(unknown)[0]!r}")
    settings = dataclasses.replace(
        base,
        silhouette=silhouette or backbone or base.silhouette,
        depth=depth or backbone or base.depth,
        **run_length(epochs, steps, minutes),
        **changes,
    )
    built: dict[str, dict[str, Any]] = _more_options(settings, base, more)
    built |= {role: _role_options(settings, base, role, given) for role in _ROLES}
    settings = dataclasses.replace(settings, options=built)
    check_settings(settings)
    return settings


def is_backbone(name: str, role: Role) -> bool:
    """Whether a name is a backbone's; False: a predictor's of that role.

    Raises:
        UnavailableError: it is neither.
    """
    if name in plugins.backbones():
        return True
    spec = plugins.predictors().get(name)
    if spec is None:
        plugins.backbone(name)  # raises, naming the backbones there are
    elif spec.role != role:
        raise UnavailableError(f"predictor {name!r} is for {spec.role}, not for {role}")
    return False


def run_length(epochs: float | None, steps: int | None, minutes: float | None) -> dict[str, Any]:
    """The fields of `Settings` that a length told in one of three units sets.

    Raises:
        UsageError: it is told in several.
    """
    lengths = {"epochs": epochs, "steps": steps, "minutes": minutes}
    given = {unit: length for unit, length in lengths.items() if length is not None}
    if len(given) > 1:
        raise UsageError(f"length: expected one of epochs, steps, minutes, found {len(given)}")
    return dict(zip(("unit", "length"), next(iter(given.items()), ()), strict=False))


def _role_options(
    settings: Settings, base: Settings, role: Role, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What a role's predictor is built with: the preset's options, then ``--set`` values."""
    name = settings.name(role)
    mine = {k: v for k, v in given.items() if not k.startswith(tuple(f"{r}." for r in _ROLES))}
    mine |= {k.removeprefix(f"{role}."): v for k, v in given.items() if k.startswith(f"{role}.")}
    preset = dict(base.options.get(role, {})) if name == base.name(role) else {}
    if not is_backbone(name, role):
        return {"options": parse_options(plugins.predictor(name), mine)}
    above: dict[str, Any] = {}
    for place in _above_backbone(settings.kind, role):
        above |= place.take(mine)
    if "features" in preset:
        above["features"] = {**preset["features"], **above.get("features", {})}
    values = {**preset.get("options", {}), **mine}
    return {**preset, **above, "options": parse_options(plugins.backbone(name), values)}


def _more_options(
    settings: Settings, base: Settings, given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The options of the networks that learn beside the two predictors."""
    from mvd_toolkit.subvoxel import SubvoxelOptions

    # Chances do not promise to be kept as fractions do.
    fills = SOFT_RULE in settings.rules and settings.predicted_by is None
    built = {}
    for network in ["subvoxel"] * fills + ["boundary"] * settings.boundary:
        prefix = f"{network}."
        values = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        names = tuple(f.name for f in dataclasses.fields(SubvoxelOptions))
        place = _Place(network, SubvoxelOptions, names)
        built[network] = parse_options(place, {**base.options.get(network, {}), **values})
    idle = [name for name in given if name.split(".")[0] not in built]
    if idle:
        raise UsageError(
            f"{idle[0]}: that network does not learn; subvoxel does under the low rule "
            f"{SOFT_RULE}, boundary with --set train.boundary=true"
        )
    return built


def _learn_on(base: Settings, model: str) -> Settings:
    """A preset with the networks of a model in place of its own."""
    from mvd_toolkit.model_directory import find_model, read_config

    config = read_config(find_model(model))
    changes: dict[str, Any] = {"options": {}}
    for role in _ROLES:
        section = config.section(role)
        if section.get("kind") == "plugin":
            changes[role] = section["predictor"]
            continue
        if section.get("kind") != base.kind:
            raise UsageError(
                f"start: expected a model of kind {base.kind!r}, as preset {base.preset} has, "
                f"found {section.get('kind')!r} in {model}"
            )
        changes[role] = section["backbone"]
        changes["options"][role] = {
            name: section[name]
            for name in ("options", "features", "symmetries", "quantile", "range")
            if name in section
        }
    changes["options"] |= config.more_networks
    changes["boundary"] = config.boundary is not None
    return dataclasses.replace(base, **changes)


def _check_predicted(base: Settings, changes: Mapping[str, Any]) -> None:
    if base.kind != "view":
        raise UsageError(f"predicted_by: predictors of preset {base.preset} see bits only")
    if changes.get("rules", {SOFT_RULE: 1.0}).keys() != {SOFT_RULE}:
        raise UsageError(
            f"low rules: predicted grids have chances, which is {SOFT_RULE}; found "
            f"{', '.join(changes['rules'])}"
        )


@dataclass(frozen=True)
class _Place:
    """Options that belong not to the backbone but to a config dataclass over it."""

    name: str
    options: type
    names: tuple[str, ...]
    prefix: str = ""

    def take(self, given: dict[str, Any]) -> dict[str, Any]:
        """Move the options that belong here out of ``given``, typed, as the config has them."""
        mine = {n: given.pop(self.prefix + n) for n in self.names if self.prefix + n in given}
        parsed = parse_options(self, mine)
        values = {name: parsed[name] for name in mine}
        return {self.prefix.rstrip("."): values} if values and self.prefix else values


_TRAINING: Final = _Place(
    "train",
    Settings,
    tuple(
        f.name
        for f in dataclasses.fields(Settings)
        if f.name not in ("preset", "kind", "silhouette", "depth", "reconstructor", "options")
        and f.name not in ("unit", "length", "rules")
    ),
    prefix="train.",
)


def take_training_options(given: dict[str, Any]) -> dict[str, Any]:
    """Move the ``train.`` options out of ``given``: fields of `Settings`, typed."""
    taken: dict[str, Any] = _TRAINING.take(given).get("train", {})
    return taken


def parse_rules(text: str) -> dict[str, float]:
    """The mixture of low rules that a text names: one, several alike, or each with its share.

    >>> parse_rules("any=2,half=1")
    {'any': 2.0, 'half': 1.0}

    Raises:
        UsageError: it names another rule, or a share that is no positive number.
    """
    rules = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            rules[name] = float(share or 1)
        except ValueError:
            raise UsageError(f"low rule {name}: expected a number, found {share!r}") from None
    _check_rules(rules)
    return rules


def _check_rules(rules: Mapping[str, float]) -> None:
    if not rules or not set(rules) <= set(INPUT_RULES):
        expected = ", ".join(INPUT_RULES)
        raise UsageError(f"low rules: expected some of {expected}, found {list(rules)}")
    if not all(0 < share < float("inf") for share in rules.values()):
        raise UsageError(f"low rules: expected shares above 0, found {dict(rules)}")


def _above_backbone(kind: str, role: Role) -> list[_Place]:
    if kind == "paper":
        from mvd_toolkit.paper import PaperConfig

        return [_Place("depth", PaperConfig, ("range",))] if role == "depth" else []
    from mvd_toolkit.features import FeatureConfig
    from mvd_toolkit.view_predictor import ViewConfig

    features = tuple(f.name for f in dataclasses.fields(FeatureConfig))
    own = ("symmetries", "quantile") if role == "depth" else ("symmetries",)
    return [
        _Place("features", FeatureConfig, features, prefix="features."),
        _Place(role, ViewConfig, own),
    ]


def check_settings(settings: Settings) -> None:
    """Check numbers and what goes with what.

    Raises:
        UsageError: a value out of range, or one that the kind does not have.
    """
    for name, least in (
        ("batch_size", 1),
        ("faces", 1),
        ("length", 0),
        ("lr", 0),
        ("warmup", 0),
        ("adversarial", 0),
        ("patience", 1),
        ("validate_every", 1),
        ("validate_items", 1),
        ("seed", 0),
    ):
        value = getattr(settings, name)
        if value is not None and not value >= least:
            raise UsageError(f"{name}: expected at least {least}, found {value}")
    if settings.faces > 6:
        raise UsageError(f"faces: expected at most 6, found {settings.faces}")
    _check_rules(settings.rules)
    if SOFT_RULE in settings.rules and settings.kind != "view":
        raise UsageError(f"low rules: {settings.kind} predictors see bits only, found {SOFT_RULE}")
    changed = [
        name
        for name in ("silhouette_weights", "depth_head", "adversarial", "boundary")
        if getattr(settings, name) != getattr(PRESETS["default"], name)
    ]
    if changed and settings.kind != "view":
        raise UsageError(f"{changed[0]}: preset {settings.preset} has losses of its own")
    if settings.boundary and settings.predicted_by is not None:
        raise UsageError(
            "boundary: a reconstructor's grids were not pooled; leave train.boundary out"
        )

"""What every plugin must satisfy: call these from a plugin's own tests.

>>> from mvd_toolkit.testing import check_backbone
>>> check_backbone(spec)                                            # doctest: +SKIP

Each check raises AssertionError with a sentence that says what was expected and what was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit import plugins
from mvd_toolkit.conventions import FACE_COUNT
from mvd_toolkit.errors import InputError
from mvd_toolkit.io.format import Format
from mvd_toolkit.options import parse_options
from mvd_toolkit.plugins import PluginError, check_spec
from mvd_toolkit.specs import BackboneSpec, PredictorSpec, ReconstructorSpec
from mvd_toolkit.tiling import Tiling, run_tiled

if TYPE_CHECKING:
    import torch

    from mvd_toolkit.grid import VoxelGrid
    from mvd_toolkit.io import Limits

_IN, _OUT = 5, 2  # channels of the networks that are tried
_EDGES: Final = (5, 8, 11)
_TOLERANCE: Final = 1e-4  # relative, of float32 sums whose order depends on the batch


def check_backbone(spec: BackboneSpec, options: Mapping[str, Any] | None = None) -> None:
    """Check that a backbone keeps the contract of `BackboneSpec`.

    For every scale: shapes for odd and even edges, float32, the same answer twice in eval mode,
    an item's answer independent of its batch, a gradient at every parameter, state that survives
    a round trip. For the smallest scale: no dependence outside the declared receptive field, and
    the same answer from tiles that overlap by it.

    Args:
        spec: the backbone.
        options: those to build with, as ``--set`` takes them; the smaller the network, the faster
            the check.

    Raises:
        AssertionError: what is broken.
    """
    _check_declaration(spec)
    parsed = parse_options(spec, options or {})
    for scale in spec.scales:
        _check_scale(spec, scale, parsed)
    _check_receptive_field(spec, parsed)


def check_predictor(
    spec: PredictorSpec, directory: str | Path, options: Mapping[str, Any] | None = None
) -> None:
    """Check that a predictor keeps the contract of `PredictorSpec`.

    Makes a tiny dataset, fits on it, loads what was written, and checks the answer's shape, type
    and range, that it is the same twice, and that it is the same after loading again.

    Args:
        spec: the predictor.
        directory: an empty folder to work in.
        options: those to fit with.

    Raises:
        AssertionError: what is broken.
    """
    import torch

    _check_declaration(spec)
    scale = min(spec.scales)
    dataset, run = Path(directory) / "dataset", Path(directory) / "run"
    make_tiny_dataset(dataset, low=8, scale=scale)
    run.mkdir(parents=True, exist_ok=True)
    spec.fit(dataset, run, **parse_options(spec, options or {}))
    low = torch.zeros(2, 8, 8, 8, dtype=torch.bool)
    low[0, 2:6, 2:6, 2:6] = True
    low[1, 1:3, 2:7, 4] = True
    first, again = spec.load(run), spec.load(run)
    answer = first(low)
    edge = 8 * scale
    assert tuple(answer.shape) == (2, FACE_COUNT, edge, edge), (
        f"{spec.name}: expected shape {(2, FACE_COUNT, edge, edge)}, found {tuple(answer.shape)}"
    )
    assert answer.dtype == torch.float32, f"{spec.name}: expected float32, found {answer.dtype}"
    assert bool(torch.isfinite(answer).all()), f"{spec.name}: the answer is not finite"
    if spec.role == "silhouette":
        inside = bool(((answer >= 0) & (answer <= 1)).all())
        assert inside, f"{spec.name}: expected probabilities between 0 and 1"
    assert torch.equal(first(low), answer), f"{spec.name}: two calls differ"
    assert torch.equal(again(low), answer), f"{spec.name}: loaded twice, the answers differ"


def check_reconstructor(
    spec: ReconstructorSpec, options: Mapping[str, Any] | None = None, edge: int = 32
) -> None:
    """Check that a reconstructor keeps the contract of `ReconstructorSpec`.

    Shape and type of the answer, the same answer twice in eval mode, an item's answer independent
    of its batch, a gradient at every parameter, state that survives a round trip, a loss that is
    a finite number and falls when the answer is the truth, features of one shape.

    Args:
        spec: the reconstructor.
        options: those to build with, as ``--set`` takes them.
        edge: of the grids.

    Raises:
        AssertionError: what is broken.
    """
    import torch

    _check_declaration(spec)
    where = f"reconstructor {spec.name}"
    parsed = parse_options(spec, options or {})
    torch.manual_seed(0)
    network = spec.build(spec.size, edge, **parsed)
    assert isinstance(network, torch.nn.Module), (
        f"{where}: expected build to give a torch.nn.Module, found {type(network).__name__}"
    )
    pictures = torch.rand(3, 3, spec.size, spec.size)
    network.eval()
    with torch.no_grad():
        answer = network(pictures)
        expected = (3, edge, edge, edge)
        assert tuple(answer.shape) == expected, (
            f"{where}: expected {expected}, found {tuple(answer.shape)}"
        )
        assert answer.dtype == torch.float32, f"{where}: expected float32, found {answer.dtype}"
        assert bool(torch.isfinite(answer).all()), f"{where}: the answer is not finite"
        assert torch.equal(network(pictures), answer), f"{where}: two calls in eval mode differ"
        alone = network(pictures[1:2])[0]
        assert _close(alone, answer[1]), f"{where}: an item alone differs from it in a batch"
        other = spec.build(spec.size, edge, **parsed).eval()
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(pictures), answer), (
            f"{where}: another build with the same state_dict answers differently"
        )
        features = getattr(network, "features", None)
        if features is not None:
            found = tuple(features(pictures).shape)
            assert (len(found), found[0]) == (2, 3), f"{where}: expected (3, D), found {found}"
    _check_reconstructor_loss(spec, network, pictures, edge)


def _check_reconstructor_loss(
    spec: ReconstructorSpec, network: torch.nn.Module, pictures: torch.Tensor, edge: int
) -> None:
    import torch

    from mvd_toolkit.reconstructor_model import dice_loss

    where = f"reconstructor {spec.name}"
    loss = spec.loss or dice_loss
    target = (torch.rand(3, edge, edge, edge) < 0.2).float()
    network.train()
    value = loss(network(pictures), target)
    assert value.ndim == 0, f"{where}: the loss is no number"
    assert bool(torch.isfinite(value)), f"{where}: the loss is not finite"
    value.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{where}: no gradient reaches parameter {name}"
        finite = bool(torch.isfinite(parameter.grad).all())
        assert finite, f"{where}: the gradient of {name} is not finite"
    right, wrong = loss(20 * target - 10, target), loss(10 - 20 * target, target)
    assert float(right) < float(wrong), f"{where}: the truth has a higher loss than its opposite"


def check_format(form: Format, directory: str | Path) -> None:
    """Check that a file format keeps the contract of `Format`.

    What it writes must be recognised by its content, come back the same (in the same place, if the
    format says that it keeps one), and be refused over a limit; a file cut short must end in a
    value or an `InputError`.

    Args:
        form: the format; one that only reads is checked for files cut short alone.
        directory: an empty folder to work in.

    Raises:
        AssertionError: what is broken.
    """
    from mvd_toolkit.io import Limits, surface_mesh

    _check_declaration(form)
    grid = _random_grid()
    value = grid if form.kind == "grid" else surface_mesh(grid)
    path = Path(directory) / f"whole{form.suffixes[0]}"
    with path.open("wb") as file:
        if form.write is not None:
            form.write(value, file)
    content = path.read_bytes()
    if form.write is not None:
        assert form.matches(content[:4096], len(content)), f"{form.name}: own file not recognised"
    if form.read is None:
        return
    if form.write is not None:
        _check_same(form, value, form.read(path, Limits()))
        _refuses(form, path, Limits(voxels=64, faces=4), "over a limit")
    cut = path.with_name(f"cut{form.suffixes[0]}")
    for part in range(8):
        cut.write_bytes(content[: len(content) * part // 8])
        try:
            form.read(cut, Limits())
        except InputError:
            continue
        except Exception as error:
            raise AssertionError(
                f"{form.name}: expected a value or InputError of a file cut short, found {error!r}"
            ) from error


def _random_grid() -> VoxelGrid:
    from mvd_toolkit.grid import VoxelGrid

    dense = np.random.default_rng(0).random((5, 6, 70)) < 0.3
    return VoxelGrid.from_dense(dense, (1.5, -2.0, 0.25), 0.5)


def _check_same(form: Format, written: Any, found: Any) -> None:
    """The same occupancy or triangles, and the same place when the format keeps one."""
    if form.kind == "mesh":
        same = len(written.faces) == len(found.faces)
    else:
        same = written.shape == found.shape and np.array_equal(written.packed, found.packed)
    assert same, f"{form.name}: what was written does not come back"
    before, after = _where(written), _where(found)
    same = not form.place or bool(np.allclose(before, after, atol=1e-4))
    assert same, f"{form.name}: expected it at {before.tolist()}, found {after.tolist()}"


def _where(value: Any) -> npt.NDArray[np.float64]:
    """(2, 3): origin and spacing of a grid, ends of a mesh."""
    if hasattr(value, "spacing"):
        return np.array([value.origin, value.spacing])
    return np.stack([value.vertices.min(axis=0), value.vertices.max(axis=0)])


def _refuses(form: Format, path: Path, limits: Limits, what: str) -> None:
    assert form.read is not None
    try:
        form.read(path, limits)
    except InputError:
        return
    raise AssertionError(f"{form.name}: expected an InputError of a file {what}, found a value")


def make_tiny_dataset(
    directory: str | Path, low: int = 8, scale: int = 4, count: int = 8, seed: int = 0
) -> Path:
    """Write a dataset of boxes and balls in the layout of `mvd_toolkit.data`; seconds, no meshes.

    Args:
        directory: where to; made when missing.
        low: edge of the low grids, voxels.
        scale: fine edge / low edge.
        count: shapes; at least one goes to each of train and val.
        seed: of the shapes.

    Returns:
        The directory.
    """
    from mvd_toolkit.data import write_description
    from mvd_toolkit.pair_file import write_pair
    from mvd_toolkit.voxelize import pair_of

    if count < 2:
        raise ValueError(f"count: expected at least 2, found {count}")
    generator = np.random.default_rng(seed)
    pairs = [pair_of(_random_solid(generator, low * scale), scale) for _ in range(count)]
    splits = ["val", *["train"] * (count - 1)]
    for index, (pair, split) in enumerate(zip(pairs, splits, strict=True)):
        write_pair(Path(directory) / split, f"solid-{index:03d}", pair)
    write_description(directory, [(low, low * scale)], left_out=())
    return Path(directory)


def _random_solid(generator: np.random.Generator, edge: int) -> VoxelGrid:
    """A box and a ball, anywhere within the margin."""
    from mvd_toolkit.grid import VoxelGrid

    at = np.indices((edge, edge, edge)) + 0.5
    margin = max(1, edge // 16)
    corner = generator.integers(margin, edge // 2, 3)
    size = generator.integers(edge // 6, edge // 2 - margin, 3)
    low, high = corner[:, None, None, None], (corner + size)[:, None, None, None]
    box = ((at >= low) & (at < high)).all(axis=0)
    radius = generator.uniform(edge / 10, edge / 5)
    centre = generator.uniform(radius + margin, edge - radius - margin, 3)
    ball = ((at - centre[:, None, None, None]) ** 2).sum(axis=0) < radius**2
    return VoxelGrid.from_dense(box | ball, spacing=1 / edge)


def _check_declaration(
    spec: BackboneSpec | PredictorSpec | ReconstructorSpec | Format,
) -> None:
    try:
        if isinstance(spec, Format):
            plugins.check_format(spec)
        else:
            check_spec(spec)
    except PluginError as error:
        raise AssertionError(str(error)) from error


def _check_scale(spec: BackboneSpec, scale: int, options: Mapping[str, Any]) -> None:
    import torch

    where = f"backbone {spec.name} at scale {scale}"
    torch.manual_seed(0)
    network = spec.build(_IN, _OUT, scale, **options)
    assert isinstance(network, torch.nn.Module), (
        f"{where}: expected build to give a torch.nn.Module, found {type(network).__name__}"
    )
    network.eval()
    with torch.no_grad():
        for edge in _EDGES:
            _check_answer(network, torch.randn(3, _IN, edge, edge), scale, where)
        _check_state(spec, network, scale, options, where)
    _check_gradients(network, where)


def _check_answer(network: torch.nn.Module, x: torch.Tensor, scale: int, where: str) -> None:
    import torch

    before = x.clone()
    answer = network(x)
    expected = (len(x), _OUT, x.shape[2] * scale, x.shape[3] * scale)
    assert tuple(answer.shape) == expected, (
        f"{where}: input {tuple(x.shape)}: expected {expected}, found {tuple(answer.shape)}"
    )
    assert answer.dtype == torch.float32, f"{where}: expected float32, found {answer.dtype}"
    assert bool(torch.isfinite(answer).all()), f"{where}: the answer is not finite"
    assert torch.equal(x, before), f"{where}: the input was changed in place"
    assert torch.equal(network(x), answer), f"{where}: two calls in eval mode differ"
    for item in range(len(x)):
        alone = network(x[item : item + 1])[0]
        assert _close(alone, answer[item]), (
            f"{where}: item {item} alone differs from the same item in a batch in eval mode"
        )


def _check_gradients(network: torch.nn.Module, where: str) -> None:
    import torch

    network.train()
    network.zero_grad()
    network(torch.randn(2, _IN, 8, 8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{where}: no gradient reaches parameter {name}"
            finite = bool(torch.isfinite(parameter.grad).all())
            assert finite, f"{where}: the gradient of {name} is not finite"


def _check_state(
    spec: BackboneSpec,
    network: torch.nn.Module,
    scale: int,
    options: Mapping[str, Any],
    where: str,
) -> None:
    import torch

    other = spec.build(_IN, _OUT, scale, **options).eval()
    other.load_state_dict(network.state_dict())
    x = torch.randn(1, _IN, 8, 8)
    assert torch.equal(other(x), network(x)), (
        f"{where}: another build with the same state_dict answers differently: "
        "something that matters is neither a parameter nor a buffer"
    )


def _check_receptive_field(spec: BackboneSpec, options: Mapping[str, Any]) -> None:
    """Differentiate one output pixel of each sub-pixel phase by the input, in float64.

    At each place that an input pixel has among the network's strides; and tiles that overlap by the
    declared field must give the whole.
    """
    import torch

    declared = spec.field(options)
    if declared is None:
        return
    torch.manual_seed(0)
    scale = min(spec.scales)
    network = spec.build(_IN, _OUT, scale, **options).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # wakes layers that start at zero
    for middle in range(declared // 2 + 2, declared // 2 + 2 + spec.step):
        edge = 2 * middle + 1
        x = torch.randn(1, _IN, edge, edge, dtype=torch.float64, requires_grad=True)
        answer = network(x)
        for phase in range(scale):
            at = middle * scale + phase
            (gradient,) = torch.autograd.grad(answer[0, :, at, at].sum(), x, retain_graph=True)
            touched = gradient[0].abs().sum(dim=0) > 0
            reach = max(_extent(touched.any(dim=0)), _extent(touched.any(dim=1)))
            assert reach <= declared, (
                f"backbone {spec.name}: an output pixel depends on {reach} input pixels along an "
                f"axis, receptive_field declares {declared}"
            )
    _check_tiles(spec, network, options)


def _check_tiles(spec: BackboneSpec, network: torch.nn.Module, options: Mapping[str, Any]) -> None:
    import torch

    tiling = Tiling.of(spec, options, 5)
    x = torch.randn(1, _IN, 16, tiling.reach + 16, dtype=torch.float64)
    with torch.no_grad():
        whole, tiled = network(x), run_tiled(network, x, tiling)
    assert bool(torch.allclose(tiled, whole, rtol=1e-9, atol=1e-9)), (
        f"backbone {spec.name}: tiles that overlap by its receptive field give another answer than "
        f"the whole; is step, {spec.step}, the product of its strides?"
    )


def _extent(touched: torch.Tensor) -> int:
    places = touched.nonzero()
    return int(places.max() - places.min()) + 1 if len(places) else 0


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    bound = _TOLERANCE * max(1.0, float(b.abs().max()))
    difference = float((a - b).abs().max())
    return math.isfinite(difference) and difference <= bound

"""Upscaling batches where they lie: the same as one grid after the other, on the CPU, and with the
emulated kernels in a GPU's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from strategies import noise

from mvd_toolkit import _arrays, _core, device_upscale, ops
from mvd_toolkit.boundary import BoundaryPredictor
from mvd_toolkit.device_core import DeviceCore
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.low_rule import any_pooled, any_pooled_batch
from mvd_toolkit.model import Fusion, Model, ModelConfig
from mvd_toolkit.ops import depth_maps, packing
from mvd_toolkit.packed import PackedGrids
from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor
from mvd_toolkit.subvoxel import SubvoxelOptions
from mvd_toolkit.upscale import SOFT_LEVELS, Upscaler
from mvd_toolkit.view_predictor import ViewConfig

CPU = torch.device("cpu")
SCALE = 2


@pytest.fixture
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors are treated as tensors on a GPU, whose kernels are emulated."""
    as_array = _arrays.as_array

    def as_on_device(value: Any, name: str) -> Any:
        return (value, "device") if isinstance(value, torch.Tensor) else as_array(value, name)

    def core_of(array: Any, name: str) -> Any:
        return DeviceCore(CPU, _core.emulated) if isinstance(array, torch.Tensor) else _core

    for module in (_arrays, depth_maps, packing):
        for replacement, name in ((as_on_device, "as_array"), (core_of, "core_of")):
            if name in vars(module):
                monkeypatch.setattr(module, name, replacement)


@pytest.fixture(scope="module")
def model() -> Model:
    """Networks with random weights that say yes and no, near and far."""
    torch.manual_seed(0)
    config = ViewConfig(scale=SCALE, options={"width": 4, "blocks": 1, "top_blocks": 1})
    silhouette, depth = SilhouettePredictor(config), DepthPredictor(config)
    boundary = BoundaryPredictor(SCALE, SubvoxelOptions(16, 1)).eval()
    torch.nn.init.normal_(boundary.members[0].head.weight)
    for predictor in (silhouette, depth):
        for weight in predictor.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        predictor.eval()
    rules = ("any", "half", "centre", "soft")
    fusion = Fusion(smooth_threshold=3.0)
    sections = {"silhouette": {}, "depth": {}, "boundary": boundary.config()}
    told = ModelConfig(scale=SCALE, rules=rules, fusion=fusion, **sections)
    return Model(told, silhouette, depth, boundary=boundary)


def some_grids(shape: tuple[int, int, int] = (7, 6, 9), count: int = 3) -> list[VoxelGrid]:
    """One of them empty, one half full of noise, which was hardly any-pooled."""
    dense = [np.zeros(shape, bool), noise(shape, 0.4), np.pad(np.ones((4, 3, 5), bool), 2)[:7, :6]]
    resized = [np.resize(d, shape) for d in dense]
    return [VoxelGrid.from_dense(resized[i % 3], (i, 2, 3), 0.5) for i in range(count)]


TENSOR_OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "extract": lambda grid: ops.extract_odms(grid),
    "hull": lambda grid: ops.hull(grid),
    "project": lambda grid: ops.project_odms(ops.extract_odms(grid), 2, like=grid),
    "smooth": lambda grid: ops.smooth_odms(ops.extract_odms(grid), 3.0),
    "carve": lambda grid: ops.carve(grid, ops.extract_odms(ops.upsample_nearest(grid, 2)), 2),
    "pool": lambda grid: ops.pool(grid, 3, "half"),
    "dilate": lambda grid: ops.dilate(grid, 2),
    "mirror": lambda grid: ops.mirror(grid, 2),
    "iou": lambda grid: ops.iou(grid, ops.hull(grid)),
}


@pytest.mark.parametrize("operation", TENSOR_OPERATIONS.values(), ids=TENSOR_OPERATIONS)
@pytest.mark.parametrize("shape", [(2, 5, 6, 67), (5, 6, 67)])
def test_tensors_on_a_device_stay_tensors(
    like_a_gpu: None, operation: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    dense = noise(shape, 0.3)
    result = operation(torch.from_numpy(dense))
    expected = operation(dense)
    if len(shape) == 4 or not isinstance(expected, float):
        assert isinstance(result, torch.Tensor)
    assert np.array_equal(np.asarray(result), expected)


@pytest.mark.parametrize("operation", TENSOR_OPERATIONS.values(), ids=TENSOR_OPERATIONS)
@pytest.mark.parametrize("device", [False, True])
def test_packed_grids_stay_packed(
    request: pytest.FixtureRequest, operation: Callable[[Any], Any], device: bool
) -> None:
    dense = noise((2, 5, 6, 67), 0.3)
    packed = PackedGrids(ops.pack(torch.from_numpy(dense)), 67)
    expected = operation(dense)
    if device:
        request.getfixturevalue("like_a_gpu")
    result = operation(packed)
    if isinstance(result, PackedGrids):
        result = ops.unpack(result.words, result.depth)
    assert isinstance(result, torch.Tensor)
    assert np.array_equal(result.numpy(), expected)


def test_packing_on_a_device(like_a_gpu: None) -> None:
    dense = torch.from_numpy(noise((3, 4, 70)))
    words = ops.pack(dense)
    assert words.dtype == torch.int64
    assert torch.equal(ops.unpack(words, 70), dense)
    assert torch.equal(ops.unpack(ops.pack(dense[None].mT.contiguous().mT), 70)[0], dense)


def test_depths_of_any_integer_dtype(like_a_gpu: None) -> None:
    odms = ops.extract_odms(noise((5, 5, 5), 0.3))
    expected = ops.project_odms(odms)
    for dtype in (torch.int32, torch.int64, torch.uint8):
        assert np.array_equal(ops.project_odms(torch.from_numpy(odms).to(dtype)), expected)
    with pytest.raises(InputError, match="expected depths from 0 to 65535, found -1 to -1"):
        ops.project_odms(torch.full((6, 2, 2), -1))


def test_what_does_not_fit_a_device(like_a_gpu: None) -> None:
    grid = torch.from_numpy(noise((4, 4, 4)))
    with pytest.raises(InputError, match="odms and like: expected one device, found cpu and the"):
        ops.project_odms(ops.extract_odms(grid), like=grid.numpy())
    with pytest.raises(InputError, match="expected bool voxels, found float32"):
        ops.hull(grid.float())
    with pytest.raises(InputError, match=r"expected shape \(X, Y, Z\) or"):
        ops.hull(grid[0])
    with pytest.raises(InputError, match="expected uint64 or int64 words, found bool"):
        ops.unpack(grid, 4)
    with pytest.raises(UnavailableError, match="fill_holes: has no CUDA kernel"):
        ops.fill_holes(grid)


def test_packed_grids_tell_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"65 voxels deep: expected int64 of shape \(B, X, Y, 2\)"):
        PackedGrids(torch.zeros((1, 2, 3, 1), dtype=torch.int64), 65)
    grids = [VoxelGrid.from_dense(noise(shape)) for shape in ((2, 2, 2), (2, 2, 3))]
    with pytest.raises(InputError, match="grids: expected one shape, found"):
        PackedGrids.of(grids)


@pytest.mark.parametrize("device", [False, True])
def test_surface_of_a_mesh(request: pytest.FixtureRequest, device: bool) -> None:
    rng = np.random.default_rng(0)
    vertices, faces = rng.uniform(-3, 30, (40, 3)), rng.integers(-1, 40, (50, 3))
    expected, *_ = _core.voxelize_surface(vertices, faces, 20, 21, 70)
    points, triangles = torch.from_numpy(vertices), torch.from_numpy(faces)
    if device:
        request.getfixturevalue("like_a_gpu")
    made = PackedGrids.of_surface(points, triangles, (20, 21, 70))
    assert made.shape == (20, 21, 70)
    assert np.array_equal(made.grids()[0].packed, expected)
    with pytest.raises(InputError, match=r"vertices: expected float64 of shape \(n, 3\), found"):
        PackedGrids.of_surface(points.float(), triangles, (4, 4, 4))
    with pytest.raises(InputError, match=r"faces: expected int64 of shape \(n, 3\), found"):
        PackedGrids.of_surface(points, triangles[:, :2], (4, 4, 4))
    with pytest.raises(InputError, match="vertices and faces: expected one device, found cpu and"):
        PackedGrids.of_surface(points, triangles.to("meta"), (4, 4, 4))


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("rule", ["any", "half", "auto"])
def test_a_batch_is_the_single_grid_mapped(
    request: pytest.FixtureRequest, model: Model, rule: str, device: bool
) -> None:
    grids = some_grids()
    expected = [Upscaler(model)(grid, low_rule=rule, keep_parts=True) for grid in grids]
    if device:
        request.getfixturevalue("like_a_gpu")
    made = Upscaler(model).packed(PackedGrids.of(grids), rule).grids(grids)
    assert made == expected
    assert any(grid.count() for grid in made)


def test_grids_of_several_shapes_come_back_in_order(like_a_gpu: None, model: Model) -> None:
    grids = [*some_grids(), *some_grids((6, 6, 6), 2), *some_grids()]
    order = [0, 3, 1, 5, 2, 4, 6, 7]
    mixed = [grids[i] for i in order]
    made = device_upscale.upscale_grids(model, mixed, CPU, fill="none")
    assert made == [Upscaler(model)(grid, fill="none") for grid in mixed]


@pytest.mark.parametrize("to", [None, 3])
def test_a_shape_ends_where_its_extent_does(like_a_gpu: None, model: Model, to: int | None) -> None:
    ends = (1.0, 2.0, 3.0), (4.4, 4.5, 7.0)
    grids = [replace(grid, extent=ends) for grid in some_grids((6, 6, 9))]
    free = device_upscale.upscale_grids(model, some_grids((6, 6, 9)), CPU, to)
    made = device_upscale.upscale_grids(model, grids, CPU, to)
    assert made == [Upscaler(model)(grid, to) for grid in grids]
    if to is None:
        assert made != free


@pytest.mark.parametrize("rule", ["any", "half", "auto"])
@pytest.mark.parametrize("fill", ["hull", "none"])
def test_crumbs_are_swept_up_as_by_the_host(
    like_a_gpu: None, model: Model, rule: str, fill: Any
) -> None:
    grids = some_grids((12, 13, 14))
    swept = device_upscale.upscale_grids(model, grids, CPU, None, rule, fill)
    assert swept == [Upscaler(model)(grid, None, rule, fill) for grid in grids]
    kept = device_upscale.upscale_grids(model, grids, CPU, None, rule, fill, keep_parts=True)
    assert kept == [Upscaler(model)(grid, None, rule, fill, keep_parts=True) for grid in grids]
    if (rule, fill) in (("any", "hull"), ("half", "none")):
        assert kept != swept


def test_results_are_pooled_to_the_size_asked_for(like_a_gpu: None, model: Model) -> None:
    grids = some_grids((6, 6, 6))
    for rule in ("any", "half", "auto"):
        made = device_upscale.upscale_grids(model, grids, CPU, to=4, low_rule=rule)
        assert made == [Upscaler(model)(grid, to=4, low_rule=rule) for grid in grids]


def test_a_batch_that_does_not_fit_is_halved(
    like_a_gpu: None, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids = some_grids(count=5)
    expected = device_upscale.upscale_grids(model, grids, CPU, low_rule="any")
    sizes, upscale = [], device_upscale.upscale_packed

    def small_memory(model: Any, low: PackedGrids, *rest: Any) -> Any:
        sizes.append(len(low))
        if len(low) > 2:
            raise torch.cuda.OutOfMemoryError("none left")
        return upscale(model, low, *rest)

    monkeypatch.setattr(device_upscale, "upscale_packed", small_memory)
    with pytest.warns(RuntimeWarning, match="is too much for the memory of cpu") as said:
        made = device_upscale.upscale_grids(model, grids, CPU, low_rule="any")
    assert [str(warning.message).split(":")[1] for warning in said] == [
        " going on with 3 at a time",
        " going on with 2 at a time",
    ]
    assert made == expected
    assert sizes == [5, 3, 2, 2, 1]


def test_a_grid_that_does_not_fit_is_carved_in_slabs(
    like_a_gpu: None, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids = some_grids(count=2)
    expected = device_upscale.upscale_grids(model, grids, CPU)
    slabs, carve = [], DeviceCore.carve

    def small_memory(self: DeviceCore, *args: Any, layers: Any = None, **rest: Any) -> Any:
        begin, end = layers or (0, 14)
        if end - begin > 4:
            raise torch.cuda.OutOfMemoryError("none left")
        slabs.append((begin, end))
        return carve(self, *args, layers=layers, **rest)

    monkeypatch.setattr(DeviceCore, "carve", small_memory)
    with pytest.warns(RuntimeWarning, match="is too much for the memory of cpu") as said:
        made = device_upscale.upscale_grids(model, grids, CPU)
    assert sum("a grid of" in str(w.message) and "in slabs" in str(w.message) for w in said) == 2
    assert made == expected
    assert slabs == 2 * [(0, 4), (4, 8), (8, 12), (12, 14)]


@pytest.mark.parametrize("device", [False, True])
def test_fractions(request: pytest.FixtureRequest, model: Model, device: bool) -> None:
    fine = VoxelGrid.from_dense(noise((14, 10, 12), 0.6))
    soft = ops.coverage(fine, SCALE)
    assert soft.coverage is not None
    expected = Upscaler(model)(soft)
    if device:
        request.getfixturevalue("like_a_gpu")
    base = ops.hull(soft)
    packed = device_upscale.fill_grid(model, base, soft.coverage, CPU, SOFT_LEVELS)
    assert np.array_equal(packed, expected.packed)


def test_what_packed_refuses(model: Model) -> None:
    low = PackedGrids.of(some_grids())
    with pytest.raises(UsageError, match="packed grids have no fractions"):
        Upscaler(model).packed(low, "soft")
    with pytest.raises(UsageError, match="low rule: expected auto"):
        Upscaler(model).packed(low, "most")


def test_a_predictor_gone_wrong(model: Model) -> None:
    def nan(low: torch.Tensor, rule: str) -> torch.Tensor:
        return torch.full((len(low), 6, 18, 18), torch.nan)

    def ones(low: torch.Tensor, rule: str) -> torch.Tensor:
        return torch.ones((len(low), 6, 18, 18))

    low = PackedGrids.of(some_grids())
    with pytest.raises(UnavailableError, match="the depth predictor gave NaN"):
        Upscaler(Model(model.config, ones, nan)).packed(low)
    with pytest.raises(UnavailableError, match=r"expected maps of shape \(3, 6, 18, 18\)"):
        Upscaler(Model(model.config, lambda low, rule: ones(low, rule)[:1], nan)).packed(low)
    with pytest.raises(InputError, match="low: expected at least one grid, found none"):
        Upscaler(model).packed(PackedGrids(low.words[:0], low.depth))


@pytest.mark.parametrize("shape", [(9, 7, 8), (1, 2, 1), (3, 3, 20)])
def test_rules_are_guessed_alike_in_batches(shape: tuple[int, int, int]) -> None:
    grids = [noise(shape, density, seed=i) for i, density in enumerate((0.0, 0.2, 0.5, 0.9, 1.0))]
    chances = any_pooled_batch(torch.from_numpy(np.stack(grids)))
    assert chances == pytest.approx([any_pooled(VoxelGrid.from_dense(g)) for g in grids], rel=1e-12)


@pytest.mark.cuda
def test_on_a_gpu(model: Model) -> None:
    grids = some_grids()
    up = Upscaler(model, "cuda")
    made = up.packed(PackedGrids.of(grids, up.device), "any")
    assert made.words.device == up.device
    assert up.batch(grids, low_rule="any") == made.grids(grids)
    Upscaler(model)  # the fixture's networks go back to the CPU

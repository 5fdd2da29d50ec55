"""The CUDA kernels: against the CPU twins, bit for bit.

Everywhere they are emulated: the same source, run on the CPU one index after the other. Where there
is a GPU they run on it as well (marker ``cuda``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import big_grid, dense_batches, noise

from mvd_toolkit import _core, ops
from mvd_toolkit.device_core import DeviceCore
from mvd_toolkit.errors import UnavailableError

SHAPES = [(1, 1, 1), (2, 3, 64), (33, 7, 65), (5, 40, 130), (33, 34, 64)]


def emulated() -> DeviceCore:
    return DeviceCore(torch.device("cpu"), _core.emulated)


def on_gpu() -> DeviceCore:
    return DeviceCore(torch.device("cuda", torch.cuda.current_device()))


@pytest.fixture(params=[emulated, pytest.param(on_gpu, marks=pytest.mark.cuda)])
def core(request: pytest.FixtureRequest) -> DeviceCore:
    made: DeviceCore = request.param()
    return made


def give(core: DeviceCore, array: Any) -> torch.Tensor:
    """An array as the core takes it."""
    words = array.view(np.int64) if array.dtype == np.uint64 else array
    return torch.from_numpy(np.ascontiguousarray(words)).to(core.device)


def take(tensor: torch.Tensor) -> Any:
    """A result as `_core` gives it."""
    array = tensor.cpu().numpy()
    return array.view(np.uint64) if array.dtype == np.int64 else array


def odms_of(dense: Any, seed: int = 0) -> Any:
    """Views of grids, a part of whose pixels are any depth, or beyond the last."""
    odms = _core.extract_odms_dense(dense)
    rng = np.random.default_rng(seed)
    other = rng.integers(0, odms.shape[-1] + 2, odms.shape).astype(np.uint16)
    return np.where(rng.random(odms.shape) < 0.2, other, odms)


def check_packed(core: DeviceCore, dense: Any) -> None:
    z = dense.shape[3]
    packed = _core.pack(dense)
    given_words = give(core, packed)
    assert np.array_equal(take(core.pack(give(core, dense))), packed)
    assert np.array_equal(take(core.unpack(given_words, z)), dense)
    assert np.array_equal(take(core.extract_odms(given_words, z)), _core.extract_odms(packed, z))
    for axis in range(3):
        expected = _core.mirror(packed, z, axis)
        assert np.array_equal(take(core.mirror(given_words, z, axis)), expected)
    for factor in (1, 3, 8, 9, 70):
        for rule in ("any", "half", "centre"):
            expected = _core.pool(packed, z, factor, rule)
            assert np.array_equal(take(core.pool(given_words, z, factor, rule)), expected)
    for steps in (0, 1, 5, max(dense.shape)):
        expected = _core.dilate(packed, z, steps)
        assert np.array_equal(take(core.dilate(given_words, z, steps)), expected)
    other = _core.mirror(packed, z, 0)
    scores = core.iou(given_words, give(core, other), z)
    assert np.array_equal(take(scores), _core.iou(packed, other, z))


def check_views(core: DeviceCore, dense: Any, seed: int) -> None:
    x, y, z = dense.shape[1:]
    odms = odms_of(dense, seed)
    maps = give(core, odms)
    for votes in (1, 2, 3, 4, 5, 6) if dense[0].size < 1e4 else (2,):
        expected = _core.project_odms(odms, x, y, z, votes)
        assert np.array_equal(take(core.project_odms(maps, x, y, z, votes)), expected)
    for threshold, window in ((1, 1), (2.5, 7), (1e9, 15)):
        if window * odms.shape[-1] > 3000:
            continue
        expected = _core.smooth_odms(odms, threshold, window)
        assert np.array_equal(take(core.smooth_odms(maps, threshold, window)), expected)


def check_carving(core: DeviceCore, dense: Any, seed: int) -> None:
    packed, z = _core.pack(dense), dense.shape[3]
    for scale in (1, 2, 3, 8):
        fine = np.repeat(np.repeat(np.repeat(dense, scale, 1), scale, 2), scale, 3)
        if fine[0].size > 1e5:
            continue
        odms = odms_of(fine, seed)
        upsampled = core.upsample_nearest(give(core, packed), z, scale)
        assert np.array_equal(take(upsampled), _core.upsample_nearest(packed, z, scale))
        for votes in (1, 2, 4, 7):
            expected = _core.carve(packed, z, odms, scale, votes)
            carved = core.carve(give(core, packed), z, give(core, odms), scale, votes)
            assert np.array_equal(take(carved), expected)


@given(dense_batches(), st.integers(0, 2**32 - 1))
def test_emulated_kernels_equal_the_cpu(dense: Any, seed: int) -> None:
    check_packed(emulated(), dense)
    check_views(emulated(), dense, seed)
    check_carving(emulated(), dense, seed)


@pytest.mark.cuda
@given(dense_batches(), st.integers(0, 2**32 - 1))
def test_kernels_equal_the_cpu(dense: Any, seed: int) -> None:
    check_packed(on_gpu(), dense)
    check_views(on_gpu(), dense, seed)
    check_carving(on_gpu(), dense, seed)


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_edges(core: DeviceCore, shape: tuple[int, int, int]) -> None:
    for density in (0.0, 0.02):
        dense = noise((2, *shape), density)
        check_packed(core, dense)
        check_views(core, dense, 1)
        check_carving(core, dense, 2)


@pytest.mark.parametrize("shape", [(1, 600, 1), (1100, 1, 2), (1, 2, 700)])
def test_lines_of_several_segments(core: DeviceCore, shape: tuple[int, int, int]) -> None:
    check_packed(core, noise((1, *shape), 0.01))
    check_views(core, noise((1, *shape), 0.01), 3)


def test_a_big_grid(core: DeviceCore) -> None:
    dense = big_grid()[None]
    packed, z = _core.pack(dense), dense.shape[3]
    odms = odms_of(dense)
    words, maps = give(core, packed), give(core, odms)
    expected = _core.extract_odms(packed, z)
    assert np.array_equal(take(core.extract_odms(words, z)), expected)
    expected = _core.project_odms(odms, *dense.shape[1:], 2)
    assert np.array_equal(take(core.project_odms(maps, *dense.shape[1:], 2)), expected)
    expected = _core.smooth_odms(odms, 12, 7)
    assert np.array_equal(take(core.smooth_odms(maps, 12, 7)), expected)


@pytest.mark.parametrize(("begin", "end"), [(0, 24), (0, 5), (7, 8), (5, 40), (33, 72)])
def test_carving_in_slabs(core: DeviceCore, begin: int, end: int) -> None:
    low = noise((2, 9, 5, 4), 0.7)
    odms = odms_of(np.repeat(np.repeat(np.repeat(low, 8, 1), 8, 2), 8, 3))
    packed = _core.pack(low)
    expected = _core.carve(packed, 4, odms, 8)[:, begin:end]
    carved = core.carve(give(core, packed), 4, give(core, odms), 8, layers=(begin, end))
    assert np.array_equal(take(carved), expected)


@pytest.mark.parametrize(
    ("scale", "shape"), [(1, (3, 2, 70)), (2, (4, 3, 33)), (3, (3, 5, 22)), (8, (3, 4, 9))]
)
@pytest.mark.parametrize("levels", [0, 3])
def test_soft_rank(core: DeviceCore, scale: int, shape: tuple[int, int, int], levels: int) -> None:
    rng = np.random.default_rng(scale)
    coverage = rng.integers(0, 65536, (2, *shape)).astype(np.uint16)
    coverage[rng.random(coverage.shape) < 0.3] = 0
    coverage[rng.random(coverage.shape) < 0.3] = 65535
    n = scale * max(shape)
    steps = rng.integers(0, n // 2 + 1, (2, levels, 6, n, n))
    maps = np.cumsum(steps, axis=1).clip(0, n).astype(np.uint16)
    scores = ops.soft_scores(levels)
    given = give(core, coverage), give(core, maps)
    for rounds in (0, 3):
        expected = _core.soft_rank(coverage, maps, *scores, scale, rounds)
        filled = core.soft_rank(*given, *scores, scale, rounds)
        assert np.array_equal(take(filled), expected)


def test_soft_rank_at_the_largest_scale(core: DeviceCore) -> None:
    coverage = np.array([[[[0, 30000, 65535], [7, 65000, 1]]]], np.uint16)
    maps = np.empty((1, 0, 6, 48, 48), np.uint16)
    scores = ops.soft_scores(0)
    expected = _core.soft_rank(coverage, maps, *scores, 16, ops.SWAP_ROUNDS)
    given = give(core, coverage), give(core, maps)
    filled = core.soft_rank(*given, *scores, 16, ops.SWAP_ROUNDS)
    assert np.array_equal(take(filled), expected)


MESHES: dict[str, Callable[[np.random.Generator], tuple[Any, Any]]] = {
    "small faces": lambda rng: (
        rng.uniform(-2, 72, (200, 1, 3)) + rng.normal(0, 2, (200, 3, 3)),
        np.arange(600).reshape(-1, 3),
    ),
    "large faces": lambda rng: (rng.uniform(-50, 120, (60, 3)), rng.integers(0, 60, (80, 3))),
    "on the lattice": lambda rng: (
        rng.integers(-1, 40, (50, 3)).astype(float),
        rng.integers(0, 50, (100, 3)),
    ),
    "bad faces": lambda rng: (
        np.where(rng.random((40, 3)) < 0.1, np.nan, rng.uniform(0, 60, (40, 3))),
        rng.integers(-2, 44, (90, 3)),
    ),
    "none": lambda rng: (np.zeros((0, 3)), np.zeros((0, 3), np.int64)),
}


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("shape", [(70, 66, 68), (1, 30, 129)])
def test_voxelization(core: DeviceCore, name: str, shape: tuple[int, int, int]) -> None:
    points, faces = MESHES[name](np.random.default_rng(5))
    vertices = np.ascontiguousarray(points.reshape(-1, 3))
    expected, *expected_counts = _core.voxelize_surface(vertices, faces, *shape)
    packed, counts = core.voxelize_surface(give(core, vertices), give(core, faces), *shape)
    assert np.array_equal(take(packed), expected)
    assert counts.tolist() == expected_counts


def test_no_kernel_for_connected_parts(core: DeviceCore) -> None:
    packed = give(core, _core.pack(noise((1, 3, 3, 3))))
    with pytest.raises(UnavailableError, match="keep_largest: has no CUDA kernel"):
        core.keep_largest(packed, 3)
    with pytest.raises(AttributeError):
        _ = core.no_such_operation


def test_a_machine_without_a_gpu_says_so() -> None:
    if not hasattr(_core, "cuda") or torch.cuda.is_available():
        pytest.skip("a matter of builds with CUDA, where there is no GPU")
    with pytest.raises(_core.DeviceError, match="devices: CUDA says: "):
        _core.cuda.devices()
    with pytest.raises(_core.DeviceError, match="pack: CUDA says: "):
        _core.cuda.pack(_core.cuda.Queue(0, 0), 0, 0, (1, 1, 1, 1))


@pytest.mark.cuda
def test_kernels_wait_their_turn_on_the_current_stream() -> None:
    dense = noise((4, 64, 64, 64), 0.02)
    core, late = on_gpu(), torch.from_numpy(dense).cuda()
    given_late = torch.zeros_like(late)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(100_000_000)  # cycles; kernels on another stream would not wait for it
        given_late.copy_(late)
        packed = core.pack(given_late)
        odms = core.extract_odms(packed, 64)
        hulls = core.project_odms(odms, 64, 64, 64)
        torch.cuda.current_stream().synchronize()
    expected = _core.project_odms(_core.extract_odms_dense(dense), 64, 64, 64)
    assert np.array_equal(take(hulls), expected)


@pytest.mark.cuda
def test_offsets_beyond_32_bits() -> None:
    n, core = 2048, on_gpu()
    words = torch.zeros((1, n, n, n // 64), dtype=torch.int64, device="cuda")
    words[0, n - 1, n - 2, n // 64 - 1] = 1 << 60  # voxel (n - 1, n - 2, n - 4)
    dense = core.unpack(words, n)
    assert dense.nonzero().tolist() == [[0, n - 1, n - 2, n - 4]]
    assert torch.equal(core.pack(dense), words)
    del dense
    odms = core.extract_odms(words, n).to(torch.int32)
    met = (odms < n).nonzero().tolist()
    assert [odms[tuple(place)].item() for place in met] == [3, n - 4, 1, n - 2, 0, n - 1]
    hull = core.project_odms(core.extract_odms(words, n), n, n, n)
    assert torch.equal(hull, words)
    low = core.pool(words, n, 8)
    fine = core.carve(low, n // 8, core.extract_odms(words, n), 8, 1)
    assert torch.equal(fine, words)
    assert torch.equal(core.pool(core.upsample_nearest(low, n // 8, 8), n, 8), low)

"""Packing, resampling, dilation, parts and mirrors of packed grids, against the reference."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    KINDS,
    THREADS,
    as_kind,
    big_grid,
    dense_batches,
    dense_grids,
    dense_of,
    noise,
    shapes,
)

from mvd_toolkit import _core, grid, ops, reference
from mvd_toolkit.errors import InputError, UnavailableError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.ops import carving, depth_maps, morphology, overlap, packing, resampling

Dense = npt.NDArray[np.bool_]

# Every operation from one grid to one, with arguments: (of ops, of reference).
OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[[Dense], Dense]]] = {
    "hull": (ops.hull, reference.hull),
    "keep_largest": (ops.keep_largest, reference.keep_largest),
    **{
        f"remove_small_parts {voxels}": (
            lambda g, voxels=voxels, **k: ops.remove_small_parts(g, voxels, **k),
            lambda d, voxels=voxels: reference.remove_small_parts(d, voxels),
        )
        for voxels in (0, 2, 5)
    },
    **{
        f"mirror {axis}": (
            lambda g, axis=axis, **k: ops.mirror(g, axis, **k),
            lambda d, axis=axis: reference.mirror(d, axis),
        )
        for axis in range(3)
    },
    **{
        f"dilate {steps}": (
            lambda g, steps=steps, **k: ops.dilate(g, steps, **k),
            lambda d, steps=steps: reference.dilate(d, steps),
        )
        for steps in (0, 1, 2, 5)
    },
    **{
        f"upsample {factor}": (
            lambda g, factor=factor, **k: ops.upsample_nearest(g, factor, **k),
            lambda d, factor=factor: reference.upsample_nearest(d, factor),
        )
        for factor in (1, 2, 3)
    },
    **{
        f"pool {rule} {factor}": (
            lambda g, factor=factor, rule=rule, **k: ops.pool(g, factor, rule, **k),
            lambda d, factor=factor, rule=rule: reference.pool(d, factor, rule),
        )
        for rule in ("any", "half", "centre")
        for factor in (1, 2, 3, 4, 5, 8, 16, 64, 100)
    },
}

operations = pytest.mark.parametrize("name", OPERATIONS)


@given(dense_grids())
def test_words_are_those_of_packbits(dense: Dense) -> None:
    packed = ops.pack(dense)
    assert packed.dtype == np.uint64
    assert np.array_equal(packed, reference.pack(dense))
    assert np.array_equal(ops.unpack(packed, dense.shape[2]), dense)
    assert np.array_equal(reference.unpack(packed, dense.shape[2]), dense)


@operations
@given(dense=dense_grids(shapes(4_000)), threads=st.sampled_from(THREADS))
def test_operation_equals_reference(name: str, dense: Dense, threads: int) -> None:
    operation, oracle = OPERATIONS[name]
    assert np.array_equal(operation(dense, threads=threads), oracle(dense))


@operations
@given(batch=dense_batches())
def test_batch_is_the_single_grid_mapped(name: str, batch: Dense) -> None:
    operation, _ = OPERATIONS[name]
    assert np.array_equal(operation(batch), np.stack([operation(dense) for dense in batch]))


@operations
@pytest.mark.parametrize("kind", KINDS)
def test_operation_returns_the_kind_it_was_given(name: str, kind: str) -> None:
    operation, oracle = OPERATIONS[name]
    dense = noise((5, 9, 70), 0.3)
    grid = as_kind(dense, kind)
    result = operation(grid)
    assert type(result) is type(grid)
    assert np.array_equal(dense_of(result), oracle(dense))


@operations
def test_words_past_the_depth_stay_zero(name: str) -> None:
    operation, oracle = OPERATIONS[name]
    dense = noise((4, 6, 70), 0.9)
    grid = operation(VoxelGrid.from_dense(dense))
    assert np.array_equal(grid.packed, reference.pack(oracle(dense)))


@pytest.fixture(scope="module")
def big() -> Dense:
    return big_grid()


@operations
def test_any_number_of_threads_gives_the_same_words(name: str, big: Dense) -> None:
    operation, _ = OPERATIONS[name]
    grid = VoxelGrid.from_dense(big)
    single = operation(grid, threads=1)
    for threads in THREADS[1:]:
        assert np.array_equal(operation(grid, threads=threads).packed, single.packed)


@pytest.mark.parametrize("name", ["pool any 8", "pool half 3", "pool half 8", "pool centre 5"])
def test_pools_of_a_big_grid_equal_reference(name: str, big: Dense) -> None:
    operation, oracle = OPERATIONS[name]
    assert np.array_equal(operation(big), oracle(big))


@pytest.mark.parametrize("threads", THREADS)
def test_packing_with_threads(threads: int, big: Dense) -> None:
    packed = ops.pack(big, threads=threads)
    assert np.array_equal(packed, reference.pack(big))
    assert np.array_equal(ops.unpack(packed, big.shape[2], threads=threads), big)


def test_any_non_zero_byte_is_occupied() -> None:
    octets = np.array([[[0, 1, 2, 4, 8, 16, 32, 64, 128, 255]]], np.uint8)
    assert ops.pack(octets.view(bool)).item() == 0b1111111110


def test_arrays_need_not_be_contiguous() -> None:
    dense = noise((9, 8, 70))
    for view in (dense.transpose(2, 0, 1), dense[::-1, ::2], np.asfortranarray(dense)):
        assert np.array_equal(ops.pack(view), reference.pack(view))
        assert np.array_equal(ops.dilate(view), reference.dilate(view))


def test_tensors_pack_to_int64_of_the_same_bits() -> None:
    torch = pytest.importorskip("torch")
    dense = noise((3, 4, 64))
    packed = ops.pack(torch.from_numpy(dense))
    assert packed.dtype == torch.int64
    assert np.array_equal(packed.numpy().view(np.uint64), ops.pack(dense))
    assert torch.equal(ops.unpack(packed, 64), torch.from_numpy(dense))


def test_longest_lines() -> None:
    dense = noise((2, 3, 2048), 0.2)
    assert np.array_equal(ops.pack(dense), reference.pack(dense))
    assert np.array_equal(ops.pool(dense, 7, "half"), reference.pool(dense, 7, "half"))
    assert np.array_equal(ops.keep_largest(dense), reference.keep_largest(dense))
    assert np.array_equal(ops.dilate(dense, 70), reference.dilate(dense, 70))


@given(dense_grids())
def test_parts_are_counted(dense: Dense) -> None:
    assert ops.count_parts(VoxelGrid.from_dense(dense)) == reference.count_parts(dense)


def test_first_of_equal_parts_stays() -> None:
    dense = np.zeros((1, 3, 9), bool)
    dense[0, 0, 7] = dense[0, 2, 0:2] = dense[0, 0, 4:6] = True
    kept = ops.keep_largest(dense)
    assert np.argwhere(kept)[:, 1:].tolist() == [[0, 4], [0, 5]]


def test_parts_that_meet_late_are_one() -> None:
    u_shape = np.array([[[1, 0, 1], [1, 0, 1], [1, 1, 1]], [[0] * 3, [0, 1, 0], [0] * 3]], bool)
    u_shape[1, 1, 1] = True  # touches the U along edges only
    expected = u_shape.copy()
    expected[1, 1, 1] = False
    assert np.array_equal(ops.keep_largest(u_shape), expected)
    assert np.array_equal(ops.remove_small_parts(u_shape, 2), expected)
    assert np.array_equal(ops.remove_small_parts(u_shape, 7), expected)
    assert not ops.remove_small_parts(u_shape, 8).any()


@given(
    coarse=dense_grids(shapes(400)),
    scale=st.integers(1, 3),
    voxels=st.integers(0, 12),
    seed=st.integers(0, 9),
    threads=st.sampled_from(THREADS),
)
def test_small_parts_within_a_coarser_grid(
    coarse: Dense, scale: int, voxels: int, seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = reference.upsample_nearest(coarse, scale)
    inside, anywhere = blocks & (rng.random(blocks.shape) < 0.6), rng.random(blocks.shape) < 0.3
    kept = ops.remove_small_parts(
        np.stack([inside, anywhere]), voxels, np.stack([coarse, coarse]), threads=threads
    )
    for fine, found in zip((inside, anywhere), kept, strict=True):
        assert np.array_equal(found, reference.remove_small_parts(fine, voxels, coarse))


def test_a_small_part_stays_where_it_is_alone() -> None:
    coarse = np.array([[[1, 1, 0, 1, 0, 0]]], bool)
    expected = np.zeros((2, 2, 12), bool)
    expected[:, :, :2] = True  # large enough
    expected[1, 1, 7] = True  # the only one of its part
    crumbs = np.zeros_like(expected)
    crumbs[0, 0, 3:5] = True  # in the part of the large one, and beyond
    crumbs[0, 0, 10] = True  # outside
    fine = expected | crumbs
    assert np.array_equal(ops.remove_small_parts(fine, 8, coarse), expected)
    fine[0, 0, 8:10] = True  # what is outside now reaches the part where one is alone
    expected[0, 0, 8:11] = False
    assert np.array_equal(ops.remove_small_parts(fine, 8, coarse), expected)


def test_a_coarser_grid_that_does_not_fit() -> None:
    fine = np.ones((4, 4, 8), bool)
    with pytest.raises(InputError, match=r"within: expected 1 grid\(s\).*found 1 of \(2, 2, 3\)"):
        ops.remove_small_parts(fine, 1, np.ones((2, 2, 3), bool))
    with pytest.raises(InputError, match="found 2 of"):
        ops.remove_small_parts(fine, 1, np.ones((2, 2, 2, 4), bool))


@pytest.mark.parametrize(
    ("operation", "shape", "spacing"),
    [
        (lambda g: ops.pool(g, 3), (2, 3, 24), 0.75),
        (lambda g: ops.upsample_nearest(g, 4), (20, 36, 280), 0.0625),
        (ops.hull, (5, 9, 70), 0.25),
        (lambda g: ops.mirror(g, 2), (5, 9, 70), 0.25),
    ],
)
def test_voxel_grid_stays_in_its_place(
    operation: Any, shape: tuple[int, int, int], spacing: float
) -> None:
    result = operation(as_kind(noise((5, 9, 70)), "grid"))
    assert result.shape == shape
    assert result.origin == (1.0, -2.0, 3.5)
    assert result.spacing == (spacing,) * 3


def test_coverage_is_mirrored_and_otherwise_dropped() -> None:
    coverage = np.random.default_rng(0).random((2, 3, 4), np.float32)
    grid = VoxelGrid(ops.pack(coverage > 0.5), (2, 3, 4), coverage=coverage)
    mirrored = ops.mirror(grid, 1)
    assert mirrored.coverage is not None
    assert np.array_equal(mirrored.coverage, coverage[:, ::-1])
    assert ops.dilate(grid).coverage is None


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (np.zeros((2, 2, 2)), "grid: expected bool voxels, found float64; compare first, as in"),
        (np.zeros((2, 2), bool), r"grid: expected shape \(X, Y, Z\) or .*, found \(2, 2\)"),
        (np.zeros((2, 0, 2), bool), r"at least one voxel along each axis, found \(2, 0, 2\)"),
        ([[[True]]], "expected a VoxelGrid, a NumPy array or a torch tensor, found list"),
    ],
)
def test_error_says_what_is_wrong_with_a_grid(grid: Any, message: str) -> None:
    for operation in (ops.dilate, ops.hull, ops.keep_largest, lambda g: ops.mirror(g, 0)):
        with pytest.raises(InputError, match=message):
            operation(grid)


def test_tensor_on_another_device_is_unavailable() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros((2, 2, 2), dtype=torch.bool, device="meta")
    with pytest.raises(UnavailableError, match=r"no kernels for a tensor on meta; pass grid.cpu"):
        ops.dilate(tensor)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: ops.pool(g, 0), "factor: expected a whole number of at least 1, found 0"),
        (lambda g: ops.pool(g, 2.0), "factor: expected a whole number of at least 1, found 2.0"),
        (lambda g: ops.pool(g, 2, "most"), "expected one of any, half, centre, found 'most'"),
        (lambda g: ops.pool(g, 1 << 40), "factor: expected at most 1048576, found 1099511627776"),
        (lambda g: ops.upsample_nearest(g, -1), "factor: expected a whole number"),
        (lambda g: ops.dilate(g, -1), "steps: expected a whole number of at least 0, found -1"),
        (lambda g: ops.project_odms(g, g), "votes: .*, found a grid; a grid goes to like="),
        (lambda g: ops.mirror(g, 3), r"axis: expected 0 \(x\), 1 \(y\) or 2 \(z\), found 3"),
    ],
)
def test_error_says_what_is_wrong_with_an_option(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(np.ones((2, 2, 2), bool))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (np.zeros((2, 2, 1), np.uint32), "packed: expected uint64 or int64 words, found uint32"),
        (np.zeros((2, 2, 1), np.uint64), r"expected shape \(X, Y, 2\) .* found \(2, 2, 1\)"),
    ],
)
def test_error_says_what_is_wrong_with_words(packed: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ops.unpack(packed, 65)


def test_bits_past_the_depth_are_refused() -> None:
    with pytest.raises(InputError, match="of a 1x1x3 grid: bits past z = 3 must be zero"):
        VoxelGrid(np.array([[[8]]], np.uint64), (1, 1, 3))


def test_core_refuses_what_ops_would_never_pass() -> None:
    packed = np.zeros((1, 2, 2, 1), np.uint64)
    with pytest.raises(_core.CoreError, match="expected 2 words a line for a depth of 65, found 1"):
        _core.unpack(packed, 65)
    with pytest.raises(_core.CoreError, match="factor: expected 1 to 1048576, found 0"):
        _core.pool(packed, 2, 0)
    with pytest.raises(_core.CoreError, match="expected any, half or centre, found most"):
        _core.pool(packed, 2, 1, "most")
    with pytest.raises(TypeError):
        _core.dilate(packed.astype(np.int64), 2)  # type: ignore[arg-type]


MODULES_WITH_EXAMPLES = [grid, carving, depth_maps, morphology, overlap, packing, resampling]


@pytest.mark.parametrize("module", MODULES_WITH_EXAMPLES)
def test_examples_in_docstrings_run(module: Any) -> None:
    failed, attempted = doctest.testmod(module, extraglobs={"np": np})
    assert (failed, attempted > 0) == (0, True)

import numpy as np
import pytest

from mvd_toolkit import ops
from mvd_toolkit.data import PairDataset, split_of, write_description
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.pair_file import write_pair
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.voxelize import pair_of


def solid(edge=16, seed=0):
    random = np.random.default_rng(seed)
    dense = np.zeros((edge,) * 3, bool)
    corner = random.integers(1, edge // 2, 3)
    end = corner + random.integers(2, edge // 2 - 1, 3)
    dense[tuple(slice(a, b) for a, b in zip(corner, end, strict=True))] = True
    return VoxelGrid.from_dense(dense, origin=(1.0, 2.0, 3.0), spacing=0.25)


def test_the_fine_grid_is_the_hull_of_its_odms(tmp_path):
    grids = [solid(seed=seed) for seed in range(3)]
    for index, grid in enumerate(grids):
        write_pair(tmp_path / "train", f"s{index}", pair_of(grid, 4))
    write_description(tmp_path, [(4, 16)])
    dataset = PairDataset(tmp_path, "train")
    assert dataset.ids == ["s0", "s1", "s2"]
    assert dataset.scale == 4
    for index, grid in enumerate(grids):
        assert np.array_equal(dataset.high_grid(index).dense(), ops.hull(grid).dense())
        assert dataset.low_grid(index).shape == (4, 4, 4)


def test_the_split_is_a_function_of_the_low_grid_alone():
    grids = [solid(8, seed) for seed in range(200)]
    splits = [split_of(grid) for grid in grids]
    elsewhere = [VoxelGrid(grid.packed.copy(), grid.shape, (9.0, 9.0, 9.0)) for grid in grids]
    assert [split_of(grid) for grid in elsewhere] == splits
    shares = [splits.count(name) / len(splits) for name in ("train", "val", "test")]
    assert 0.6 < shares[0] < 0.95
    assert shares[1] > 0
    assert shares[2] > 0


def test_the_split_of_a_known_grid_never_changes():
    # Its place is 0.1675…; another hash would silently move validation shapes into training.
    grid = VoxelGrid.from_dense(np.ones((2, 3, 4), bool))
    assert split_of(grid, (0.167, 0.0, 0.833)) == "test"
    assert split_of(grid, (0.168, 0.0, 0.832)) == "train"


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.9, 0.2, 0.1), (1.2, -0.2, 0.0)])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(UsageError, match="three shares of train, val and test"):
        split_of(solid(8), fractions)


def test_a_dataset_of_two_kinds_asks_which(tmp_path):
    make_tiny_dataset(tmp_path, low=4, scale=4)
    make_tiny_dataset(tmp_path, low=8, scale=4)
    with pytest.raises(
        UsageError, match="expected one kind of pair, found 4:16, 8:32; --pairs names one"
    ):
        PairDataset(tmp_path, "train")
    with pytest.raises(UsageError, match=r"expected pairs of 4:32, found 4:16, 8:32"):
        PairDataset(tmp_path, "train", low=4, high=32)
    assert PairDataset(tmp_path, "train", low=8).high == 32


def test_a_limit_takes_the_same_shapes_when_others_are_added(tmp_path):
    make_tiny_dataset(tmp_path, low=4, scale=4, count=20)
    some = PairDataset(tmp_path, "train", limit=6)
    assert len(some) == 6
    assert some.ids == sorted(some.ids)
    for seed in range(3):  # another shape comes in
        grid = solid(seed=seed)
        write_pair(tmp_path / "train", f"new-{seed}", pair_of(grid, 4))
    assert len(set(some.ids) & set(PairDataset(tmp_path, "train", limit=6).ids)) >= 3


def test_no_dataset_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(InputError, match="mvd convert MESHES"):
        PairDataset(tmp_path, "train")

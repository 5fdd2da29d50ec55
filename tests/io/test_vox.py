"""MagicaVoxel files, made by hand from the documented chunks."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from strategies import noise

from mvd_toolkit import io
from mvd_toolkit.errors import InputError
from mvd_toolkit.grid import VoxelGrid

WriteBytes = Callable[..., Path]
Voxel = tuple[int, int, int]


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<ii", len(content), 0) + content


def vox(*chunks: bytes, version: int = 200) -> bytes:
    content = b"".join(chunks)
    head = b"VOX " + struct.pack("<i", version) + b"MAIN" + struct.pack("<ii", 0, len(content))
    return head + content


def model(size: Voxel, *voxels: Voxel) -> bytes:
    rows = b"".join(bytes([*voxel, 79]) for voxel in voxels)
    return chunk(b"SIZE", struct.pack("<iii", *size)) + chunk(
        b"XYZI", struct.pack("<i", len(voxels)) + rows
    )


def dictionary(**items: str) -> bytes:
    words = [word.encode() for pair in items.items() for word in pair]
    return struct.pack("<i", len(items)) + b"".join(
        struct.pack("<i", len(word)) + word for word in words
    )


def transform(node: int, child: int, layer: int = -1, hidden: bool = False, **frame: str) -> bytes:
    attributes = dictionary(_hidden="1") if hidden else dictionary()
    numbers = struct.pack("<iiii", child, -1, layer, 1)
    return chunk(b"nTRN", struct.pack("<i", node) + attributes + numbers + dictionary(**frame))


def group(node: int, *children: int) -> bytes:
    numbers = struct.pack(f"<i{len(children)}i", len(children), *children)
    return chunk(b"nGRP", struct.pack("<i", node) + dictionary() + numbers)


def shape(node: int, number: int) -> bytes:
    return chunk(
        b"nSHP",
        struct.pack("<i", node) + dictionary() + struct.pack("<ii", 1, number) + dictionary(),
    )


def occupied(grid: VoxelGrid) -> set[Voxel]:
    """Lowest corners of the occupied voxels, in the world."""
    corners = np.argwhere(grid.dense()) + np.array(grid.origin)
    return {(int(x), int(y), int(z)) for x, y, z in corners}


def test_one_model_of_version_150(write_bytes: WriteBytes) -> None:
    path = write_bytes("a.vox", vox(model((3, 4, 5), (0, 0, 0), (2, 3, 4)), version=150))
    grid = io.load(path)
    assert (grid.shape, grid.origin, grid.spacing) == ((3, 4, 5), (0, 0, 0), (1, 1, 1))
    assert occupied(grid) == {(0, 0, 0), (2, 3, 4)}


def test_the_palette_is_ignored_aloud(write_bytes: WriteBytes) -> None:
    file = vox(model((1, 1, 1), (0, 0, 0)), chunk(b"RGBA", bytes(1024)), chunk(b"MATL", bytes(8)))
    with pytest.warns(io.FormatWarning, match="left out: materials, the palette"):
        assert io.load(write_bytes("a.vox", file)).count() == 1


def test_models_of_a_scene_stand_where_they_are(write_bytes: WriteBytes) -> None:
    file = vox(
        model((2, 2, 2), (0, 0, 0)),
        model((3, 1, 1), (2, 0, 0)),
        transform(0, 1),
        group(1, 2, 4, 6),
        transform(2, 3, _t="10 0 1"),
        shape(3, 0),
        transform(4, 5, _t="-4 -4 0"),
        shape(5, 1),
        transform(6, 7, _t="10 0 70"),
        shape(7, 0),
    )
    grid = io.load(write_bytes("a.vox", file))
    assert grid.origin == (-5, -4, 0)
    assert grid.shape == (16, 5, 71)
    assert occupied(grid) == {(9, -1, 0), (-3, -4, 0), (9, -1, 69)}


def reference(voxel: Voxel, size: Voxel, rotation: np.ndarray, translation: Voxel) -> Voxel:
    """MagicaVoxel's rule, in floats: a voxel's centre turns about floor(size / 2)."""
    pivot = np.floor(np.array(size) / 2)
    centre = rotation @ (np.array(voxel) + 0.5 - pivot) + translation
    x, y, z = np.floor(centre).astype(int)
    return int(x), int(y), int(z)


@pytest.mark.parametrize("byte", range(128))
def test_every_rotation(write_bytes: WriteBytes, byte: int) -> None:
    columns = [byte & 3, byte >> 2 & 3]
    size, voxels = (3, 4, 5), [(0, 0, 0), (2, 3, 4), (1, 0, 4), (2, 0, 0)]
    file = vox(model(size, *voxels), transform(0, 1, _r=str(byte), _t="7 -8 9"), shape(1, 0))
    path = write_bytes("a.vox", file)
    if 3 in columns or columns[0] == columns[1]:
        with pytest.raises(InputError, match="_r: expected the byte of a rotation"):
            io.load(path)
        return
    rotation = np.zeros((3, 3))
    for row, column in enumerate([*columns, 3 - sum(columns)]):
        rotation[row, column] = -1 if byte & (16 << row) else 1
    expected = {reference(voxel, size, rotation, (7, -8, 9)) for voxel in voxels}
    assert occupied(io.load(path)) == expected


def test_transforms_of_groups_add_up(write_bytes: WriteBytes) -> None:
    quarter = str(0b0_0_1_00_01)  # rows: -y, x, z
    file = vox(
        model((1, 1, 1), (0, 0, 0)),
        transform(0, 1, _r=quarter, _t="100 0 0"),
        group(1, 2),
        transform(2, 3, _t="5 7 0"),
        shape(3, 0),
    )
    # (5.5, 7.5, 0.5) turns to (-7.5, 5.5, 0.5) and moves to (92.5, 5.5, 0.5).
    assert occupied(io.load(write_bytes("a.vox", file))) == {(92, 5, 0)}


def test_hidden_models_are_left_out_aloud(write_bytes: WriteBytes) -> None:
    layer = chunk(b"LAYR", struct.pack("<i", 3) + dictionary(_hidden="1") + struct.pack("<i", -1))
    file = vox(
        model((1, 1, 1), (0, 0, 0)),
        transform(0, 1),
        group(1, 2, 4, 6),
        transform(2, 3, _t="1 0 0"),
        shape(3, 0),
        transform(4, 5, hidden=True, _t="2 0 0"),
        shape(5, 0),
        transform(6, 7, layer=3, _t="3 0 0"),
        shape(7, 0),
        layer,
    )
    with pytest.warns(io.FormatWarning, match="left out: hidden models"):
        assert occupied(io.load(write_bytes("a.vox", file))) == {(1, 0, 0)}


@pytest.mark.parametrize("size", [(256, 1, 2), (257, 3, 1), (5, 600, 300)])
def test_large_grids_become_several_models(tmp_path: Path, size: Voxel) -> None:
    grid = VoxelGrid.from_dense(noise(size, 0.1))
    path = tmp_path / "a.vox"
    io.save(grid, path)
    assert path.read_bytes().count(b"SIZE") == np.prod([-(-n // 256) for n in size])
    found = io.load(path)
    assert np.array_equal(found.packed, grid.packed)
    assert found.shape == grid.shape
    if max(size) > 256:  # in MagicaVoxel's world: centred, on the ground
        assert found.origin == (-(size[0] // 2), -(size[1] // 2), 0)


ONE = model((2, 2, 2), (1, 1, 1))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (vox(), "expected a model that is not hidden, found none"),
        (vox(ONE)[:-1], "MAIN: expected 44 bytes of chunks, found 43"),
        (vox(ONE[24:]), "XYZI at byte 20: expected SIZE before it"),
        (
            vox(model((2, 2, 2), (1, 2, 1))),
            r"expected voxels inside \(2, 2, 2\), found \(1, 2, 1\)",
        ),
        (vox(model((0, 2, 2))), "expected edges of 1 to 256"),
        (vox(model((257, 2, 2))), "expected edges of 1 to 256"),
        (
            vox(ONE[:24] + chunk(b"XYZI", struct.pack("<i", 2**30))),
            "expected a count that 0 bytes can hold, found 1073741824",
        ),
        (vox(ONE[:24] + chunk(b"XYZI", struct.pack("<i", -1))), "count that 0 bytes can hold"),
        (vox(ONE, transform(0, 0)), "expected a tree of nodes, found too many or a circle"),
        (vox(ONE, transform(0, 5)), "expected a node 5, found none"),
        (vox(ONE, shape(0, 1)), "expected one of 1 models, found number 1"),
        (vox(ONE, transform(0, 1, _t="1 2"), shape(1, 0)), "_t: expected three whole numbers"),
        (
            vox(ONE, transform(0, 1, _t=f"{2**40} 0 0"), shape(1, 0)),
            "_t: expected three whole numbers",
        ),
        (
            vox(
                ONE,
                group(0, 1, 3),
                transform(1, 2, _t="-1000000000 0 0"),
                shape(2, 0),
                transform(3, 4, _t="1000000000 1000000 0"),
                shape(4, 0),
            ),
            "expected at most .* voxels .* MVD_MAX_VOXELS raises the limit",
        ),
        (vox(ONE, *(group(i, *[i + 1] * 30) for i in range(9)), shape(9, 0)), "found too many"),
    ],
)
def test_broken_files(write_bytes: WriteBytes, file: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        io.load(write_bytes("a.vox", file))


def test_many_large_models_in_one_place_are_too_much_work(write_bytes: WriteBytes) -> None:
    placed = [transform(2 * i + 1, 2 * i + 2) + shape(2 * i + 2, 0) for i in range(1000)]
    nodes = [group(0, *range(1, 2001, 2)), *placed]
    file = vox(model((256, 256, 256), (0, 0, 0)), *nodes)
    with pytest.raises(InputError, match=r"1000 models: expected at most .* voxels in all"):
        io.load(write_bytes("a.vox", file))

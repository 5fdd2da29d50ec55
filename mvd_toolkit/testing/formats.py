"""What every file format must satisfy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.io.format import Format
from mvd_toolkit.testing.declaration import check_declaration

if TYPE_CHECKING:
    from mvd_toolkit.grid import VoxelGrid
    from mvd_toolkit.io import Limits


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

    check_declaration(form)
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

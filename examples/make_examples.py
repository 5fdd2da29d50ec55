"""Make the example files: a chair, a lamp, a rocket and a mug.

    python examples/make_examples.py [FOLDER]

Each shape is a mesh of solids in metres, z up. Its pair is made as training pairs are: the hull of
its surface at 256³, pooled to 32³. The 32³ grids and the mug's mesh are what `examples/` holds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from solids import Mesh, arc, board, box, join, lathe, mirror, move, plate, ring, tube, turn

import mvd_toolkit as mvd
from mvd_toolkit import io
from mvd_toolkit.voxelize import Pair, make_pair

HERE = Path(__file__).parent
MICROMETRES = 6


def chair() -> Mesh:
    """A ladder-back chair with turned front legs."""
    seat = join(
        box((-0.25, -0.24, 0.43), (0.25, 0.23, 0.47)),
        box((-0.22, -0.215, 0.36), (0.22, -0.185, 0.43)),
        mirror(box((0.19, -0.2, 0.36), (0.22, 0.2, 0.43)), 0),
    )
    leg = lathe(
        points(
            "0 0.02, 0.04 0.03, 0.07 0.018, 0.1 0.028, 0.2 0.036, 0.27 0.03, 0.29 0.02, "
            "0.31 0.034, 0.33 0.02, 0.35 0.034, 0.43 0.034"
        )
    )
    finial = lathe(points("0 0.016, 0.015 0.03, 0.035 0.034, 0.055 0.02, 0.075 0.004"))
    post = join(
        tube(arc((0.2, 0.21, 0), (0.215, 0.28, 0.92), (0, -0.05, 0)), 0.028),
        move(finial, (0.215, 0.28, 0.91)),
    )
    slats = [
        board(arc((-0.2, y, z), (0.2, y, z), (0, 0.02, rise)), width, 0.026)
        for y, z, width, rise in ((0.21, 0.6, 0.07, 0.015), (0.25, 0.8, 0.085, 0.035))
    ]
    rungs = join(
        mirror(tube([(0.2, -0.2, 0.2), (0.2, 0, 0.2), (0.2, 0.18, 0.2)], 0.018), 0),
        tube([(-0.2, -0.2, 0.24), (0, -0.2, 0.24), (0.2, -0.2, 0.24)], 0.02),
        tube([(-0.2, 0.0, 0.2), (0, 0.0, 0.2), (0.2, 0.0, 0.2)], 0.018),
    )
    return join(seat, mirror(move(leg, (0.2, -0.2, 0)), 0), mirror(post, 0), *slats, rungs)


def lamp() -> Mesh:
    """A table lamp on three feet, with a turned stem and an open shade."""
    foot = lathe([(0, 0.004), (0.006, 0.012), (0.016, 0.012), (0.022, 0.004)], 24)
    feet = [turn(move(foot, (0.085, 0, 0)), 90 + 120 * i) for i in range(3)]
    stem = lathe(
        points(
            "0.016 0.095, 0.026 0.1, 0.034 0.09, 0.04 0.05, 0.055 0.025, 0.07 0.022, "
            "0.085 0.034, 0.1 0.05, 0.13 0.062, 0.16 0.056, 0.2 0.03, 0.23 0.017, "
            "0.25 0.015, 0.258 0.024, 0.266 0.015, 0.32 0.012, 0.34 0.018, 0.36 0.018, "
            "0.37 0.03, 0.4 0.034, 0.43 0.026, 0.445 0.01"
        )
    )
    shade = _shell([(0.3, 0.165), (0.48, 0.095)], 0.004)
    hoops = [ring(0.165, 0.005, 0.302), ring(0.095, 0.005, 0.478)]
    spoke = tube([(0.0, 0, 0.35), (0.09, 0, 0.35), (0.15, 0, 0.34)], 0.004)
    spokes = [turn(spoke, 30 + 120 * i) for i in range(3)]
    finial = lathe([(0.44, 0.006), (0.46, 0.006), (0.47, 0.014), (0.485, 0.014), (0.5, 0.003)])
    return join(*feet, stem, shade, *hoops, *spokes, finial)


def rocket() -> Mesh:
    """A rocket of the old school: four swept fins, portholes, a bell below, a mast on top."""
    body = lathe(
        points(
            "0.55 0.2, 0.6 0.27, 0.8 0.36, 1.1 0.43, 1.5 0.46, 1.9 0.44, 2.3 0.36, 2.6 0.26, "
            "2.8 0.17, 2.95 0.08, 3.02 0.035, 3.04 0.05, 3.08 0.05, 3.1 0.02, 3.3 0.012"
        )
    )
    bands = [ring(0.35, 0.03, 2.33), ring(0.38, 0.03, 0.85), ring(0.205, 0.03, 0.57)]
    bell = _shell([(0.25, 0.24), (0.35, 0.19), (0.5, 0.13), (0.58, 0.12)], 0.03)
    fin = plate(
        points("0.3 0.75, 0.34 0.6, 0.62 0.3, 0.66 0.0, 0.8 0.0, 0.86 0.45, 0.72 0.9, 0.43 1.35"),
        0.07,
    )
    pod = move(lathe([(0, 0.05), (0.05, 0.08), (0.5, 0.08), (0.62, 0.02)], 24), (0.79, 0, 0))
    fins = [turn(join(fin, pod), 45 + 90 * i) for i in range(4)]
    portholes = [_porthole(0.0, 1.95, 0.44, 0.13), _porthole(0.0, 1.45, 0.46, 0.1)]
    hatch = box((-0.14, 0.38, 1.15), (0.14, 0.47, 1.65))
    return join(body, *bands, bell, *fins, *portholes, hatch)


def mug() -> Mesh:
    """A mug on a foot ring, with a handle; the one example that is a mesh."""
    outer = [(0.0, 0.03), (0.004, 0.032), (0.006, 0.036), (0.02, 0.04), (0.09, 0.042)]
    inner = [(0.094, 0.0405), (0.09, 0.039), (0.02, 0.0365), (0.008, 0.03), (0.006, 0.001)]
    cup = lathe(outer + inner, 64)
    path = arc((0.039, 0, 0.075), (0.039, 0, 0.022), (0.036, 0, 0), 24)
    return join(cup, tube(path, 0.005 + 0.0015 * np.linspace(-1, 1, len(path)) ** 2, 20))


def points(text: str) -> list[tuple[float, float]]:
    """The pairs of numbers that ``text`` separates by commas."""
    pairs = (pair.split() for pair in text.split(","))
    return [(float(a), float(b)) for a, b in pairs]


def _shell(profile: list[tuple[float, float]], thickness: float) -> Mesh:
    """A turned wall, open at both ends."""
    inner = [(height, radius - thickness) for height, radius in profile[::-1]]
    vertices, faces = lathe([*profile, *inner, profile[0]], 64)
    return vertices, faces[(faces < len(vertices) - 2).all(axis=1)]  # without the end caps


def _porthole(x: float, height: float, out: float, radius: float) -> Mesh:
    """A rim that faces -y."""
    (vertices, faces) = ring(radius, 0.035, 0.0, 32)
    return vertices[:, [0, 2, 1]] + [x, -out, height], faces


SHAPES: dict[str, Callable[[], Mesh]] = {
    "chair": chair,
    "lamp": lamp,
    "rocket": rocket,
    "mug": mug,
}


def mesh(name: str) -> Mesh:
    """The mesh of a shape, rounded so that it is the same on every machine."""
    vertices, faces = SHAPES[name]()
    return vertices.round(MICROMETRES) + 0.0, faces


def pair(name: str) -> Pair:
    """A shape at 256³ and at 32³."""
    return make_pair(*mesh(name))


def write_examples(folder: Path) -> list[Path]:
    """Write the example files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    grids = {folder / f"{name}_32.binvox": pair(name).low for name in SHAPES}
    for path, grid in grids.items():
        mvd.save(grid, path, overwrite=True)
    stl = folder / "mug.stl"
    io.save_mesh(io.Mesh(*mesh("mug")), stl, overwrite=True)
    return [*grids, stl]


if __name__ == "__main__":
    for written in write_examples(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(written)

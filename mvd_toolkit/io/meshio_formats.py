"""Surface meshes of simulation tools, through meshio.

VTK, VTU, Gmsh, Abaqus, Medit, Nastran and SU2. Their triangles, quadrilaterals and polygons are
read; the boundary of volume cells is not. Nastran and SU2 are read only: the writers of meshio fail
on coordinates of more than 16 characters in the one, and on triangles in space in the other.

meshio 5.3.5 has traps, closed here and nowhere else. Before it sees a file, the file's size is
checked against the limits, and what the readers follow blindly is refused: other files (Abaqus
``*INCLUDE``), XML entities, a Nastran file without an end (read for ever), a second part in an
Abaqus file (its vertices replace those of the first), VTK grids of a few bytes that become any
number of cells. While it reads, whatever it raises, exiting included, is an `InputError`, and what
it prints is kept: some of its warnings mean that a part of the file was left out, which is an error
here. Afterwards, fewer cells than a VTK or SU2 file announces, none, some of a kind that is not
read, and faces that point at no vertex are errors.
"""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError, UnavailableError
from mvd_toolkit.io import meshio_checks, vtk_polydata
from mvd_toolkit.io.format import HEAD_BYTES, Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Mesh, polygon_mesh

BYTES_FREE: Final = 2**20
BYTES_PER_FACE: Final = 64
"""A file may have `BYTES_FREE` and this many more for each face that the limits allow."""

_RINGS: Final[dict[str, tuple[int, ...]]] = {
    "triangle": (0, 1, 2),
    "quad": (0, 1, 2, 3),
    "pixel": (0, 1, 3, 2),
    # Begun at the middle of an edge: no triangle of the fan has three points of one edge.
    "triangle6": (3, 1, 4, 2, 5, 0),
    "quad8": (4, 1, 5, 2, 6, 3, 7, 0),
    "quad9": (4, 1, 5, 2, 6, 3, 7, 0),
}
"""The nodes around each kind of surface cell. Polygons are rings already."""

_NO_SURFACE: Final = re.compile(
    r"empty|vertex|line|tetra|hexa|wedge|pyramid|penta|poly(hedron|line|_vertex)"
    r"|VTK_LAGRANGE_(CURVE|TETRA|HEXA|WEDGE|PYRAMID)"
)
_LEFT_OUT: Final = re.compile(
    r"cannot handle|could not parse|expected \d+ markers|end-of-file|not closed", re.IGNORECASE
)
"""Warnings of meshio after which a mesh is not the one of the file."""

_lock = threading.Lock()  # the streams and the filter of warnings belong to the whole process


@dataclass(frozen=True)
class _Kind:
    """One format of meshio.

    Attributes:
        module: the submodule of meshio, which has ``read``.
        mark: what each file has, near its beginning.
        shown: that, for people.
        check: raises ValueError with what was expected and found, for bytes that meshio must not
            be given; returns how many cells it has to find there, None if that is not known.
    """

    module: str
    mark: re.Pattern[bytes]
    shown: str
    check: Callable[[bytes], int | None]

    def matches(self, head: bytes, size: int) -> bool:
        """Whether a file begins like one of this format."""
        return self.mark.search(head) is not None

    def read(self, path: Path, limits: Limits) -> Mesh:
        """Read the surface cells.

        Raises:
            InputError: malformed, truncated, without surface cells, a face points at no vertex,
                or over a limit.
            UnavailableError: meshio, or a package that it needs, is not installed.
        """
        announced = self._check(path, limits)
        mesh = _call(f"meshio.{self.module}", path)
        cells = sum(len(block.data) for block in mesh.cells)
        if announced is not None and cells != announced:
            raise InputError(f"{path}: expected {announced} cells, found {cells}")
        points = np.asarray(mesh.points)
        if points.ndim != 2 or points.shape[1] not in (2, 3) or points.dtype.kind not in "fiu":
            raise InputError(
                f"{path}: expected vertices of two or three numbers, found an array of shape "
                f"{points.shape}, {points.dtype}"
            )
        flat = np.zeros((len(points), 3 - points.shape[1]))
        vertices = np.hstack([points.astype(np.float64), flat])
        return polygon_mesh(path, vertices, _polygons(path, mesh.cells), limits)

    def write(self, mesh: Mesh, file: BinaryIO) -> None:
        """Write the triangles, positions to the last bit; binary where the format can be.

        Raises:
            InputError: there is no triangle, which not all of the writers take.
            UnavailableError: meshio, or a package that it needs, is not installed.
        """
        if not len(mesh.faces):
            raise InputError(f"{self.module}: expected a mesh with triangles to write, found none")
        # Some of the writers take only the name of a file.
        with tempfile.TemporaryDirectory(prefix="mvd_") as folder:
            path = Path(folder) / "mesh"
            try:
                with _silence():
                    triangles = import_module("meshio").Mesh(
                        mesh.vertices, [("triangle", mesh.faces.astype(np.int64))]
                    )
                    import_module(f"meshio.{self.module}").write(path, triangles)
            except ImportError as error:
                raise UnavailableError(f"{self.module}: writing it {_needs(error)}") from error
            with path.open("rb") as written:
                shutil.copyfileobj(written, file, 1 << 20)

    def _check(self, path: Path, limits: Limits) -> int | None:
        size = path.stat().st_size
        most = BYTES_FREE + BYTES_PER_FACE * limits.faces
        if size > most:
            raise InputError(
                f"{path}: expected at most {most} bytes, found {size}; "
                "MVD_MAX_FACES raises the limit"
            )
        data = path.read_bytes()
        if self.mark.search(data) is None:
            raise InputError(f"{path}: expected {self.shown}, found {data[:40]!r}")
        try:
            return self.check(data)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error


def _call(module: str, path: Path) -> Any:
    """What ``module.read(path)`` gives, silently.

    The readers of the submodules are called, as ``meshio.read`` exits the process on an error.
    """
    try:
        with _silence() as said:
            mesh = import_module(module).read(str(path))
    except ImportError as error:
        raise UnavailableError(f"{path}: reading it {_needs(error)}") from error
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory ({error})") from error
    except (Exception, SystemExit) as error:
        cause = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise InputError(f"{path}: expected what {module} can read, found: {cause}") from error
    words = " ".join(said.getvalue().split())
    left_out = _LEFT_OUT.search(words)
    if left_out is not None:
        found = words[left_out.start() :][:200]
        raise InputError(f"{path}: expected what {module} reads whole, found: {found}")
    return mesh


@contextmanager
def _silence() -> Iterator[io.StringIO]:
    """Keep what is printed meanwhile; one thread at a time."""
    said = io.StringIO()
    with _lock, redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # NumPy's word for a table of numbers that breaks off.
        warnings.filterwarnings("error", message="string or file could not be read")
        yield said


def _needs(error: ImportError) -> str:
    missing = error.name or "meshio"
    return (
        f"needs {missing}, which cannot be imported ({error}); "
        f"pip install {missing.partition('.')[0]}"
    )


def _polygons(path: Path, blocks: list[Any]) -> list[npt.NDArray[np.int64]]:
    """The rings of all surface cells, a block of (n, corners) for each block of cells."""
    rings = []
    for block in blocks:
        if not len(block.data) or _NO_SURFACE.match(block.type):
            continue
        ring = _RINGS.get(block.type)
        if ring is None and block.type != "polygon":
            raise InputError(
                f"{path}: expected cells of {', '.join(_RINGS)} or polygon, found {block.type}"
            )
        nodes = np.asarray(block.data)
        if nodes.ndim != 2 or nodes.dtype.kind not in "iu":
            raise InputError(
                f"{path}: {block.type}: expected rows of vertex numbers, found an array of shape "
                f"{nodes.shape}, {nodes.dtype}"
            )
        if ring is not None:
            nodes = nodes[:, ring]
        rings.append(nodes.astype(np.int64))
    if not rings:
        others = ", ".join(sorted({str(block.type) for block in blocks if len(block.data)}))
        raise InputError(
            f"{path}: expected surface cells (triangles, quadrilaterals, polygons), found "
            f"{others or 'no cells'}"
        )
    return rings


def _format(
    name: str,
    suffixes: tuple[str, ...],
    module: str,
    mark: bytes,
    shown: str,
    check: Callable[[bytes], int | None] = meshio_checks.anything,
    writes: bool = True,
) -> Format:
    kind = _Kind(module, re.compile(mark, re.MULTILINE | re.IGNORECASE), shown, check)
    return Format(
        name=name,
        suffixes=suffixes,
        kind="mesh",
        keeps="vertices, triangles; no volume cells",
        matches=kind.matches,
        read=kind.read,
        write=kind.write if writes else None,
    )


def _vtk() -> Format:
    """VTK files: POLYDATA by a reader of our own, unstructured grids through meshio."""
    form = _format(
        "vtk", (".vtk",), "vtk", rb"\A# vtk DataFile", "'# vtk DataFile'", meshio_checks.vtk
    )
    unstructured = form.read
    assert unstructured is not None

    def read(path: Path, limits: Limits) -> Mesh:
        with path.open("rb") as file:
            polydata = vtk_polydata.is_polydata(file.read(HEAD_BYTES))
        mesh: Mesh = (vtk_polydata.read if polydata else unstructured)(path, limits)
        return mesh

    return replace(form, read=read)


FORMATS: Final = (
    _vtk(),
    _format("vtu", (".vtu",), "vtu", rb"<VTKFile\s", "'<VTKFile'", meshio_checks.vtu),
    _format("gmsh", (".msh",), "gmsh", rb"^\$MeshFormat", "'$MeshFormat'", meshio_checks.gmsh),
    _format(
        "medit",
        (".mesh",),
        "medit",
        rb"^\s*MeshVersionFormatted",
        "'MeshVersionFormatted'",
        meshio_checks.numbers,
    ),
    _format("abaqus", (".inp",), "abaqus", rb"^\*NODE\s*[,\r\n]", "'*NODE'", meshio_checks.abaqus),
    _format(
        "nastran",
        (".bdf", ".nas", ".fem"),
        "nastran",
        rb"^[ \t]*BEGIN BULK",
        "'BEGIN BULK'",
        meshio_checks.nastran,
        writes=False,
    ),
    _format(
        "su2",
        (".su2",),
        "su2",
        rb"^\s*NDIME\s*=",
        "'NDIME='",
        meshio_checks.su2,
        writes=False,
    ),
)

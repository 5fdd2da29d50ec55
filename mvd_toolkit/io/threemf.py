"""3MF files (https://github.com/3MFConsortium/spec_core): the meshes that the build puts together.

A zip archive of XML: objects are meshes or components of other objects, the build places objects.
All is read in millimetres, whatever unit the file has, and written so. Objects in parts of their
own (the production extension, as slicers write them) are read too. Materials, colours and slices
are left out.

XML is read as it is unpacked, and counted while it is read: a few bytes may unpack to any number of
triangles, and a few components may stand for any number of copies.
"""

from __future__ import annotations

import math
import zipfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from mvd_toolkit.errors import InputError
from mvd_toolkit.io.broken import BROKEN_ZIP, reading
from mvd_toolkit.io.format import Format
from mvd_toolkit.io.limits import Limits
from mvd_toolkit.io.mesh import Instance, Mesh, assemble

MILLIMETRES: Final = {
    **{"micron": 0.001, "millimeter": 1.0, "centimeter": 10.0},
    **{"inch": 25.4, "foot": 304.8, "meter": 1000.0},
}
"""How long each unit of a 3MF file is."""

FREE_BYTES: Final = 1 << 24
MAX_RATIO: Final = 100
"""XML may unpack to `FREE_BYTES` and this many times its packed size; numbers do to 20 times."""

_MODEL = "3D/3dmodel.model"
_RELATIONS = "_rels/.rels"
_MODEL_TYPE = "/3dmodel"
_MAX_DEPTH = 32
_MAX_COPIES = 2**16
_PIECE_BYTES = 1 << 20
_PIECE_ROWS = 1 << 16
_EPOCH = (1980, 1, 1, 0, 0, 0)

_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" '
    'ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>'
    "</Types>\n"
)
_ROOT_RELATIONS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Target="/{_MODEL}" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>'
    "</Relationships>\n"
)
_MODEL_BEGIN = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" '
    'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">\n'
    '<metadata name="Application">mvd_toolkit</metadata>\n'
    '<resources><object id="1" type="model"><mesh><vertices>\n'
)
_MODEL_END = (
    '</triangles></mesh></object></resources>\n<build><item objectid="1"/></build></model>\n'
)

_BROKEN = (*BROKEN_ZIP, expat.ExpatError, KeyError)

_Key = tuple[str, str]  # part, id of an object


@dataclass(frozen=True)
class _Use:
    """An object somewhere: a component, or an item of the build."""

    key: _Key
    transform: npt.NDArray[np.float64]  # (4, 4), for columns


@dataclass
class _Object:
    vertices: array[float] = field(default_factory=lambda: array("d"))
    triangles: array[int] = field(default_factory=lambda: array("q"))
    components: list[_Use] = field(default_factory=list)


@dataclass
class _Part:
    """What one model part says."""

    unit: float = 1.0
    objects: dict[str, _Object] = field(default_factory=dict)
    build: list[_Use] = field(default_factory=list)


def matches(head: bytes, size: int) -> bool:
    """Whether a file is a zip archive that begins with parts of a 3MF package."""
    if not head.startswith(b"PK\x03\x04"):
        return False
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return name in (b"[Content_Types].xml", _RELATIONS.encode()) or b"3D/" in head


def read(path: Path, limits: Limits) -> Mesh:
    """Read all that the build puts together, in millimetres.

    Raises:
        InputError: malformed, nothing in the build, a face points at no vertex, or over a limit.
    """
    with reading(path, "a 3MF package", _BROKEN), zipfile.ZipFile(path) as archive:
        package = _Package(path, archive, limits)
        root = package.root()
        instances = list(_instances(path, package, root))
    return assemble(path, instances, limits)


def write(mesh: Mesh, file: BinaryIO) -> None:
    """Write one object, one item of the build, in millimetres."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in (
            ("[Content_Types].xml", _CONTENT_TYPES),
            (_RELATIONS, _ROOT_RELATIONS),
        ):
            archive.writestr(_info(name), text)
        with archive.open(_info(_MODEL), "w", force_zip64=True) as part:
            for text in _model(mesh):
                part.write(text.encode("ascii"))


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)  # not the time of day
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _model(mesh: Mesh) -> Iterator[str]:
    yield _MODEL_BEGIN
    for begin in range(0, len(mesh.vertices), _PIECE_ROWS):
        points = mesh.vertices[begin : begin + _PIECE_ROWS].tolist()
        yield "".join(f'<vertex x="{x!r}" y="{y!r}" z="{z!r}"/>\n' for x, y, z in points)
    yield "</vertices><triangles>\n"
    for begin in range(0, len(mesh.faces), _PIECE_ROWS):
        rows = mesh.faces[begin : begin + _PIECE_ROWS].tolist()
        yield "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>\n' for a, b, c in rows)
    yield _MODEL_END


class _Package:
    """The parts of an archive, each read when it is first asked for."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._path = path
        self._archive = archive
        self._limits = limits
        self._parts: dict[str, _Part] = {}
        self._counts = [0, 0]  # vertices and triangles, of all parts

    def root(self) -> _Part:
        """The part that the relationships of the package name."""
        names = {name.lower(): name for name in self._archive.namelist()}
        target = _MODEL

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal target
            if _local(name) == "Relationship" and attributes.get("Type", "").endswith(_MODEL_TYPE):
                target = attributes.get("Target", target)

        if _RELATIONS in names:
            self._parse(names[_RELATIONS], start)
        return self.part(target)

    def part(self, name: str) -> _Part:
        """A model part by its name."""
        key = name.lstrip("/")
        if key not in self._parts:
            if key not in self._archive.namelist():
                raise InputError(f"{self._path}: expected a part {key!r}, found none")
            self._parts[key] = part = _Part()
            self._parse(key, _Reader(self._path, key, part, self._limits, self._counts).start)
        return self._parts[key]

    def object(self, key: _Key) -> tuple[_Part, _Object]:
        """An object, and the part it is in."""
        part = self.part(key[0])
        if key[1] not in part.objects:
            raise InputError(f"{self._path}: expected an object {key[1]!r}, found none")
        return part, part.objects[key[1]]

    def _parse(self, name: str, start: Callable[[str, dict[str, str]], None]) -> None:
        info = self._archive.getinfo(name)
        packed = min(info.compress_size, self._path.stat().st_size)
        if info.file_size > FREE_BYTES + MAX_RATIO * packed:
            raise InputError(
                f"{self._path}: {name}: expected XML that {packed} packed bytes can hold, found "
                f"{info.file_size} bytes"
            )
        parser = expat.ParserCreate()
        parser.StartElementHandler = start
        parser.StartDoctypeDeclHandler = self._refuse
        with self._archive.open(info) as stream:
            while piece := stream.read(_PIECE_BYTES):
                parser.Parse(piece, False)
        parser.Parse(b"", True)

    def _refuse(self, *_: Any) -> None:
        raise InputError(f"{self._path}: expected XML without a document type, found <!DOCTYPE")


class _Reader:
    """Fills a part with what its XML says, and counts."""

    def __init__(
        self, path: Path, name: str, part: _Part, limits: Limits, counts: list[int]
    ) -> None:
        self._path = path
        self._name = name
        self._part = part
        self._limits = limits
        self._counts = counts
        self._object = _Object()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        match _local(name):
            case "vertex":
                self._count(0)
                self._object.vertices.extend([float(attributes[axis]) for axis in "xyz"])
            case "triangle":
                self._count(1)
                corners = [int(attributes[corner]) for corner in ("v1", "v2", "v3")]
                self._object.triangles.extend(corners)
            case "object":
                self._object = self._part.objects.setdefault(attributes["id"], _Object())
            case "component":
                self._object.components.append(self._use(attributes))
            case "item":
                self._part.build.append(self._use(attributes))
            case "model":
                unit = attributes.get("unit", "millimeter")
                if unit not in MILLIMETRES:
                    raise InputError(
                        f"{self._path}: unit: expected one of {', '.join(MILLIMETRES)}, "
                        f"found {unit[:40]!r}"
                    )
                self._part.unit = MILLIMETRES[unit]

    def _count(self, which: int) -> None:
        self._counts[which] += 1
        if self._counts[which] > self._limits.faces:
            self._limits.check_mesh(self._path, *self._counts)

    def _use(self, attributes: dict[str, str]) -> _Use:
        other = next((v for k, v in attributes.items() if _local(k) == "path"), self._name)
        transform = np.eye(4)
        if "transform" in attributes:
            numbers = [float(word) for word in attributes["transform"].split()]
            if len(numbers) != 12 or not all(map(math.isfinite, numbers)):
                raise InputError(
                    f"{self._path}: transform: expected 12 finite numbers, found "
                    f"{attributes['transform'][:60]!r}"
                )
            transform[:3] = np.reshape(numbers, (4, 3)).T
        return _Use((other.lstrip("/"), attributes["objectid"]), transform)


def _instances(path: Path, package: _Package, root: _Part) -> Iterator[Instance]:
    """Every mesh that the build uses, as often as it does."""
    todo = [(use.key, root.unit * use.transform, 0) for use in reversed(root.build)]
    copies = 0
    while todo:
        key, transform, depth = todo.pop()
        copies += 1
        if depth > _MAX_DEPTH or copies > _MAX_COPIES:
            raise InputError(
                f"{path}: expected at most {_MAX_COPIES} copies of objects, {_MAX_DEPTH} deep, "
                "found more or a circle"
            )
        _, shape = package.object(key)
        if shape.triangles:
            vertices = np.frombuffer(shape.vertices, np.float64).reshape(-1, 3)
            faces = np.frombuffer(shape.triangles, np.int64).reshape(-1, 3)
            yield Instance(cast(Any, vertices), faces, transform)
        todo += [
            (use.key, transform @ use.transform, depth + 1) for use in reversed(shape.components)
        ]


def _local(name: str) -> str:
    return name.rpartition(":")[2]


FORMAT = Format(
    name="3mf",
    suffixes=(".3mf",),
    kind="mesh",
    keeps="vertices, triangles; in millimetres",
    matches=matches,
    read=read,
    write=write,
    unit="mm",
    up="z",
)

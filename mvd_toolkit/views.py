"""Pictures of a shape from around it: where the cameras stand, and the file that holds them.

``<id>.views.zip`` lies beside the shape's pair::

    views.json        frame, up, and a camera a picture
    00.png, 01.png …  RGBA, square; what is not the shape is transparent
    low.npz           with frame "viewer": the coarse grids that each eye sees, by low rule

A shape stands upright before it is looked at: its vertical is turned to z, y-up ones as
``mvd convert --up y`` turns them. In frame "object" the grid of every picture is the pair's own,
stood upright. In frame "viewer" the shape is turned about its vertical first, so that the eye is at
azimuth 0, and each picture has a grid of its own.

No renderer here: that is `mesh_renderer`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from mvd_toolkit.augmented_copies import Axis
from mvd_toolkit.conventions import LOW_RULES
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.io.atomic import atomic

Frame = Literal["object", "viewer"]

SCHEMA: Final = "mvd.views/1"
SUFFIX: Final = ".views.zip"
MAX_VIEWS: Final = 1000
MAX_SIZE: Final = 1024
MAX_MEMBER_BYTES: Final = 2**24
"""Largest member of a views file that is read."""

_ELEVATIONS: Final = (-5.0, 45.0)
_FIELDS_OF_VIEW: Final = (20.0, 50.0)
_ROOM: Final = (1.0, 1.35)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_BROKEN: Final = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    RuntimeError,
    SyntaxError,  # what Pillow makes of a broken PNG
)


@dataclass(frozen=True)
class Camera:
    """An eye that looks at the middle of a shape's box, the vertical upwards.

    Attributes:
        azimuth: degrees around the vertical, from +x towards +y.
        elevation: degrees above the horizon.
        distance: of the eye from that middle, in longest sides of the shape.
        field_of_view: of the whole picture, degrees.
    """

    azimuth: float
    elevation: float
    distance: float
    field_of_view: float

    @property
    def eye(self) -> npt.NDArray[np.float64]:
        """(3,) where it is from the middle, in longest sides."""
        around, above = math.radians(self.azimuth), math.radians(self.elevation)
        level = math.cos(above)
        return self.distance * np.array(
            [level * math.cos(around), level * math.sin(around), math.sin(above)]
        )


@dataclass(frozen=True)
class ViewRecipe:
    """Which pictures are made of a shape.

    Attributes:
        count: of each shape.
        size: edge of a picture, pixels.
        frame: whose axes the coarse grids have, see the module.
        seed: another one, other cameras, lamps and colours.
    """

    count: int = 24
    size: int = 128
    frame: Frame = "object"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("views", self.count, 1, MAX_VIEWS),
            ("image", self.size, 16, MAX_SIZE),
            ("seed", self.seed, 0, 2**63),
        ):
            if not least <= value <= most:
                raise UsageError(f"{name}: expected {least} to {most}, found {value}")
        if self.frame not in get_args(Frame):
            raise UsageError(f"frame: expected object or viewer, found {self.frame!r}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; its keys are the arguments."""
        return dataclasses.asdict(self)

    def random(self, sha256: str, number: int) -> np.random.Generator:
        """What decides a picture: the seed, the shape's hash and the picture's number."""
        return np.random.default_rng([self.seed, int(sha256[:16], 16), 2**20 + number])

    def camera(self, random: np.random.Generator, radius: float) -> Camera:
        """A camera that sees all of a shape.

        Args:
            random: of the picture.
            radius: of the ball around the box's middle that holds the shape, in longest sides.
        """
        azimuth = random.uniform(0.0, 360.0)
        elevation = random.uniform(*_ELEVATIONS)
        angle = random.uniform(*_FIELDS_OF_VIEW)
        reach = radius * random.uniform(*_ROOM)
        distance = max(reach, 1e-3) / math.sin(math.radians(angle / 2))
        return Camera(azimuth, elevation, distance, angle)


def upright(points: npt.NDArray[np.float64], up: Axis) -> npt.NDArray[np.float64]:
    """Points (V, 3) of a shape, its vertical turned to z.

    >>> upright(np.array([[1.0, 2.0, 3.0]]), "y")
    array([[ 1., -3.,  2.]])
    """
    if up == "y":
        return points[:, [0, 2, 1]] * (1.0, -1.0, 1.0)
    return points[:, [1, 2, 0]] if up == "x" else points


def upright_grid(dense: npt.NDArray[Any], up: Axis) -> npt.NDArray[Any]:
    """A dense cube (N, N, N) of a shape, turned as `upright` turns points."""
    if up == "y":
        return dense.transpose(0, 2, 1)[:, ::-1]
    return dense.transpose(1, 2, 0) if up == "x" else dense


@dataclass(frozen=True)
class Views:
    """The pictures of one shape, still encoded.

    Attributes:
        frame: whose axes the grids have.
        up: the vertical of the shape's pair.
        cameras: one a picture.
        pngs: the bytes of each.
        lows: low rule -> (V, N, N, W) uint64, packed and upright; empty in frame "object".
    """

    frame: Frame
    up: Axis
    cameras: tuple[Camera, ...]
    pngs: tuple[bytes, ...]
    lows: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pngs)

    def picture(self, number: int) -> npt.NDArray[np.uint8]:
        """(S, S, 4) uint8, RGBA, row by row from the top left.

        Raises:
            InputError: it is no square RGBA picture of up to 1024 pixels an edge.
        """
        try:
            with Image.open(io.BytesIO(self.pngs[number]), formats=("PNG",)) as image:
                width, height = image.size
                if image.mode != "RGBA" or width != height or width > MAX_SIZE:
                    raise InputError(
                        f"view {number}: expected a square RGBA picture of at most {MAX_SIZE} "
                        f"pixels, found {image.mode} of {width}x{height}"
                    )
                return np.array(image)
        except _BROKEN as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"view {number}: is no picture: {error}") from error


def encode(pictures: Sequence[npt.NDArray[np.uint8]]) -> tuple[bytes, ...]:
    """PNG bytes of pictures (S, S, 4) uint8."""
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture, "RGBA").save(buffer, "PNG", compress_level=6)
        encoded.append(buffer.getvalue())
    return tuple(encoded)


def write_views(path: str | Path, views: Views) -> None:
    """Write a views file, whole or not at all; the same views give the same bytes."""
    about = {
        "schema": SCHEMA,
        "frame": views.frame,
        "up": views.up,
        "cameras": [dataclasses.asdict(camera) for camera in views.cameras],
    }
    with atomic(path, overwrite=True) as file, zipfile.ZipFile(file, "w") as archive:
        _add(archive, "views.json", (json.dumps(about, indent=1) + "\n").encode())
        for number, png in enumerate(views.pngs):
            _add(archive, f"{number:02d}.png", png)
        if views.lows:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **dict(views.lows))  # type: ignore[arg-type]
            _add(archive, "low.npz", buffer.getvalue())


def read_views(path: str | Path) -> Views:
    """Read a views file.

    Raises:
        InputError: the file is none, or does not hold what it says.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(_read(archive, "views.json"))
            if about["schema"] != SCHEMA:
                raise InputError(f"{path}: expected schema {SCHEMA!r}, found {about['schema']!r}")
            cameras = tuple(Camera(**{k: float(v) for k, v in c.items()}) for c in about["cameras"])
            if not 1 <= len(cameras) <= MAX_VIEWS:
                raise ValueError(f"expected 1 to {MAX_VIEWS} cameras, found {len(cameras)}")
            if about["frame"] not in get_args(Frame) or about["up"] not in get_args(Axis):
                raise ValueError(f"found frame {about['frame']!r} and up {about['up']!r}")
            pngs = tuple(_read(archive, f"{n:02d}.png") for n in range(len(cameras)))
            lows = {}
            if about["frame"] == "viewer":
                lows = _read_lows(_read(archive, "low.npz"), len(cameras))
    except _BROKEN as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no file of views: {error}") from error
    return Views(about["frame"], about["up"], cameras, pngs, lows)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{name}: expected at most {MAX_MEMBER_BYTES} bytes")
    return archive.read(info)


def _read_lows(content: bytes, count: int) -> dict[str, npt.NDArray[np.uint64]]:
    """The packed grids of each view, checked against each other."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > 2**28:
            raise ValueError("low.npz: expected at most 256 MiB")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        lows = {rule: arrays[rule] for rule in LOW_RULES}
    shapes = {array.shape for array in lows.values()}
    if len(shapes) != 1 or any(array.dtype != np.uint64 for array in lows.values()):
        raise ValueError(f"low.npz: expected packed grids of one shape, found {shapes}")
    (shape,) = shapes
    if len(shape) != 4 or shape[0] != count:
        raise ValueError(f"low.npz: expected {count} grids, found {shape}")
    return lows

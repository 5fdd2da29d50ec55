"""Pictures of one object, from any file that Pillow reads to the square that a network sees.

What is not the object is transparent in the file, or a plain background that is found and taken
away. The object is cut out, centred, scaled to fill most of the square and put on white.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from mvd_toolkit.errors import InputError

MAX_PIXELS: Final = 2**26
"""Largest picture that is read: 8192 x 8192. A few kilobytes may unpack to far more."""

MIN_OBJECT: Final = 8
"""Shortest extent of an object that is looked at, pixels."""

FILL: Final = 0.875
"""How much of the square the longer side of the object takes."""

EXECUTED: Final = frozenset({"EPS", "WMF", "EMF"})
"""Formats that Pillow gives to another program to draw; they are not read."""

_OPAQUE: Final = 250
_LARGEST: Final = 1024  # edge of a picture in which the object is looked for
_BORDER: Final = 0.03  # of a picture's edge
_PLAIN: Final = 0.85  # share of the border that a plain background must explain
_TOLERANCE: Final = (14.0, 34.0)  # distance of colours: background below, object above
_SPECK: Final = 0.02  # parts smaller than this share of the largest are dirt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ObjectPicture:
    """What a network sees.

    Attributes:
        pixels: (S, S, 3) uint8, the object on white.
        cut: how it was told from its background: by "alpha", by "plain" background, or not at all,
            "none".
        notes: what the caller should know, a sentence each.
    """

    pixels: Pixels
    cut: str
    notes: tuple[str, ...] = ()


def read_picture(path: str | Path) -> tuple[Pixels, tuple[str, ...]]:
    """The pixels of a picture file, upright as EXIF says.

    Args:
        path: of any format that Pillow reads, but for those it lets another program draw.

    Returns:
        (H, W, 4) uint8, red, green, blue and alpha; notes on what was left out.

    Raises:
        InputError: it is no picture, broken, cut short, or has more than 2²⁶ pixels.
    """
    path = Path(path)
    Image.init()
    formats = [name for name in Image.OPEN if name not in EXECUTED]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked here, and odd metadata
            with Image.open(path, formats=formats) as image:
                _check_size(path, image)
                frames = getattr(image, "n_frames", 1)
                return _rgba(image), _notes(frames)
    except UnidentifiedImageError:
        raise InputError(f"{path}: expected a picture, found no format that can be read") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: {_too_large()}: {error}") from error
    except InputError:
        raise
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise InputError(f"{path}: {error.strerror}") from error
        raise InputError(f"{path}: the picture is broken: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for a malformed file
        raise InputError(
            f"{path}: the picture is broken: {type(error).__name__}: {error}"
        ) from error


def suffixes() -> tuple[str, ...]:
    """The suffixes of the formats that can be read."""
    Image.init()
    known = Image.registered_extensions().items()
    return tuple(s for s, name in known if name in Image.OPEN and name not in EXECUTED)


def picture_of(image: Any) -> Pixels:
    """(H, W, 4) uint8 of a Pillow image, or of an array (H, W), (H, W, 3) or (H, W, 4).

    Args:
        image: bytes are taken as they are, floats from 0 to 1.

    Raises:
        InputError: an array of another shape or type, or too many pixels.
    """
    if isinstance(image, Image.Image):
        _check_size("picture", image)
        return _rgba(image)
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise InputError(f"picture: expected (H, W, 3) or (H, W, 4), found {array.shape}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise InputError(f"picture: {_too_large()}, found {array.shape[1]}x{array.shape[0]}")
    if array.dtype.kind == "f":
        array = np.rint(np.clip(np.nan_to_num(array), 0, 1) * 255)
    elif array.dtype != np.uint8:
        raise InputError(f"picture: expected uint8 or floats, found {array.dtype}")
    opaque = np.full((*array.shape[:2], 4), 255, np.uint8)
    opaque[..., : array.shape[2]] = array
    return opaque


def cut_out(picture: Pixels, size: int) -> ObjectPicture:
    """The object of a picture as a network sees it.

    Args:
        picture: (H, W, 4) uint8, RGBA.
        size: S, edge of the result.

    Raises:
        InputError: nothing is in the picture, or it is too small to tell what.
    """
    if min(picture.shape[:2]) < MIN_OBJECT:
        raise InputError(
            f"picture of {picture.shape[1]}x{picture.shape[0]}: expected at least "
            f"{MIN_OBJECT} pixels along each side"
        )
    if int(picture[..., 3].min()) < _OPAQUE:
        return ObjectPicture(place(picture, size), "alpha")
    picture = _shrunk(picture)
    alpha = _foreground(picture[..., :3])
    if alpha is None:
        note = (
            "the background is not plain, so all of the picture was taken for the object; cut the "
            "object out, on a transparent or plain background, for a better answer"
        )
        return ObjectPicture(place(picture, size), "none", (note,))
    return ObjectPicture(place(np.dstack([picture[..., :3], alpha]), size), "plain")


def place(picture: Pixels, size: int, fill: float = FILL) -> Pixels:
    """The opaque part of a picture, centred and scaled, on white.

    Args:
        picture: (H, W, 4) uint8, RGBA.
        size: S, edge of the result.
        fill: share of S that the longer side of the object takes.

    Returns:
        (S, S, 3) uint8.

    Raises:
        InputError: nothing is opaque.
    """
    solid = picture[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(rows):
        raise InputError("picture: expected an object, found nothing but background")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left) / fill
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    premultiplied = Image.fromarray(picture, "RGBA").convert("RGBa")
    window = _window(premultiplied, x, y, side, size).convert("RGBA")
    paper = Image.new("RGBA", (size, size), "white")
    return np.array(Image.alpha_composite(paper, window).convert("RGB"))


def _window(image: Image.Image, x: float, y: float, side: float, size: int) -> Image.Image:
    """A square of an image, which may reach over its edge, at ``size`` pixels."""
    reach = int(np.ceil(max(0.0, -x, -y, x + side - image.width, y + side - image.height))) + 1
    canvas = Image.new(image.mode, (image.width + 2 * reach, image.height + 2 * reach))
    canvas.paste(image, (reach, reach))
    box = (x + reach, y + reach, x + reach + side, y + reach + side)
    return canvas.resize(
        (size, size),
        Image.Resampling.BOX if side > 3 * size else Image.Resampling.BILINEAR,
        box=box,
    )


def _check_size(where: object, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{where}: {_too_large()}, found {width}x{height}")


def _too_large() -> str:
    return f"expected at most {MAX_PIXELS} pixels"


def _notes(frames: int) -> tuple[str, ...]:
    if frames > 1:
        return (f"has {frames} frames, of which the first was taken",)
    return ()


def _rgba(image: Image.Image) -> Pixels:
    """The pixels of an opened image of any mode, upright."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_bytes(np.asarray(image)))
    return np.array(image.convert("RGBA"))


def _bytes(values: npt.NDArray[Any]) -> Pixels:
    """Grey values of more than 8 bits as bytes: 16 bits by their own range, else by what is there.

    Pillow itself would cut them off at 255.
    """
    levels = np.nan_to_num(values.astype(np.float64))
    least, most = float(levels.min()), float(levels.max())
    if values.dtype.kind == "f" and least >= 0 and most <= 1:
        least, most = 0.0, 1.0
    elif values.dtype.kind != "f" and least >= 0 and most <= 65535:
        least, most = 0.0, 65535.0 if most > 255 else 255.0
    scaled = (levels - least) / max(most - least, 1e-9) * 255
    return np.asarray(np.rint(scaled), np.uint8)


def _shrunk(picture: Pixels) -> Pixels:
    image = Image.fromarray(picture, "RGBA")
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    return np.array(image)


def _foreground(colours: Pixels) -> Pixels | None:
    """(H, W) uint8 alpha of what stands before a plain background; None where that is not plain.

    A plain background is one colour, or a colour that changes evenly across the picture. What it
    explains and what hangs together with the border is background.
    """
    from scipy import ndimage

    values = colours.astype(np.float32)
    background = _even_background(values)
    if background is None:
        return None
    distance = np.abs(values - background).max(axis=2)
    low, high = _TOLERANCE
    empty, _ = ndimage.label(distance < high)
    border = np.unique(np.concatenate([empty[0], empty[-1], empty[:, 0], empty[:, -1]]))
    outside = np.isin(empty, border[border > 0])
    alpha = np.where(outside, np.clip((distance - low) / (high - low), 0, 1), 1.0)
    alpha[~_large_parts(alpha > 0.5)] = 0
    return np.asarray(np.rint(alpha * 255), np.uint8)


def _even_background(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """(H, W, 3): a plane through the border's colours, if it explains most of them."""
    height, width = values.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    plane = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], axis=2)
    margin = max(1, round(_BORDER * min(height, width)))
    border = np.ones((height, width), bool)
    border[margin:-margin, margin:-margin] = False
    samples, colours = plane[border], values[border]
    kept = np.abs(colours - np.median(colours, axis=0)).max(axis=1) < 3 * _TOLERANCE[1]
    for _ in range(3):
        if kept.mean() < _PLAIN / 2:
            return None
        fit = np.linalg.lstsq(samples[kept], colours[kept], rcond=None)[0]
        kept = np.abs(colours - samples @ fit).max(axis=1) < _TOLERANCE[0]
    return np.asarray(plane @ fit, np.float32) if kept.mean() >= _PLAIN else None


def _large_parts(solid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The parts that are no dirt beside the largest."""
    from scipy import ndimage

    parts, count = ndimage.label(solid, np.ones((3, 3)))
    if count == 0:
        return solid
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large = sizes >= _SPECK * sizes.max()
    large[0] = False
    kept: npt.NDArray[np.bool_] = large[parts]
    return kept

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mvd_toolkit.errors import InputError
from mvd_toolkit.image_input import FILL, MAX_PIXELS, cut_out, picture_of, place, read_picture


def drawn(mode="RGB", paper="white", size=(120, 90)):
    """A dark red box, 40 wide and 20 high, off the middle."""
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).rectangle((20, 50, 59, 69), fill=(150, 20, 20))
    return image.convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def box_of(pixels):
    """(top, bottom, left, right) of what is not white."""
    inside = pixels.min(axis=2) < 200
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def assert_centred(pixels):
    """The box fills its share of the square, in the middle, in its colour."""
    size = len(pixels)
    top, bottom, left, right = box_of(pixels)
    assert right - left == pytest.approx(FILL * size, abs=4)  # JPEG blurs colours
    assert bottom - top == pytest.approx(FILL * size / 2, abs=4)
    assert left + right == pytest.approx(size, abs=2)
    assert top + bottom == pytest.approx(size, abs=2)
    middle = pixels[size // 2, size // 2].astype(float)
    assert middle == pytest.approx([150, 20, 20], abs=14)
    assert pixels[2, 2].min() >= 250


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif", "a.tiff"])
def test_a_plain_background_is_taken_away_whatever_the_format(tmp_path, name):
    path = saved(tmp_path / name, drawn())
    pixels, notes = read_picture(path)
    seen = cut_out(pixels, 64)
    assert (seen.cut, seen.notes, notes) == ("plain", (), ())
    assert_centred(seen.pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "RGBA", "YCbCr", "HSV"])
def test_every_mode_is_read(tmp_path, mode):
    image = drawn(mode)
    pixels = picture_of(image)
    assert pixels.shape == (90, 120, 4)
    seen = cut_out(pixels, 64)
    top, bottom, left, right = box_of(seen.pixels)
    assert (right - left, bottom - top) == (pytest.approx(56, abs=2), pytest.approx(28, abs=2))


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    path = saved(tmp_path / "a.jpg", drawn("CMYK"), quality=95)
    assert_centred(cut_out(read_picture(path)[0], 64).pixels)


def test_sixteen_bits_are_not_cut_off(tmp_path):
    levels = np.full((90, 120), 60000, np.uint16)
    levels[50:70, 20:60] = 20000
    path = tmp_path / "a.png"
    Image.fromarray(levels).save(path)
    pixels = read_picture(path)[0]
    assert pixels[60, 40, 0] == pytest.approx(20000 / 65535 * 255, abs=1)
    assert pixels[0, 0, 0] == pytest.approx(60000 / 65535 * 255, abs=1)


def test_alpha_is_the_object_and_soft_edges_take_white(tmp_path):
    picture = np.zeros((90, 120, 4), np.uint8)
    picture[50:70, 20:60] = (150, 20, 20, 255)
    Image.fromarray(picture).save(tmp_path / "a.png")
    seen = cut_out(read_picture(tmp_path / "a.png")[0], 64)
    assert seen.cut == "alpha"
    assert_centred(seen.pixels)
    # The colour under a transparent pixel is black; none of it may bleed into the edges.
    assert not ((seen.pixels.max(axis=2) < 100) & (seen.pixels[..., 0] < 140)).any()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_says_which_way_is_up(tmp_path, orientation):
    upright = drawn()
    turned = {1: None, 3: 180, 6: 90, 8: 270}[orientation]
    stored = upright if turned is None else upright.rotate(turned, expand=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.jpg", stored, exif=exif, quality=95)
    pixels = read_picture(path)[0]
    assert pixels.shape[:2] == (90, 120)
    assert_centred(cut_out(pixels, 64).pixels)


def test_a_background_that_changes_evenly_is_plain():
    x = np.linspace(120, 220, 120)[None, :, None]
    y = np.linspace(0, 25, 90)[:, None, None]
    picture = np.repeat(x + y, 3, axis=2).astype(np.uint8)
    picture[50:70, 20:60] = (150, 20, 20)
    seen = cut_out(picture_of(picture), 64)
    assert seen.cut == "plain"
    assert_centred(seen.pixels)


def test_what_the_object_encloses_stays_and_dirt_goes():
    image = drawn()
    ImageDraw.Draw(image).rectangle((35, 57, 44, 62), fill="white")
    image.putpixel((110, 5), (0, 0, 0))
    seen = cut_out(picture_of(image), 64)
    assert seen.pixels[32, 32].tolist() == [255, 255, 255]
    top, bottom, left, right = box_of(seen.pixels)
    assert (right - left, bottom - top) == (pytest.approx(56, abs=2), pytest.approx(28, abs=2))


def test_a_busy_background_is_told():
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    seen = cut_out(picture_of(noise), 64)
    assert seen.cut == "none"
    assert "not plain" in seen.notes[0]


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [drawn(), Image.new("RGB", (120, 90), "black")]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    pixels, notes = read_picture(path)
    assert notes == ("has 2 frames, of which the first was taken",)
    assert_centred(cut_out(pixels, 64).pixels)


def test_nothing_but_background():
    for blank in (np.full((40, 40, 3), 200, np.uint8), np.zeros((40, 40, 4), np.uint8)):
        with pytest.raises(InputError, match="nothing but background"):
            cut_out(picture_of(blank), 64)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 400, 3), (7, 7, 4)])
def test_too_small_to_tell(shape):
    with pytest.raises(InputError, match="at least 8 pixels"):
        cut_out(picture_of(np.zeros(shape, np.uint8)), 64)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((9, 9, 2), np.uint8), r"expected \(H, W, 3\)"),
        (np.zeros((9,), np.uint8), r"expected \(H, W, 3\)"),
        (np.zeros((9, 9, 3), np.int64), "uint8 or floats"),
        (np.broadcast_to(np.uint8(0), (9000, 9000, 3)), "at most"),
    ],
)
def test_arrays_that_are_no_pictures(array, told):
    with pytest.raises(InputError, match=told):
        picture_of(array)


def test_floats_are_from_0_to_1():
    floats = np.zeros((9, 9, 3))
    floats[0, 0] = (0.5, 2.0, np.nan)
    assert picture_of(floats)[0, 0].tolist() == [128, 255, 0, 255]


def png(width, height, body=b""):
    """A PNG file that announces a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("edge", [8193, 20_000, 2_000_000])
def test_a_bomb_is_refused_before_it_unpacks(tmp_path, edge):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(edge, edge))
    assert edge**2 > MAX_PIXELS
    with pytest.raises(InputError, match="at most 67108864 pixels"):
        read_picture(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture at all", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", png(9, 9)],
)
def test_what_is_no_picture_is_an_input_error(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png: (expected a picture|the picture is broken)"):
        read_picture(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_picture(tmp_path / "none.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM"])
def test_broken_files_end_in_a_value_or_an_input_error(tmp_path, form):
    buffer = io.BytesIO()
    drawn().save(buffer, form)
    whole = buffer.getvalue()
    path = tmp_path / "a"
    random = np.random.default_rng(len(whole))
    errors = 0
    for number in range(60):
        changed = np.frombuffer(whole, np.uint8).copy()
        if number < 20:
            changed = changed[: len(changed) * number // 20]
        else:
            changed[random.integers(min(len(changed), 200), size=4)] = random.integers(256, size=4)
        path.write_bytes(changed.tobytes())
        try:
            cut_out(read_picture(path)[0], 32)
        except InputError:
            errors += 1
    assert errors >= 5


def test_an_object_at_the_border_is_centred_on_white():
    picture = np.zeros((60, 60, 4), np.uint8)
    picture[:20, 20:60] = (150, 20, 20, 255)
    assert_centred(place(picture, 64))

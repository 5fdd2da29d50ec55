"""Draws drawn_chair.png: a chair as a hand might, flat colours and dark outlines on paper.

python examples/drawn_chair.py
mvd reconstruct examples/drawn_chair.png -o chair.glb
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

PAPER, INK = (246, 243, 236), (40, 36, 34)
SAMPLES = 4  # of a pixel, each way
PARTS = (  # back legs, back, seat, its edge, front legs; corners in pixels
    ((150, 105, 60), ((120, 270), (132, 270), (130, 420), (120, 420))),
    ((150, 105, 60), ((282, 250), (294, 250), (292, 390), (282, 390))),
    ((205, 150, 90), ((112, 60), (280, 40), (292, 250), (122, 272))),
    ((226, 176, 112), ((122, 272), (292, 250), (330, 310), (140, 338))),
    ((180, 128, 74), ((140, 338), (330, 310), (330, 326), (140, 354))),
    ((170, 120, 70), ((142, 354), (156, 352), (154, 470), (144, 470))),
    ((170, 120, 70), ((316, 328), (330, 326), (328, 440), (318, 440))),
)


def draw() -> Image.Image:
    """The picture, 400 x 500 pixels."""
    image = Image.new("RGB", (400 * SAMPLES, 500 * SAMPLES), PAPER)
    pen = ImageDraw.Draw(image)
    for colour, corners in PARTS:
        outline = [(x * SAMPLES, y * SAMPLES) for x, y in corners]
        pen.polygon(outline, fill=colour)
        pen.line([*outline, outline[0]], fill=INK, width=5 * SAMPLES, joint="curve")
    return image.resize((400, 500), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().save(Path(__file__).with_name("drawn_chair.png"), optimize=True)

"""A face drawn from ellipses, in which the detector sees one: what tests know every point of."""

from functools import cache

from PIL import Image, ImageDraw, ImageFilter

UNITS = 200
"""The drawing's side, in which everything below is given."""

POINTS = ((78, 89), (122, 89), (100, 116), (83, 138), (117, 138))
"""Left eye, right eye, tip of the nose, left and right corner of the mouth."""

WIDTH, HEIGHT = 100, 130
"""Of the detector's box around it."""

SKINS = ((224, 172, 140), (198, 134, 100), (240, 200, 175), (150, 100, 75), (255, 219, 190))


@cache
def _large(skin: tuple[int, int, int]) -> Image.Image:
    """At four pixels a unit, soft as a photo is."""
    image = Image.new("RGB", (4 * UNITS, 4 * UNITS), (90, 110, 130))
    draw = ImageDraw.Draw(image)
    shade, hair = tuple(int(0.75 * part) for part in skin), (50, 35, 30)

    def ellipse(x, y, wide, high, colour):
        draw.ellipse([4 * (x - wide), 4 * (y - high), 4 * (x + wide), 4 * (y + high)], colour)

    def line(points, width, colour):
        draw.line([(4 * x, 4 * y) for x, y in points], colour, 4 * width)

    ellipse(100, 88, 62, 76, hair)
    ellipse(100, 190, 70, 40, (60, 70, 120))
    draw.rectangle([320, 560, 480, 700], shade)
    ellipse(100, 102, 52, 66, skin)
    draw.pieslice([184, 80, 616, 520], 190, 350, hair)
    ellipse(100, 102, 50, 58, skin)
    for side in (-1, 1):
        ellipse(100 + side * 22, 88, 13, 8, shade)
        ellipse(100 + side * 22, 89, 9, 4.5, (245, 245, 245))
        ellipse(100 + side * 22, 89, 4.5, 4.5, hair)
        line([(100 + side * 10, 78), (100 + side * 22, 74), (100 + side * 34, 78)], 4, hair)
        ellipse(100 + side * 6, 119, 4, 3, tuple(int(0.6 * part) for part in skin))
    ellipse(100, 114, 8, 8, tuple(min(255, int(1.05 * part)) for part in skin))
    line([(93, 92), (91, 114)], 3, shade)
    ellipse(100, 138, 18, 6, (170, 80, 80))
    line([(82, 137), (118, 137)], 2, (110, 45, 45))
    return image.filter(ImageFilter.GaussianBlur(8))


def drawn_face(side: int = UNITS, skin: tuple[int, int, int] = SKINS[0]) -> Image.Image:
    """The face in a square photo of ``side`` pixels (mode RGB)."""
    return _large(skin).resize((side, side), Image.Resampling.LANCZOS)


def crowd(size: tuple[int, int], places: list[tuple[int, int, int]]) -> Image.Image:
    """A photo with a face of some skin at each (left, top, side)."""
    photo = Image.new("RGB", size, (90, 110, 130))
    for index, (left, top, side) in enumerate(places):
        photo.paste(drawn_face(side, SKINS[index % len(SKINS)]), (left, top))
    return photo

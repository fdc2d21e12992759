"""Digits of the test set on every kind of paper that people photograph, scan or draw on.

Each kind takes a digit (28, 28) uint8 and a generator and gives the bytes of a picture. What is
drawn at random: sizes, places, colours, angles, strengths, noise, and how the picture is packed.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

BLACK_INK = ((0, 0, 0), (25, 25, 30), (50, 50, 55), (30, 40, 110))
INKS = ((200, 30, 40), (30, 80, 200), (20, 130, 60), (130, 40, 150), (230, 110, 20),
        (0, 150, 190), (150, 90, 40))  # fmt: skip
PAPERS = ((255, 255, 255), (245, 243, 236), (232, 228, 220), (250, 245, 200), (225, 235, 245))
RULINGS = ((150, 180, 220), (120, 150, 200), (170, 170, 170), (140, 140, 140), (225, 150, 150))
TABLES = ((20, 18, 16), (60, 40, 28), (45, 45, 50), (85, 58, 40), (10, 10, 12))


def pick(rng: np.random.Generator, choices):
    return choices[rng.integers(len(choices))]


def side_of(rng: np.random.Generator) -> int:
    """A picture's longest side in pixels: most are small, so that a corpus takes no hour."""
    return int(pick(rng, (100, 150, 200, 280, 280, 400, 400, 560, 800, 1200)))


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An array (H, W) of floats at (width, height), smoothly."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(
        size, Image.Resampling.BICUBIC))


def ink_of(digit: np.ndarray, rng: np.random.Generator, size: tuple[int, int],
           share: tuple[float, float] = (0.55, 1.0)) -> np.ndarray:
    """How much ink lies on each pixel of a sheet (width, height), 0..1, its edges crisp.

    The digit's own 28 x 28 square takes a share of the sheet's shorter side, at a random place.
    """
    width, height = size
    square = max(20, int(min(size) * rng.uniform(*share)))
    strokes = np.clip((resized(digit / 255, (square, square)) - 0.5) * 2.0 + 0.5, 0, 1)
    left, top = rng.integers(width - square + 1), rng.integers(height - square + 1)
    ink = np.zeros((height, width), np.float32)
    ink[top:top + square, left:left + square] = strokes
    return ink


def laid(ink: np.ndarray, paper, colour) -> np.ndarray:
    """Ink on paper: (H, W, 3) in 0..255; ``paper`` is a colour or a picture."""
    paper = np.broadcast_to(np.asarray(paper, np.float32), (*ink.shape, 3))
    return paper + (np.asarray(colour, np.float32) - paper) * ink[..., None]


def grain(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise (H, W) of deviation one, so many cells across."""
    width, height = size
    down = max(2, cells * height // max(width, 1))
    return resized(rng.normal(size=(down, max(2, cells))), size)


def texture(rng: np.random.Generator, size: tuple[int, int], colour) -> np.ndarray:
    """A table: streaks of wood or a cloth's grain, in one colour."""
    streaks = resized(rng.normal(size=(int(rng.integers(20, 80)), 3)), size)
    if rng.random() < 0.5:
        streaks = resized(rng.normal(size=(3, int(rng.integers(20, 80)))), size)
    waves = 0.12 * streaks + 0.06 * grain(rng, size, int(rng.integers(4, 40)))
    return np.asarray(colour, np.float32) * np.clip(1 + waves, 0.4, 1.8)[..., None]


def packed(picture: np.ndarray, rng: np.random.Generator, noise: float = 2.0) -> bytes:
    """As a camera or a scanner saves it: a little noise, PNG or JPEG."""
    noisy = picture + rng.normal(0, rng.uniform(0, noise), (*picture.shape[:2], 1))
    image = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    out = io.BytesIO()
    if rng.random() < 0.6:
        image.save(out, "JPEG", quality=int(rng.integers(55, 96)))
    else:
        image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def drawn_over(picture: np.ndarray, draw_lines, softness: float = 0.6) -> np.ndarray:
    """The picture with what ``draw_lines(ImageDraw, size)`` draws on it, slightly soft."""
    mask = Image.new("L", picture.shape[1::-1], 0)
    colour = draw_lines(ImageDraw.Draw(mask), mask.size)
    cover = np.asarray(mask.filter(ImageFilter.GaussianBlur(softness)), np.float32)[..., None] / 255
    return picture + (np.asarray(colour, np.float32) - picture) * cover


def sheet(digit, rng, side=None, share=(0.55, 1.0), paper=None, colour=None):
    """A digit on a plain sheet: (H, W, 3)."""
    side = side or side_of(rng)
    size = (side, int(side * rng.uniform(0.75, 1.0)))
    if rng.random() < 0.4:
        size = size[::-1]
    return laid(ink_of(digit, rng, size, share), paper or pick(rng, PAPERS),
                colour or pick(rng, BLACK_INK))


def plain(digit, rng):
    return packed(sheet(digit, rng), rng)


def border(digit, rng):
    """A black or grey border of 1 to 15 pixels, on some or all sides."""
    picture = sheet(digit, rng)
    wide = rng.integers(1, 16, 4) if rng.random() < 0.4 else np.full(4, rng.integers(1, 16))
    if rng.random() < 0.25:
        wide = wide * (rng.random(4) < 0.6)
    top, bottom, left, right = (int(w) for w in wide)
    shade = float(pick(rng, (0, 0, 20, 60, 100)))
    return packed(np.pad(picture, ((top, bottom), (left, right), (0, 0)),
                         constant_values=shade), rng)


def frame(digit, rng):
    """A line or two all round, a little inside the picture's edge."""
    picture = sheet(digit, rng, share=(0.5, 0.75))
    side = max(picture.shape)
    size = (int(picture.shape[1] * 1.15), int(picture.shape[0] * 1.15))
    paper = picture[0, 0]
    whole = np.broadcast_to(paper, (size[1], size[0], 3)).copy()
    top, left = (size[1] - picture.shape[0]) // 2, (size[0] - picture.shape[1]) // 2
    whole[top:top + picture.shape[0], left:left + picture.shape[1]] = picture
    colour = pick(rng, BLACK_INK + INKS)

    def lines(draw, size):
        gap = rng.uniform(0.01, 0.05) * side
        for inset in (gap, gap + 0.03 * side)[:rng.integers(1, 3)]:
            draw.rectangle([inset, inset, size[0] - 1 - inset, size[1] - 1 - inset], outline=255,
                           width=max(1, int(rng.uniform(0.003, 0.02) * side)))
        return colour

    return packed(drawn_over(whole, lines), rng)


def on_table(picture, rng, table, most_turn=10.0):
    """The sheet turned a little, on a table of which more or less is seen."""
    height, width = picture.shape[:2]
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    room = [rng.uniform(0.02, 0.5) for _ in range(2)]
    size = (int(width * (1.05 + room[0])), int(height * (1.05 + room[1])))
    ground = Image.fromarray(np.clip(table(size), 0, 255).astype(np.uint8))
    turn = rng.uniform(-most_turn, most_turn)
    cover = Image.new("L", image.size, 255).rotate(turn, expand=True, resample=3)
    image = image.rotate(turn, expand=True, resample=3)
    left, top = (int(rng.uniform(min(0, span), max(0, span))) for span in (
        size[0] - image.width, size[1] - image.height))
    ground.paste(image, (left, top), cover)
    return np.asarray(ground, np.float32)


def dark_table(digit, rng):
    colour = pick(rng, TABLES)
    return packed(on_table(sheet(digit, rng, share=(0.5, 0.8)), rng,
                           lambda size: texture(rng, size, colour)), rng)


def other_table(digit, rng):
    """A table lighter than black: wood, grey, or lighter than the paper."""
    colour = pick(rng, ((150, 110, 75), (120, 120, 125), (100, 130, 150), (190, 160, 120)))
    return packed(on_table(sheet(digit, rng, share=(0.5, 0.8), colour=(20, 20, 30)), rng,
                           lambda size: texture(rng, size, colour)), rng)


def _boxed(digit, rng, inset):
    """A box of one pen, by hand or ruler, round the digit's square."""
    side = side_of(rng)
    square = int(side * rng.uniform(0.45, 0.8))
    size = (side, int(side * rng.uniform(0.85, 1.0)))
    ink = np.zeros(size[::-1], np.float32)
    strokes = np.clip((resized(digit / 255, (square, square)) - 0.5) * 2.0 + 0.5, 0, 1)
    left, top = rng.integers(size[0] - square + 1), rng.integers(size[1] - square + 1)
    ink[top:top + square, left:left + square] = strokes
    rows, columns = np.flatnonzero((ink > 0.5).any(1)), np.flatnonzero((ink > 0.5).any(0))
    gaps = [inset(square) for _ in range(4)]
    tilt = rng.normal(0, 0.01 * square, 8) * (rng.random() < 0.7)
    box = [columns[0] - gaps[0], rows[0] - gaps[1], columns[-1] + gaps[2], rows[-1] + gaps[3]]
    corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
    corners = [(x + tilt[2 * i], y + tilt[2 * i + 1]) for i, (x, y) in enumerate(corners)]
    colour = pick(rng, BLACK_INK)

    def lines(draw, size):
        width = max(1, int(rng.uniform(0.008, 0.035) * square))
        draw.line([*corners, corners[0], corners[1]], fill=255, width=width, joint="curve")
        return colour if rng.random() < 0.7 else pick(rng, INKS)

    return packed(drawn_over(laid(ink, pick(rng, PAPERS), colour), lines), rng)


def box(digit, rng):
    return _boxed(digit, rng, lambda square: rng.uniform(0.06, 0.2) * square)


def box_touching(digit, rng):
    """At least one side of the box lies on the digit's outermost ink."""
    touching = rng.integers(1, 4)
    left = iter(rng.permutation([True] * touching + [False] * (4 - touching)))
    return _boxed(digit, rng, lambda square: 0.0 if next(left) else rng.uniform(0.06, 0.2) * square)


def scanner_strip(digit, rng):
    """A dark strip along one or two sides, hard or fading, straight or slanted."""
    picture = sheet(digit, rng, share=(0.5, 0.7))
    for edge in rng.permutation(4)[:rng.integers(1, 3)]:
        turned = np.rot90(picture, edge)
        height, width = turned.shape[:2]
        wide = max(2, rng.uniform(0.01, 0.12) * width)
        slant = rng.uniform(-0.03, 0.03) * width * (rng.random() < 0.5)
        right = wide + slant * np.linspace(-1, 1, height)[:, None]
        soft = 0.75 if rng.random() < 0.6 else rng.uniform(1, 0.6 * wide + 1)
        cover = np.clip((right - np.arange(width)[None]) / soft + 0.5, 0, 1)[..., None]
        turned = turned + (rng.uniform(0, 70) - turned) * cover
        picture = np.rot90(turned, -edge)
    return packed(picture, rng)


def along(rng, size):
    """0..1 across the picture in a random direction, (H, W)."""
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size[1], 0:size[0]]
    way = np.cos(turn) * x / size[0] + np.sin(turn) * y / size[1]
    return (way - way.min()) / np.ptp(way)


def falling_light(digit, rng):
    picture = sheet(digit, rng)
    way = along(rng, picture.shape[1::-1])
    light = 1 - (1 - rng.uniform(0.4, 0.75)) * way ** rng.uniform(0.7, 1.5)
    return packed(picture * light[..., None], rng)


def lamp(digit, rng):
    """Brightest at one spot, falling to all sides."""
    picture = sheet(digit, rng)
    y, x = np.mgrid[0:picture.shape[0], 0:picture.shape[1]] / max(picture.shape)
    away = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    light = 1 - (1 - rng.uniform(0.4, 0.75)) * (away / away.max()) ** 2
    return packed(picture * light[..., None], rng)


def _shadow(digit, rng, soft):
    picture = sheet(digit, rng)
    way = along(rng, picture.shape[1::-1])
    cover = np.clip((way - rng.uniform(0.25, 0.75)) / soft + 0.5, 0, 1)
    return packed(picture * (1 - (1 - rng.uniform(0.4, 0.75)) * cover)[..., None], rng)


def hard_shadow(digit, rng):
    return _shadow(digit, rng, rng.uniform(0.002, 0.02))


def soft_shadow(digit, rng):
    return _shadow(digit, rng, rng.uniform(0.05, 0.5))


def white_border(digit, rng):
    """Light on dark, with a white or light border of 1 to 15 pixels or as wide as a frame."""
    dark = pick(rng, ((0, 0, 0), (20, 20, 25), (30, 40, 60)))
    picture = sheet(digit, rng, paper=dark, colour=pick(rng, ((255,) * 3, (230, 230, 220))))
    wide = int(rng.integers(1, 16)) if rng.random() < 0.7 else int(0.1 * max(picture.shape))
    edges = ((wide, wide), (wide, wide)) if rng.random() < 0.8 else ((wide, 0), (0, wide))
    return packed(np.pad(picture, (*edges, (0, 0)), constant_values=float(
        rng.integers(200, 256))), rng)


def _lined(digit, rng, squared):
    size = side_of(rng)
    picture = sheet(digit, rng, max(size, 200), share=(0.45, 0.9))
    side = max(picture.shape)
    pitch = side * rng.uniform(*((0.05, 0.12) if squared else (0.09, 0.22)))
    turn = np.tan(np.radians(rng.uniform(-4, 4) * (rng.random() < 0.6)))
    colour, width = pick(rng, RULINGS), max(1, int(side * rng.uniform(0.002, 0.006)))

    def lines(draw, size):
        start = rng.uniform(0, pitch)
        for y in np.arange(start - side, 2 * side, pitch):
            draw.line([0, y, size[0], y + turn * size[0]], fill=255, width=width)
        for x in np.arange(start - side, 2 * side, pitch) if squared else ():
            draw.line([x, 0, x - turn * size[1], size[1]], fill=255, width=width)
        if not squared and rng.random() < 0.4:  # the margin
            x = rng.uniform(0.05, 0.2) * size[0]
            draw.line([x, 0, x - turn * size[1], size[1]], fill=255, width=width)
        return colour

    paper = picture.max((0, 1))
    ruled_sheet = drawn_over(np.broadcast_to(paper, picture.shape), lines)
    return packed(np.minimum(ruled_sheet, picture), rng)  # ink covers the lines


def ruled(digit, rng):
    return _lined(digit, rng, squared=False)


def squared(digit, rng):
    return _lined(digit, rng, squared=True)


def coloured_ink(digit, rng):
    return packed(sheet(digit, rng, colour=pick(rng, INKS)), rng)


def chalkboard(digit, rng):
    """Chalk, grainy, on a board that was wiped badly."""
    side = max(side_of(rng), 150)
    size = (side, int(side * rng.uniform(0.75, 1.0)))
    ink = ink_of(digit, rng, size)
    board = np.asarray(pick(rng, ((35, 60, 45), (40, 42, 45), (25, 50, 50), (60, 75, 65))))
    smear = grain(rng, size, int(rng.integers(3, 12))) * rng.uniform(0, 9)
    dust = rng.normal(0, rng.uniform(3, 14), size[::-1])
    chalk = ink * np.clip(0.85 + 0.2 * grain(rng, size, side // 3), 0.35, 1)
    picture = laid(chalk, board + smear[..., None] + dust[..., None], (235, 235, 228))
    light = 1 - rng.uniform(0, 0.4) * along(rng, size)
    return packed(picture * light[..., None], rng, noise=6)


def folded_corner(digit, rng):
    """One corner turned over: its back in another tone, a crease, a little shadow beside it."""
    picture = sheet(digit, rng, share=(0.5, 0.7))
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    x = width - 1 - x if rng.random() < 0.5 else x
    y = height - 1 - y if rng.random() < 0.5 else y
    reach = [rng.uniform(0.08, 0.25) * side for side in (width, height)]
    inside = 1 - x / reach[0] - y / reach[1]
    back = np.asarray(pick(rng, ((205, 200, 190), (120, 118, 112), (40, 38, 36), (20, 18, 16))))
    picture = np.where((inside > 0)[..., None], back, picture)
    if rng.random() < 0.6:
        crease = np.exp(-(inside * min(reach) / (0.006 * width + 0.5)) ** 2)
        picture = picture * (1 - rng.uniform(0.2, 0.6) * crease[..., None])
    shade = np.where(inside <= 0, np.exp(inside * min(reach) / (0.03 * width)), 0)
    return packed(picture * (1 - rng.uniform(0, 0.4) * shade[..., None]), rng)


def two_tones(digit, rng):
    """The sheet in two tones, as of two papers or a printed field: the digit on one or on both."""
    side = side_of(rng)
    size = (side, int(side * rng.uniform(0.75, 1.0)))
    ink = ink_of(digit, rng, size)
    one, other = (np.asarray(pick(rng, PAPERS)), np.asarray(pick(rng, (
        (190, 190, 190), (150, 160, 170), (205, 175, 140), (170, 200, 170), (130, 130, 130)))))
    way = along(rng, size) if rng.random() < 0.5 else np.broadcast_to(
        np.linspace(0, 1, size[0])[None], size[::-1])
    edge = rng.uniform(0.25, 0.75)
    paper = np.where((way > edge)[..., None], one, other)
    return packed(laid(ink, paper, pick(rng, BLACK_INK)), rng)


def bad_jpeg(digit, rng):
    image = Image.fromarray(np.clip(sheet(digit, rng), 0, 255).astype(np.uint8))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=int(rng.integers(8, 35)))
    return out.getvalue()


def out_of_focus(digit, rng):
    """A photo that is blurred, or was taken while the hand moved."""
    picture = sheet(digit, rng)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    blur = ImageFilter.GaussianBlur(rng.uniform(0.004, 0.018) * max(image.size))
    return packed(np.asarray(image.filter(blur), np.float32), rng)


def large_photo(digit, rng):
    """A telephone's photo, 2000 to 3000 pixels, the digit rather small, uneven light."""
    side = int(rng.integers(2000, 3001))
    picture = sheet(digit, rng, side // 2, share=(0.2, 0.6))
    light = 1 - rng.uniform(0, 0.5) * along(rng, picture.shape[1::-1])
    image = Image.fromarray(np.clip(picture * light[..., None], 0, 255).astype(np.uint8))
    image = image.resize([2 * length for length in image.size], Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


def small_picture(digit, rng):
    """100 pixels or fewer, down to MNIST's own 28 x 28 as it is."""
    if rng.random() < 0.3:
        grey = digit if rng.random() < 0.5 else 255 - digit
        return packed(np.repeat(grey[..., None], 3, 2).astype(np.float32), rng, noise=0)
    return packed(sheet(digit, rng, int(rng.integers(50, 120)), share=(0.6, 1.0)), rng)


KINDS = {kind.__name__.replace("_", " "): kind for kind in (
    plain, border, frame, dark_table, other_table, box, box_touching, scanner_strip,
    falling_light, lamp, hard_shadow, soft_shadow, white_border, ruled, squared, coloured_ink,
    chalkboard, folded_corner, two_tones, bad_jpeg, out_of_focus, large_photo,
    small_picture)}  # fmt: skip

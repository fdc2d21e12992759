"""Faces in photos: found where they are, whatever else is there, and brought into one form."""

import math
import threading

import numpy as np
import pytest
import torch
from drawn import HEIGHT, POINTS, SKINS, UNITS, WIDTH, crowd, drawn_face
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw, ImageFilter

from forget.core.device import THREADS
from forget.core.errors import BadImage
from forget.faces import Face, align, detect
from forget.faces.align import SIDE, TEMPLATE, aligned, similarity
from forget.faces.detect import TURNS, Found, faces_of, find_faces
from forget.io.images import read_photo


def is_the_drawn_face(face: Face, left=0, top=0, side=UNITS, most=0.05) -> None:
    """Box and points lie where they were drawn, within a share of the drawing's side."""
    points = (np.array(face.points) - (left, top)) / side * UNITS
    assert np.abs(points - POINTS).max() < most * UNITS
    x0, y0, x1, y1 = (np.array(face.box) - (left, top) * 2) / side * UNITS
    assert abs((x0 + x1) / 2 - 98) < most * UNITS
    assert abs((y0 + y1) / 2 - 103) < most * UNITS
    assert abs(x1 - x0 - WIDTH) < 2 * most * UNITS
    assert abs(y1 - y0 - HEIGHT) < 2 * most * UNITS


def is_well_formed(found: Found) -> None:
    """What every caller may rely on."""
    areas = [face.area for face in found.faces]
    assert areas == sorted(areas, reverse=True)
    for face in found.faces:
        x0, y0, x1, y1 = face.box
        assert 0 <= x0 <= x1 <= found.photo.width
        assert 0 <= y0 <= y1 <= found.photo.height
        assert detect.CERTAIN <= face.probability <= 1
        assert np.shape(face.points) == (5, 2)
        assert np.isfinite(face.points).all()
        assert all(isinstance(number, float) for point in face.points for number in point)


# Faces that are there.


@pytest.mark.drawn(10)
@pytest.mark.parametrize("skin", SKINS[:3])
@pytest.mark.parametrize("side", [30, 40, 60, 92, 150, 200, 333, 640, 1000, 1600])
def test_a_face_is_found_where_it_is_in_every_size(side, skin):
    (found,) = find_faces([drawn_face(side, skin)])
    (face,) = found.faces
    is_well_formed(found)
    is_the_drawn_face(face, side=side)


@pytest.mark.parametrize(("left", "top"), [
    (0, 0), (700, 0), (0, 450), (700, 450), (350, 225), (-50, 100), (-50, -40), (760, 200),
    (300, 500), (771, 483),
])  # fmt: skip
def test_a_face_is_found_in_every_corner_and_cut_off(left, top):
    (found,) = find_faces([crowd((900, 650), [(left, top, 200)])])
    (face,) = found.faces
    is_well_formed(found)
    assert np.abs(np.array(face.points) - (left, top) - POINTS).max() < 15


SMALL = [((1000, 750), 72), ((1000, 750), 80), ((750, 1000), 80), ((1600, 1200), 120),
         ((4000, 3000), 300), ((640, 480), 60)]


@pytest.mark.drawn(6)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(("size", "side"), SMALL)
def test_a_small_face_in_a_large_photo_is_found(size, side, place):
    """A side of 80 has a face 40 pixels wide and 52 high."""
    left, top = ((37 + 211 * place) % (size[0] - side), (19 + 177 * place) % (size[1] - side))
    (found,) = find_faces([crowd(size, [(left, top, side)])])
    (face,) = found.faces
    is_the_drawn_face(face, left, top, side, most=0.08)


def test_twelve_faces_are_found_largest_first():
    places = [(10 + 245 * (index % 4), 10 + 240 * (index // 4), 120 + 10 * (index * 7 % 12))
              for index in range(12)]  # fmt: skip
    (found,) = find_faces([crowd((1000, 750), places)])
    is_well_formed(found)
    assert len(found.faces) == 12
    by_size = sorted(places, key=lambda place: -place[2])
    for face, (left, top, side) in zip(found.faces, by_size, strict=True):
        eyes = np.array(face.points)[:2].mean(0)
        assert math.dist(eyes, (left + side / 2, top + 0.445 * side)) < 0.5 * side
    for left, top, side in places:
        near = [face for face in found.faces
                if math.dist(face.points[2], (left + side / 2, top + 0.58 * side)) < 0.06 * side]
        assert len(near) == 1


def test_a_face_in_a_tall_and_in_a_wide_photo_is_found():
    for size, place in [((200, 1400), (0, 900)), ((1400, 200), (900, 0))]:
        (face,) = faces_of(crowd(size, [(*place, 200)]))
        is_the_drawn_face(face, *place)


@pytest.mark.parametrize("change", [
    lambda photo: photo.convert("L").convert("RGB"),
    lambda photo: photo.filter(ImageFilter.GaussianBlur(3)),
    lambda photo: photo.rotate(12, Image.Resampling.BICUBIC, fillcolor=(90, 110, 130)),
    lambda photo: photo.rotate(-12, Image.Resampling.BICUBIC, fillcolor=(90, 110, 130)),
    lambda photo: photo.point(lambda value: value // 2),
    lambda photo: Image.fromarray(np.asarray(photo) // 32 * 32),
], ids=["grey", "blurred", "tilted", "tilted back", "dark", "few colours"])  # fmt: skip
def test_a_face_in_a_poor_photo_is_found(change):
    (found,) = find_faces([change(drawn_face(300))])
    assert len(found.faces) == 1


@pytest.mark.drawn(3)
@pytest.mark.parametrize("size", [(640, 480), (300, 400)])
@pytest.mark.parametrize("turn", TURNS)
def test_a_photo_on_its_side_is_returned_upright(turn, size):
    upright = crowd(size, [(60, 80, 220)])
    back = {TURNS[0]: TURNS[1], TURNS[1]: TURNS[0], TURNS[2]: TURNS[2]}[turn]
    lying = upright.transpose(turn)
    assert not faces_of(lying)
    (found,) = find_faces([lying])
    assert found.photo.size == size
    assert np.array_equal(found.photo, lying.transpose(back))
    assert np.array_equal(found.photo, upright)
    assert found.faces == faces_of(upright)


def test_an_upright_photo_is_returned_as_it_was_given():
    photo = drawn_face(150)
    assert find_faces([photo])[0].photo is photo


def test_a_face_seen_only_sideways_must_be_clear(monkeypatch):
    lying = drawn_face(150).transpose(TURNS[0])
    assert find_faces([lying])[0].faces
    monkeypatch.setattr(detect, "SURE", 1.01)
    (found,) = find_faces([lying])
    assert found.faces == ()
    assert found.photo is lying


def test_the_packages_own_walk_finds_the_same_faces():
    from facenet_pytorch import MTCNN

    photo = crowd((500, 375), [(10, 30, 200), (280, 100, 150), (420, 290, 80)])
    theirs = MTCNN(keep_all=True, min_face_size=32)
    boxes, _, points = theirs.detect(photo, landmarks=True)
    faces = faces_of(photo)
    assert len(boxes) == len(faces) == 3
    for face, box, five in zip(faces, boxes, points, strict=True):
        wide = box[2] - box[0]
        assert np.abs(np.array(face.box) - box.astype(float)).max() < 0.1 * wide
        assert np.abs(np.array(face.points) - five.astype(float)).max() < 0.06 * wide


# No faces.


@pytest.mark.parametrize("size", [
    (1, 1), (2, 3), (7, 7), (8, 8), (20, 20), (1, 5000), (5000, 1), (12, 5000), (30, 1600),
    (1600, 25), (64, 48), (1600, 1200),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["black", "white", "noise"])
def test_a_photo_without_faces_has_none(size, kind):
    values = {"black": np.zeros, "white": lambda shape, kind: np.full(shape, 255, kind)}
    noise = np.random.default_rng(0)
    make = values.get(kind, lambda shape, kind: noise.integers(0, 256, shape, kind))
    photo = Image.fromarray(make((size[1], size[0], 3), np.uint8))
    (found,) = find_faces([photo])
    assert found.faces == ()
    assert found.photo is photo


def smooth(rng: np.random.Generator) -> Image.Image:
    """Clouds of three colours."""
    coarse = rng.integers(0, 256, (rng.integers(3, 40), rng.integers(3, 40), 3), np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def smiley(rng: np.random.Generator) -> Image.Image:
    """A circle, two dots and a bow in colours and widths of all kinds."""
    image = Image.new("RGB", (200, 200), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    around, eye = rng.integers(40, 85), rng.integers(4, 12)
    draw.ellipse([100 - around, 100 - around, 100 + around, 100 + around], (250, 220, 60), "black")
    for side in (-1, 1):
        x, y = 100 + side * 0.38 * around, 100 - 0.3 * around
        draw.ellipse([x - eye, y - eye, x + eye, y + eye], "black")
    draw.arc([100 - around / 2, 100 - around / 2, 100 + around / 2, 100 + around / 2], 20, 160,
             "black", int(rng.integers(2, 8)))  # fmt: skip
    return image


@pytest.mark.parametrize(("kind", "most"), [(smooth, 0), (smiley, 4)])
def test_clouds_and_smileys_are_seldom_faces(kind, most):
    rng = np.random.default_rng(0)
    assert sum(bool(faces_of(kind(rng))) for _ in range(40)) <= most


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_any_photo_gives_well_formed_faces(width, height, seed):
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    noise.paste(drawn_face(int(rng.integers(20, 300))), tuple(rng.integers(-100, 200, 2).tolist()))
    (found,) = find_faces([noise])
    is_well_formed(found)


def test_faces_do_not_depend_on_how_many_threads_a_caller_has():
    photo = drawn_face(320)
    (usual,) = find_faces([photo])
    torch.set_num_threads(2)
    try:
        (other,) = find_faces([photo])
        assert torch.get_num_threads() == THREADS
    finally:
        torch.set_num_threads(THREADS)
    assert other.faces == usual.faces


def test_no_photos_give_nothing():
    assert find_faces([]) == []


# The same photo, the same faces.


def mixed() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    return [drawn_face(92), crowd((640, 480), [(0, 0, 200), (300, 100, 300)]),
            Image.fromarray(noise), drawn_face(92, SKINS[1]), Image.new("RGB", (1, 1)),
            drawn_face(150).transpose(TURNS[0]), crowd((640, 480), [(100, 50, 90)])]  # fmt: skip


def test_a_photo_has_the_same_faces_alone_and_among_others():
    photos = mixed()
    alone = [find_faces([photo])[0].faces for photo in photos]
    assert [found.faces for found in find_faces(photos)] == alone
    assert [found.faces for found in find_faces(photos[::-1])][::-1] == alone
    assert [len(faces) for faces in alone] == [1, 2, 0, 1, 0, 1, 1]


def test_threads_load_the_networks_once_and_find_the_same():
    detect._load_networks.cache_clear()
    expected: list = []
    photos = mixed()[:4]

    def work():
        expected.append([found.faces for found in find_faces(photos)])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert detect._load_networks.cache_info().misses == 1
    assert len(expected) == 6
    assert all(faces == expected[0] for faces in expected)


def test_finding_faces_leaves_the_threads_and_the_random_state_alone():
    before = torch.get_num_threads(), torch.random.get_rng_state()
    find_faces([drawn_face()])
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_finding_faces_leaves_the_photo_alone():
    photo = drawn_face()
    before = photo.tobytes()
    find_faces([photo])
    assert photo.tobytes() == before


# The parts.


def test_of_boxes_one_in_the_other_the_likelier_stays():
    boxes = torch.tensor([[0, 0, 100, 100], [10, 10, 60, 60], [200, 0, 300, 100.0]])
    assert detect._apart(boxes, torch.tensor([0.97, 0.99, 0.98]), 0.7) == [1, 2]
    assert detect._apart(boxes, torch.tensor([0.99, 0.97, 0.98]), 0.7) == [0, 2]
    assert detect._apart(boxes[:0], torch.empty(0), 0.7) == []


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 8), st.just(4)),
                     elements=st.integers(1, 60)))  # fmt: skip
def test_boxes_that_stay_share_little_and_the_others_much(values):
    corner, size = torch.from_numpy(values).split(2, 1)
    boxes = torch.cat([corner, corner + size], 1)
    scores = torch.linspace(0.9, 1, len(boxes))
    kept = detect._apart(boxes, scores, 0.7)

    def shared(one, other):
        inner = torch.minimum(one[2:], other[2:]) - torch.maximum(one[:2], other[:2])
        areas = [(box[2:] - box[:2]).prod() for box in (one, other)]
        return inner.clamp(min=0).prod() / min(areas)

    for index, box in enumerate(boxes):
        likelier = [boxes[k] for k in kept if scores[k] > scores[index]]
        assert (index in kept) == all(shared(box, other) <= 0.7 for other in likelier)


def test_a_crop_is_the_mean_of_what_it_shows_and_grey_outside():
    image = torch.randn(1, 3, 48, 60)
    boxes = torch.tensor([[6, 0, 54, 48], [-30, -30, -6, -6], [48, 36, 72, 60.0]])
    crops = detect._crops(detect._halvings(image), boxes, 24)
    assert torch.allclose(crops[0].mean((1, 2)), image[0, :, :, 6:54].mean((1, 2)), atol=0.02)
    assert (crops[1] == 0).all()
    assert (crops[2, :, :11, :11] != 0).any()
    assert (crops[2, :, 13:] == 0).all() and (crops[2, :, :, 13:] == 0).all()


@pytest.mark.parametrize("side", [24, 50, 100, 190, 400])
def test_a_crop_of_a_slope_is_that_slope(side):
    """Whichever halving it is taken from, a place keeps its place."""
    x = torch.arange(400.0)[None, None, None].expand(1, 3, 400, 400) + 0.5
    box = torch.tensor([[100.0, 60, 100 + side, 60 + side]]).clamp(max=400)
    crop = detect._crops(detect._halvings(x.contiguous()), box, 24)[0, 0]
    width = box[0, 2] - box[0, 0]
    expected = 100 + (torch.arange(24) + 0.5) * width / 24
    assert torch.allclose(crop[12, :-1], expected[:-1], atol=float(width) / 24 / 3)


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (92, 112), (1000, 750), (5000, 1)])
def test_levels_go_from_the_smallest_to_the_largest_face(size):
    levels = list(detect._levels(Image.new("RGB", size)))
    assert all(min(level.size) >= detect.WINDOW - detect.OUTSIDE for level in levels)
    widths = [level.width for level in levels]
    assert widths == sorted(widths, reverse=True)
    if levels:
        assert widths[0] == round(size[0] * detect.WINDOW / detect.SMALLEST)
        assert min(levels[-1].size) < 1.6 * detect.WINDOW


# Alignment: the similarity.

coordinates = st.floats(-1000, 1000)


def umeyama(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The paper's own solution, by a singular value decomposition."""
    mean, target = points.mean(0), template.mean(0)
    covariance = (template - target).T @ (points - mean) / len(points)
    u, d, v = np.linalg.svd(covariance)
    sign = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(sign) @ v
    scale = (d * sign).sum() / (points - mean).var(0).sum()
    return np.column_stack([scale * rotation, target - scale * rotation @ mean])


@given(st.floats(-math.pi, math.pi), st.floats(0.01, 100), coordinates, coordinates,
       arrays.arrays(np.float64, st.tuples(st.integers(2, 9), st.just(2)),
                     elements=coordinates, unique=True))  # fmt: skip
def test_a_similarity_is_recovered(turn, scale, dx, dy, points):
    true = np.array([[scale * math.cos(turn), -scale * math.sin(turn), dx],
                     [scale * math.sin(turn), scale * math.cos(turn), dy]])  # fmt: skip
    moved = points @ true[:, :2].T + true[:, 2]
    if np.ptp(points, 0).max() < 1:
        return
    found = similarity(points, moved)
    assert np.allclose(points @ found[:, :2].T + found[:, 2], moved, atol=1e-6 * scale + 1e-6)
    assert np.allclose(found[:, :2], true[:, :2], rtol=1e-6, atol=1e-6 * scale)


@given(*[arrays.arrays(np.float64, (5, 2), elements=st.integers(-500, 500))] * 2)
def test_noisy_points_give_the_papers_solution_and_never_a_reflection(points, template):
    if np.ptp(points, 0).max() == 0:
        return
    found = similarity(points, template)
    assert np.linalg.det(found[:, :2]) >= 0

    def residual(map_):
        return np.square(points @ map_[:, :2].T + map_[:, 2] - template).sum()

    least = residual(found)
    assert least == pytest.approx(residual(umeyama(points, template)), rel=1e-6, abs=1e-6)
    for nudge in np.eye(4) * 1e-3:
        a, b, dx, dy = nudge
        moved = found + np.array([[a, -b, dx], [b, a, dy]])
        assert residual(moved) >= least - 1e-6


def test_points_in_one_place_are_refused():
    with pytest.raises(BadImage, match="another photo"):
        similarity([(3, 3)] * 5, TEMPLATE)


def test_the_template_is_dlibs():
    left, right, nose, mouth_left, mouth_right = TEMPLATE
    middle = (0.25 + 0.490127) / 1.5 * 150 + 0.5
    assert left[1] == right[1] == pytest.approx(47.099, abs=1e-3)
    assert mouth_left[1] == mouth_right[1] == pytest.approx(103.523, abs=1e-3)
    assert (left[0] + right[0]) / 2 == pytest.approx(middle, abs=1e-3)
    assert (mouth_left[0] + mouth_right[0]) / 2 == pytest.approx(middle, abs=1e-3)
    assert nose[0] == pytest.approx(middle)
    assert right[0] - left[0] == pytest.approx(52.927, abs=1e-3)
    assert left[1] < nose[1] < mouth_left[1]


# Alignment: the picture.


def face_at(points) -> Face:
    return Face((0.0, 0.0, 1.0, 1.0), tuple(map(tuple, np.asarray(points, float).tolist())), 1.0)


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def is_nearly(crop: torch.Tensor, expected, most=1) -> None:
    """Within a grey level or so: the resampling rounds down."""
    assert np.abs(crop.movedim(0, 2).numpy() - np.asarray(expected, float)).max() <= most


def test_a_face_that_is_in_form_stays_as_it_is():
    photo = noise(SIDE)
    crop = aligned(photo, face_at(TEMPLATE))
    assert crop.shape == (3, SIDE, SIDE)
    assert crop.dtype == torch.uint8
    assert crop.is_contiguous()
    is_nearly(crop, photo)


def test_a_shifted_face_is_cut_out():
    photo = noise(300)
    crop = aligned(photo, face_at(TEMPLATE + np.array([70, 31])))
    is_nearly(crop, np.asarray(photo)[31:181, 70:220])


def test_a_face_on_its_side_is_turned_back():
    photo = noise(SIDE)
    turned = np.stack([TEMPLATE[:, 1], SIDE - TEMPLATE[:, 0]], 1)
    crop = aligned(photo, face_at(turned))
    is_nearly(crop, photo.transpose(Image.Transpose.ROTATE_270))


@pytest.mark.parametrize("times", [2, 3, 8])
def test_a_larger_face_is_averaged(times):
    photo = noise(SIDE * times)
    mean = np.asarray(photo).reshape(SIDE, times, SIDE, times, 3).mean((1, 3))
    is_nearly(aligned(photo, face_at(TEMPLATE * times)), mean, most=2)


def test_fine_texture_on_a_large_face_becomes_grey():
    rows, columns = np.indices((1200, 1200))
    photo = Image.fromarray(((rows + columns) % 2 * 255).astype(np.uint8)).convert("RGB")
    crop = aligned(photo, face_at(TEMPLATE * 7.3 + 40))
    assert np.ptp(crop[:, 5:-5, 5:-5].numpy()) <= 60  # 255 without


def test_a_smaller_face_is_enlarged_smoothly():
    photo = Image.fromarray(np.tile(np.linspace(0, 200, 40).astype(np.uint8), (40, 1)))
    crop = aligned(photo.convert("RGB"), face_at(TEMPLATE * (40 / SIDE)))
    row = crop[0, 75].numpy().astype(int)
    assert (np.diff(row[4:-4]) >= 0).all()
    assert np.diff(row[4:-4]).max() <= 3


def test_what_is_outside_of_the_photo_is_black():
    photo = Image.new("RGB", (SIDE, SIDE), (200, 100, 50))
    crop = aligned(photo, face_at(TEMPLATE - np.array([60, 0])))
    is_nearly(crop[:, :, 61:], np.broadcast_to((200, 100, 50), (SIDE, SIDE - 61, 3)))
    assert (crop[:, :, :59] == 0).all()


@given(st.floats(-math.pi, math.pi), st.floats(0.3, 4), st.integers(-30, 30), st.integers(-30, 30))
@settings(max_examples=30)
def test_points_come_to_lie_on_the_template(turn, scale, dx, dy):
    """A dot on each point is seen in the crop where the template has it."""
    rotation = scale * np.array([[math.cos(turn), -math.sin(turn)],
                                 [math.sin(turn), math.cos(turn)]])  # fmt: skip
    points = (TEMPLATE - 75) @ rotation.T + (400 + dx, 400 + dy)
    rows, columns = np.indices((800, 800)) + 0.5
    for point, place in zip(points, TEMPLATE, strict=True):
        dot = np.exp(-((columns - point[0]) ** 2 + (rows - point[1]) ** 2) / (2 * (3 * scale) ** 2))
        photo = Image.fromarray((255 * dot).astype(np.uint8)).convert("RGB")
        seen = aligned(photo, face_at(points))[0].numpy().astype(float)
        ys, xs = np.indices(seen.shape) + 0.5
        assert abs((xs * seen).sum() / seen.sum() - place[0]) < 0.3
        assert abs((ys * seen).sum() / seen.sum() - place[1]) < 0.3


def test_points_that_are_no_face_are_refused():
    far = [(0, 0), (1e9, 0), (5e8, 5e8), (0, 1e9), (1e9, 1e9)]
    with pytest.raises(BadImage, match="another photo"):
        aligned(noise(20), face_at(far))
    mirrored_and_turned = (TEMPLATE - TEMPLATE.mean(0)) * (1, -1)
    with pytest.raises(BadImage, match="another photo"):
        aligned(noise(20), face_at(umeyama_free(mirrored_and_turned)))


def umeyama_free(points: np.ndarray) -> np.ndarray:
    """Points whose best similarity onto the template has no size: reflections of it often do."""
    p = points @ (1, 1j)
    q = (TEMPLATE - TEMPLATE.mean(0)) @ (1, 1j)
    p = p - q * np.vdot(q, p) / np.vdot(q, q)
    return np.stack([p.real, p.imag], 1)


@pytest.mark.parametrize("side", [64, 120, 200, 450, 900])
def test_a_face_of_every_size_gives_nearly_the_same_crop(side):
    def crop_of(photo):
        (found,) = find_faces([photo])
        return aligned(found.photo, found.faces[0]).float()

    difference = (crop_of(drawn_face(side)) - crop_of(drawn_face(300))).abs()
    assert difference.mean() < 12
    assert difference[:, 35:115, 35:115].mean() < 8


def test_the_module_and_the_embedders_agree_on_the_side():
    from forget.faces import embedders

    assert align.SIDE == embedders.SIDE


# Real faces.


@pytest.fixture(scope="module")
def real(orl) -> list[Image.Image]:
    """The 400 photos of the AT&T Laboratories Cambridge, ten of each of 40 people in turn."""
    return [read_photo(orl[f"s{person}/{number}.pgm"])
            for person in range(1, 41) for number in range(1, 11)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_one_face_is_found_in_each_of_400_photos(real, every):
    given = real[::every]
    found = find_faces(given)
    assert [len(one.faces) for one in found] == [1] * len(given)
    for photo, one in zip(given, found, strict=True):
        is_well_formed(one)
        assert one.photo is photo
        assert one.faces[0].box[2] - one.faces[0].box[0] > 40


@pytest.mark.slow
@pytest.mark.drawn(1)
@pytest.mark.parametrize("turn", TURNS)
def test_nearly_all_photos_on_their_side_are_turned_upright(real, turn):
    given = real[::7]
    found = find_faces([photo.transpose(turn) for photo in given])
    upright = sum(np.array_equal(one.photo, photo) for photo, one in zip(given, found, strict=True))
    assert upright >= 0.95 * len(given)


@pytest.mark.slow
@pytest.mark.parametrize("height", [40, 60])
def test_forty_small_real_faces_in_one_photo_are_found(real, height):
    """Heads of so many pixels; the faces are about four fifths as high."""
    photo = Image.new("RGB", (1000, 750), (120, 120, 120))
    for index, one in enumerate(real[::10]):
        small = one.resize((round(height * 92 / 112), height), Image.Resampling.LANCZOS)
        photo.paste(small, (20 + index % 8 * 120, 20 + index // 8 * 140))
    assert len(find_faces([photo])[0].faces) >= 39

"""Augmentation: what a variant depends on, what each movement does, and what it never does."""

import numba
import numpy as np
import pytest

from tinycnn.datasets import Augmentation, load_mnist, scale_images
from tinycnn.optimizers.schedules import PiecewiseConstantDecay

EVERYTHING = Augmentation(
    rotation=15, shift=2.5, zoom=(0.8, 1.2), shear=0.2, flip=0.5, elastic=0.5, erasing=0.5
)
DOT = np.zeros((1, 21, 31, 2), np.float64)
DOT[0, 5, 20] = 1.0, 3.0


@pytest.fixture(scope="module")
def images():
    """30 digits."""
    return scale_images(load_mnist()[1][0][:30])


def center(image):
    """Return the centre of mass (row, column), from the middle of the image."""
    weights = image.sum(axis=-1) / image.sum()
    grid = [np.arange(size) - (size - 1) / 2 for size in weights.shape]
    return np.array([(weights.sum(axis=1) * grid[0]).sum(), (weights.sum(axis=0) * grid[1]).sum()])


def variants(augment, images, count):
    """Return the variants of one image over many epochs."""
    return np.concatenate([augment(images[:1], 0, epoch) for epoch in range(count)])


def test_nothing_asked_for_changes_nothing(images):
    """To the bit, also with a strength of 0; the images are not touched."""
    before = images.copy()
    for augment in (Augmentation(), Augmentation(rotation=15, shift=3, elastic=1, erasing=1, strength=0)):
        np.testing.assert_array_equal(augment(images, 0, 0), images)
    EVERYTHING(images, 0, 0)
    np.testing.assert_array_equal(images, before)


def test_a_variant_depends_on_seed_epoch_and_sample_alone(images):
    """Not on the batch or its order; another seed, epoch or sample gives another."""
    numbers = np.arange(100, 130)
    whole = EVERYTHING(images, 7, 3, numbers)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(EVERYTHING(images[order], 7, 3, numbers[order]), whole[order])
    np.testing.assert_array_equal(EVERYTHING(images[11:12], 7, 3, numbers[11:12]), whole[11:12])
    for seed, epoch, shift in ((8, 3, 0), (7, 4, 0), (7, 3, 1)):
        assert (EVERYTHING(images, seed, epoch, numbers + shift) != whole).any(axis=(1, 2, 3)).all()


def test_neighbouring_samples_share_no_numbers(images):
    """The stream of a sample ends before that of the next begins: the same image, bent in other ways."""
    bent = Augmentation(elastic=1)
    pair = bent(images[[0, 0]], 0, 0, np.array([5, 6])) - images[0]
    assert abs(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]) < 0.9


def test_the_noise_is_not_made_of_the_numbers_that_were_drawn_before(monkeypatch):
    """It begins with the block after them: an image turned to the left is not bent to it as well."""
    from tinycnn.kernels import warp

    seen, draw, bend = {}, warp.draw, warp.warp
    monkeypatch.setattr(warp, "draw", lambda *a: seen.update(drawn=a[1], count=a[2]) or draw(*a))
    monkeypatch.setattr(warp, "warp", lambda *a: seen.update(noise=a[5]) or bend(*a))
    Augmentation(elastic=1)(DOT.repeat(3, 0), 0, 0)
    assert (seen["noise"] >= seen["drawn"] + seen["count"]).all()
    assert (seen["noise"][:-1] + 2 * 21 * 31 <= seen["drawn"][1:]).all()


def test_the_number_of_threads_changes_nothing(images):
    """To the bit."""
    many = EVERYTHING(images, 0, 0)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(EVERYTHING(images, 0, 0), many)
    finally:
        numba.set_num_threads(threads)


def test_shift_moves_by_up_to_so_many_pixels():
    """Uniformly to all four sides, fractions of pixels too; nothing is lost, channels stay apart."""
    moved = variants(Augmentation(shift=3), DOT, 400)
    np.testing.assert_allclose(moved.sum(axis=(1, 2)), [[1, 3]] * 400)
    by = np.array([center(image) for image in moved]) - center(DOT[0])
    assert np.abs(by).max() <= 3
    assert (np.abs(by).max(axis=0) > 2.9).all()
    assert (np.abs(by.mean(axis=0)) < 0.35).all()  # 4 sd
    assert np.abs(by.std(axis=0) - 3 / np.sqrt(3)).max() < 0.2
    assert (by % 1 > 0.01).any()


def test_rotation_turns_about_the_middle():
    """The distance from the middle stays; the angle goes up to the limit, to both sides."""
    turned = np.array([center(image) for image in variants(Augmentation(rotation=30), DOT, 300)])
    start = center(DOT[0])
    np.testing.assert_allclose(np.hypot(*turned.T), np.hypot(*start), atol=0.35)
    angles = np.rad2deg(np.arctan2(turned[:, 0], turned[:, 1]) - np.arctan2(*start))
    assert 28 < angles.max() < 32
    assert -32 < angles.min() < -28
    assert abs(angles.mean()) < 4


def test_zoom_enlarges():
    """A factor of 2 doubles the distance from the middle and the area."""
    disk = np.zeros((1, 41, 41, 1), np.float64)
    disk[0, 14:20, 18:22] = 1
    for factor in (0.5, 2):
        y = Augmentation(zoom=(factor, factor))(disk, 0, 0)
        assert y.sum() == pytest.approx(disk.sum() * factor**2, rel=0.1)
        np.testing.assert_allclose(center(y[0]), center(disk[0]) * factor, atol=0.3)


def test_shear_moves_rows_sideways():
    """By the slant times the height above the middle; the height stays."""
    sheared = np.array([center(image) for image in variants(Augmentation(shear=0.5), DOT, 200)])
    start = center(DOT[0])
    np.testing.assert_allclose(sheared[:, 0], start[0], atol=1e-9)
    by = (sheared[:, 1] - start[1]) / start[0]
    assert 0.45 < by.max() <= 0.51
    assert -0.51 <= by.min() < -0.45


def test_flip_mirrors_every_other_image(images):
    """Left for right, to the bit, with the probability that was asked for."""
    flipped = Augmentation(flip=0.25)
    y = np.concatenate([flipped(images, 0, epoch) for epoch in range(20)])
    x = np.concatenate([images] * 20)
    mirrored = (y == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((y == x).all(axis=(1, 2, 3)) | mirrored).all()
    assert 0.16 < mirrored.mean() < 0.34  # 600 images: 5 sd


def test_elastic_bends_a_share_of_the_images(images):
    """The displacement of a pixel has the size that Simard's formula gives."""
    y = Augmentation(elastic=0.4)(np.concatenate([images] * 10), 0, 0)
    changed = (y != np.concatenate([images] * 10)).any(axis=(1, 2, 3))
    assert 0.25 < changed.mean() < 0.55  # 300 images: 5 sd
    ramp = np.broadcast_to(np.arange(61.0)[:, None, None] + 100, (61, 61, 1))[None]
    by = np.concatenate([Augmentation(elastic=1)(ramp, 0, e) - ramp for e in range(30)])[:, 20:40, 20:40]
    assert by.std() == pytest.approx(34 / np.sqrt(3) / (2 * 4 * np.sqrt(np.pi)), rel=0.15)


def test_erasing_sets_one_rectangle_to_zero():
    """Of an area in the range, somewhere in the image, in a share of the images."""
    ones = np.ones((400, 30, 20, 2), np.float32)
    y = Augmentation(erasing=0.5, erasing_area=(0.1, 0.2))(ones, 0, 0)
    gone = [(image == 0).all(axis=-1) for image in y if (image == 0).any()]
    assert 0.37 < len(gone) / 400 < 0.63
    for mask in gone:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns)
        assert 0.08 < mask.mean() < 0.22
        assert np.ptp(rows) + 1 == len(rows)
    assert np.any(gone, axis=0).all()  # every pixel can be


def test_strength_follows_the_step():
    """A schedule: whole, half, nothing."""
    augment = Augmentation(shift=4, strength=PiecewiseConstantDecay([9, 19], [1.0, 0.5, 0.0]))
    by = [center(augment(DOT, 0, 0, step=step)[0]) - center(DOT[0]) for step in (0, 9, 10, 20)]
    np.testing.assert_allclose(by, [by[0], by[0], by[0] / 2, [0, 0]], atol=1e-12)
    assert np.abs(by[0]).min() > 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Augmentation(rotation=200), r"rotation: expected a number in \[0, 180\], received 200"),
        (lambda: Augmentation(zoom=1.2), r"zoom: expected a pair \(lowest, highest\), received 1.2"),
        (lambda: Augmentation(zoom=(1.2, 0.8)), "zoom: expected a pair"),
        (lambda: Augmentation(zoom=(1, "b")), "zoom: expected a number"),
        (lambda: Augmentation(zoom=(0, 1)), "zoom: expected a number"),
        (lambda: Augmentation(elastic_alpha=1e300), "elastic_alpha: expected a number"),
        (lambda: Augmentation(strength=2), r"strength: expected a number in \[0, 1\], received 2"),
        (lambda: Augmentation(erasing_area=(0.1, 1.5)), "erasing_area: expected a number in"),
        (lambda: Augmentation(flip=2), "flip: expected a number"),
        (lambda: Augmentation(strength="high"), "strength: expected a number"),
        (
            lambda: Augmentation()(np.zeros((2, 5, 5, 1), np.uint8), 0, 0),
            "images: expected an array of float",
        ),
        (lambda: Augmentation()(np.zeros((2, 5, 5)), 0, 0), "images: expected 4 axes, received 3"),
        (lambda: Augmentation()(DOT, 0, 0, np.arange(2)), r"samples: expected shape \(1,\), received \(2,\)"),
    ],
)
def test_errors(call, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        call()

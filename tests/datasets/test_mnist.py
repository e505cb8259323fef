"""The packaged MNIST, data sets in a folder, and every way in which four files can fail to fit together."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinycnn.datasets import IdxError, load_mnist, mnist, read_idx, scale_images, write_idx

RNG = np.random.default_rng(11)
X_TRAIN = RNG.integers(0, 256, (7, 5, 4), dtype=np.uint8)
X_TEST = RNG.integers(0, 256, (3, 5, 4), dtype=np.uint8)
Y_TRAIN = np.array([0, 9, 2, 3, 8, 1, 1], np.uint8)
Y_TEST = np.array([6, 0, 9], np.uint8)
ARRAYS = {"train-images": X_TRAIN, "train-labels": Y_TRAIN, "t10k-images": X_TEST, "t10k-labels": Y_TEST}


def file_name(name: str, mark: str = "-", suffix: str = "") -> str:
    return f"{name}{mark}{'idx3' if name.endswith('images') else 'idx1'}-ubyte{suffix}"


def write_set(folder: Path, mark: str = "-", suffix: str = "", changed: dict[str, Any] | None = None) -> None:
    """Write the tiny data set, with some arrays `changed`."""
    for name, array in ARRAYS.items():
        write_idx(folder / file_name(name, mark, suffix), (changed or {}).get(name, array))


def refuse(folder: Path, *words: str, **options: Any) -> None:
    with pytest.raises(IdxError) as caught:
        load_mnist(folder, **options)
    for word in ("expected", "found", *words):
        assert word in str(caught.value)


# -- the packaged files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged() -> tuple[mnist.Split, mnist.Split]:
    return load_mnist()


def test_packaged_mnist(packaged: tuple[mnist.Split, mnist.Split]) -> None:
    (x_train, y_train), (x_test, y_test) = packaged
    assert x_train.shape == (60000, 28, 28)
    assert y_train.shape == (60000,)
    assert x_test.shape == (10000, 28, 28)
    assert y_test.shape == (10000,)
    for array in (x_train, y_train, x_test, y_test):
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_train).tolist() == counts
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.slow
def test_packaged_pixels(packaged: tuple[mnist.Split, mnist.Split]) -> None:
    (x_train, _), (x_test, _) = packaged
    # Known figures of the training set: mean 0.1307 and standard deviation 0.3081 of the scaled pixels.
    # Taken over the histogram, which needs no float copy of 47 million pixels.
    levels, counts = np.arange(256) / 255, np.bincount(x_train.ravel(), minlength=256)
    mean = np.average(levels, weights=counts)
    assert round(float(mean), 4) == 0.1307
    assert round(float(np.sqrt(np.average((levels - mean) ** 2, weights=counts))), 4) == 0.3081
    assert x_train.max() == x_test.max() == 255
    assert not x_train[:, 0, 0].any()  # the background is 0
    assert (x_train[0, 5, 12:16] == [3, 18, 18, 18]).all()  # the first 5 begins here; rows before columns


def test_notice_names_authors_licence_and_sums() -> None:
    notice = (mnist._PACKAGED / "NOTICE").read_text(encoding="utf-8")
    for word in (
        "Yann LeCun",
        "Corinna Cortes",
        "CC BY-SA 3.0",
        "https://creativecommons.org/licenses/by-sa/3.0/",
    ):
        assert word in notice
    for name, sha256 in mnist._SHA256.items():
        assert f"{sha256}  {file_name(name)}" in notice


def copy_packaged(folder: Path) -> None:
    """Fill `folder` with what the package holds."""
    for source in mnist._PACKAGED.glob("*.gz"):
        shutil.copyfile(source, folder / source.name)


def test_altered_content_of_the_right_form_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_packaged(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels = read_idx(path)
    labels[5000] = (labels[5000] + 1) % 10
    write_idx(path, labels)
    monkeypatch.setattr(mnist, "_PACKAGED", tmp_path)
    with pytest.raises(
        IdxError, match=r"t10k-labels-idx1-ubyte.gz: expected .* SHA-256 ff7b.*, found [0-9a-f]{64}"
    ):
        load_mnist()


@pytest.mark.parametrize("name", ["train-labels", "t10k-labels"])
def test_every_sum_is_checked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = mnist._SHA256[name]
    monkeypatch.setitem(mnist._SHA256, name, "0" * 64)
    with pytest.raises(IdxError, match=rf"{name}.*expected unpacked bytes of SHA-256 0{{64}}, found {found}"):
        load_mnist()


# -- a folder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_folder_in_every_spelling(tmp_path: Path, mark: str, suffix: str) -> None:
    write_set(tmp_path, mark, suffix)
    (x_train, y_train), (x_test, y_test) = load_mnist(str(tmp_path))
    np.testing.assert_array_equal(x_train, X_TRAIN)
    np.testing.assert_array_equal(y_train, Y_TRAIN)
    np.testing.assert_array_equal(x_test, X_TEST)
    np.testing.assert_array_equal(y_test, Y_TEST)


def test_spellings_may_be_mixed_and_the_raw_file_goes_first(tmp_path: Path) -> None:
    write_set(tmp_path, ".", ".gz")
    write_idx(tmp_path / "t10k-labels.idx1-ubyte", Y_TEST[::-1])
    (tmp_path / "train-labels-idx1-ubyte").mkdir()  # a folder of that name is not the file
    (_, y_train), (_, y_test) = load_mnist(tmp_path)
    np.testing.assert_array_equal(y_train, Y_TRAIN)
    np.testing.assert_array_equal(y_test, Y_TEST[::-1])


@pytest.mark.parametrize("missing", list(ARRAYS))
def test_missing_file(tmp_path: Path, missing: str) -> None:
    write_set(tmp_path)
    (tmp_path / file_name(missing)).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(tmp_path)
    accepted = [file_name(missing, mark, suffix) for mark in "-." for suffix in ("", ".gz")]
    for word in (str(tmp_path), "found none", *accepted):
        assert word in str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"missing: expected a file named train-images.* no such folder"
    ):
        load_mnist(tmp_path / "missing")


def test_labels_given_for_images(tmp_path: Path) -> None:
    write_set(tmp_path, changed={"t10k-images": Y_TEST})
    name = file_name("t10k-images")
    refuse(tmp_path, name, "images: uint8 with ndim 3", "shape (3,)", "a file of labels given for images")


def test_images_given_for_labels(tmp_path: Path) -> None:
    write_set(tmp_path, changed={"train-labels": X_TRAIN})
    name = file_name("train-labels")
    refuse(tmp_path, name, "labels: uint8 with ndim 1", "(7, 5, 4)", "a file of images given for labels")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"train-images": X_TRAIN.astype(np.int16)},
            ["train-images", "uint8 with ndim 3", "int16 of shape (7, 5, 4)"],
        ),
        (
            {"train-images": X_TRAIN[..., None]},
            ["train-images", "uint8 with ndim 3", "uint8 of shape (7, 5, 4, 1)"],
        ),
        (
            {"t10k-labels": Y_TEST.astype(np.int32)},
            ["t10k-labels", "uint8 with ndim 1", "int32 of shape (3,)"],
        ),
        ({"t10k-labels": Y_TEST[None]}, ["t10k-labels", "uint8 with ndim 1", "uint8 of shape (1, 3)"]),
    ],
)
def test_other_types_and_axes(tmp_path: Path, changed: dict[str, Any], words: list[str]) -> None:
    write_set(tmp_path, changed=changed)
    refuse(tmp_path, *words)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_counts_that_differ(tmp_path: Path, part: str) -> None:
    labels = ARRAYS[f"{part}-labels"]
    write_set(tmp_path, changed={f"{part}-labels": labels[:-1]})
    n = len(labels)
    images = file_name(f"{part}-images")
    refuse(
        tmp_path, file_name(f"{part}-labels"), f"{n} labels, one for each image of {images}", f"found {n - 1}"
    )


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_labels_out_of_range(tmp_path: Path, part: str) -> None:
    labels = ARRAYS[f"{part}-labels"].copy()
    labels[2] = 10
    write_set(tmp_path, changed={f"{part}-labels": labels})
    refuse(tmp_path, file_name(f"{part}-labels"), "labels in 0..9", "found 10 at index 2")
    assert load_mnist(tmp_path, classes=11)  # a data set of more classes


def test_classes(tmp_path: Path) -> None:
    write_set(tmp_path)
    refuse(tmp_path, file_name("train-labels"), "labels in 0..8", "found 9 at index 1", classes=9)
    assert load_mnist(tmp_path, classes=1000)
    for wrong in (0, -1, 2.5, True, "10"):
        with pytest.raises(ValueError, match="classes: expected a whole number >= 1, received"):
            load_mnist(tmp_path, classes=wrong)  # type: ignore[arg-type]


def test_test_images_of_another_size(tmp_path: Path) -> None:
    write_set(tmp_path, changed={"t10k-images": X_TEST.transpose(0, 2, 1)})
    refuse(
        tmp_path,
        file_name("t10k-images"),
        "(height, width) (5, 4)",
        file_name("train-images"),
        "found (4, 5)",
    )


def test_no_images_at_all(tmp_path: Path) -> None:
    write_set(tmp_path, changed={"t10k-images": X_TEST[:0], "t10k-labels": Y_TEST[:0]})
    assert load_mnist(tmp_path)[1][0].shape == (0, 5, 4)


def test_a_web_page_in_place_of_a_file(tmp_path: Path) -> None:
    write_set(tmp_path, suffix=".gz")
    (tmp_path / file_name("t10k-images", suffix=".gz")).write_bytes(b"<!DOCTYPE html><title>403</title>")
    refuse(tmp_path, file_name("t10k-images", suffix=".gz"), "a web page", "fetch the file again")


def test_a_packed_file_that_was_cut(tmp_path: Path) -> None:
    write_set(tmp_path)
    packed = gzip.compress((tmp_path / file_name("train-images")).read_bytes())
    (tmp_path / file_name("train-images")).write_bytes(packed[:-20])
    refuse(tmp_path, file_name("train-images"), "an intact gzip file")


# -- scale_images ----------------------------------------------------------------------------------------


def test_scale_images() -> None:
    scaled = scale_images(X_TRAIN)
    assert scaled.shape == (7, 5, 4, 1)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled[..., 0], (X_TRAIN / 255.0).astype(np.float32))
    extremes = np.array([[[0, 255, 51]]], np.uint8)
    assert scale_images(extremes).ravel().tolist() == [0.0, 1.0, float(np.float32(0.2))]


def test_scale_images_keeps_channels_and_the_input() -> None:
    images = X_TRAIN[:6].reshape(2, 3, 4, 5)
    before = images.copy()
    scaled = scale_images(np.asfortranarray(images))
    assert scaled.shape == (2, 3, 4, 5)
    assert scaled.flags.c_contiguous
    np.testing.assert_array_equal(scaled, (images / 255.0).astype(np.float32))
    np.testing.assert_array_equal(images, before)
    assert scale_images(X_TRAIN.transpose(0, 2, 1)).flags.c_contiguous


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), r"of uint8, received float32 \(are they scaled already\?\)"),
        (np.zeros((2, 3, 4), np.int64), r"of uint8, received int64$"),
        (np.zeros((3, 4), np.uint8), r"shape \(N, H, W\) or \(N, H, W, C\), received \(3, 4\)"),
        (np.zeros((2, 3, 4, 5, 1), np.uint8), r"received \(2, 3, 4, 5, 1\)"),
        ([[[0]]], r"a NumPy array, received list"),
    ],
)
def test_scale_images_errors(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"images: expected .*{message}"):
        scale_images(images)

"""Pictures from files, from Pillow and from arrays, as one kind of picture: upright, opaque, in colour.

::

    path, Pillow image of any mode, or ndarray -> checks -> Pillow image of mode RGB
"""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_PIXELS = 64_000_000  # 8,000 x 8,000, more than a telephone's camera makes
FEWEST = 8  # pixels, of each side: a digit needs as many
DEPTH = 65535.0  # the white of 16-bit pictures
TOLERANCE = 1e-3  # by which a float may leave [0, 1], from an interpolation
SEE_THROUGH = 0.5  # alpha below which a pixel counts as background


def read_picture(image: Any) -> Picture:
    """Return a picture in RGB, turned as its EXIF data say, with transparent parts filled in.

    Parameters
    ----------
    image : path, PIL.Image.Image or ndarray
        An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of uint8, bool or floats in [0, 1].

    Raises
    ------
    FileNotFoundError
        When there is no file of this name.
    ImportError
        When Pillow is not installed.
    TypeError
        When `image` is none of the three.
    ValueError
        For a file that is not an image or is damaged, for wrong shapes, dtypes or values, and for pictures
        that are too small or too large.
    """
    library = _pillow()
    if isinstance(image, np.ndarray):
        picture = library.fromarray(_pixels(image))
    elif isinstance(image, library.Image):
        picture = _upright(image, "image")
    elif isinstance(image, (str, os.PathLike)):
        picture = _opened(image)
    else:
        raise TypeError(
            "image: expected a path, a PIL.Image.Image or a NumPy array of one image, "
            f"received {type(image).__name__}"
        )
    _check_size("image", picture.size)
    return _opaque(picture)


def picture_from_bytes(content: bytes) -> Picture:
    """Return the content of an image file as `read_picture` does.

    Raises
    ------
    ValueError
        When it is not an image, or one that `read_picture` refuses.
    """
    library = _pillow()
    try:
        picture = library.open(io.BytesIO(content))
    except (OSError, SyntaxError, ValueError, library.DecompressionBombError) as error:
        raise ValueError("picture: expected an image file such as .png or .jpg") from error
    return read_picture(picture)


def reduced(picture: Picture, width: int, height: int) -> Picture:
    """Return a picture of another size; each pixel is the mean of those that it covers."""
    return picture.resize((width, height), _pillow().Resampling.BOX)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('pictures need Pillow: pip install "tinycnn[image]"') from error
    return Image


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < FEWEST:
        raise ValueError(f"{name}: expected at least {FEWEST} x {FEWEST} pixels, received {width} x {height}")
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{name}: expected at most {MOST_PIXELS:,} pixels, received {width} x {height}; make it smaller"
        )


def _opened(path: str | os.PathLike[str]) -> Picture:
    library, name = _pillow(), os.fspath(path)
    if os.path.isdir(path):
        raise ValueError(f"{name}: expected an image file, received a folder")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", library.DecompressionBombWarning)  # `_check_size` refuses these
            file = library.open(path)
    except FileNotFoundError:
        raise
    except library.UnidentifiedImageError as error:
        raise ValueError(f"{name}: expected an image that Pillow can read, such as .png or .jpg") from error
    except library.DecompressionBombError as error:
        raise ValueError(f"{name}: expected at most {MOST_PIXELS:,} pixels; make it smaller") from error
    with file:
        return _upright(file, name)


def _upright(picture: Picture, name: str) -> Picture:
    """Return the picture decoded, its size checked before, and turned as its EXIF data say."""
    from PIL import ImageOps

    _check_size(name, picture.size)
    try:
        picture.load()
        return ImageOps.exif_transpose(picture) or picture
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name}: the image is damaged or incomplete ({error}); save it again") from error


def _pixels(image: np.ndarray) -> np.ndarray:
    """Return an array as uint8 of shape (H, W), (H, W, 3) or (H, W, 4)."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "image: expected one image of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"received shape {image.shape}"
        )
    _check_size("image", (image.shape[1], image.shape[0]))
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind != "f":
        raise ValueError(
            f"image: expected uint8, bool or floats in [0, 1], received {image.dtype}; pixels from 0 to 255 "
            "become one of them with image.astype(np.uint8)"
        )
    if not np.isfinite(image).all():
        raise ValueError("image: expected floats in [0, 1], received NaN or infinity")
    low, high = float(image.min()), float(image.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        hint = "; divide pixels from 0 to 255 by 255" if low >= 0 and high <= 255 else ""
        raise ValueError(f"image: expected floats in [0, 1], received {low:g} to {high:g}{hint}")
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)


def _opaque(picture: Picture) -> Picture:
    """Return the picture in RGB; what is transparent gets the colour of the background."""
    if picture.mode[0] in "IF":  # 16 or 32 bits, which `convert` would clip at 255
        return _pillow().fromarray(_eight_bits(np.asarray(picture, np.float64))).convert("RGB")
    if "transparency" not in picture.info and picture.mode not in ("RGBA", "LA", "PA", "La", "RGBa"):
        return picture.convert("RGB")
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert(picture.mode.upper())
    picture = picture.convert("RGBA")
    behind = _pillow().new("RGBA", picture.size, _colour_behind(np.asarray(picture)))
    return _pillow().alpha_composite(behind, picture).convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    high = values.max()
    if not np.isfinite(values).all() or values.min() < 0 or high > DEPTH:
        raise ValueError(
            f"image: expected values from 0 to 1, 255 or {DEPTH:g}, received {values.min():g} to {high:g}"
        )
    white = next(white for white in (1.0, 255.0, DEPTH) if high <= white)
    return np.rint(255 * values / white).astype(np.uint8)


def _colour_behind(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Return an opaque colour for what is transparent.

    Where all visible pixels are about equally bright, they are the digit, and the background is white or
    black, whichever differs more. Where they differ, they are a page with its digit, and the background is
    the commonest of them.
    """
    visible = pixels[pixels[..., 3] > 255 * SEE_THROUGH][:, :3]
    if not len(visible):
        return 255, 255, 255, 255
    brightness = visible.mean(axis=1)
    low, middle, high = np.quantile(brightness, (0.02, 0.5, 0.98))
    if high - low < 50:
        return (0, 0, 0, 255) if middle > 127 else (255, 255, 255, 255)
    red, green, blue = (int(value) for value in np.median(visible, axis=0))
    return red, green, blue, 255

"""The page's server: routes, and what of a request is checked.

::

    GET  /                the page            GET  /api/model       its layers, and the frames of the film
    POST /api/picture     a picture, prepared
    POST /api/look        {"image", "label", "frame"}        -> maps and gradients of every layer
    POST /api/terms       {..., "layer", "index", "part"}    -> the terms of one number
    POST /api/pixels      {..., "kind", "layer", "index"}    -> the pixels that matter
    POST /api/predict     {"image", "frame"}                 -> the output alone
    POST /api/weights     {"frame"}                          -> the kernels of every layer
    POST /api/confusion   {"frame"}                          -> the confusion matrix on examples
    POST /api/example     {"number"}                         -> one of the examples

A wrong request is answered with 400 and the reason in {"error": ...}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from tinycnn.kernels.selection import requested, use_algorithm
from tinycnn.serve import views
from tinycnn.serve.film import Film
from tinycnn.serve.guard import Guard
from tinycnn.support import checks

PAGE = Path(__file__).parent / "page"
AT_ONCE = max(1, min(4, (os.cpu_count() or 1)))  # requests that compute; the others wait
Json = dict[str, Any]


class Site:
    """What the page is about: the models of a film, and examples with the confusion matrices on them.

    Parameters
    ----------
    film : Film
    examples : Examples, optional
        Images with classes.
    """

    def __init__(self, film: Film, examples: views.Examples | None = None) -> None:
        self.film, self._examples = film, examples
        self._confusions: dict[int | None, Json] = {}
        self._lock = Lock()

    @property
    def examples(self) -> views.Examples:
        """The examples; ValueError if there are none."""
        if self._examples is None:
            raise ValueError("examples: expected a model for the images of MNIST, or `tinycnn serve --data`")
        return self._examples

    def about(self) -> Json:
        """Return the description of the model and of the film, and how many examples there are."""
        frames = [{"name": f.path.name, "epochs": f.epochs, "steps": f.steps} for f in self.film.frames]
        count = 0 if self._examples is None else len(self._examples.classes)
        return {**views.description(self.film.model), "frames": frames, "examples": count}

    def confusion(self, frame: int | None) -> Json:
        """Return the confusion matrix of a frame; it is counted once."""
        examples, model = self.examples, self.film.at(frame)
        with self._lock:
            if frame not in self._confusions:
                self._confusions[frame] = views.confusion(model, examples)
            return self._confusions[frame]


def make_app(site: Site, hosts: list[str]) -> Any:
    """Return the ASGI application.

    Parameters
    ----------
    site : Site
    hosts : list of str
        The names, with port, under which the server may be addressed.

    Raises
    ------
    ImportError
        When Starlette is not installed.
    """
    try:
        from anyio import CapacityLimiter, to_thread
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import FileResponse, Response
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles
    except ImportError as error:
        raise ImportError('the page needs Starlette: pip install "tinycnn[serve]"') from error
    limiter: list[CapacityLimiter] = []  # made inside the running loop

    def endpoint(view: Callable[[Site, bytes], Json]) -> Any:
        """Return the endpoint that answers with what a view returns; it runs in a thread, a few at once."""

        async def answer(request: Request) -> Response:
            content = await request.body()
            if not limiter:
                limiter.append(CapacityLimiter(AT_ONCE))
            try:
                found = await to_thread.run_sync(_on_numpy, view, site, content, limiter=limiter[0])
                return Response(found, media_type="application/json")
            except (TypeError, ValueError, OSError) as error:  # OSError: a file of the film has gone
                return Response(json.dumps({"error": str(error)}), 400, media_type="application/json")

        return answer

    async def page(request: Request) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    routes = [
        Route("/", page),
        Route("/api/model", endpoint(lambda site, content: site.about())),
        *(Route(f"/api/{name}", endpoint(view), methods=["POST"]) for name, view in VIEWS.items()),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Guard(Starlette(routes=routes), hosts)


def _on_numpy(view: Callable[[Site, bytes], Json], site: Site, content: bytes) -> str:
    """Return what a view returns as JSON, computed by NumPy unless another algorithm is asked for.

    One image is computed before a kernel would be compiled. Numbers that overflow are refused here, so that
    NumPy need not warn of them.
    """
    algorithm = requested().algorithm
    with use_algorithm("im2col" if algorithm == "auto" else algorithm), np.errstate(all="ignore"):
        return views.as_json(view(site, content))


# The fields of a request.


def parsed(content: bytes) -> Json:
    """Return the object of a request.

    Raises
    ------
    ValueError
        For a body that is no JSON object.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: expected JSON: {error}") from error
    if not isinstance(body, dict):
        raise ValueError(f"body: expected an object, received {type(body).__name__}")
    return body


def _whole_or_none(body: Json, name: str) -> int | None:
    value = body.get(name)
    return None if value is None else checks.whole(name, value, 0)


def _image(site: Site, body: Json) -> tuple[Any, np.ndarray]:
    """Return the model that a request is for, and its image."""
    model = site.film.at(_whole_or_none(body, "frame"))
    return model, views.decoded(body.get("image"), tuple(model.input_shape))


def _place(body: Json) -> tuple[str, tuple[int, ...]]:
    """Return the layer and the index that a request names."""
    index = body.get("index")
    if not isinstance(index, list) or len(index) > 3:
        raise ValueError(f"index: expected a list of numbers, received {index!r:.80}")
    return checks.text("layer", body.get("layer")), tuple(checks.whole("index", i, 0) for i in index)


# The views: a request's content in, the answer out.


def _picture(site: Site, content: bytes) -> Json:
    return views.prepared(content, site.film.model)


def _look(site: Site, content: bytes) -> Json:
    body = parsed(content)
    return views.look(*_image(site, body), _whole_or_none(body, "label"))


def _terms(site: Site, content: bytes) -> Json:
    body = parsed(content)
    part = checks.text("part", body.get("part", "sums"))
    return views.take_apart(*_image(site, body), *_place(body), _whole_or_none(body, "label"), part)


def _pixels(site: Site, content: bytes) -> Json:
    body = parsed(content)
    model, image = _image(site, body)
    kind = checks.text("kind", body.get("kind"))
    name, index = _place(body) if kind == "contributions" else ("", ())
    label = _whole_or_none(body, "label")
    return views.pixels(model, image, kind, label=label, name=name, index=index)


def _predict(site: Site, content: bytes) -> Json:
    model, image = _image(site, parsed(content))
    return {"output": [float(value) for value in model(image[np.newaxis]).ravel()]}


def _weights(site: Site, content: bytes) -> Json:
    return views.weights(site.film.at(_whole_or_none(parsed(content), "frame")))


def _confusion(site: Site, content: bytes) -> Json:
    return site.confusion(_whole_or_none(parsed(content), "frame"))


def _example(site: Site, content: bytes) -> Json:
    return views.example(site.examples, checks.whole("number", parsed(content).get("number"), 0))


VIEWS = {
    "picture": _picture,
    "look": _look,
    "terms": _terms,
    "pixels": _pixels,
    "predict": _predict,
    "weights": _weights,
    "confusion": _confusion,
    "example": _example,
}

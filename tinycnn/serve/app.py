"""The page's server: routes, and what of a request is checked.

::

    GET  /                the page            GET  /api/model       its layers, and the frames of the film
    POST /api/picture     a picture, prepared
    POST /api/look        {"image", "label", "frame"}        -> maps and gradients of every layer
    POST /api/terms       {..., "layer", "index", "part"}    -> the terms of one number
    POST /api/pixels      {..., "kind", "layer", "index"}    -> the pixels that matter

A wrong request is answered with 400 and the reason in {"error": ...}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
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


def make_app(film: Film, hosts: list[str]) -> Any:
    """Return the ASGI application.

    Parameters
    ----------
    film : Film
        The model, and those of its run.
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
        from starlette.responses import FileResponse, JSONResponse
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles
    except ImportError as error:
        raise ImportError('the page needs Starlette: pip install "tinycnn[serve]"') from error
    limiter: list[CapacityLimiter] = []  # made inside the running loop

    async def computed(call: Callable[[], Json]) -> JSONResponse:
        """Answer with what a call returns; it runs in a thread, a few at once."""
        if not limiter:
            limiter.append(CapacityLimiter(AT_ONCE))
        try:
            return JSONResponse(await to_thread.run_sync(_on_numpy, call, limiter=limiter[0]))
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)

    async def page(request: Request) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    async def model(request: Request) -> JSONResponse:
        return await computed(lambda: about(film))

    async def picture(request: Request) -> JSONResponse:
        content = await request.body()
        return await computed(lambda: views.prepared(content, film.model))

    def route(view: Callable[[Any, np.ndarray, int | None, Json], Json]) -> Any:
        """Return the endpoint of a view of one image."""

        async def endpoint(request: Request) -> JSONResponse:
            content = await request.body()
            return await computed(lambda: view(*read(film, content)))

        return endpoint

    routes = [
        Route("/", page),
        Route("/api/model", model),
        Route("/api/picture", picture, methods=["POST"]),
        *(Route(f"/api/{name}", route(view), methods=["POST"]) for name, view in VIEWS.items()),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Guard(Starlette(routes=routes), hosts)


def _on_numpy(call: Callable[[], Json]) -> Json:
    """Return what a call returns, computed by NumPy unless another algorithm is asked for.

    One image is computed before a kernel would be compiled.
    """
    with use_algorithm("im2col" if requested().algorithm == "auto" else requested().algorithm):
        return call()


def about(film: Film) -> Json:
    """Return the description of the model and of the film."""
    frames = [{"name": frame.path.name, "epochs": frame.epochs} for frame in film.frames]
    return {**views.description(film.model), "frames": frames}


def read(film: Film, content: bytes) -> tuple[Any, np.ndarray, int | None, Json]:
    """Return the model, the image, the label and everything else of a request.

    Raises
    ------
    ValueError
        For a body that is not such a request.
    """
    try:
        body = json.loads(content)
    except ValueError as error:
        raise ValueError(f"body: expected JSON: {error}") from error
    if not isinstance(body, dict):
        raise ValueError(f"body: expected an object, received {type(body).__name__}")
    frame, label = (_whole_or_none(name, body.get(name)) for name in ("frame", "label"))
    chosen = film.at(frame)
    return chosen, views.decoded(body.get("image"), tuple(chosen.input_shape)), label, body


def _whole_or_none(name: str, value: Any) -> int | None:
    return None if value is None else checks.whole(name, value, 0)


def _place(body: Json) -> tuple[str, tuple[int, ...]]:
    """Return the layer and the index that a request names."""
    index = body.get("index")
    if not isinstance(index, list) or len(index) > 3:
        raise ValueError(f"index: expected a list of numbers, received {index!r:.80}")
    return checks.text("layer", body.get("layer")), tuple(checks.whole("index", i, 0) for i in index)


def _look(model: Any, image: np.ndarray, label: int | None, body: Json) -> Json:
    return views.look(model, image, label)


def _terms(model: Any, image: np.ndarray, label: int | None, body: Json) -> Json:
    return views.take_apart(model, image, *_place(body), label, checks.text("part", body.get("part", "sums")))


def _pixels(model: Any, image: np.ndarray, label: int | None, body: Json) -> Json:
    kind = checks.text("kind", body.get("kind"))
    name, index = _place(body) if kind == "contributions" else ("", ())
    return views.pixels(model, image, kind, label=label, name=name, index=index)


VIEWS = {"look": _look, "terms": _terms, "pixels": _pixels}

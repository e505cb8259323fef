"""The page in a browser: `tinycnn serve`.

::

    model, models of a run -> serve.app on a socket of this machine -> http://127.0.0.1:8000
"""

import argparse
import logging
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tinycnn
from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say
from tinycnn.cli.train import VALIDATION_IMAGES, VALIDATION_SEED
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.serve import views
from tinycnn.serve.film import Film
from tinycnn.training.batches import split

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PORT = 8000
HTTP_PORT = 80  # that a browser leaves out of an address
PATIENCE = 1  # seconds that Ctrl-C leaves to clients that are connected
MNIST_CLASSES = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    default = f"(default: of --checkpoint the last model, else {models.PRETRAINED})"
    add("model", nargs="?", metavar="MODEL", help=f"{models.HELP} {default}")
    add("--checkpoint", type=Path, metavar="FOLDER", help="the models of a run, as a film of its training")
    add("--data", type=Path, help="a folder with four IDX files to test on (default: MNIST, if it fits)")
    add("--port", type=int, default=PORT, help=f"0: any that is free (default: {PORT})")
    add("--open", action="store_true", help="open it in the browser")


def run(options: argparse.Namespace) -> int:
    """Serve a page, to this machine alone, on which a network is drawn for and looked at."""
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port: expected a number from 0 to 65535, received {options.port}")
    try:
        import uvicorn

        from tinycnn.serve.app import Site, make_app
    except ImportError as error:
        raise ImportError('the page needs Starlette and Uvicorn: pip install "tinycnn[serve]"') from error
    film = film_of(options)
    site = Site(film, examples(film.model, options.data))
    with listening(options.port) as sock:
        port = sock.getsockname()[1]
        app = make_app(site, hosts(port))
        address = f"http://{LOOPBACK[0]}:{port}"
        say(f"{address}  (Ctrl-C ends)")
        output.flush()
        if options.open:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none")
        config.timeout_graceful_shutdown = PATIENCE
        server = uvicorn.Server(config)
        server.handle_exit = leaving(server.handle_exit)  # type: ignore[method-assign]
        server.run(sockets=[sock])
    return 0


def film_of(options: argparse.Namespace) -> Film:
    """Return the model that the page begins with, and those of its run.

    Raises
    ------
    ValueError
        For a model that does not take images, or whose output is not flat.
    """
    if options.model is None and options.checkpoint is not None:
        film = Film(None, options.checkpoint)
    else:
        film = Film(models.load(options.model or models.PRETRAINED), options.checkpoint)
    for name in film.skipped:
        output.note(f"{name}: not a model of these layers; left out of the film")
    views.check_model(film.model)
    return film


def examples(model: tinycnn.Sequential, data: Path | None) -> views.Examples | None:
    """Return images for a confusion matrix: some that `tinycnn train` does not train on.

    Raises
    ------
    ValueError
        When the images of `data` do not fit the model.
    """
    shape, classes = model.input_shape, model.output_shape[-1]
    fits = shape == views.MNIST_SHAPE and classes == MNIST_CLASSES
    if data is None and not fits:
        return None
    (x, y), _ = load_mnist(data)
    if (*x.shape[1:], 1) != shape or y.max() >= classes:
        raise ValueError(
            f"--data: expected images {shape} of at most {classes} classes, "
            f"received {(*x.shape[1:], 1)} of {y.max() + 1}"
        )
    _, kept = split(y, min(VALIDATION_IMAGES / len(x), 0.1), VALIDATION_SEED)
    return views.Examples(scale_images(x[kept[: views.EXAMPLES]]), y[kept[: views.EXAMPLES]])


def leaving(handle_exit: Callable[..., None]) -> Callable[..., None]:
    """Return a handler of Ctrl-C that ends the process although a thread computes: nothing of it is kept."""

    def leave(number: int, frame: Any) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # no traceback of a cancelled request
        timer = threading.Timer(PATIENCE + 0.5, os._exit, [128 + number])
        timer.daemon = True
        timer.start()
        handle_exit(number, frame)

    return leave


def hosts(port: int) -> list[str]:
    """Return the names under which a browser of this machine may address the server."""
    names = [f"{name}:{port}" for name in LOOPBACK]
    return [*names, *LOOPBACK] if port == HTTP_PORT else names


def listening(port: int) -> socket.socket:
    """Return a socket of the loopback interface.

    Raises
    ------
    OSError
        When the port is taken.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((LOOPBACK[0], port))
        sock.listen()  # a browser that comes before the server has started waits for it
    except OSError as error:
        sock.close()
        raise OSError(f"port {port} is taken; choose another by --port, or any by --port 0") from error
    return sock

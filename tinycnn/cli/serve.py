"""The page in a browser: `tinycnn serve`.

::

    model, models of a run -> serve.app on a socket of this machine -> http://127.0.0.1:8000
"""

import argparse
import socket
import webbrowser
from pathlib import Path

from tinycnn.cli import models, output
from tinycnn.cli.output import UsageError, say

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PORT = 8000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    models.add_option(parser)
    add = parser.add_argument
    add("--film", type=Path, metavar="FOLDER", help="models of a run, one for each epoch, as a training film")
    add("--port", type=int, default=PORT, help=f"0: any that is free (default: {PORT})")
    add("--open", action="store_true", help="open it in the browser")


def run(options: argparse.Namespace) -> int:
    """Serve a page, to this machine alone, on which a network is drawn for and looked at."""
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port: expected a number from 0 to 65535, received {options.port}")
    try:
        import uvicorn

        from tinycnn.serve.app import make_app
    except ImportError as error:
        raise ImportError('the page needs Starlette and Uvicorn: pip install "tinycnn[serve]"') from error
    from tinycnn.serve.film import Film

    film = Film(models.load(options.model), options.film)
    for name in film.skipped:
        output.note(f"{name}: not a model of these layers; left out of the film")
    with listening(options.port) as sock:
        port = sock.getsockname()[1]
        app = make_app(film, [f"{host}:{port}" for host in LOOPBACK])
        address = f"http://{LOOPBACK[0]}:{port}"
        say(f"{address}  (Ctrl-C ends)")
        output.flush()
        if options.open:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[sock])
    return 0


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
    except OSError as error:
        sock.close()
        raise OSError(f"port {port} is taken; choose another by --port, or any by --port 0") from error
    return sock

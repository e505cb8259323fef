"""A client of an ASGI application, without a network: requests as a browser, or somebody else, sends them."""

import json
from urllib.parse import unquote

import anyio


class Answer:
    """Status, headers by lower-case name, and body."""

    def __init__(self, messages):
        start, *rest = messages
        self.status_code = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.content = b"".join(message.get("body", b"") for message in rest)

    def json(self):
        return json.loads(self.content)


class Client:
    """Sends requests to an application that believes to be at `host`."""

    def __init__(self, app, host):
        self.app, self.host = app, host

    def get(self, path, headers=None):
        return self.send("GET", path, [], headers)

    def post(self, path, json=None, content=b"", headers=None):
        """Send an object as JSON, or bytes; a list of bytes is sent in parts, without Content-Length."""
        if json is not None:
            content = _dumps(json)
        if isinstance(content, bytes):
            headers = {"Content-Length": str(len(content)), **(headers or {})}
            content = [content]
        return self.send("POST", path, content, headers)

    def send(self, method, path, parts, headers):
        """Return the answer to one request."""
        given = {"host": self.host} | {name.lower(): value for name, value in (headers or {}).items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }
        waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
        sent = []

        async def receive():
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        async def run():
            await self.app(scope, receive, send)

        anyio.run(run)
        return Answer(sent)


def _dumps(value):
    return json.dumps(value).encode()

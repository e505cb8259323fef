"""A check that the pages of the site load nothing from a network: it opens from disk.

::

    folder of HTML and CSS -> what the pages load by themselves -> addresses of a network

Links that a reader may follow are no fault.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

# Attributes that make a browser load something; `href` of <a> waits for a click.
LOADING = {
    **dict.fromkeys(
        ("script", "img", "iframe", "audio", "video", "source", "embed", "track", "input"), "src"
    ),
    "link": "href",
    "object": "data",
    "image": "href",
    "use": "href",
}
# Links that say something about a page, and load nothing.
SAYING = {"canonical", "next", "prev", "search", "index", "author", "license"}
NETWORK = re.compile(r"^\s*(?:https?:)?//")
CSS = re.compile(r"(?:url\(|@import\s+)\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)")


class Loads(HTMLParser):
    """The addresses of a network that one page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = CSS.findall(text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add what a tag loads."""
        given = dict(attrs)
        if tag == "link" and given.get("rel") in SAYING:
            return
        sources = [given.get(LOADING.get(tag, "")), *(given.get("srcset") or "").split(",")]
        self.found += [source for source in sources if source and NETWORK.match(source)]


def faults(folder: Path) -> Iterator[str]:
    """Yield a line for each address of a network that a page or a style sheet in a folder loads."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            found = Loads(path.read_text(encoding="utf-8")).found
        elif path.suffix == ".css":
            found = CSS.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        for address in found:
            name = path.relative_to(folder).as_posix()
            yield f"{name}: expected nothing from a network, received {address}"

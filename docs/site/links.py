"""Links of the Markdown documents: the same text is read on a forge, and in the site.

::

    ](../tinycnn/layers/conv.py) in docs/usage.md -> ](reading/layers/conv.rst) in the site

A link to a file that is no page of the site leads to the project's repository.
"""

import json
import posixpath
import re
from collections.abc import Mapping

#: `](target)`, `](target#anchor)`; the target of a picture too.
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")


def relinked(text: str, path: str, pages: Mapping[str, str], repository: str) -> str:
    """Return a document with its links as they are in the site.

    Parameters
    ----------
    text, path : str
        The document, and its path in the repository.
    pages : mapping of str to str
        The place in the site of each file that is in it, by its path in the repository.
    repository : str
        The address of the project's files, without a slash at the end.
    """

    def replace(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
        anchor = found[2] or ""
        if target not in pages:
            return f"]({repository}/{target}{anchor})"
        return f"]({posixpath.relpath(pages[target], posixpath.dirname(pages[path]) or '.')}{anchor})"

    return LINK.sub(replace, text)


def relinked_notebook(text: str, path: str, pages: Mapping[str, str], repository: str) -> str:
    """Return a notebook with the links in its Markdown cells as they are in the site; see `relinked`."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relinked("".join(cell["source"]), path, pages, repository)
    return json.dumps(notebook, ensure_ascii=False)

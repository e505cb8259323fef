"""Formulas as MathML, which browsers draw by themselves: no script and no font is loaded.

::

    math node of Sphinx, with LaTeX in it -> latex2mathml -> <math> ... </math> in the page

A formula that cannot be converted is a warning, so the build fails.
"""

import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Environments that latex2mathml lacks: tables with a right and a left column.
ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|align\*?|split)\}")
# \mathit{OH}, letter by letter, as latex2mathml writes it: one name, and no product.
NAME = re.compile(r'<mrow>((?:<mi mathvariant="italic">[A-Za-z]</mi>){2,})</mrow>')
TAG = re.compile(r"<[^>]*>")
# The number of parts that an element of MathML needs.
PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "mroot": 2, "msubsup": 3, "munderover": 3}


def convert(latex: str, block: bool) -> str:
    """Return the `<math>` element of a formula.

    Parameters
    ----------
    latex : str
    block : bool
        Whether the formula stands on a line of its own.

    Raises
    ------
    ValueError
        For a formula with a command that is not known, or whose brackets do not match.
    """
    from latex2mathml.converter import convert as to_mathml

    columns = {"begin": r"\\begin{array}{rl}", "end": r"\\end{array}"}
    text = ALIGNED.sub(lambda found: columns[found[1]].replace("\\\\", "\\"), latex)
    try:
        markup: str = to_mathml(text, display="block" if block else "inline")
        root = ElementTree.fromstring(markup)
    except Exception as error:  # of many classes: latex2mathml has one for each fault
        raise ValueError(f"formula: expected LaTeX, received {latex!r}: {error!r}") from error
    lacking = [part for part in root.iter() if len(part) < PARTS.get(part.tag.rpartition("}")[2], 0)]
    if "\\" in "".join(root.itertext()) or lacking:
        raise ValueError(
            f"formula: expected commands that MathML has, with all their arguments, received {latex!r}"
        )
    return NAME.sub(lambda found: f'<mi class="name">{TAG.sub("", found[1])}</mi>', markup)


def write(translator: Any, node: nodes.Element, block: bool) -> None:
    """Write the formula of a node into the page, and skip the node's own text."""
    try:
        markup = convert(node.astext(), block)
    except ValueError as error:
        logger.warning(str(error), location=node)
        markup = ""
    translator.body.append(f'<div class="formula">{markup}</div>\n' if block else markup)
    raise nodes.SkipNode


def inline(translator: Any, node: nodes.Element) -> None:
    """Write a formula in a sentence."""
    write(translator, node, block=False)


def block(translator: Any, node: nodes.Element) -> None:
    """Write a formula on a line of its own."""
    write(translator, node, block=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer; conf.py chooses it by `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

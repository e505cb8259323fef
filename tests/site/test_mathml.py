"""Formulas as MathML."""

import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("sphinx", reason="formulas need the extra docs")
pytest.importorskip("latex2mathml", reason="formulas need the extra docs")

import mathml
import staging

pytestmark = pytest.mark.smoke

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\$)\$([^$\n]+)\$(?!\$)", re.DOTALL)


def test_a_formula():
    """A fraction with its two parts, on a line of its own."""
    root = ElementTree.fromstring(mathml.convert(r"\frac{a}{b}", block=True))
    fraction = next(element for element in root.iter() if element.tag.endswith("mfrac"))
    assert ["".join(part.itertext()) for part in fraction] == ["a", "b"]
    assert root.get("display") == "block"
    assert ElementTree.fromstring(mathml.convert("a", block=False)).get("display") == "inline"


def test_a_name_of_several_letters_is_one_name():
    """OH is no product of O and H."""
    assert '<mi class="name">OH</mi>' in mathml.convert(r"x_{\mathit{OH}}", block=False)


def test_aligned_formulas_have_rows():
    """Two rows of two columns."""
    root = ElementTree.fromstring(
        mathml.convert(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", block=True)
    )
    assert [len(row) for row in root.iter() if row.tag.endswith("mtr")] == [2, 2]
    cells = [cell.get("columnalign") for cell in root.iter() if cell.tag.endswith("mtd")]
    assert cells == ["right", "left"] * 2


@pytest.mark.parametrize("latex", [r"\frac{a}", r"\nonsense{x}", "a & b", r"\left( a"])
def test_a_faulty_formula_is_refused(latex):
    """It would be wrong in the page."""
    with pytest.raises(ValueError, match="formula: expected"):
        mathml.convert(latex, block=False)


def test_the_formulas_of_the_documents():
    """Each can be converted."""
    documents = sorted((staging.ROOT / "docs").rglob("*.md"))
    found = [block or line for path in documents for block, line in FORMULA.findall(path.read_text("utf-8"))]
    assert len(found) > 40
    for latex in found:
        mathml.convert(latex, block=True)

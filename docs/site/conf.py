"""Settings of the site for Sphinx. Neither the build nor a page loads anything from a network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import tinycnn  # noqa: E402

project = "tinycnn"
author = "The tinycnn developers"
project_copyright = author
version = release = tinycnn.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb", "mathml", "lessons", "reference"]
exclude_patterns = ["README.md", "download"]  # index.md includes parts of the first; notebooks as files

highlight_language = "none"  # of blocks that do not say: drawings of data flow, commands

# Docstrings name things in single backticks: a link where there is a page, else only a name.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", r"(collections|numpy)\..*")]
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc's sections have the types
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "force"
nb_execution_excludepatterns = ["lessons/homework*"]  # it has blanks
nb_execution_show_tb = True  # an error in a lesson is a warning, so the build fails; this says where it is
nb_execution_timeout = 300
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # from a network
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = "tinycnn"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {"index": [], "reading/**": [], "changelog": [], "contributing": []}
html_theme_options = {
    "logo": {"text": "tinycnn"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}

"""Build the site: `python docs/site/make.py` writes build/site, which opens from disk: build/site/index.html.

::

    staging.stage -> build/site-source -> sphinx-build, warnings as errors -> offline.faults -> build/site

It needs `pip install -e ".[docs]"`. What follows the program's name goes to sphinx-build. The lessons are
run; `-D nb_execution_mode=off` leaves that out.
"""

import shutil
import sys

import offline
from sphinx.cmd.build import build_main
from staging import ROOT, stage

SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"


def main(options: list[str]) -> int:
    """Build the site; return the exit status: not 0 after a warning, or if a page loads from a network."""
    stage(SOURCE)
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--fresh-env"]
    settings = ["--conf-dir", str(ROOT / "docs" / "site")]
    shutil.rmtree(SITE, ignore_errors=True)
    status = build_main(["-b", "html", *strict, *settings, *options, str(SOURCE), str(SITE)])
    faults = list(offline.faults(SITE))
    print("\n".join(faults) or f"Open {SITE / 'index.html'}")
    return status or bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

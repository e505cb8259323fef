"""The lessons are run in the build, once; one that takes too long is a warning, so the build fails.

::

    myst-nb runs a notebook -> its seconds -> faults -> warnings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Seconds for one lesson, and for all of them.
ONE, ALL = 120.0, 480.0


def faults(seconds: Mapping[str, float | None]) -> list[str]:
    """Return a line for each lesson that was not run or takes too long, and one if all together do.

    Parameters
    ----------
    seconds : mapping of str to float or None
        The time of each lesson, by the name of its page; None if it was not run.
    """
    lines = []
    for name, value in seconds.items():
        if value is None:
            lines.append(f"{name}: expected a lesson that is run, received none")
        elif value > ONE:
            lines.append(f"{name}: expected at most {ONE:g} s, received {value:.1f} s; make it do less")
    total = sum(value or 0.0 for value in seconds.values())
    if total > ALL:
        lines.append(f"all lessons together: expected at most {ALL:g} s, received {total:.1f} s")
    return lines


def measured(env: BuildEnvironment, left_out: set[str]) -> dict[str, float | None]:
    """Return the seconds of each lesson, by the name of its page; None if it was not run."""
    data = getattr(env, "nb_metadata", {})  # of myst-nb
    names = sorted(name for name in env.found_docs if name.startswith("lessons/"))
    runs = {name: data.get(name, {}).get("exec_data") for name in names if name not in left_out}
    return {name: run and run["runtime"] for name, run in runs.items()}


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Print the time of each lesson; warn of those that are too slow."""
    from sphinx.util import logging

    logger = logging.getLogger(__name__)
    if app.config.nb_execution_mode == "off":
        return
    seconds = measured(env, {"lessons/index", "lessons/homework"})
    for name, value in seconds.items():
        logger.info("%s: %.1f s", name, value or 0.0)
    for line in faults(seconds):
        logger.warning(line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the check, which runs when all documents have been read."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}

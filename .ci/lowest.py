"""Print the lowest versions that setup.cfg admits, as constraints for pip: `numpy>=1.24` gives `numpy==1.24`.

::

    python .ci/lowest.py test > lowest.txt && pip install -e ".[test]" --constraint lowest.txt

The arguments are extras; what every installation requires is always included.
"""

import configparser
import re
import sys
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.cfg"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,.-]+\])?(?P<operator>>=|==)(?P<version>[\w.]+)(;.*)?")


def lowest(text: str, extras: list[str]) -> list[str]:
    """Return a constraint for each package, in the order of setup.cfg: the highest of its lowest versions.

    Parameters
    ----------
    text : str
        The content of setup.cfg.
    extras : list of str
        Names of [options.extras_require].

    Raises
    ------
    ValueError
        For a requirement without a lowest version.
    """
    parser = configparser.ConfigParser()
    parser.read_string(text)
    lines = parser["options"]["install_requires"].splitlines()
    for extra in extras:
        lines += parser["options.extras_require"][extra].splitlines()
    found: dict[str, str] = {}
    for line in filter(str.strip, lines):
        name, _, version = constraint(line).partition("==")
        found[name] = max(found.get(name, version), version, key=numbers)
    return [f"{name}=={version}" for name, version in found.items()]


def numbers(version: str) -> list[int]:
    """Return the numbers in a version: "10.1" is higher than "9.4"."""
    return [int(number) for number in re.findall(r"\d+", version)]


def constraint(requirement: str) -> str:
    """Return "numpy==1.24" for "numpy>=1.24", "numpy>=1.24,<3" and the like."""
    first, *_ = requirement.replace(" ", "").split(",")
    found = REQUIREMENT.fullmatch(first)
    if found is None:
        raise ValueError(f"setup.cfg: expected a requirement such as 'numpy>=1.24', received {requirement!r}")
    return f"{found['name']}=={found['version']}"


if __name__ == "__main__":
    print("\n".join(lowest(SETUP.read_text(encoding="utf-8"), sys.argv[1:])))

"""Check that an sdist and a wheel hold what they should: `python .ci/contents.py SDIST WHEEL`.

::

    files under version control -> sdist: all but those of the forge; wheel: all of tinycnn/, and the licences

Nothing else may be in them, such as compiled kernels or a file that is not committed.
"""

import subprocess
import sys
import tarfile
import zipfile

FORGE = (".github/", ".gitignore", ".pre-commit-config.yaml")
GENERATED = ("PKG-INFO", "tinycnn.egg-info/")
LICENCES = {"LICENSE", "NOTICE"}


def sdist_faults(names: set[str], tracked: set[str]) -> list[str]:
    """Return the files that are missing in an sdist, and those that should not be there."""
    expected = {name for name in tracked if not name.startswith(FORGE)}
    return faults(expected, {name for name in names if not name.startswith(GENERATED)})


def wheel_faults(names: set[str], tracked: set[str]) -> list[str]:
    """Return the same of a wheel."""
    package = {name for name in names if ".dist-info/" not in name}
    licences = {name.rsplit("/", 1)[-1] for name in names - package if "/licenses/" in name}
    expected = {name for name in tracked if name.startswith("tinycnn/")}
    return faults(expected, package) + faults(LICENCES, licences)


def faults(expected: set[str], received: set[str]) -> list[str]:
    """Return one line for each name that is in one set only."""
    return [f"missing: {name}" for name in sorted(expected - received)] + [
        f"too much: {name}" for name in sorted(received - expected)
    ]


def main(sdist: str, wheel: str) -> int:
    """Print the faults of two files; return how many."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, encoding="utf-8", check=True)
    tracked = set(listed.stdout.splitlines())
    with tarfile.open(sdist) as archive:
        stored = {member.name.partition("/")[2] for member in archive if member.isfile()}
    found = [f"{sdist}: {line}" for line in sdist_faults(stored, tracked)]
    with zipfile.ZipFile(wheel) as files:
        found += [f"{wheel}: {line}" for line in wheel_faults(set(files.namelist()), tracked)]
    print("\n".join(found) or "the sdist and the wheel hold what they should")
    return len(found)


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))

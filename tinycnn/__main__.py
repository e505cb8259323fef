"""The command as a module: `python -m tinycnn` is `tinycnn`."""

import sys

from tinycnn.cli import main

if __name__ == "__main__":
    sys.exit(main())

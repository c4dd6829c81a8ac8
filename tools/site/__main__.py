"""The documentation's site: `python -m tools.site tables|build|serve`."""

from __future__ import annotations

import sys

from tools.site import tables


def main(arguments: list[str]) -> int:
    """Do what the command line asks for."""
    if arguments == ["tables"]:
        tables.write()
        return 0
    sys.stderr.write(f"{__doc__}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

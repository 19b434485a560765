# SPDX-License-Identifier: Apache-2.0
"""The command `latchwork` of the wheel: becomes the program that lies in the package.

Outside the package, so that a short command need not wait for NumPy. `latchwork convert` alone is written in Python,
because other tools' files are read with Python's packages.
"""
import os
import sys
from pathlib import Path
from typing import NoReturn

PROGRAM = Path(__file__).resolve().parent / "latchwork" / "bin" / "latchwork"


def main() -> NoReturn:
    """The program's exit status is the command's; it never returns."""
    if sys.argv[1:2] == ["convert"]:
        from latchwork.convert.command import main as convert

        sys.exit(convert(sys.argv[2:]))
    if not PROGRAM.exists():
        sys.exit(
            "latchwork: this package was built without the command; "
            "building it needs popt, libsndfile, libpng and jansson"
        )
    os.execv(PROGRAM, ["latchwork", *sys.argv[1:]])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The command `latchwork` of the wheel: becomes the program that lies in the package.

Outside the package, so that a short command need not wait for NumPy.
"""
import os
import sys
from pathlib import Path
from typing import NoReturn

PROGRAM = Path(__file__).resolve().parent / "latchwork" / "bin" / "latchwork"


def main() -> NoReturn:
    """The program's exit status is the command's; it never returns."""
    if not PROGRAM.exists():
        sys.exit(
            "latchwork: this package was built without the command; "
            "building it needs popt, libsndfile, libpng and jansson"
        )
    os.execv(PROGRAM, ["latchwork", *sys.argv[1:]])


if __name__ == "__main__":
    main()

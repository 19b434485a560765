# SPDX-License-Identifier: Apache-2.0
"""The command `latchwork` of the wheel: becomes the program that lies beside this file."""
import os
import sys
from pathlib import Path
from typing import NoReturn

PROGRAM = Path(__file__).resolve().parent / "bin" / "latchwork"


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

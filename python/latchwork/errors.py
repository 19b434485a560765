# SPDX-License-Identifier: Apache-2.0
"""The one exception that Python does not have already."""


class FormatError(ValueError):
    """A file or bytes whose content breaks the rules of its format."""


FormatError.__module__ = "latchwork"

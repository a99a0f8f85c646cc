"""Make text that others wrote safe to be shown in one line of a terminal.

Names of files, tags of images, records, messages of plugins and typed arguments may hold control
sequences, which a terminal obeys, or characters that change the order of what is around them.
"""

from __future__ import annotations

import unicodedata

UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode: controls (C0, DEL, C1), formats (of direction, of no width), halves of
surrogate pairs (bytes of names that are no UTF-8), and separators of lines and paragraphs."""


def safe_text(text: str) -> str:
    r"""Return text with escapes, such as `\x1b` and `\n`, for characters that are not shown.

    The result has no end of line, and can be encoded as UTF-8. Text without such characters, with
    backslashes among them, is returned as it is: the escapes are for readers, not to be undone.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in UNSAFE else char
        for char in text
    )

"""What may be the name of a strategy, a backbone, a preset or a tag: it stands in method names."""

from __future__ import annotations

import re

from fusionlab.errors import FusionlabError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_name(name: object) -> None:
    """Raise `FusionlabError` unless `name` can stand in the name of a method."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise FusionlabError(
            "a name consists of letters, digits, '.', '_' and '-' and begins with one of the first "
            f"two, got {name!r}"
        )

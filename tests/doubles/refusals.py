"""What tests assert of an error instead of its prose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fusionlab.errors import FusionlabError


def refused(
    code: str, path: Path | None = None, option: str | None = None
) -> Callable[[FusionlabError], bool]:
    """Return a check of `pytest.raises` for the code of an error, and its path and option if given.

    with pytest.raises(FusionlabError, check=refused("exists", path, "overwrite")):
        ...
    """

    def matches(error: FusionlabError) -> bool:
        return (
            error.code == code
            and (path is None or error.path == path)
            and (option is None or error.option == option)
        )

    return matches

"""Leave out images that cannot be read, each with a warning, until there are too many."""

from __future__ import annotations

import warnings

from fusionlab.errors import FusionlabError, FusionlabWarning

SHARE = 10
"""One in ten images may be bad; one of fewer. More are a mistake that training should not hide."""
NAMED = 10
"""How many of them a warning names."""


class BadImages:
    """The images of a set that cannot be used.

    Args:
        count: how many images the set has.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.problems: list[str] = []

    def leave_out(self, error: FusionlabError) -> None:
        """Note an image and warn of it.

        Raises:
            FusionlabError: too many are bad, or all of them are (code `too-many-bad-images`, or
                that of the error where there is one image only).
        """
        self.problems.append(str(error))
        bad = len(self.problems)
        if bad > max(1, self.count // SHARE) or bad == self.count:
            if bad == 1:
                raise error
            raise FusionlabError(
                f"{bad} of the first images cannot be used, too many of {self.count}; the first: "
                f"{self.problems[0]}",
                code="too-many-bad-images",
            ) from error
        if bad <= NAMED:
            warnings.warn(f"left out: {error}", FusionlabWarning, stacklevel=3)

    def report(self) -> None:
        """Warn of their number, where there are several."""
        if len(self.problems) > 1:
            text = f"{len(self.problems)} of {self.count} images are left out"
            warnings.warn(text, FusionlabWarning, stacklevel=2)

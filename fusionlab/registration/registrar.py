"""Registers the sources of each fusion of a run in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import LoadedImage, Resampled
from fusionlab.plugins.failures import memory_errors
from fusionlab.plugins.method_names import NameWithValues
from fusionlab.registration.align import Alignment, align, find_method, size_of
from fusionlab.registration.files import read_transforms
from fusionlab.registration.register import register
from fusionlab.registration.transform import Model, Transform, bad_transform
from fusionlab.storage.versions import library_versions

if TYPE_CHECKING:
    from fusionlab.plugins.offers import RegistrationRef
    from fusionlab.plugins.registry import Plugins, Registration


@dataclass(frozen=True)
class Registrar:
    """Registers sources, by a method or by transforms that are known.

    Args:
        method: estimates the transforms; None: they are given.
        model: the family of the transforms that the method estimates.
        reference: number of the source whose grid the result has, from 1; None: the one with most
            pixels, the first of equals.
        crop: keep only a rectangle in which all sources are data.
        transforms: those of all sources, None for the reference; empty: the method estimates them.
        show: also draw what `overlay` draws of each source that moves.
    """

    method: Registration[RegistrationRef] | None = None
    model: Model = "similarity"
    reference: int | None = None
    crop: bool = False
    transforms: tuple[Transform | None, ...] = ()
    show: bool = False

    @classmethod
    def parse(cls, text: str, plugins: Plugins) -> Self:
        """Return the registrar of `METHOD[,model=MODEL]`, where METHOD may be `auto`.

        Raises:
            FusionlabError: no plugin offers the method, or the text is not written in this way.
        """
        name = NameWithValues.parse(text)
        if name.tag or name.values.keys() - {"model"}:
            raise FusionlabError(
                f"a registration is written METHOD[,model=MODEL], got {text!r}",
                code="unknown-parameter",
                option="register",
            )
        model: Any = name.values.get("model", "similarity")
        return cls(find_method(name.name, plugins), model)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the registrar of the transforms in a file, see `read_transforms`."""
        return cls().with_transforms(read_transforms(path))

    def with_transforms(self, transforms: Sequence[Transform | None]) -> Self:
        """Return the same with transforms that are known; the reference is where one is None."""
        number = list(transforms).index(None) + 1
        return replace(self, reference=number, transforms=tuple(transforms))

    def __str__(self) -> str:
        """Return how sources are registered, for people."""
        if self.transforms:
            return "by known transforms"
        assert self.method is not None
        return f"{self.method.qualified},model={self.model}"

    def __call__(self, images: Sequence[LoadedImage]) -> list[LoadedImage]:
        """Return the sources of one fusion on one grid; they say how they were resampled.

        Raises:
            RegistrationError: a source could not be registered.
            FusionlabError: as `register`; the transforms are for another number of sources or
                other sizes (code `bad-transform`); or there is not enough memory.
        """
        if self.transforms and len(self.transforms) != len(images):
            raise bad_transform(
                f"there are transforms for {len(self.transforms)} sources, got {len(images)}"
            )
        with memory_errors(f"to register the sources of {images[0].name}"):
            registered = register(
                images,
                lambda moving, fixed: self.alignment(images, moving, fixed),
                reference=self.reference,
                crop=self.crop,
            )
            fixed = images[registered.reference]
            return [
                image
                if alignment is None
                else replace(image, resampled=self._described(before, fixed, alignment))
                for image, before, alignment in zip(
                    registered.images, images, registered.alignments, strict=True
                )
            ]

    def _described(
        self, moving: LoadedImage, fixed: LoadedImage, alignment: Alignment
    ) -> Resampled:
        picture = None
        if self.show:
            from fusionlab.registration.overlay import overlay  # draws with scipy

            picture = overlay(moving, fixed, alignment.transform)
        return Resampled(alignment.describe(), picture)

    def alignment(self, images: Sequence[LoadedImage], moving: int, fixed: int) -> Alignment:
        """Return how one of the sources lies on another; by their indices.

        Raises:
            RegistrationError: it could not be found.
            FusionlabError: see `__call__`.
        """
        if not self.transforms:
            assert self.method is not None
            return align(images[moving], images[fixed], self.method, self.model)
        transform = self.transforms[moving]
        assert transform is not None
        sizes = size_of(images[fixed]), size_of(images[moving])
        if sizes != (transform.fixed, transform.moving):
            (width, height), (columns, rows) = transform.fixed, transform.moving
            raise bad_transform(
                f"the one for {images[moving].name} is from {width}x{height} to {columns}x{rows} "
                f"pixels, but the images have {sizes[0][0]}x{sizes[0][1]} and "
                f"{sizes[1][0]}x{sizes[1][1]}"
            )
        return Alignment(transform)

    def describe(self) -> dict[str, Any]:
        """Return the settings for a record and for resuming."""
        method = None if self.transforms else self.method
        return {
            "method": method and method.qualified,
            "version": method and library_versions([method.plugin]).get(method.plugin),
            "model": self.model if method else None,
            "reference": self.reference,
            "crop": self.crop,
            "transforms": [t and t.to_json() for t in self.transforms] or None,
        }


def cropping_registrar(register: str | Registrar | None, plugins: Plugins) -> Registrar | None:
    """Return what registers sources for metrics, which need data everywhere.

    Args:
        register: as `Registrar.parse` takes it; or a registrar; None: nothing is registered.
        plugins: the plugins that offer the method.
    """
    if register is None:
        return None
    registrar = Registrar.parse(register, plugins) if isinstance(register, str) else register
    return replace(registrar, crop=True)

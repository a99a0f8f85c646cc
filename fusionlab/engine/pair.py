"""Two engines: one encodes, the other decodes."""

from __future__ import annotations

from torch import Tensor

from fusionlab.backbone import Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.errors import FusionlabError


class Pair(Engine):
    """Encodes by one engine, and decodes by another.

    Args:
        encoder: encodes.
        decoder: decodes, on the same device, in the same precision.

    Raises:
        FusionlabError: their features are of different types.
    """

    def __init__(self, encoder: Engine, decoder: Engine) -> None:
        super().__init__(encoder.backbone, encoder.device, encoder.precision)
        if encoder.dtype != decoder.dtype:
            raise FusionlabError(
                f"the engine that encodes has features of {encoder.dtype}, and the engine that "
                f"decodes of {decoder.dtype}; choose others for the precision {self.precision}",
                option="engine",
            )
        self.encoder, self.decoder = encoder, decoder
        self.dtype = encoder.dtype

    @property
    def pixels_at_once(self) -> int:
        """How many pixels suit both."""
        return min(self.encoder.pixels_at_once, self.decoder.pixels_at_once)

    @property
    def tiles_in_parallel(self) -> bool:  # type: ignore[override]
        """Whether both can be given tiles by several threads."""
        return self.encoder.tiles_in_parallel and self.decoder.tiles_in_parallel

    @property
    def encoded_by(self) -> object:
        """The engine that encodes."""
        return self.encoder.encoded_by

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        return self.encoder.encode_tile(images, borders)

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        return self.decoder.decode_tile(features, borders)

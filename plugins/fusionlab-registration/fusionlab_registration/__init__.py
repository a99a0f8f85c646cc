"""A fusionlab plugin that finds how one image lies on another."""

from __future__ import annotations

from fusionlab import RegistrationRef, hookimpl


@hookimpl
def fusionlab_defaults() -> dict[str, str]:
    return {"registration": "mutual-information"}


@hookimpl
def fusionlab_registrations() -> list[RegistrationRef]:
    return [
        RegistrationRef(
            "mutual-information",
            f"{__name__}.mutual_information:mutual_information",
            "Between modalities, such as infrared and visible or CT and MRI.",
            reference="10.1109/TMI.2003.809072",
        ),
        RegistrationRef(
            "ecc",
            f"{__name__}.ecc:ecc",
            "Within a modality: focus stacks, exposure brackets.",
            reference="10.1109/TPAMI.2008.113",
        ),
        RegistrationRef(
            "phase",
            f"{__name__}.phase:phase",
            "A shift alone, also between modalities.",
            models=("translation",),
            reference="10.1109/83.988953",
        ),
    ]

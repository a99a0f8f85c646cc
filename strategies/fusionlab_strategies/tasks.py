"""The tasks that ship, each with its method; `recognition` has the functions that detect them."""

from __future__ import annotations

from fusionlab import Task

_RECOGNITION = "fusionlab_strategies.recognition"

TASKS = [
    Task(
        "infrared",
        "Infrared or other bands beside visible light.",
        method="densefuse/choose_max",
        recognizes=f"{_RECOGNITION}:infrared",
        evidence=(
            "On 25 road pairs of RoadScene, against l1norm: Qabf 0.618 (0.496), VIF 0.880 (0.662) "
            "and SD 43.9 (36.0), all significant; SSIM is lower, 0.704 (0.752)."
        ),
    ),
    Task(
        "focus",
        "Photographs of one scene, each in focus at another depth.",
        method="densefuse/spatial_frequency",
        recognizes=f"{_RECOGNITION}:focus",
        evidence=(
            "On 10 Lytro pairs, against l1norm: Qabf 0.764 (0.573), MS_SSIM 0.996 (0.956) and Q_CB "
            "0.774 (0.592)."
        ),
    ),
    Task(
        "exposure",
        "Photographs of one scene with different exposures.",
        method="identity/entropy_global",
        recognizes=f"{_RECOGNITION}:exposure",
        evidence=(
            "On 6 brackets: MS_SSIM 0.873, against 0.753 of l1norm and 0.820 of the average of the "
            "pixels."
        ),
    ),
    Task(
        "medical",
        "Scans of one part of the body, such as CT, MRI, PET.",
        method="densefuse/choose_max",
        recognizes=f"{_RECOGNITION}:medical",
        evidence=(
            "On 24 CT and MRI pairs, against l1norm: Qabf 0.593 (0.508), VIF 0.656 (0.538) and "
            "Q_CB 0.664 (0.641), all significant; SSIM is lower, 0.727 (0.744)."
        ),
    ),
]
"""To change the method of a task, change its `method` and its `evidence` here."""

"""The tasks that ship, each with its method; `recognition` has the functions that detect them."""

from __future__ import annotations

from fusionlab import Task

_RECOGNITION = "fusionlab_strategies.recognition"

TASKS = [
    Task(
        "infrared",
        "Infrared or other bands beside visible light.",
        # warm objects by the brightness of the sources; paving and shadows by the activity
        method=(
            "identity/multi_scale,levels=6,r=2,power=4,base=saliency,detail=saliency;side:bright"
        ),
        recognizes=f"{_RECOGNITION}:infrared",
        evidence=(
            "On 20 TNO pairs, against the pixel maximum and a Laplacian pyramid: SCD 1.808 (1.608 "
            "and 1.720), Qabf 0.598 (0.573 and 0.544), texture 0.653 (0.582 and 0.578), warm "
            "contrast 70 (74 and 56); VIF 0.823 is below the maximum's 0.884, and SSIM 0.738 below "
            "the 0.783 of the average. On densefuse VIF is 0.831, in a hundred times the time."
        ),
    ),
    Task(
        "focus",
        "Photographs of one scene, each in focus at another depth.",
        method=(
            "identity/multi_scale,levels=4,r=3,power=4,base=spatial_frequency,"
            "detail=spatial_frequency"
        ),
        recognizes=f"{_RECOGNITION}:focus",
        evidence=(
            "On 30 generated pairs with truth that were not used to choose it, against a Laplacian "
            "pyramid: PSNR 41.0 dB (36.5), Qabf 0.744 (0.718), Q_CB 0.807 (0.760), all "
            "significant. On densefuse PSNR is 40.7."
        ),
    ),
    Task(
        "exposure",
        "Photographs of one scene with different exposures.",
        method=("identity/multi_scale,levels=6,r=2,power=2,base=well_exposed,detail=well_exposed"),
        recognizes=f"{_RECOGNITION}:exposure",
        evidence=(
            "On 6 brackets, which it was chosen on, against mertens: MS_SSIM 0.967 (0.959), Q_CB "
            "0.524 (0.498), saturation 19.6 (19.3). On 20 generated triples that were not used, "
            "MS_SSIM 0.972 like a Laplacian pyramid (0.972), but Q_CB 0.659 below the average of "
            "the pixels (0.728)."
        ),
        color="luma",  # exposures are all in color; their hues do not differ
    ),
    Task(
        "medical",
        "Scans of one part of the body, such as CT, MRI, PET.",
        # the coarsest level is one source, so that the background stays black
        method="densefuse/multi_scale,levels=3,r=1,power=4,base=choose_max,detail=l1norm",
        recognizes=f"{_RECOGNITION}:medical",
        evidence=(
            "On 24 CT and MRI pairs that were not used to choose it: Q_CB 0.685, against 0.654 of "
            "the pixel maximum and 0.692 of a Laplacian pyramid; SSIM 0.734 (0.734 and 0.726)."
        ),
    ),
]
"""To change the method of a task, change it and its `evidence` here; `benchmarks/board.py`
judges them."""

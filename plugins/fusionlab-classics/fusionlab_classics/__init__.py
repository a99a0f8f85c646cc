"""The methods of the literature that need no training: one file each, listed here.

Every strategy merges images (`domain = "pixels"`). `filters.py` has the filters that they share.
"""

from __future__ import annotations

from fusionlab import StrategyRef, hookimpl


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    here = __name__
    return [
        StrategyRef(
            "adf",
            f"{here}.adf:ADF",
            "Average diffused sources and weight the details by their first principal component.",
        ),
        StrategyRef(
            "cbf",
            f"{here}.cbf:CBF",
            "Weight each source by the detail that a cross bilateral filter takes out of it.",
        ),
        StrategyRef(
            "dchwt",
            f"{here}.dchwt:DCHWT",
            "Weight each coefficient of a harmonic wavelet transform by its significance.",
        ),
        StrategyRef(
            "dwt",
            f"{here}.dwt:DWT",
            "Merge wavelet coefficients by a vote of their neighbors.",
        ),
        StrategyRef(
            "fpde",
            f"{here}.fpde:FPDE",
            "Average smoothed sources and weight the details by their first principal component.",
        ),
        StrategyRef(
            "gff",
            f"{here}.gff:GFF",
            "Merge base and detail with saliency weights that follow the edges of each source.",
        ),
        StrategyRef(
            "gtf",
            f"{here}.gtf:GTF",
            "Keep the gray levels of the infrared source and the gradients of the visible one.",
            roles=("infrared", "visible"),
        ),
        StrategyRef(
            "hmsd_gf",
            f"{here}.hmsd_gf:HMSDGF",
            "Merge infrared edges and large scales into a visible image by guided filters.",
            roles=("infrared", "visible"),
        ),
        StrategyRef(
            "hybrid_msd",
            f"{here}.hybrid_msd:HybridMSD",
            "Merge infrared edges and large scales into a visible image by bilateral filters.",
            roles=("infrared", "visible"),
        ),
        StrategyRef(
            "ifevip",
            f"{here}.ifevip:IFEVIP",
            "Add the bright features of an infrared image to a visible one.",
            roles=("infrared", "visible"),
        ),
        StrategyRef(
            "jsr",
            f"{here}.jsr:JSR",
            "Merge the joint sparse codes of patches, unique parts by their norms.",
        ),
        StrategyRef(
            "jsrsd",
            f"{here}.jsrsd:JSRSD",
            "Merge the joint sparse codes of patches, unique parts by their norms and saliency.",
        ),
        StrategyRef(
            "mdlatlrr",
            f"{here}.mdlatlrr:MDLatLRR",
            "Merge details that a learned projection takes out, weighted by their nuclear norms.",
        ),
        StrategyRef(
            "mertens",
            f"{here}.mertens:Mertens",
            "Blend exposures by contrast, saturation and good exposure.",
        ),
        StrategyRef(
            "msvd",
            f"{here}.msvd:MSVD",
            "Merge 2x2 blocks in the singular vectors of each image, the strongest detail first.",
        ),
        StrategyRef(
            "ratio_pyramid",
            f"{here}.ratio_pyramid:RatioPyramid",
            "Merge the ratios of each pixel to its surround, scale by scale.",
        ),
        StrategyRef(
            "tif",
            f"{here}.tif:TIF",
            "Average wide means and weight what they leave by the saliency of each source.",
        ),
        StrategyRef(
            "wls",
            f"{here}.wls:WLS",
            "Average bases by visual saliency, and keep the details of weighted least squares.",
            roles=("infrared", "visible"),
        ),
    ]

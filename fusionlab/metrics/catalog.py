"""The catalog: one entry for each metric that ships, without heavy imports.

The default of a name is the definition of its authors, in correct units. A convention reproduces
the values of a known program: `paper` the authors of DenseFuse, `vifb` the VIFB benchmark, `tang`
Linfeng Tang's evaluation code, `liu` the toolbox of Liu et al. 2012.
"""

from __future__ import annotations

from math import inf, nan, sqrt

from fusionlab.plugins.offers import MetricRef, TemporalMetricRef

HERE = __package__

CATALOG: tuple[MetricRef, ...] = (
    # ---------------------------------------------------------------- information.py
    MetricRef(
        "EN",
        f"{HERE}.information:entropy",
        "entropy of the fused image, bits per pixel",
        bounds=(0, 8),
        sources="none",
        constant=0,
        reference="J. W. Roberts et al., J. Applied Remote Sensing 2(1), 2008, 023522",
        conventions={"paper": "", "vifb": "", "tang": ""},
    ),
    MetricRef(
        "MI",
        f"{HERE}.information:mutual_information",
        "mutual information with the sources, summed, bits",
        bounds=(0, inf),
        sources="sum",
        constant=0,
        reference="G. Qu et al., Electronics Letters 38(7), 2002, 313-315; doi:10.1049/el:20020212",
        conventions={
            "vifb": "in nats: smaller by a factor ln 2 = 0.693",
            "tang": "too high if images have both levels 254 and 255, which share a bin in the "
            "joint histograms but not in the entropies",
        },
    ),
    MetricRef(
        "NMI",
        f"{HERE}.information:normalized_mutual_information",
        "mutual information normalized by the entropies, summed (Q_MI)",
        bounds=(0, inf),
        sources="sum",
        constant=0,
        reference="M. Hossny et al., Electronics Letters 44(18), 2008, 1066-1067; "
        "doi:10.1049/el:20081754",
        conventions={"liu": "nan if an image is constant and not black (division by zero)"},
    ),
    MetricRef(
        "CE",
        f"{HERE}.information:cross_entropy",
        "divergence of the sources' histograms from the fused one's, bits",
        higher_is_better=False,
        bounds=(-0.531, inf),
        reference="D. M. Bulanon et al., Biosystems Engineering 103(1), 2009, 12-22; "
        "doi:10.1016/j.biosystemseng.2009.02.009",
        conventions={"vifb": ""},
    ),
    MetricRef(
        "Q_NCIE",
        f"{HERE}.information:nonlinear_correlation",
        "nonlinear correlation information entropy of all images",
        bounds=(0, 1),
        sources="joint",
        reference="Q. Wang, Y. Shen, J. Jin, in T. Stathaki (ed.), Image Fusion: Algorithms and "
        "Applications, 2008, 469-492; Q. Wang, Y. Shen, J. Q. Zhang, Physica D 200(3-4), 2005, "
        "287-295",
        conventions={"liu": "nan if an image is constant and not black (division by zero)"},
    ),
    MetricRef(
        "Q_TE",
        f"{HERE}.information:tsallis_information",
        "mutual information of Tsallis order 0.43137, normalized (Nava)",
        bounds=(0, 2),
        sources="pair",
        constant=0,
        reference="R. Nava et al., SPIE Newsroom, 4 September 2007, article 0824; Eq. 8 of Liu et "
        "al. 2012, doi:10.1109/TPAMI.2011.109",
        conventions={
            "liu": "a different quantity, because of three bugs: the marginals are exchanged in "
            "the joint histogram, Shannon entropies to the power of q replace those of Tsallis, "
            "and the information shared by the sources is added instead of subtracted; nan if an "
            "image is constant"
        },
    ),
    # ---------------------------------------------------------------- contrast.py
    MetricRef(
        "SD",
        f"{HERE}.contrast:standard_deviation",
        "standard deviation of the fused image, gray levels",
        bounds=(0, 127.5),
        sources="none",
        constant=0,
        reference="J. Ma et al., Information Fusion 45, 2019, 153-178; "
        "doi:10.1016/j.inffus.2018.02.004",
        conventions={"vifb": "", "tang": ""},
    ),
    MetricRef(
        "SF",
        f"{HERE}.contrast:spatial_frequency",
        "spatial frequency of the fused image, gray levels",
        bounds=(0, 255 * sqrt(2)),
        min_size=2,
        sources="none",
        constant=0,
        reference="A. M. Eskicioglu, P. S. Fisher, IEEE Trans. Commun. 43(12), 1995, 2959-2965; "
        "doi:10.1109/26.477498",
        conventions={
            "vifb": "nothing in gray; where color is scored channel by channel, takes the channels "
            "side by side as one image and counts the two seams as edges",
            "tang": "divides by the number of differences, not of pixels: 1 % more at 48x64",
        },
        joined_channels=("vifb",),
    ),
    MetricRef(
        "AG",
        f"{HERE}.contrast:average_gradient",
        "average gradient of the fused image, gray levels per pixel",
        bounds=(0, 255),
        min_size=2,
        sources="none",
        constant=0,
        reference="G. Cui et al., Optics Communications 341, 2015, 199-209; "
        "doi:10.1016/j.optcom.2014.12.032",
        conventions={
            "vifb": "divides a sum over H W pixels by (H - 1)(W - 1): 4 % more at 48x64",
            "tang": "as vifb",
        },
    ),
    MetricRef(
        "EI",
        f"{HERE}.contrast:edge_intensity",
        "edge intensity of the fused image: mean Sobel magnitude",
        bounds=(0, inf),
        sources="none",
        constant=0,
        reference="B. Rajalingam, R. Priya, Int. J. Engineering Science Invention 2 (special "
        "issue), 2018, 52-60",
        conventions={"vifb": ""},
    ),
    MetricRef(
        "Q_SF",
        f"{HERE}.contrast:spatial_frequency_error",
        "ratio of spatial frequency error (Zheng et al.), 0 is ideal",
        higher_is_better=None,
        bounds=(-1, inf),
        min_size=2,
        sources="joint",
        constant=-1,
        reference="Y. Zheng et al., Information Fusion 8(2), 2007, 177-192; "
        "doi:10.1016/j.inffus.2005.04.003",
        conventions={"liu": ""},
    ),
    # ---------------------------------------------------------------- differences.py
    MetricRef(
        "MSE",
        f"{HERE}.differences:mean_square_error",
        "mean squared error against the sources, gray levels squared",
        higher_is_better=False,
        bounds=(0, 255**2),
        reference="P. Jagalingam, A. V. Hegde, Aquatic Procedia 4, 2015, 133-142; "
        "doi:10.1016/j.aqpro.2015.02.019",
        conventions={"tang": "of images in 0..1: smaller by a factor 255^2"},
    ),
    MetricRef(
        "RMSE",
        f"{HERE}.differences:root_mean_square_error",
        "root of the mean squared error against the sources, gray levels",
        higher_is_better=False,
        bounds=(0, 255),
        reference="P. Jagalingam, A. V. Hegde, Aquatic Procedia 4, 2015, 133-142; "
        "doi:10.1016/j.aqpro.2015.02.019",
        conventions={
            "vifb": "divides the root of the sum of squares by the number of pixels, not by its "
            "root: decreases with image size, 0.6 instead of 35 at 51x63"
        },
    ),
    MetricRef(
        "PSNR",
        f"{HERE}.differences:peak_signal_to_noise_ratio",
        "peak signal-to-noise ratio against the sources, dB",
        bounds=(0, inf),
        reference="P. Jagalingam, A. V. Hegde, Aquatic Procedia 4, 2015, 133-142; "
        "doi:10.1016/j.aqpro.2015.02.019",
        conventions={
            "vifb": "about 30 dB too high, more for larger images: uses the error of RMSE@vifb as "
            "the mean square",
            "tang": "48.13 dB too high: errors of images in 0..1, a peak of 255",
        },
    ),
    MetricRef(
        "CC",
        f"{HERE}.differences:correlation",
        "correlation with the sources (Pearson)",
        bounds=(-1, 1),
        constant=nan,
        reference="M. Deshmukh, U. Bhosale, Int. J. Image Processing 4(5), 2010, 484-508",
        conventions={"tang": ""},
    ),
    MetricRef(
        "SCD",
        f"{HERE}.differences:sum_of_correlations",
        "sum of the correlations of differences (Aslantas and Bendes)",
        bounds=(-2, 2),
        sources="pair",
        reference="V. Aslantas, E. Bendes, AEU 69(12), 2015, 1890-1896; "
        "doi:10.1016/j.aeue.2015.09.004",
        conventions={"paper": "", "tang": ""},
    ),
    # ---------------------------------------------------------------- edges.py
    MetricRef(
        "Qabf",
        f"{HERE}.edges:qabf",
        "fraction of the sources' edges that the fused image preserves",
        bounds=(0, 1),
        min_size=3,
        sources="joint",
        reference="C. S. Xydeas, V. Petrovic, Electronics Letters 36(4), 2000, 308-309; "
        "doi:10.1049/el:20000267",
        conventions={
            "paper": "on gray levels in 0..1, where most exactly preserved edges count as lost, "
            "and the rounding of MATLAB's conv2 decides which: 0.43 instead of 0.68 for a copy of "
            "a source",
            "vifb": "exactly preserved edges count up to 0.06 % more",
            "tang": "as vifb; in 16-bit images such edges count as lost if they are weaker than a "
            "gray level",
        },
    ),
    MetricRef(
        "Q_G",
        f"{HERE}.edges:q_g",
        "fraction of the sources' edges that is preserved, mean over pixels",
        bounds=(0, 1),
        min_size=3,
        sources="joint",
        reference="Z. Liu et al., IEEE Trans. PAMI 34(1), 2012, 94-109; doi:10.1109/TPAMI.2011.109",
        conventions={"liu": "replaces zero divisors by 1e-5: 1e-6 higher or lower"},
    ),
    MetricRef(
        "Nabf",
        f"{HERE}.edges:nabf",
        "fraction of edges that the fused image adds",
        higher_is_better=False,
        bounds=(0, 1),
        min_size=3,
        sources="joint",
        constant=0,
        reference="B. K. Shreyamsha Kumar, Signal, Image and Video Processing 7(6), 2013, "
        "1125-1143; doi:10.1007/s11760-012-0361-x",
        conventions={
            "paper": "on gray levels in 0..1, where the threshold of 2 gray levels is never "
            "reached: all pixels have the same weight, and noise in flat regions counts fully",
            "tang": "called with its images in the wrong order: scores the first source as if it "
            "were fused from the others and the fused image",
        },
    ),
    # ---------------------------------------------------------------- structure.py
    MetricRef(
        "SSIM",
        f"{HERE}.structure:ssim",
        "structural similarity with the sources (Wang et al. 2004)",
        bounds=(-1, 1),
        min_size=11,
        reference="Z. Wang et al., IEEE Trans. Image Processing 13(4), 2004, 600-612; "
        "doi:10.1109/TIP.2003.819861",
        conventions={
            "vifb": "the sum over the sources, not the mean: up to 2 for a pair",
            "tang": "constants of images in 0..1 for gray levels up to 255, so that noise in "
            "uniform areas counts fully: 0.55 instead of 0.85; the border as in SSIM_a",
        },
    ),
    MetricRef(
        "SSIM_a",
        f"{HERE}.structure:ssim_average",
        "structural similarity as in Table II: border pixels repeated",
        bounds=(-1, 1),
        reference="H. Li, X.-J. Wu, IEEE Trans. Image Processing 28(5), 2019, 2614-2623; "
        "doi:10.1109/TIP.2018.2887342",
        conventions={"paper": ""},
    ),
    MetricRef(
        "MS_SSIM_Wang",
        f"{HERE}.structure:ms_ssim_wang",
        "multi-scale structural similarity of Wang et al., five scales",
        bounds=(0, 1),
        min_size=176,
        reference="Z. Wang, E. P. Simoncelli, A. C. Bovik, Asilomar 2003, 1398-1402; "
        "doi:10.1109/ACSSC.2003.1292216",
    ),
    MetricRef(
        "Q_S",
        f"{HERE}.structure:piella_similarity",
        "similarity with the more varied source (Piella, Heijmans)",
        bounds=(-1, 1),
        min_size=11,
        sources="joint",
        reference="G. Piella, H. Heijmans, ICIP 2003, III-173-176; doi:10.1109/ICIP.2003.1247209",
        conventions={
            "liu": "SSIM in its Gaussian windows in place of the index Q0 in blocks of 8x8: 0.80 "
            "instead of 0.62 for a mean, since the constants make uniform areas similar",
        },
    ),
    MetricRef(
        "Q_W",
        f"{HERE}.structure:piella_weighted",
        "Q_S with more weight on varied windows (Piella, Heijmans)",
        bounds=(-1, 1),
        min_size=11,
        sources="joint",
        reference="G. Piella, H. Heijmans, ICIP 2003, III-173-176; doi:10.1109/ICIP.2003.1247209",
        conventions={"liu": "SSIM in its Gaussian windows in place of Q0 in blocks of 8x8"},
    ),
    MetricRef(
        "Q_C",
        f"{HERE}.structure:cvejic",
        "similarity weighted by covariance with the sources (Cvejic et al.)",
        bounds=(-1, 1),
        min_size=11,
        sources="pair",
        reference="N. Cvejic et al., International Journal of Signal Processing 2(3), 2005, "
        "178-182",
        conventions={
            "liu": "where a weight is outside 0..1, sets the window's value to 0 or 1 instead of "
            "clamping the weight, so that the order of the sources matters: 0.39 instead of 0.94 "
            "for a copy of a source; nan if both covariances of a window are zero; rounding "
            "decides in flat windows, here that of GNU Octave; Gaussian windows of 7x7",
        },
    ),
    MetricRef(
        "Q_Y",
        f"{HERE}.structure:yang",
        "similarity in redundant and complementary windows (Yang et al.)",
        bounds=(-1, 1),
        min_size=11,
        sources="pair",
        reference="C. Yang et al., Information Fusion 9(2), 2008, 156-160; "
        "doi:10.1016/j.inffus.2006.09.001",
        conventions={
            "liu": "rounding decides in flat windows, here that of GNU Octave; nan if both "
            "sources are constant",
        },
    ),
    # ---------------------------------------------------------------- exposures.py
    MetricRef(
        "MS_SSIM",
        f"{HERE}.exposures:mef_ssim",
        "MEF-SSIM at three scales (Ma et al.), not Wang's MS-SSIM",
        bounds=(0, 1),
        min_size=44,
        sources="joint",
        reference="K. Ma, K. Zeng, Z. Wang, IEEE Trans. Image Processing 24(11), 2015, 3345-3356; "
        "doi:10.1109/TIP.2015.2442920",
        conventions={"paper": "", "tang": ""},
    ),
    # ---------------------------------------------------------------- fidelity.py
    MetricRef(
        "VIF",
        f"{HERE}.fidelity:vif",
        "visual information fidelity in the pixel domain, summed",
        bounds=(0, inf),
        min_size=41,
        sources="sum",
        constant=0,
        reference="H. R. Sheikh, A. C. Bovik, IEEE Trans. Image Processing 15(2), 2006, 430-444; "
        "doi:10.1109/TIP.2005.859378",
        conventions={"tang": ""},
    ),
    MetricRef(
        "VIFF",
        f"{HERE}.fidelity:viff",
        "visual information fidelity for fusion (Han et al.)",
        bounds=(0, inf),
        min_size=41,
        sources="joint",
        constant=None,
        symmetric=False,  # if all gains are 0, the last source counts
        reference="Y. Han et al., Information Fusion 14(2), 2013, 127-135; "
        "doi:10.1016/j.inffus.2011.08.002",
    ),
    # ---------------------------------------------------------------- features.py
    MetricRef(
        "FMI_pixel",
        f"{HERE}.features:fmi_pixel",
        "feature mutual information of Sobel edges, in 3x3 windows",
        min_size=3,
        reference="M. Haghighat, M. A. Razian, AICT 2014, 1-3",
        conventions={
            "paper": "edges as GNU Octave finds them, 0.2 to 2 % lower: a pixel has to exceed both "
            "neighbors; if they are equal, rounding noise decides"
        },
    ),
    MetricRef(
        "FMI_dct",
        f"{HERE}.features:fmi_dct",
        "feature mutual information of cosine coefficients, in 3x3 windows",
        min_size=3,
        reference="M. Haghighat, M. A. Razian, AICT 2014, 1-3",
        conventions={"paper": ""},
    ),
    MetricRef(
        "FMI_w",
        f"{HERE}.features:fmi_w",
        "feature mutual information of Meyer wavelets, in 3x3 windows",
        min_size=3,
        reference="M. Haghighat, M. A. Razian, AICT 2014, 1-3",
        conventions={"paper": ""},
    ),
    # ---------------------------------------------------------------- perception.py
    MetricRef(
        "Q_CB",
        f"{HERE}.perception:q_cb",
        "preservation of perceived local contrast (Chen and Blum), 0..1",
        bounds=(0, 1),
        min_size=31,
        sources="joint",
        constant=0,
        reference="Y. Chen, R. S. Blum, Image and Vision Computing 27(10), 2009, 1421-1432; "
        "doi:10.1016/j.imavis.2007.12.002",
        conventions={
            "liu": "min-max normalizes each image to 0..255 and rounds, so that lost contrast or "
            "brightness costs little and a constant image gives nan; pads the images with black, "
            "a contrast that all share, which raises the values of small images",
            "vifb": "as liu",
        },
    ),
    MetricRef(
        "Q_CV",
        f"{HERE}.perception:q_cv",
        "visible error where sources have edges, squared gray levels",
        higher_is_better=False,
        bounds=(0, inf),
        min_size=16,
        sources="joint",
        constant=None,
        reference="H. Chen, P. K. Varshney, Information Fusion 8(2), 2007, 193-207; "
        "doi:10.1016/j.inffus.2005.10.001",
        conventions={
            "liu": "min-max normalizes each image to 0..255 and rounds, so that lost contrast or "
            "brightness costs nothing and a constant image gives nan; pads the sources with black, "
            "an edge that outweighs most of the scene; 0.144 instead of 0.114 in the sensitivity; "
            "regions cut off by the border count less",
            "vifb": "as liu",
        },
    ),
    # ---------------------------------------------------------------- pyramids.py
    MetricRef(
        "Q_M",
        f"{HERE}.pyramids:q_m",
        "edge preservation in a Haar pyramid (Wang and Liu), 0..3",
        bounds=(0, 3),
        min_size=4,
        sources="joint",
        constant=None,
        reference="P. Wang, B. Liu, ICSP 2008, 965-968; as in Liu et al. 2012, "
        "doi:10.1109/TPAMI.2011.109",
        conventions={"liu": ""},
    ),
    # ---------------------------------------------------------------- phase.py
    MetricRef(
        "Q_P",
        f"{HERE}.phase:q_p",
        "local correlation of phase congruency and its moments (Zhao et al.)",
        bounds=(-1, 1),
        min_size=11,
        sources="joint",
        constant=None,
        reference="J. Zhao et al., IJICIC 3(6A), 2007, 1433-1447; as in Liu et al. 2012, "
        "doi:10.1109/TPAMI.2011.109",
        conventions={
            "liu": "1 to 11 % lower on photographs, because of two bugs of an early phase "
            "congruency: the mixed moment is a quarter of the correct value, so that oblique "
            "edges are taken for corners; at odd edges the low-pass filter is off by one frequency",
        },
    ),
    # ---------------------------------------------------------------- colors.py
    MetricRef(
        "saturation",
        f"{HERE}.colors:saturation",
        "standard deviation of red, green and blue, mean over the pixels",
        bounds=(0, 255 * sqrt(2) / 3),
        sources="none",
        constant=0,
        color=True,
        reference="T. Mertens, J. Kautz, F. Van Reeth, Computer Graphics Forum 28(1), 2009, "
        "161-171; doi:10.1111/j.1467-8659.2008.01171.x",
    ),
    MetricRef(
        "hue_error",
        f"{HERE}.colors:hue_error",
        "share of the colored pixels whose hue turns by more than 90 degrees",
        higher_is_better=False,
        bounds=(0, 1),
        sources="joint",
        color=True,
        reference="defined here, with the chroma of ITU-T T.871 (JFIF), 2011, merged as by K. R. "
        "Prabhakar et al., ICCV 2017; doi:10.1109/ICCV.2017.505",
    ),
    # ---------------------------------------------------------------- thermal.py
    MetricRef(
        "warm_contrast",
        f"{HERE}.thermal:warm_contrast",
        "warmest 1 % of the infrared (a) against its surroundings, gray levels",
        bounds=(-255, 255),
        sources="pair",
        constant=0,
        symmetric=False,
        reference="defined here",
    ),
    MetricRef(
        "texture",
        f"{HERE}.thermal:texture",
        "Qabf of the visible image (b), without the warmest 5 % of a",
        bounds=(0, 1),
        min_size=3,
        sources="pair",
        symmetric=False,
        reference="defined here, with Qabf of C. S. Xydeas, V. Petrovic, Electronics Letters "
        "36(4), 2000, 308-309; doi:10.1049/el:20000267",
    ),
)

TEMPORAL_CATALOG: tuple[TemporalMetricRef, ...] = (
    # ---------------------------------------------------------------- temporal.py
    TemporalMetricRef(
        "flicker",
        f"{HERE}.temporal:flicker",
        "change since the frame before that no source explains, gray levels",
        higher_is_better=False,
        bounds=(0, 255),
        sources="joint",
        constant=0,
        reference="defined here",
        frames=2,
    ),
    TemporalMetricRef(
        "BiSWE",
        f"{HERE}.temporal:bidirectional_self_warping_error",
        "difference from both neighbors, moved by optical flow, gray levels",
        higher_is_better=False,
        bounds=(0, 510),
        min_size=16,
        sources="joint",
        constant=0,
        reference="Z. Zhao et al., NeurIPS 2025; arXiv:2505.19858",
        frames=3,
        flow=True,
    ),
    TemporalMetricRef(
        "MS2R",
        f"{HERE}.temporal:motion_smoothness",
        "change of motion that the sources do not have, pixels per frame squared",
        higher_is_better=False,
        bounds=(0, inf),
        min_size=16,
        sources="mean",
        reference="Z. Zhao et al., NeurIPS 2025; arXiv:2505.19858",
        frames=3,
        flow=True,
    ),
)

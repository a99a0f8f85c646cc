"""The discrete cosine harmonic wavelet transform: weight each coefficient by its significance.

X_i = DCT of source i, cut into blocks                             three levels, as by wavelets
b_i = inverse DCT of a block                                       10 bands of coefficients
s_i = significance of each coefficient                             see `Dchwt`
b   = sum_i s_i b_i / sum_n s_n
f   = inverse DCT of the DCTs of all b, put into their blocks
"""

from __future__ import annotations

LEVELS = 3

TINY = 1e-12
"""Significance added to that of every coefficient, as a share of the largest gray level: far above
the rounding of coefficients, and far below what 16 bits can show."""

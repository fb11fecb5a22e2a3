"""Rows for Fourier transforms: which parts of a complex number there are, how long they are, and along which axis."""

import numpy as np
from conformance import Fixed, Row

SEVEN, FIVE, SIX, TEN = (Fixed(np.array(n, np.int64)) for n in (7, 5, 6, 10))
TWO = Fixed(np.array(2, np.int64))
FOUR = Fixed(np.array(4, np.int64))
# ONNX Runtime (1.31) is wrong there: the reference has it right, as numpy.fft.irfft.
UNFIT = "half a spectrum that is not as long as its signal needs"

ROWS = [
    Row("DFT of real numbers", "y = DFT(x)", x=(2, 6, 1)),
    Row("DFT of complex numbers", "y = DFT(x)", x=(2, 5, 2)),
    Row("DFT, inverse", "y = DFT<inverse=1>(x)", x=(2, 5, 2)),
    Row("DFT, inverse, of real numbers", "y = DFT<inverse=1>(x)", x=(2, 6, 1)),
    Row("DFT, half of it", "y = DFT<onesided=1>(x)", x=(2, 6, 1)),
    Row("DFT, half of it, odd length", "y = DFT<onesided=1>(x)", x=(2, 5, 1)),
    Row("DFT along a later axis", "y = DFT<axis=2>(x)", x=(2, 3, 4, 2)),
    Row("DFT along an axis from behind", "y = DFT<axis=-2, onesided=1>(x)", x=(2, 3, 5, 1)),
    Row("DFT along the first axis", "y = DFT<axis=0>(x)", x=(4, 3, 1)),
    Row("DFT, longer than the signal", "y = DFT(x, n)", x=(2, 5, 2), n=SEVEN),
    Row("DFT, shorter than the signal", "y = DFT(x, n)", x=(2, 7, 1), n=FIVE),
    Row("DFT, half of it, longer", "y = DFT<onesided=1>(x, n)", x=(2, 5, 1), n=SEVEN),
    Row("DFT, half of it, shorter", "y = DFT<onesided=1>(x, n)", x=(2, 7, 1), n=SIX),
    Row("DFT, inverse, longer", "y = DFT<inverse=1>(x, n)", x=(2, 5, 2), n=SIX),
    Row("DFT, inverse, shorter", "y = DFT<inverse=1>(x, n)", x=(2, 7, 2), n=SIX),
    Row("DFT, its length computed", "n = Size(k); y = DFT(x, n)", x=(2, 5, 1), k=Fixed(np.zeros(7))),
    Row("DFT, half a spectrum, its length computed", "n = Size(k); y = DFT<inverse=1, onesided=1>(x, n)", x=(2, 4, 2),
        k=Fixed(np.zeros(7))),
    Row("DFT, half a spectrum to a signal", "y = DFT<inverse=1, onesided=1>(x)", x=(2, 4, 2)),
    Row("DFT, half a spectrum to a signal, odd length", "y = DFT<inverse=1, onesided=1>(x, n)", x=(2, 4, 2), n=SEVEN),
    Row("DFT, half a spectrum to a shorter signal", "y = DFT<inverse=1, onesided=1>(x, n)", x=(2, 5, 2), n=FIVE,
        skip_onnxruntime=UNFIT),
    Row("DFT, half a spectrum to a longer signal", "y = DFT<inverse=1, onesided=1>(x, n)", x=(2, 4, 2), n=TEN,
        skip_onnxruntime=UNFIT),
    Row("STFT, frames side by side", "y = STFT<onesided=0>(x, s, w)", x=(2, 8, 1), w=(4,), s=FOUR),
    Row("STFT, frames that overlap", "y = STFT<onesided=1>(x, s, w)", x=(1, 9, 1), w=(4,), s=TWO),
    Row("STFT, no window", "y = STFT<onesided=1>(x, s, , n)", x=(1, 9, 1), s=TWO, n=FIVE),
    Row("STFT, window and length", "y = STFT<onesided=1>(x, s, w, n)", x=(1, 9, 1), w=(5,), s=TWO, n=FIVE),
    Row("STFT of complex numbers", "y = STFT<onesided=0>(x, s, w)", x=(1, 8, 2), w=(4,), s=TWO),
]  # fmt: skip

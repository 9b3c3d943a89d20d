"""Cost of the statistics: many bootstrap correlations at once, against a plain loop over resamples.

    python benchmarks/correlations.py [n_bootstrap]

The loop is what one writes with SciPy: draw images, call `pearsonr` or `spearmanr`, once per resample and measure.
It is timed on a share of the resamples and scaled up; both run in this process, one after the other.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd
from scipy import stats

from distspc import correlate

N_IMAGES, N_MEASURES, N_TIMED = 2222, 14, 20


def table(seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=N_IMAGES)
    columns = {f"m{i}": 0.3 * score + rng.normal(size=N_IMAGES) for i in range(N_MEASURES)}
    return pd.DataFrame({"corrected_hit": score, **columns})


def loop(frame, measures, method, n_bootstrap):
    """Seconds of the plain loop, from `N_TIMED` of its resamples."""
    statistic = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[method]
    score, rng = frame["corrected_hit"].to_numpy(), np.random.default_rng(0)
    start = time.perf_counter()
    for measure in measures:
        values = frame[measure].to_numpy()
        for _ in range(N_TIMED):
            picked = rng.integers(0, N_IMAGES, N_IMAGES)
            statistic(values[picked], score[picked])
    return (time.perf_counter() - start) * n_bootstrap / N_TIMED


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(n_bootstrap=10_000):
    frame = table()
    measures = [f"m{i}" for i in range(N_MEASURES)]
    correlate(frame, measures, n_bootstrap=10)  # imports
    print(f"{N_IMAGES} images x {N_MEASURES} measures x {n_bootstrap} resamples; at the start {peak_mib():.0f} MiB")
    print(f"{'method':10} {'given':>6} {'seconds':>9} {'loop (s)':>9} {'ratio':>7} {'peak (MiB)':>11}")
    for method in ("pearson", "spearman"):
        slow = loop(frame, measures, method, n_bootstrap)
        for given in ((), ("m0",)):
            asked = [name for name in measures if name not in given]
            start = time.perf_counter()
            correlate(frame, asked, given=given, method=method, n_bootstrap=n_bootstrap)
            seconds = time.perf_counter() - start
            compared = f"{slow:9.0f} {slow / seconds:6.0f}x" if not given else f"{'':9} {'':7}"
            print(f"{method:10} {len(given):6} {seconds:9.2f} {compared} {peak_mib():11.0f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))

"""How long it takes to choose stimuli, and to simulate their experiment: processor time, synthetic measures.

python benchmarks/selection.py [--images 2222 10000] [--per-cell 48]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from distspc import select_stimuli
from distspc.errors import InputError
from distspc.selection.power import Assumptions, Factorial, simulated_power


def measures(n: int, seed: int = 0) -> pd.DataFrame:
    """Five normal measures that correlate at .45, and a category of six labels."""
    rng = np.random.default_rng(seed)
    values = np.sqrt(0.45) * rng.standard_normal((n, 1)) + np.sqrt(0.55) * rng.standard_normal((n, 5))
    return pd.DataFrame(values, columns=list("abcde")).assign(category=rng.choice(list("uvwxyz"), n))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs="+", default=[2222, 10_000])
    parser.add_argument("--per-cell", type=int, default=48)
    options = parser.parse_args()
    print("images, matched: seconds of processor time; r before and after; gap")
    for n in options.images:
        for match in ([], ["c"], ["c", "d", "category"]):
            start = time.process_time()
            try:
                found = select_stimuli(
                    measures(n), by=["a", "b"], per_cell=options.per_cell, match=match, time_limit=600
                )
            except InputError as error:
                print(n, match, error)
                continue
            seconds = time.process_time() - start
            before, after = (next(iter(r.values())) for r in (found.correlation_before, found.correlation_after))
            print(f"{n}, {match}: {seconds:.1f}; {before:.3f}, {after:.3f}; {found.gap:.2%}")
    start = time.process_time()
    simulated_power(Factorial(("a", "b"), 2, options.per_cell), Assumptions({"a": 0.4}))
    print(f"power, 1,000 experiments of 10 to 80 subjects each: {time.process_time() - start:.1f}")


if __name__ == "__main__":
    main()

"""Intervals, powers and stochastic order from SciPy and deepsig's definition; see README.md."""

import numpy as np
from scipy import stats

from common import Random


def violation(arm, baseline, dt):
    """deepsig's sum over a grid (1.2.8), at the middle of each step so that no grid point hits a jump."""
    t = np.arange(dt / 2, 1, dt)
    quantile = lambda x: np.sort(x)[np.minimum((t * len(x)).astype(int), len(x) - 1)]
    difference = quantile(baseline) - quantile(arm)
    whole = np.sum(difference**2)
    return np.sum(np.clip(difference, 0, None) ** 2) / whole if whole else 0.5


def main():
    random = Random(6)
    for _ in range(200):
        n = 1 + random.below(4000)
        k = random.below(n + 1)
        exact = stats.binomtest(k, n).proportion_ci(0.95, "exact")
        wilson = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
        print("interval", k, n, *map(float, (exact.low, exact.high, wilson.low, wilson.high)))
    for _ in range(100):
        lost, gained = random.below(60), random.below(60)
        p = stats.binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
        print("mcnemar", lost, gained, float(p))
    for n in (2, 3, 5, 10, 50):
        for effect in (0.0, 0.5, 1.0, 2.0):
            df, ncp = 2 * n - 2, effect * np.sqrt(n / 2)
            critical = stats.t.ppf(0.975, df)
            print("power", n, effect, float(stats.nct.sf(critical, df, ncp) + np.nan_to_num(stats.nct.cdf(-critical, df, ncp))))
    for _ in range(100):
        arm = [50 + random.below(100) / 10 for _ in range(1 + random.below(8))]
        baseline = [50 + random.below(100) / 10 for _ in range(1 + random.below(8))]
        # All steps end at multiples of 1/840, so the grid sum is exact.
        value = violation(np.array(arm), np.array(baseline), 1 / 840)
        print("violation", ",".join(map(str, arm)), ",".join(map(str, baseline)), float(value))
    for _ in range(50):
        arm = [50 + random.below(100) / 10 for _ in range(2 + random.below(6))]
        baseline = [50 + random.below(100) / 10 for _ in range(2 + random.below(6))]
        interval = stats.ttest_ind(arm, baseline, equal_var=False).confidence_interval(0.95)
        print("welch", ",".join(map(str, arm)), ",".join(map(str, baseline)), float(interval.low), float(interval.high))


main()

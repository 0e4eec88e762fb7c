//! Intervals, exact tests, power and stochastic order equal those of `SciPy` and deepsig.

use inerd_metrics::statistics::{almost_stochastic_order, effect_size, mcnemar, power};
use inerd_metrics::{clopper_pearson, wilson};

const EXPECTED: &str = include_str!("oracle/significance.txt");

fn scores(field: &str) -> Vec<f64> {
    field.split(',').map(|x| x.parse().unwrap()).collect()
}

#[test]
fn significance_equals_scipy() {
    let mut compared = 0;
    for line in EXPECTED.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        let count = |i: usize| fields[i].parse::<u64>().unwrap();
        let mut close = |found: f64, expected: f64| {
            compared += 1;
            assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{line}: {found}");
        };
        match fields[0] {
            "interval" => {
                let (low, high) = clopper_pearson(count(1), count(2), 0.95);
                close(low, number(3));
                close(high, number(4));
                let (low, high) = wilson(count(1), count(2), 0.95);
                close(low, number(5));
                close(high, number(6));
            }
            "mcnemar" => close(mcnemar(count(1), count(2)).p_value, number(3)),
            "power" => close(power(count(1) as usize, number(2), 1.0, 0.05), number(3)),
            "violation" => {
                let order = almost_stochastic_order(&scores(fields[1]), &scores(fields[2]), 0.95, 1, 0).unwrap();
                close(order.violation, number(3));
            }
            "welch" => {
                let (low, high) = effect_size(&scores(fields[1]), &scores(fields[2]), 0.95).unwrap().interval.unwrap();
                close(low, number(3));
                close(high, number(4));
            }
            other => panic!("unknown kind `{other}`"),
        }
    }
    assert!(compared > 1000, "{compared}");
}

//! How jitter is spread: netem's tables, calculated.
//!
//! A table has the values of a distribution with mean 0 and deviation 1, each as likely as the next one, in 1/8192. `tc` reads
//! them from files, which are the rounded values of the formulas below; ours agree with those files to one part in 8192.

use std::sync::LazyLock;

use super::Distribution;

/// The deviation in a table.
const SCALE: i64 = 8192;
/// Entries of a table.
const ENTRIES: usize = 4096;

type Table = [i16; ENTRIES];

static NORMAL: LazyLock<Table> = LazyLock::new(|| table(normal));
static PARETO: LazyLock<Table> = LazyLock::new(|| table(pareto));
/// A quarter of the one and three quarters of the other, at the same place.
static PARETO_NORMAL: LazyLock<Table> =
    LazyLock::new(|| table(|at| (normal(at) + 3.0 * pareto(at)) / 4.0));

/// A deviation from the mean in ns that the random number stands for, where `jitter_ns` is at most 2³¹.
///
/// netem takes the rest of a division of the random number, in which little is left of its likeness to the number before it: that is
/// why its correlation of delays does so little, and so does ours.
pub(super) fn deviation_ns(distribution: Distribution, jitter_ns: u32, random: u32) -> i64 {
    let table = match distribution {
        Distribution::Uniform => {
            let width = jitter_ns.saturating_mul(2).max(1);
            return i64::from(random % width) - i64::from(jitter_ns);
        }
        Distribution::Normal => &NORMAL,
        Distribution::Pareto => &PARETO,
        Distribution::ParetoNormal => &PARETO_NORMAL,
    };
    let factor = i64::from(table[random as usize % ENTRIES]);
    // To the nearest.
    (factor * i64::from(jitter_ns) + SCALE / 2).div_euclid(SCALE)
}

/// The least of these deviations.
pub(super) fn least_deviation_ns(distribution: Distribution, jitter_ns: u32) -> i64 {
    // Even jitter counts from its least value on, and tables are in the order of their values.
    deviation_ns(distribution, jitter_ns, 0)
}

fn table(value: impl Fn(usize) -> f64) -> Table {
    std::array::from_fn(|at| {
        let scaled = (value(at) * SCALE as f64).round();
        // A cast of a float takes the nearest that there is.
        scaled as i16
    })
}

/// The value of the standard normal distribution under which (at + 1/8) / 4096 of it lies.
fn normal(at: usize) -> f64 {
    let share = (at as f64 + 0.125) / ENTRIES as f64;
    let mut x = 0.0;
    // Newton's method. The tail is nearly straight from where we come, so it ends soon and never overshoots.
    for _ in 0..64 {
        let density = (-x * x / 2.0_f64).exp() / (2.0 * std::f64::consts::PI).sqrt();
        // What lies between 0 and x is the density there times x + x³/3 + x⁵/(3·5) + …
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term.abs() > 1e-17 {
            odd += 2.0;
            term *= x * x / odd;
            sum += term;
        }
        let step = (0.5 + density * sum - share) / density;
        x -= step;
        if step.abs() < 1e-9 {
            break;
        }
    }
    x
}

/// The value of a Pareto distribution with exponent 3, shifted and scaled as netem does it: to mean 0, and with the tail cut off
/// at 4, where the entries of a table end. That leaves a deviation of 0.82.
fn pareto(at: usize) -> f64 {
    let above = 1.0 - at as f64 / ENTRIES as f64;
    let value = (1.0 / above.cbrt() - 1.5) * 4.0 / 3.0;
    value.min(f64::from(i16::MAX) / SCALE as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_deviation(table: &Table) -> (f64, f64) {
        let values = table.map(|value| f64::from(value) / SCALE as f64);
        let mean = values.iter().sum::<f64>() / ENTRIES as f64;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>();
        (mean, (variance / ENTRIES as f64).sqrt())
    }

    #[test]
    fn the_tables_are_netems() {
        // Some entries of the files that come with tc.
        let known: [(&Table, [i16; 10]); 3] = [
            (
                &NORMAL,
                [
                    -32768, -28307, -23600, -16135, -5677, 0, 5081, 16285, 24424, 28858,
                ],
            ),
            (
                &PARETO,
                [
                    -5461, -5460, -5454, -5371, -4393, -2622, 566, 21783, 32767, 32767,
                ],
            ),
            (
                &PARETO_NORMAL,
                [
                    -12305, -11171, -9990, -8062, -4714, -1966, 1694, 20408, 30681, 31789,
                ],
            ),
        ];
        let places = [0, 1, 8, 100, 1000, 2048, 3000, 4000, 4090, 4095];
        for (table, values) in known {
            for (at, value) in places.into_iter().zip(values) {
                assert!(
                    (table[at] - value).abs() <= 1,
                    "{at}: {} {value}",
                    table[at]
                );
            }
        }
    }

    #[test]
    fn the_tables_have_the_mean_and_the_deviation_that_they_promise() {
        let (mean, deviation) = mean_and_deviation(&NORMAL);
        assert!(mean.abs() < 0.002, "{mean}");
        assert!((deviation - 1.0).abs() < 0.002, "{deviation}");
        // These two lack the end of their tail, in netem too.
        let (mean, deviation) = mean_and_deviation(&PARETO);
        assert!((mean + 0.0335).abs() < 0.001, "{mean}");
        assert!((deviation - 0.8197).abs() < 0.001, "{deviation}");
        let (mean, deviation) = mean_and_deviation(&PARETO_NORMAL);
        assert!((mean + 0.0253).abs() < 0.001, "{mean}");
        assert!((deviation - 0.8339).abs() < 0.001, "{deviation}");
    }

    #[test]
    fn uniform_jitter_stays_within_its_bounds() {
        let of = |random| deviation_ns(Distribution::Uniform, 1000, random);
        assert_eq!((of(0), of(1999), of(2000)), (-1000, 999, -1000));
        assert_eq!(deviation_ns(Distribution::Uniform, 0, 5), 0);
        assert_eq!(deviation_ns(Distribution::Normal, 1000, 0), -4000);
    }
}

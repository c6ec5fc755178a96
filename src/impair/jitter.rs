//! The distributions of jitter: netem's tables, calculated.
//!
//! A table contains equally likely values of a distribution with mean 0 and standard deviation 1, in units of 1/8192. `tc` reads
//! its tables from files, which contain the rounded values of the formulas below. Ours agree with the files to one unit.

use std::sync::LazyLock;

use super::Distribution;

/// The table value of one standard deviation.
const SCALE: i64 = 8192;
/// The number of entries of a table.
const ENTRIES: usize = 4096;

type Table = [i16; ENTRIES];

static NORMAL: LazyLock<Table> = LazyLock::new(|| table(normal));
static PARETO: LazyLock<Table> = LazyLock::new(|| table(pareto));
/// A quarter of the normal and three quarters of the Pareto value at the same index.
static PARETO_NORMAL: LazyLock<Table> =
    LazyLock::new(|| table(|at| (normal(at) + 3.0 * pareto(at)) / 4.0));

/// Maps a random number to a deviation from the mean, in ns. `jitter_ns` is at most 2³¹.
///
/// Like netem, this takes the remainder of the random number. The remainder keeps little of the number's correlation with the
/// one before, so the correlation of delays has little effect, here as there.
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
    // Rounded to the nearest.
    (factor * i64::from(jitter_ns) + SCALE / 2).div_euclid(SCALE)
}

/// The least of these deviations.
pub(super) fn least_deviation_ns(distribution: Distribution, jitter_ns: u32) -> i64 {
    // Index 0 is the least value of uniform jitter and of the tables, which are sorted.
    deviation_ns(distribution, jitter_ns, 0)
}

fn table(value: impl Fn(usize) -> f64) -> Table {
    std::array::from_fn(|at| {
        let scaled = (value(at) * SCALE as f64).round();
        // The cast saturates.
        scaled as i16
    })
}

/// The quantile (at + 1/8) / 4096 of the standard normal distribution.
fn normal(at: usize) -> f64 {
    let share = (at as f64 + 0.125) / ENTRIES as f64;
    let mut x = 0.0;
    // Newton's method from 0. The distribution function is nearly straight on the way to the tail, so it converges quickly and
    // never overshoots.
    for _ in 0..64 {
        let density = (-x * x / 2.0_f64).exp() / (2.0 * std::f64::consts::PI).sqrt();
        // The probability between 0 and x is density(x) · (x + x³/3 + x⁵/(3·5) + …).
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

/// The quantile at / 4096 of a Pareto distribution with exponent 3, shifted and scaled as in netem: to mean 0, with the tail cut
/// at 4, the largest value of a table. The remaining standard deviation is 0.82.
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
    fn the_tables_equal_those_of_netem() {
        // Entries of the files that ship with tc.
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
    fn the_tables_have_the_mean_and_deviation_of_their_distributions() {
        let (mean, deviation) = mean_and_deviation(&NORMAL);
        assert!(mean.abs() < 0.002, "{mean}");
        assert!((deviation - 1.0).abs() < 0.002, "{deviation}");
        // The tails of these two are cut, as in netem.
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

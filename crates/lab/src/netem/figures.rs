//! The figures of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A packet that arrived as it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Its number, from 0.
    pub(crate) number: u32,
    /// The time at which it was due to be sent.
    pub(crate) planned_ns: u64,
    pub(crate) sent_ns: u64,
    pub(crate) received_ns: u64,
}

/// A run: the number of packets sent, the arrivals in order, and the number of packets that arrived damaged.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) packets: u32,
    /// The size of a packet on the line.
    pub(crate) bytes: usize,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) damaged: u64,
}

/// A figure of a run. Times are in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Figure {
    /// The share of packets that never arrived intact.
    Lost,
    /// The mean number of packets lost in a row.
    Burst,
    /// The 90th percentile of the lengths of loss bursts.
    LongBurst,
    /// The share of packets that arrived a second time.
    Twice,
    /// The share of packets that arrived damaged.
    Damaged,
    /// The share of arrived packets that came after a packet sent later.
    Overtaken,
    /// The 5th percentile of the delays.
    Low,
    /// The median of the delays.
    Median,
    /// The 95th percentile of the delays.
    High,
    /// The correlation of each delay with the one before it.
    Likeness,
    /// The rate of arrivals in kbit/s, with headers.
    Throughput,
    /// The share of arrivals that fell into a stall of the machine. Their delays are not used.
    Stalled,
}

pub(crate) type Figures = BTreeMap<Figure, f64>;

impl Figure {
    const ALL: [Self; 12] = [
        Self::Lost,
        Self::Burst,
        Self::LongBurst,
        Self::Twice,
        Self::Damaged,
        Self::Overtaken,
        Self::Low,
        Self::Median,
        Self::High,
        Self::Likeness,
        Self::Throughput,
        Self::Stalled,
    ];

    /// Returns its name in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost, %",
            Self::Burst => "lost in a row, mean",
            Self::LongBurst => "lost in a row, 90 %",
            Self::Twice => "twice, %",
            Self::Damaged => "damaged, %",
            Self::Overtaken => "overtaken, %",
            Self::Low => "delay, 5 %, ms",
            Self::Median => "delay, median, ms",
            Self::High => "delay, 95 %, ms",
            Self::Likeness => "correlation of delays",
            Self::Throughput => "arrives, kbit/s",
            Self::Stalled => "left out, %",
        }
    }

    /// Formats a value for display.
    pub(crate) fn shown(self, value: f64) -> String {
        match self {
            Self::Lost | Self::Twice | Self::Damaged | Self::Overtaken | Self::Stalled => {
                format!("{:.2}", value * 100.0)
            }
            Self::Burst | Self::LongBurst | Self::Low | Self::Median | Self::High => {
                format!("{value:.2}")
            }
            Self::Likeness => format!("{value:.3}"),
            Self::Throughput => format!("{value:.1}"),
        }
    }

    /// Returns whether it depends on times, which stalls and late wake-ups of the machine change.
    pub(crate) fn is_time(self) -> bool {
        match self {
            Self::Low | Self::Median | Self::High | Self::Likeness | Self::Overtaken => true,
            Self::Lost
            | Self::Burst
            | Self::LongBurst
            | Self::Twice
            | Self::Damaged
            | Self::Throughput
            | Self::Stalled => false,
        }
    }
}

/// Returns every figure for which the run has data.
pub(crate) fn figures(run: &Run) -> Figures {
    let sorted = Sorted::of(run);
    let figures = Figure::ALL.into_iter().filter_map(|figure| {
        let value = sorted.figure(figure, run)?;
        value.is_finite().then_some((figure, value))
    });
    figures.collect()
}

/// A run, sorted so that its figures can be computed.
struct Sorted {
    /// The first arrival of each packet, by packet number.
    first: Vec<Option<Arrival>>,
    unique: f64,
    /// The delay of each packet that arrived outside the machine's stalls, by packet number.
    calm: Vec<Option<f64>>,
    /// The same delays in ascending order.
    delays: Vec<f64>,
    /// The lengths of the loss bursts in ascending order.
    bursts: Vec<u32>,
    overtaken: f64,
}

impl Sorted {
    fn of(run: &Run) -> Self {
        let stalls = Stalls::of(&run.arrivals);
        let mut first: Vec<Option<Arrival>> = vec![None; run.packets as usize];
        let mut overtaken = 0_u32;
        let mut latest = None;
        for arrival in &run.arrivals {
            let place = &mut first[arrival.number as usize];
            if place.is_none() {
                *place = Some(*arrival);
                overtaken += u32::from(latest > Some(arrival.number));
            }
            latest = latest.max(Some(arrival.number));
        }
        let calm: Vec<Option<f64>> = first
            .iter()
            .map(|arrival| {
                let calm = arrival.filter(|arrival| !stalls.contain(arrival.received_ns))?;
                Some(calm.received_ns.saturating_sub(calm.sent_ns) as f64 / 1e6)
            })
            .collect();
        let mut delays: Vec<f64> = calm.iter().flatten().copied().collect();
        delays.sort_by(f64::total_cmp);
        let mut bursts: Vec<u32> = first
            .split(Option::is_some)
            .filter(|burst| !burst.is_empty())
            .map(|burst| u32::try_from(burst.len()).expect("a part of the packets"))
            .collect();
        bursts.sort_unstable();
        Self {
            unique: first.iter().flatten().count() as f64,
            first,
            calm,
            delays,
            bursts,
            overtaken: overtaken.into(),
        }
    }

    fn figure(&self, figure: Figure, run: &Run) -> Option<f64> {
        let sent = f64::from(run.packets);
        let delay = |percent: usize| self.delays.get(self.delays.len() * percent / 100).copied();
        match figure {
            Figure::Lost => Some(1.0 - self.unique / sent),
            Figure::Burst => Some((sent - self.unique) / self.bursts.len() as f64),
            Figure::LongBurst => {
                let longer = self.bursts.get(self.bursts.len() * 9 / 10)?;
                Some(f64::from(*longer))
            }
            Figure::Twice => Some((run.arrivals.len() as f64 - self.unique) / sent),
            Figure::Damaged => Some(run.damaged as f64 / sent),
            Figure::Overtaken => Some(self.overtaken / self.unique),
            Figure::Low => delay(5),
            Figure::Median => delay(50),
            Figure::High => delay(95),
            Figure::Likeness => Some(correlation(&self.calm)),
            Figure::Throughput => {
                let (first, last) = (run.arrivals.first()?, run.arrivals.last()?);
                let ms = last.received_ns.abs_diff(first.received_ns) as f64 / 1e6;
                Some((run.arrivals.len() as f64 - 1.0) * run.bytes as f64 * 8.0 / ms)
            }
            Figure::Stalled => {
                let arrived = self.first.iter().flatten().count();
                Some(1.0 - self.delays.len() as f64 / arrived as f64)
            }
        }
    }
}

/// The machine's stalls, detected by the sender's lateness. Packets that were due in a stall arrive late and together.
struct Stalls(Vec<(u64, u64)>);

impl Stalls {
    /// The sender's greatest lateness that does not count as a stall.
    const LATE_NS: u64 = 1_000_000;
    /// How long a stall lasts beyond the late send, because sender and receiver have a backlog to work off.
    const AFTER_NS: u64 = 2_000_000;

    fn of(arrivals: &[Arrival]) -> Self {
        let late = arrivals.iter().filter_map(|arrival| {
            let late = arrival.sent_ns.saturating_sub(arrival.planned_ns) > Self::LATE_NS;
            late.then_some((arrival.planned_ns, arrival.sent_ns + Self::AFTER_NS))
        });
        let mut late: Vec<_> = late.collect();
        late.sort_unstable();
        late.dedup_by(|next, before| {
            let one = next.0 <= before.1;
            if one {
                before.1 = before.1.max(next.1);
            }
            one
        });
        Self(late)
    }

    fn contain(&self, ns: u64) -> bool {
        let after = self.0.partition_point(|(begin, _)| *begin <= ns);
        after > 0 && ns <= self.0[after - 1].1
    }
}

/// Returns the correlation of each delay with that of the next packet, over the pairs in which both are known.
fn correlation(delays: &[Option<f64>]) -> f64 {
    let pairs: Vec<(f64, f64)> = delays
        .windows(2)
        .filter_map(|pair| pair[0].zip(pair[1]))
        .collect();
    let count = pairs.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let (a, b) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
    let product = mean(&|pair| (pair.0 - a) * (pair.1 - b));
    let squares = mean(&|pair| (pair.0 - a).powi(2)) * mean(&|pair| (pair.1 - b).powi(2));
    product / squares.sqrt()
}

/// The distribution of a figure over the model's runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) mean: f64,
    /// The standard deviation between runs of this length.
    pub(crate) deviation: f64,
}

/// Returns the distribution of every figure over many runs of the same length.
pub(crate) fn expected(runs: &[Figures]) -> BTreeMap<Figure, Expected> {
    let of = |figure: Figure| {
        let values: Vec<f64> = runs
            .iter()
            .filter_map(|run| run.get(&figure).copied())
            .collect();
        if values.len() < runs.len() / 2 {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (count - 1.0)).sqrt();
        Some((figure, Expected { mean, deviation }))
    };
    Figure::ALL.into_iter().filter_map(of).collect()
}

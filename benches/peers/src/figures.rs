//! What came out, and how it is told.

use std::time::Duration;

use serde::Serialize;

use crate::round::{Done, Side};
use crate::scenario::Scenario;

/// What is measured of a scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Ours, the median of the rounds.
    pub(crate) ours: f64,
    /// The best of the other sides, the median of its rounds.
    pub(crate) other: f64,
    /// How many times faster ours is, or where a time is told, how many times as long it takes: the median of the pairs.
    pub(crate) ratio: f64,
    /// The smallest ratio of a pair.
    pub(crate) min: f64,
    /// The largest one.
    pub(crate) max: f64,
    pub(crate) unit: &'static str,
    /// What ours is, and what the best of the other sides.
    pub(crate) side: &'static str,
    pub(crate) against: &'static str,
    /// Whether less is better.
    #[serde(skip)]
    pub(crate) is_time: bool,
}

impl Figures {
    /// Runs ours and the other sides in turn, so that what disturbs the machine disturbs both.
    pub(crate) fn measure(
        scenario: &Scenario,
        pairs: usize,
        time: Duration,
        pinned: bool,
    ) -> Done<Self> {
        let run = |side: &Side| -> Done<f64> { Ok(scenario.unit.of(side.run(time, pinned)?)) };
        let mut ours = Vec::new();
        let mut others = vec![Vec::new(); scenario.others.len()];
        for pair in 0..pairs {
            // Each goes first as often as the other.
            let ours_first = pair % 2 == 0;
            if ours_first {
                ours.push(run(scenario.ours)?);
            }
            for (side, rates) in scenario.others.iter().zip(&mut others) {
                rates.push(run(side)?);
            }
            if !ours_first {
                ours.push(run(scenario.ours)?);
            }
        }
        let best = scenario
            .others
            .iter()
            .zip(others)
            .max_by(|(_, one), (_, two)| median(one).total_cmp(&median(two)));
        let (side, other) = best.ok_or("a scenario without another side")?;
        let ratios: Vec<f64> = ours.iter().zip(&other).map(|(ours, other)| ours / other).collect();
        Ok(Self {
            ours: median(&ours),
            other: median(&other),
            ratio: median(&ratios),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(0.0, f64::max),
            unit: scenario.unit.name,
            side: scenario.ours.name,
            against: side.name,
            is_time: scenario.unit.is_time,
        })
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}

//! The ratios as a picture.

use std::fmt::Write;

use crate::figures::Figures;

const ROW: f64 = 24.0;
const LABELS: f64 = 220.0;
const BARS: f64 = 520.0;

/// Bars from 1, where both are as fast, to the ratio, with a line from the smallest to the largest: on a
/// logarithmic scale, so that twice as fast and half as fast have the same length.
pub(crate) fn svg(results: &[(&str, Figures)]) -> String {
    let all = || results.iter().flat_map(|(_, figures)| [figures.min, figures.max]);
    let low = all().fold(0.5, f64::min).log2().floor();
    let high = all().fold(2.0, f64::max).log2().ceil();
    let x = |ratio: f64| LABELS + BARS * (ratio.log2() - low) / (high - low);
    let (mut rows, mut y) = (String::new(), ROW);
    for (name, Figures { ratio, min, max, .. }) in results {
        let (from, to) = (x(ratio.min(1.0)), x(ratio.max(1.0)));
        let (middle, text) = (y + ROW / 2.0, y + ROW / 2.0 + 4.0);
        let colour = if *ratio < 1.0 { "#c8553d" } else { "#2a7f9e" };
        let _ = write!(
            rows,
            r##"<text x="{:.1}" y="{text:.1}" text-anchor="end">{name}</text>
<rect x="{from:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>
<path d="M{:.1} {middle:.1}H{:.1}" stroke="#222"/>
<text x="{:.1}" y="{text:.1}">{ratio:.2} ×</text>
"##,
            LABELS - 8.0,
            y + 4.0,
            to - from,
            ROW - 8.0,
            x(*min),
            x(*max),
            x(max.max(1.0)) + 6.0,
        );
        y += ROW;
    }
    let (width, height) = (LABELS + BARS + 70.0, y + ROW);
    let (mut scale, mut power) = (String::new(), low);
    while power <= high {
        let (at, ratio) = (x(power.exp2()), power.exp2());
        let colour = if power == 0.0 { "#222" } else { "#ddd" };
        let _ = write!(
            scale,
            r##"<path d="M{at:.1} {ROW}V{y:.1}" stroke="{colour}"/>
<text x="{at:.1}" y="{:.1}" text-anchor="middle">{ratio}</text>
"##,
            y + 16.0,
        );
        power += 1.0;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LABELS}" y="14">how many times faster typed-pipe is</text>
{scale}{rows}</svg>
"##
    )
}

//! The parts of a picture, in colours that can be read on light and on dark ground.
//!
//! On a page of rustdoc a picture is a part of the page, and has the colour of its text. Alone, as in a README, it
//! is the root of a document, brings a ground of its own, and follows the system's choice of light or dark.

pub(crate) const BLUE: &str = "#2f81c7";
pub(crate) const GREEN: &str = "#3a9d5d";
pub(crate) const ORANGE: &str = "#c96a2b";

/// Lines in a frame. `label` is for those that cannot see it.
pub(crate) fn document(width: f64, height: f64, label: &str, lines: &[String]) -> String {
    let body = lines.join("\n");
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{label}" class="typed-pipe" style="max-width:100%;height:auto" font-family="system-ui,'Segoe UI','DejaVu Sans',sans-serif" font-size="13" fill="currentColor">
<style>svg.typed-pipe:root{{color:#1f2328}}svg.typed-pipe:root>.ground{{fill:#ffffff}}@media(prefers-color-scheme:dark){{svg.typed-pipe:root{{color:#e6edf3}}svg.typed-pipe:root>.ground{{fill:#0d1117}}}}</style>
<rect class="ground" width="{width}" height="{height}" rx="6" fill="none"></rect>
{body}
</svg>
"##
    )
}

/// Where a text stands, from its point on.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is written.
#[derive(Clone, Copy)]
pub(crate) enum Hand {
    Plain,
    Small,
    Code,
    Title,
}

pub(crate) fn text(x: f64, y: f64, anchor: Anchor, hand: Hand, words: &str) -> String {
    let anchor = match anchor {
        Anchor::Start => "",
        Anchor::Middle => r#" text-anchor="middle""#,
        Anchor::End => r#" text-anchor="end""#,
    };
    let hand = match hand {
        Hand::Plain => "",
        Hand::Small => r#" font-size="11.5" opacity="0.75""#,
        Hand::Code => r#" font-family="ui-monospace,'DejaVu Sans Mono',monospace" font-size="12""#,
        Hand::Title => r#" font-weight="600""#,
    };
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(r#"<text x="{x:.1}" y="{y:.1}"{anchor}{hand}>{words}</text>"#)
}

/// A box with a tint of its colour.
pub(crate) fn tile(x: f64, y: f64, width: f64, height: f64, colour: &str) -> String {
    format!(
        r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="5" fill="{colour}" fill-opacity="0.16" stroke="{colour}" stroke-width="1.3"></rect>"#
    )
}

/// A straight line with a head at its end.
pub(crate) fn arrow((x, y): (f64, f64), (to_x, to_y): (f64, f64)) -> String {
    let length = (to_x - x).hypot(to_y - y);
    let (along_x, along_y) = ((to_x - x) / length * 8.0, (to_y - y) / length * 8.0);
    let (back_x, back_y) = (to_x - along_x, to_y - along_y);
    let (side_x, side_y) = (along_y / 2.0, along_x / 2.0);
    format!(
        r#"<path d="M{x:.1} {y:.1}L{back_x:.1} {back_y:.1}" stroke="currentColor" stroke-width="1.3" fill="none"></path><path d="M{to_x:.1} {to_y:.1}L{:.1} {:.1}L{:.1} {:.1}Z"></path>"#,
        back_x - side_x,
        back_y + side_y,
        back_x + side_x,
        back_y - side_y,
    )
}

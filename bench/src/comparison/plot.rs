//! The plot: what each peer costs as a multiple of what streamgate does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::figure::{Aim, Figure, Measured};
use crate::peer::Peer;

/// A group of bars for each row that has an aim as a ratio.
pub(super) fn svg(medians: &BTreeMap<Figure, BTreeMap<Peer, Measured>>) -> String {
    let mut body = String::new();
    let mut top = LEGEND;
    for (figure, peers) in medians {
        let (Some(Aim::Ratio(_)), Some(own)) = (figure.aim(), peers.get(&Peer::Streamgate)) else { continue };
        let title = figure.title().split(':').next().unwrap_or_default();
        text(&mut body, TITLES - 8, top + 12, "end", title);
        for (peer, measured) in peers {
            let ratio = figure.ratio(measured.value, own.value);
            let width = ratio.min(MOST) * UNIT;
            let (color, middle) = (color(*peer), top + BAR - 2);
            let _ = writeln!(
                body,
                r#"<rect x="{TITLES}" y="{top}" width="{width:.1}" height="{}" fill="{color}"/>"#,
                BAR - 2
            );
            let more = if ratio > MOST { " →" } else { "" };
            let _ = writeln!(
                body,
                r#"<text x="{:.1}" y="{middle}">{ratio:.1}{more}</text>"#,
                f64::from(TITLES) + width + 4.0
            );
            top += BAR;
        }
        top += GAP;
    }
    let mut legend = String::new();
    text(&mut legend, 8, 18, "start", "What each costs as a multiple of what streamgate does; longer is worse");
    for (at, peer) in (0..).zip(Peer::ALL) {
        let x = 8 + at * 118;
        let _ = writeln!(legend, r#"<rect x="{x}" y="30" width="10" height="10" fill="{}"/>"#, color(peer));
        text(&mut legend, x + 14, 39, "start", peer.name());
    }
    let one = f64::from(TITLES) + UNIT;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="11" fill="#333">
<rect width="{WIDTH}" height="{top}" fill="#fff"/>
{legend}{body}<line x1="{one}" y1="{LEGEND}" x2="{one}" y2="{top}" stroke="#333" stroke-dasharray="3 3"/>
</svg>
"##
    )
}

fn text(into: &mut String, x: i32, y: i32, anchor: &str, text: &str) {
    let _ = writeln!(into, r#"<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#);
}

fn color(peer: Peer) -> &'static str {
    match peer {
        Peer::Streamgate => "#0b6e4f",
        Peer::HaproxyHash => "#4c78a8",
        Peer::HaproxyTable => "#9ecae9",
        Peer::Nginx => "#54a24b",
        Peer::Envoy => "#b279a2",
        Peer::Traefik => "#f58518",
    }
}

/// Where the bars start.
const TITLES: i32 = 280;
const WIDTH: i32 = 820;
const LEGEND: i32 = 56;
const BAR: i32 = 12;
const GAP: i32 = 10;
/// The width of 1.
const UNIT: f64 = 80.0;
/// What is longer is cut.
const MOST: f64 = 6.0;

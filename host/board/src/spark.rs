//! A curve in a line of text.

use lossmith_run::Point;
use maud::{Markup, html};

const WIDTH: f64 = 96.0;
const HEIGHT: f64 = 20.0;
const POINTS: usize = 48;

/// The finite values of a metric as a small curve; nothing of less than two.
pub(crate) fn line(points: &[Point]) -> Markup {
    let finite: Vec<f64> = points.iter().map(|point| point.value).filter(|value| value.is_finite()).collect();
    let each = finite.len().div_ceil(POINTS).max(1);
    // The last one is what is looked at, so thinning begins there.
    let mut values: Vec<f64> = finite.iter().rev().step_by(each).copied().collect();
    values.reverse();
    if values.len() < 2 {
        return html! {};
    }
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    let height = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    let last = (values.len() - 1) as f64;
    let place = |(at, value): (usize, &f64)| {
        format!("{:.1},{:.1}", 1.0 + at as f64 / last * (WIDTH - 2.0), HEIGHT - 2.0 - height(*value) * (HEIGHT - 4.0))
    };
    let places: Vec<String> = values.iter().enumerate().map(place).collect();
    html! {
        svg.spark width=(WIDTH) height=(HEIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } aria-hidden="true" {
            polyline points=(places.join(" ")) fill="none" stroke="currentColor" stroke-width="1.5" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_its_ends_and_few_points() {
        let points = |values: &[f64]| {
            let point = |(step, value): (u64, &f64)| Point { step, epoch: step, value: *value };
            line(&(0..).zip(values).map(point).collect::<Vec<_>>()).into_string()
        };
        assert!(points(&[0.0, f64::NAN, 1.0]).contains("points=\"1.0,18.0 95.0,2.0\""));
        assert_eq!(points(&[1.0, f64::INFINITY]), "");
        let many: Vec<f64> = (0..10_000).map(f64::from).collect();
        assert!(points(&many).matches(',').count() <= POINTS);
    }
}

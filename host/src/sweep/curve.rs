//! The curve of a setting: the metric of the validation part over the value that was varied.

use std::collections::BTreeSet;
use std::ops::Range;

use lossmith_plugin::Value;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::config::{MethodConfig, SweepConfig};
use super::results::{Results, RunOutcome};
use crate::plot::{self, Area, Axes, COLOURS, Drawn, framed, range};
use crate::run::RecordError;
use crate::run::mean;

/// The metric that runs with different seeds reached.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reached {
    mean: f64,
    least: f64,
    greatest: f64,
}

/// The curve of a method.
struct MethodCurve<'a> {
    name: &'a str,
    /// By value, ascending.
    points: Vec<(f64, Reached)>,
    /// Where nothing varies.
    level: Option<Reached>,
}

/// Draws a setting as SVG: for each method whose value is a number, the mean of the selected metric over the selection
/// seeds, with a bar from the lowest to the highest of them; for methods without a value a dashed horizontal line. The
/// horizontal axis is logarithmic if the values are above zero and the largest is 8 times the smallest or more. None if
/// no method of the setting varies a number.
pub(super) fn draw(results: &Results, config: &SweepConfig, setting: &str) -> Result<Option<String>, RecordError> {
    let lines = config.method.iter().map(|method| line(results, config, setting, &method.name)).collect();
    let title = if setting.is_empty() { results.name.clone() } else { format!("{}: {setting}", results.name) };
    drawn(&title, config, lines, &results.select)
}

/// Draws the sweep's `per-class` metric of a setting as SVG, as [`draw`] does, for the first method that varies a
/// number: a line for each class. None if there is no such method or metric.
pub(super) fn draw_classes(
    results: &Results,
    config: &SweepConfig,
    setting: &str,
) -> Result<Option<String>, RecordError> {
    let Some(metric) = &config.per_class else { return Ok(None) };
    let varies =
        |method: &&MethodConfig| results.of(setting, &method.name).any(|run| matches!(place(run), Some(Some(_))));
    let Some(method) = config.method.iter().find(varies) else { return Ok(None) };
    let prefix = format!("{metric}.");
    let names = results.of(setting, &method.name).flat_map(|outcome| outcome.validation.keys());
    let names: BTreeSet<&str> = names.filter_map(|name| name.strip_prefix(&prefix)).collect();
    let line = |name| {
        let (level, points) = reached(results, config, setting, &method.name, &format!("{prefix}{name}"));
        MethodCurve { name, points, level }
    };
    let setting = if setting.is_empty() { String::new() } else { format!("{setting}, ") };
    let title = format!("{}: {setting}{}", results.name, method.name);
    drawn(&title, config, names.into_iter().map(line).collect(), metric)
}

fn drawn(
    title: &str,
    config: &SweepConfig,
    lines: Vec<MethodCurve<'_>>,
    metric: &str,
) -> Result<Option<String>, RecordError> {
    let lines: Vec<MethodCurve<'_>> =
        lines.into_iter().filter(|line| line.level.is_some() || !line.points.is_empty()).collect();
    let mut values: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return Ok(None) };
    let logarithmic = *first > 0.0 && last / first >= 8.0;
    let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
    let keys = config.method.iter().filter_map(|method| match method.vary.as_slice() {
        [vary] => Some(vary.key.as_str()),
        _ => None,
    });
    let mut keys: Vec<&str> = keys.map(|key| key.rsplit('.').next().unwrap_or(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let x = format!("{}{}", keys.join(", "), if logarithmic { " (logarithmic)" } else { "" });
    let y = format!("validation {metric}");
    Ok(Some(framed(title, &names, |area| chart(area, &lines, Values::new(values, logarithmic), &x, &y))?))
}

fn line<'a>(results: &Results, config: &SweepConfig, setting: &str, method: &'a str) -> MethodCurve<'a> {
    let (level, points) = reached(results, config, setting, method, &config.select);
    MethodCurve { name: method, points, level }
}

/// What a method reached with the selection seeds: where nothing varies, and by value, ascending.
fn reached(
    results: &Results,
    config: &SweepConfig,
    setting: &str,
    method: &str,
    metric: &str,
) -> (Option<Reached>, Vec<(f64, Reached)>) {
    let mut by_value: Vec<(Option<f64>, Vec<&RunOutcome>)> = Vec::new();
    for outcome in results.of(setting, method).filter(|outcome| results.selection_seeds.contains(&outcome.seed)) {
        let Some(at) = place(outcome) else { continue };
        match by_value.iter_mut().find(|(known, _)| *known == at) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => by_value.push((at, vec![outcome])),
        }
    }
    let reached = |outcomes: &[&RunOutcome]| {
        let measured = |outcome: &RunOutcome| outcome.validation.get(metric).copied();
        let by_seed = Results::by_seed(outcomes.iter().copied(), config.folds.unwrap_or(1), measured);
        let values: Vec<f64> = by_seed.into_values().collect();
        let (least, greatest) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), at| (a.min(*at), b.max(*at)));
        mean(&values).map(|mean| Reached { mean, least, greatest })
    };
    let level = by_value.iter().find(|(at, _)| at.is_none()).and_then(|(_, outcomes)| reached(outcomes));
    let points = by_value.iter().filter_map(|(at, outcomes)| Some(((*at)?, reached(outcomes)?)));
    let mut points: Vec<_> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    (level, points)
}

/// Where an outcome is on the horizontal axis: nowhere in particular if nothing varies, and not in the picture if its
/// value is no number.
fn place(outcome: &RunOutcome) -> Option<Option<f64>> {
    match outcome.value {
        // Several keys have no common axis.
        None if !outcome.varied.is_empty() => None,
        None => Some(None),
        Some(Value::Integer(value)) => Some(Some(value as f64)),
        Some(Value::Number(value)) => Some(Some(value)),
        Some(_) => None,
    }
}

/// The horizontal axis, with a mark at each value that was tried.
struct Values {
    tried: Vec<f64>,
    logarithmic: bool,
    /// Where the values are, or their logarithms.
    places: RangedCoordf64,
}

impl Values {
    fn new(tried: Vec<f64>, logarithmic: bool) -> Self {
        let places = range(tried.iter().map(|value| if logarithmic { value.ln() } else { *value }), 0.05);
        Self { tried, logarithmic, places: places.into() }
    }
}

impl Ranged for Values {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.places.map(&if self.logarithmic { value.ln() } else { *value }, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.tried.clone() }
    }

    fn range(&self) -> Range<f64> {
        let Range { start, end } = self.places.range();
        if self.logarithmic { start.exp()..end.exp() } else { start..end }
    }
}

fn chart(area: &Area<'_>, lines: &[MethodCurve<'_>], values: Values, x: &str, y: &str) -> Drawn {
    let reached = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1).chain(line.level));
    let height = range(reached().flat_map(|reached| [reached.least, reached.greatest]), 0.05);
    let width = values.range();
    let mut chart = plot::chart(area, Axes { x, y }, values, height)?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let joined = line.points.iter().map(|(value, reached)| (*value, reached.mean));
        chart.draw_series(LineSeries::new(joined.clone(), colour.stroke_width(2)))?;
        chart.draw_series(joined.map(|point| Circle::new(point, 4, colour.filled())))?;
        chart.draw_series(line.points.iter().map(|(value, reached)| {
            PathElement::new([(*value, reached.least), (*value, reached.greatest)], colour.stroke_width(1))
        }))?;
        if let Some(level) = line.level {
            let ends = [(width.start, level.mean), (width.end, level.mean)];
            chart.draw_series(DashedLineSeries::new(ends, 8, 5, colour.stroke_width(2)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use std::collections::BTreeMap;

    fn config(values: &str) -> SweepConfig {
        let text = format!(
            "name = 'x'\nexperiment = 'e'\ndirectory = 'd'\nseeds = [1, 2, 3]\nselection-seeds = 2\n[[setting]]\n\
             name = 's'\n\
             [[method]]\nname = 'alone'\n[[method]]\nname = 'sum'\nvary = {{ key = 'a.alpha', values = {values} }}"
        );
        toml::from_str(&text).unwrap()
    }

    fn outcome(method: &str, value: Option<Value>, seed: u64, map: f64) -> RunOutcome {
        RunOutcome {
            name: String::new(),
            setting: "s".into(),
            method: method.into(),
            varied: value.iter().map(|value| ("a.alpha".to_owned(), value.clone())).collect(),
            value,
            seed,
            fold: None,
            chosen: false,
            validation: BTreeMap::from([("map-at-r".to_owned(), map)]),
            test: None,
            train_metrics: BTreeMap::new(),
        }
    }

    fn results(runs: Vec<RunOutcome>) -> Results {
        Results { name: "x".into(), select: "map-at-r".into(), selection_seeds: vec![1, 2], runs }
    }

    #[test]
    fn means_and_extremes_are_over_the_selection_seeds() {
        let number = |value| Some(Value::Integer(value));
        let results = results(vec![
            outcome("sum", number(8), 1, 0.5),
            outcome("sum", number(8), 2, 0.25),
            outcome("sum", number(8), 3, 0.9),
            outcome("sum", number(1), 1, 0.125),
            outcome("alone", None, 1, 0.25),
            outcome("alone", None, 2, 0.75),
        ]);
        let config = config("[1, 8]");
        let sum = line(&results, &config, "s", "sum");
        let at_8 = Reached { mean: 0.375, least: 0.25, greatest: 0.5 };
        assert_eq!(sum.points, [(1.0, Reached { mean: 0.125, least: 0.125, greatest: 0.125 }), (8.0, at_8)]);
        assert_eq!((sum.level, line(&results, &config, "s", "alone").level.unwrap().mean), (None, 0.5));

        let svg = draw(&results, &config, "s").unwrap().unwrap();
        for text in ["alpha (logarithmic)", "validation map-at-r", "alone", "sum", "x: s"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }

    #[test]
    fn a_seed_counts_as_the_mean_of_its_folds_and_not_without_one_of_them() {
        let value = || Some(Value::Integer(3));
        let fold = |fold, seed, map| RunOutcome { fold: Some(fold), ..outcome("sum", value(), seed, map) };
        let results = results(vec![fold(0, 1, 0.25), fold(1, 1, 0.75), fold(0, 2, 0.9)]);
        let config = SweepConfig { folds: Some(2), ..config("[1, 8]") };
        let reached = Reached { mean: 0.5, least: 0.5, greatest: 0.5 };
        assert_eq!(line(&results, &config, "s", "sum").points, [(3.0, reached)]);
    }

    #[test]
    fn classes_have_a_line_each() {
        let config = SweepConfig { per_class: Some("accuracy".into()), ..config("[1, 8]") };
        let with = |value, left: f64, right: f64| RunOutcome {
            validation: BTreeMap::from([
                ("accuracy".to_owned(), 0.5),
                ("accuracy.left".to_owned(), left),
                ("accuracy.right".to_owned(), right),
            ]),
            ..outcome("sum", Some(Value::Integer(value)), 1, 0.5)
        };
        let svg = draw_classes(&results(vec![with(1, 0.25, 0.5), with(8, 0.5, 0.25)]), &config, "s").unwrap().unwrap();
        for text in [">\nleft\n<", ">\nright\n<", "validation accuracy", "x: s, sum"] {
            assert!(svg.contains(text), "{text} is missing: {svg}");
        }
        let none = results(vec![outcome("alone", None, 1, 0.5)]);
        assert_eq!(draw_classes(&none, &config, "s").unwrap(), None);
    }

    #[test]
    fn the_axis_is_linear_for_near_values_and_for_zero() {
        for (low, high) in [(1, 7), (0, 100)] {
            let runs = [low, high].map(|value| outcome("sum", Some(Value::Integer(value)), 1, 0.5)).to_vec();
            let svg = draw(&results(runs), &config(&format!("[{low}, {high}]")), "s").unwrap().unwrap();
            assert!(!svg.contains("logarithmic"));
        }
    }

    #[test]
    fn without_a_number_that_varies_there_is_no_curve() {
        let runs = vec![outcome("alone", None, 1, 0.5), outcome("sum", Some(Value::Text("a".into())), 1, 0.5)];
        assert_eq!(draw(&results(runs), &config("['a', 'b']"), "s").unwrap(), None);
    }
}

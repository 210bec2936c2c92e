//! The combinations of values that a method is tried with.

use lossmith_plugin::Value;
use lossmith_plugin::random_streams::{Purpose, generator};
use rand_chacha::rand_core::Rng;

use super::config::MethodConfig;
use super::vary::{Scale, SearchConfig, VaryConfig};

/// More combinations of one method are refused: each is a training.
pub(super) const MOST: usize = 1000;
/// Draws of a search without a new combination until it is taken to have no more of them.
const DRAWS: usize = 10_000;

/// A value for each key that varies, in the order of the sweep file; none where nothing varies.
pub(super) type Point = Vec<Value>;

/// What a method is tried with: every combination, the last key changing fastest, or what a search draws. One point
/// without values where nothing varies. A search may have fewer points than it asks for, if there are no more. None
/// where there are too many.
pub(super) fn points(method: &MethodConfig) -> Option<Vec<Point>> {
    match method.search {
        Some(search) => Some(drawn(&method.vary, search)),
        None => every(&method.vary),
    }
}

fn every(keys: &[VaryConfig]) -> Option<Vec<Point>> {
    let count = keys.iter().try_fold(1_usize, |count, key| count.checked_mul(key.values.len()));
    count.filter(|count| *count <= MOST)?;
    Some(keys.iter().fold(vec![Point::new()], |points, key| {
        let longer = |point: &Point| {
            let point = point.clone();
            key.values.iter().map(move |value| [point.as_slice(), std::slice::from_ref(value)].concat())
        };
        points.iter().flat_map(longer).collect()
    }))
}

fn drawn(keys: &[VaryConfig], search: SearchConfig) -> Vec<Point> {
    let mut random = generator(search.seed, Purpose::Search, 0, 0);
    let mut points: Vec<Point> = Vec::new();
    let mut vain = 0;
    while points.len() < search.trials && vain < DRAWS {
        let point: Point = keys.iter().map(|key| draw(key, &mut random)).collect();
        if points.contains(&point) {
            vain += 1;
        } else {
            vain = 0;
            points.push(point);
        }
    }
    points
}

/// A value of a key; takes 64 bits of the stream.
fn draw(key: &VaryConfig, random: &mut impl Rng) -> Value {
    // 53 bits in [0, 1).
    let share = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let between = |low: f64, high: f64| match key.scale {
        Scale::Linear => low + share * (high - low),
        Scale::Logarithmic => (low.ln() + share * (high.ln() - low.ln())).exp(),
    };
    match &key.range {
        Some((Value::Integer(low), Value::Integer(high))) => {
            // One more than the difference, so that the greatest is as probable as the least.
            let drawn = between(*low as f64, *high as f64 + 1.0).floor() as i64;
            Value::Integer(drawn.clamp(*low, *high))
        }
        Some((low, high)) => {
            let (low, high) = (number(low).unwrap_or(0.0), number(high).unwrap_or(0.0));
            Value::Number(four_digits(between(low, high)).clamp(low, high))
        }
        None => {
            let place = (share * key.values.len() as f64) as usize;
            key.values.get(place).cloned().unwrap_or(Value::Boolean(false))
        }
    }
}

/// A number that is written in few letters, as it is a part of a folder's name.
fn four_digits(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// What an end of a range says; none if it is no finite number.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Number(value) => Some(*value).filter(|value| value.is_finite()),
        Value::Boolean(_) | Value::Text(_) | Value::Numbers(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn method(text: &str) -> MethodConfig {
        toml::from_str(&format!("name = 'm'\n{text}")).unwrap()
    }

    #[test]
    fn every_combination_is_there_once() {
        let grid = "vary = [{ key = 'a', values = [1, 2] }, { key = 'b', values = ['x', 'y', 'z'] }]";
        let found = points(&method(grid)).unwrap();
        let text = |point: &Point| point.iter().map(ToString::to_string).collect::<String>();
        let found: Vec<String> = found.iter().map(text).collect();
        assert_eq!(found, ["1\"x\"", "1\"y\"", "1\"z\"", "2\"x\"", "2\"y\"", "2\"z\""]);
        assert_eq!(points(&method("")).unwrap(), [Point::new()]);
        let long = (0..101).map(|at| at.to_string()).collect::<Vec<_>>().join(",");
        let key = |name: &str| format!("{{ key = '{name}', values = [{long}] }}");
        assert_eq!(points(&method(&format!("vary = [{}, {}]", key("a"), key("b")))), None);
    }

    #[test]
    fn a_search_draws_inside_its_ranges_the_same_each_time_and_more_begin_with_fewer() {
        let of = |trials: usize, seed: u64| {
            let keys = "vary = [{ key = 'rate', range = [1e-4, 1.0], scale = 'logarithmic' }, \
                        { key = 'k', range = [2, 4] }, { key = 'on', values = [true, false] }]";
            points(&method(&format!("{keys}\nsearch = {{ trials = {trials}, seed = {seed} }}"))).unwrap()
        };
        let many = of(400, 7);
        assert_eq!((many.len(), &many[..10]), (400, of(10, 7).as_slice()));
        assert_ne!(of(10, 7), of(10, 8));
        let rates: Vec<f64> = many.iter().map(|point| number(&point[0]).unwrap()).collect();
        assert!(rates.iter().all(|rate| (1e-4..=1.0).contains(rate) && rate.to_string().len() <= 10), "{rates:?}");
        // A quarter of them lies in each power of ten: 400 draws, four standard deviations of a share of 1/4.
        let small = rates.iter().filter(|rate| **rate < 1e-3).count() as f64;
        assert!((small - 100.0).abs() < 4.0 * (400.0_f64 * 0.25 * 0.75).sqrt(), "{small}");
        for value in [2, 3, 4] {
            assert!(many.iter().any(|point| point[1] == Value::Integer(value)));
        }
        // No more than there are.
        let few = points(&method("vary = { key = 'k', range = [1, 3] }\nsearch = { trials = 9 }")).unwrap();
        assert_eq!(few.len(), 3);
    }
}

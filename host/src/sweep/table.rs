//! The tables of a sweep: one for each setting, with a row for each method.

use std::collections::BTreeMap;
use std::fmt::Write;

use lossmith_plugin::Value;

use super::config::SweepConfig;
use super::results::{Results, RunOutcome};
use crate::run::{Estimate, estimate};

/// A table of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it is of: the setting, or a method in it whose values were tried.
    pub title: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// A row for each method, or for each combination of values.
    pub rows: Vec<Vec<String>>,
}

/// The text where there is no number.
const NOTHING: &str = "-";

/// The tables of all settings, and of each method in one what was tried, if it has several values.
pub(super) fn tables(results: &Results, config: &SweepConfig) -> Vec<Table> {
    let value = one_key(config).map_or("value".to_owned(), |key| short(key, &[key]).to_owned());
    let mut header = vec!["method".to_owned(), value, format!("validation {}", config.select)];
    for metric in &config.report {
        header.push(metric.clone());
        header.extend(config.baseline.iter().map(|baseline| format!("{metric}: difference to {baseline}")));
    }
    header.extend(config.train_metrics.iter().cloned());
    let table = |setting: &str| {
        let methods = config.method.iter().map(|method| method.name.as_str());
        let methods = methods.filter(|method| results.of(setting, method).next().is_some());
        Table {
            title: if setting.is_empty() { config.name.clone() } else { setting.to_owned() },
            header: header.clone(),
            rows: methods.map(|method| row(results, config, setting, method)).collect(),
        }
    };
    let of_setting = |setting: &str| {
        let methods = config.method.iter();
        let tried = methods.filter_map(|method| tried(results, config, setting, &method.name)).collect::<Vec<_>>();
        [vec![table(setting)], tried].concat()
    };
    config.setting.iter().flat_map(|setting| of_setting(&setting.name)).collect()
}

/// The key that all methods vary that vary anything.
fn one_key(config: &SweepConfig) -> Option<&str> {
    let mut keys = config.method.iter().flat_map(|method| &method.vary).map(|vary| vary.key.as_str());
    let first = keys.next()?;
    keys.all(|key| key == first).then_some(first)
}

/// The last part of a key, if no other one of `keys` ends so.
fn short<'a>(key: &'a str, keys: &[&str]) -> &'a str {
    let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let ends = keys.iter().filter(|other| other.rsplit('.').next() == Some(last(key))).count();
    if ends > 1 { key } else { last(key) }
}

/// What a method reached on the validation part with each combination of values, by the seeds that chose. None if it
/// has one.
fn tried(results: &Results, config: &SweepConfig, setting: &str, method: &str) -> Option<Table> {
    let mut points: Vec<(&BTreeMap<String, Value>, Vec<&RunOutcome>)> = Vec::new();
    for outcome in results.of(setting, method) {
        match points.iter_mut().find(|(varied, _)| *varied == &outcome.varied) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => points.push((&outcome.varied, vec![outcome])),
        }
    }
    let keys: Vec<&str> =
        config.method.iter().find(|of| of.name == method)?.vary.iter().map(|vary| vary.key.as_str()).collect();
    if keys.is_empty() || points.len() < 2 {
        return None;
    }
    let row = |(varied, outcomes): &(&BTreeMap<String, Value>, Vec<&RunOutcome>)| {
        let choosing = outcomes.iter().copied().filter(|outcome| results.selection_seeds.contains(&outcome.seed));
        let reached = |outcome: &RunOutcome| outcome.validation.get(&config.select).copied();
        let reached = Results::by_seed(choosing, config.folds.unwrap_or(1), reached);
        let values = keys.iter().map(|key| varied.get(*key).map_or(NOTHING.to_owned(), plain));
        let chosen = if outcomes.iter().any(|outcome| outcome.chosen) { "chosen" } else { "" };
        values.chain([cell(&reached.into_values().collect::<Vec<_>>()), chosen.to_owned()]).collect()
    };
    let header = keys.iter().map(|key| short(key, &keys).to_owned());
    Some(Table {
        title: if setting.is_empty() {
            format!("{method}: values tried")
        } else {
            format!("{setting}, {method}: values tried")
        },
        header: header.chain([format!("validation {}", config.select), String::new()]).collect(),
        rows: points.iter().map(row).collect(),
    })
}

/// A value without the quotes of a text.
fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What was chosen: the value, with its key where the header does not say it.
fn chosen_value(outcome: &RunOutcome, config: &SweepConfig) -> String {
    let keys: Vec<&str> = outcome.varied.keys().map(String::as_str).collect();
    match (&outcome.value, one_key(config)) {
        (Some(value), Some(_)) => plain(value),
        _ if keys.is_empty() => outcome.value.as_ref().map_or(NOTHING.to_owned(), plain),
        _ => {
            let pairs = outcome.varied.iter().map(|(key, value)| format!("{}={}", short(key, &keys), plain(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

/// The tables as a Markdown page.
pub(super) fn markdown(tables: &[Table], config: &SweepConfig) -> String {
    let seeds = |seeds: &[u64]| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let count = config.selection_seeds.unwrap_or(config.seeds.len());
    let mut page = format!(
        "# {}\n\nMeans over the seeds {}, ± half the width of the 95 % interval by Student's t. Metrics without \
         another word are of the test part, at the best checkpoint of the validation part. A value was chosen by the \
         validation part's {}, averaged over the seeds {}.",
        config.name,
        seeds(&config.seeds),
        config.select,
        seeds(config.seeds.get(..count).unwrap_or(&config.seeds)),
    );
    if let Some(folds) = config.folds {
        let _ = write!(page, " What a seed reached is the mean over its {folds} folds.");
    }
    if let Some(baseline) = &config.baseline {
        let _ = write!(page, " Differences to {baseline} are between runs of the same seed.");
    }
    page.push('\n');
    for Table { title, header, rows } in tables {
        let line = |cells: &[String]| {
            format!("| {} |\n", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
        };
        let rule: Vec<String> =
            header.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" }.into()).collect();
        let _ = write!(page, "\n## {title}\n\n{}{}", line(header), line(&rule));
        rows.iter().for_each(|row| page += &line(row));
    }
    page
}

fn row(results: &Results, config: &SweepConfig, setting: &str, method: &str) -> Vec<String> {
    let chosen = |method| results.of(setting, method).filter(|outcome| outcome.chosen);
    let value = chosen(method).next().map(|outcome| chosen_value(outcome, config));
    let by_seed = |method, reached: &dyn Fn(&RunOutcome) -> Option<f64>| {
        Results::by_seed(chosen(method), config.folds.unwrap_or(1), reached)
    };
    let cell = |values: &BTreeMap<u64, f64>| cell(&values.values().copied().collect::<Vec<_>>());
    let mut cells = vec![method.to_owned(), value.unwrap_or(NOTHING.to_owned())];
    cells.push(cell(&by_seed(method, &|outcome| outcome.validation.get(&config.select).copied())));
    for metric in &config.report {
        let tested = |outcome: &RunOutcome| outcome.test.as_ref()?.get(metric).copied();
        let ours = by_seed(method, &tested);
        cells.push(cell(&ours));
        if let Some(baseline) = &config.baseline {
            let theirs = by_seed(baseline, &tested);
            let pairs = ours.iter().filter_map(|(seed, value)| Some(value - theirs.get(seed)?));
            let difference = estimate(&pairs.collect::<Vec<_>>()).filter(|_| baseline != method);
            cells.push(difference.map_or(NOTHING.to_owned(), |difference| show(difference, true)));
        }
    }
    for metric in &config.train_metrics {
        cells.push(cell(&by_seed(method, &|outcome| outcome.train_metrics.get(metric).copied())));
    }
    cells
}

fn cell(values: &[f64]) -> String {
    estimate(values).map_or(NOTHING.to_owned(), |estimate| show(estimate, false))
}

fn show(Estimate { mean, half_width }: Estimate, signed: bool) -> String {
    let mean = if signed { format!("{mean:+.4}") } else { format!("{mean:.4}") };
    half_width.map_or(mean.clone(), |half_width| format!("{mean} ± {half_width:.4}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn outcome(method: &str, value: Option<i64>, seed: u64, chosen: bool, p: f64) -> RunOutcome {
        let metric = |value| BTreeMap::from([("p".to_owned(), value)]);
        RunOutcome {
            name: String::new(),
            setting: "s".into(),
            method: method.into(),
            value: value.map(Value::Integer),
            varied: BTreeMap::new(),
            seed,
            fold: None,
            chosen,
            validation: metric(p / 2.0),
            test: chosen.then(|| metric(p)),
            train_metrics: if method == "none" { BTreeMap::new() } else { metric(9.0) },
        }
    }

    #[test]
    fn differences_are_between_runs_of_one_seed() {
        let text = "name = 'x'\nexperiment = 'e'\ndirectory = 'd'\nseeds = [1, 2, 3]\nselect = 'p'\nreport = ['p']\n\
                    baseline = 'none'\ntrain-metrics = ['p']\n[[setting]]\nname = 's'\n[[method]]\nname = 'none'\n\
                    [[method]]\nname = 'sum'";
        let config: SweepConfig = toml::from_str(text).unwrap();
        // Differences 0.1, 0.2 and 0.3: mean 0.2, standard deviation 0.1, half-width 4.303 x 0.1 / sqrt(3) = 0.24843.
        let runs = vec![
            outcome("none", None, 1, true, 0.2),
            outcome("none", None, 2, true, 0.2),
            outcome("none", None, 3, true, 0.5),
            outcome("sum", Some(2), 1, false, 0.9),
            outcome("sum", Some(4), 3, true, 0.8),
            outcome("sum", Some(4), 1, true, 0.3),
            outcome("sum", Some(4), 2, true, 0.4),
        ];
        let results = Results { name: "x".into(), select: "p".into(), selection_seeds: vec![1], runs };
        let tables = tables(&results, &config);
        assert_eq!(tables[0].header, ["method", "value", "validation p", "p", "p: difference to none", "p"]);
        // 0.2, 0.2, 0.5: mean 0.3, deviation 0.17321, half-width 4.303 x 0.17321 / sqrt(3) = 0.4303; of the halves,
        // 0.21515.
        assert_eq!(tables[0].rows[0], ["none", "-", "0.1500 ± 0.2152", "0.3000 ± 0.4303", "-", "-"]);
        // 0.8, 0.3, 0.4: mean 0.5, deviation 0.26458, half-width 4.303 x 0.26458 / sqrt(3) = 0.65729.
        let row = ["sum", "4", "0.2500 ± 0.3286", "0.5000 ± 0.6573", "+0.2000 ± 0.2484", "9.0000 ± 0.0000"];
        assert_eq!(tables[0].rows[1], row);
        let page = markdown(&tables, &config);
        assert!(page.contains("## s") && page.contains(&format!("| {} |", row.join(" | "))), "{page}");
    }

    #[test]
    fn several_keys_are_named_and_every_combination_is_shown() {
        let text = "name = 'x'\nexperiment = 'e'\ndirectory = 'd'\nseeds = [1]\nselect = 'p'\nreport = ['p']\n\
            [[setting]]\nname = ''\n\
                    [[method]]\nname = 'grid'\nvary = [{ key = 'a.loss.weight', values = [1, 2] }, \
                    { key = 'b.miner.weight', values = ['x|y'] }]";
        let config: SweepConfig = toml::from_str(text).unwrap();
        let varied = |weight: i64| {
            let text = Value::Text("x|y".to_owned());
            BTreeMap::from([("a.loss.weight".to_owned(), Value::Integer(weight)), ("b.miner.weight".to_owned(), text)])
        };
        let tried = |weight, chosen, p| RunOutcome {
            varied: varied(weight),
            setting: String::new(),
            ..outcome("grid", None, 1, chosen, p)
        };
        let runs = vec![tried(1, false, 0.5), tried(2, true, 0.75)];
        let results = Results { name: "x".into(), select: "p".into(), selection_seeds: vec![1], runs };
        let tables = tables(&results, &config);
        let row = ["grid", "a.loss.weight=2, b.miner.weight=x|y", "0.3750", "0.7500"];
        assert_eq!((tables[0].title.as_str(), tables[0].rows[0].as_slice()), ("x", row.map(str::to_owned).as_slice()));
        assert_eq!(tables[1].header, ["a.loss.weight", "b.miner.weight", "validation p", ""]);
        assert_eq!(tables[1].rows, [["1", "x|y", "0.2500", ""], ["2", "x|y", "0.3750", "chosen"]]);
        assert!(markdown(&tables, &config).contains("| 2 | x\\|y | 0.3750 | chosen |"));
    }
}

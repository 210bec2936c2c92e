//! In what the experiments of several runs differ.

use std::collections::{BTreeMap, BTreeSet};

/// The keys of an experiment's text with their values, one for each leaf: `optimizer.learning-rate`.
pub type Leaves = BTreeMap<String, String>;

/// Keys that say where a run is, not what it does.
const PLACES: [&str; 3] = ["name", "run.directory", "evaluation.test"];

/// For each of some experiments, given by their texts, the keys in which they are not all equal, by the shortest end of
/// the key that is like no other. One without a readable text has none.
#[must_use]
pub fn varies(experiments: &[Option<String>]) -> Vec<BTreeMap<String, String>> {
    let leaves: Vec<Option<Leaves>> = experiments.iter().map(|text| leaves(text.as_deref()?)).collect();
    varying(&leaves.iter().map(Option::as_ref).collect::<Vec<_>>())
}

/// As [`varies`], of experiments whose leaves are known.
#[must_use]
pub fn varying(experiments: &[Option<&Leaves>]) -> Vec<BTreeMap<String, String>> {
    let known: Vec<&Leaves> = experiments.iter().copied().flatten().collect();
    let keys: BTreeSet<&String> = known.iter().flat_map(|leaves| leaves.keys()).collect();
    let differs = |key: &&&String| {
        let mut values = known.iter().map(|leaves| leaves.get(**key));
        let first = values.next().flatten();
        values.any(|value| value != first)
    };
    let keys: Vec<&String> = keys.iter().copied().filter(|key| differs(&key)).collect();
    let names: BTreeMap<&String, &str> = keys.iter().map(|key| (*key, short(key, &keys))).collect();
    let of = |leaves: &Option<&Leaves>| {
        let values = names.iter().filter_map(|(key, name)| Some(((*name).to_owned(), (*leaves)?.get(*key)?.clone())));
        values.collect()
    };
    experiments.iter().map(of).collect()
}

/// The leaves of an experiment's text; none if it cannot be read.
#[must_use]
pub fn leaves(text: &str) -> Option<Leaves> {
    let mut leaves = Leaves::new();
    collect("", &toml::Value::Table(toml::from_str(text).ok()?), &mut leaves);
    Some(leaves)
}

fn collect(path: &str, value: &toml::Value, leaves: &mut Leaves) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| collect(&below(key), value, leaves)),
        toml::Value::Array(entries) if entries.iter().any(toml::Value::is_table) => {
            (0..).zip(entries).for_each(|(at, value): (usize, _)| collect(&below(&at.to_string()), value, leaves));
        }
        _ if PLACES.contains(&path) => {}
        toml::Value::String(text) => _ = leaves.insert(path.to_owned(), text.clone()),
        other => _ = leaves.insert(path.to_owned(), other.to_string()),
    }
}

/// The shortest end of a key, cut at a point, that no other of `keys` has.
fn short<'a>(key: &'a str, keys: &[&String]) -> &'a str {
    let starts = key.rmatch_indices('.').map(|(at, _)| at + 1).chain([0]);
    let ends = starts.filter_map(|start| key.get(start..));
    let alone = |end: &&str| keys.iter().filter(|other| is_end(other, end)).count() == 1;
    ends.into_iter().find(alone).unwrap_or(key)
}

fn is_end(key: &str, end: &str) -> bool {
    key.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_the_shortest_end() {
        let text = |seed: u64, strategy: &str, margin: &str| {
            let objective =
                format!("[[objective]]\n[objective.loss]\nstrategy = '{strategy}'\nparams = {{ {margin} }}");
            Some(format!(
                "name = 'n{seed}'\nseed = {seed}\nlist = [1, 2]\n[run]\ndirectory = 'd{seed}'\n{objective}\n\
                 [objective.miner]\nstrategy = '{strategy}'"
            ))
        };
        let found =
            varies(&[text(1, "triplet", "margin = 0.5"), text(2, "ntxent", ""), None, Some("= broken".to_owned())]);
        let expected = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let first = [("seed", "1"), ("loss.strategy", "triplet"), ("miner.strategy", "triplet"), ("margin", "0.5")];
        let second = [("seed", "2"), ("loss.strategy", "ntxent"), ("miner.strategy", "ntxent")];
        assert_eq!(found, [expected(&first), expected(&second), BTreeMap::new(), BTreeMap::new()]);
        assert_eq!(varies(&[text(1, "a", ""), text(1, "a", "")]), [BTreeMap::new(), BTreeMap::new()]);
        assert_eq!(varies(&[]), Vec::<BTreeMap<String, String>>::new());
    }
}

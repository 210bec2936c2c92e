//! Runs that belong together: of one value of a key, or equal in all but their seeds.

use std::collections::BTreeMap;

use lossmith_run::Leaves;

/// By this word runs are grouped that differ in their seeds only.
pub(crate) const SEED: &str = "seed";

/// The group of a run, in words: the value of a key, or all that `varies` but the seeds.
pub(crate) fn group(key: &str, leaves: Option<&Leaves>, varies: &BTreeMap<String, String>) -> String {
    if key == SEED {
        let others = varies.iter().filter(|(key, _)| !is_end(key, SEED));
        let words: Vec<String> = others.map(|(key, value)| format!("{key}={value}")).collect();
        return if words.is_empty() { "equal but for the seed".to_owned() } else { words.join(", ") };
    }
    let leaf = leaves.into_iter().flatten().find(|(leaf, _)| is_end(leaf, key));
    leaf.map_or_else(|| format!("without {key}"), |(_, value)| format!("{key}={value}"))
}

/// The seeds of a run in words, by which runs of two groups are paired.
pub(crate) fn seeds(leaves: Option<&Leaves>) -> String {
    let seeds = leaves.into_iter().flatten().filter(|(leaf, _)| is_end(leaf, SEED));
    seeds.map(|(leaf, value)| format!("{leaf}={value}")).collect::<Vec<_>>().join(", ")
}

/// Whether a key ends with these words: `seed` is the end of `data.seed`, not of `reseed`.
pub(crate) fn is_end(key: &str, end: &str) -> bool {
    key.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_value_or_all_but_the_seeds() {
        let leaves = lossmith_run::leaves("seed = 3\nreseed = 4\n[optimizer]\nrate = 0.5\n[data]\nseed = 5\n");
        let varies = [("seed", "3"), ("data.seed", "5"), ("rate", "0.5")];
        let varies = varies.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let of = |key| group(key, leaves.as_ref(), &varies);
        assert_eq!([of("rate"), of("none"), of("seed")], ["rate=0.5", "without none", "rate=0.5"]);
        assert_eq!(seeds(leaves.as_ref()), "data.seed=5, seed=3");
    }
}

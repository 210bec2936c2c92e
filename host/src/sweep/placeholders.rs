//! Names in braces that stand for the folder of a run.

/// The names that a change has in braces. An inline table has other characters between them.
pub(super) fn placeholders(change: &str) -> impl Iterator<Item = &str> {
    let name = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    change.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_found_and_inline_tables_are_not() {
        let found = |change| placeholders(change).collect::<Vec<_>>();
        assert_eq!(found("teacher.run={teacher}"), ["teacher"]);
        assert_eq!(found("a={run=\"{big}\",other={small-2}}"), ["big", "small-2"]);
        assert!(found("loss={plugin=\"losses\",params={}}").is_empty());
    }
}

//! The nearest of some known names, for error messages.

/// The known name nearest to `wanted`, if it is near enough to be a slip of the keyboard.
#[must_use]
pub fn nearest<'a, S>(wanted: &str, known: impl IntoIterator<Item = &'a S>) -> Option<&'a str>
where
    S: AsRef<str> + ?Sized + 'a,
{
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, name.as_ref()), name.as_ref()))
        .filter(|(distance, name)| *distance <= name.len().max(wanted.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_found_and_a_stranger_is_not() {
        let known = ["margin", "distance", "reducer"];
        assert_eq!(nearest("margn", &known), Some("margin"));
        assert_eq!(nearest("temperature", &known), None);
    }
}

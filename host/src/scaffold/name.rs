//! Names of plugins.

use lossmith_plugin::Role;

use super::error::ScaffoldError;

/// Longer names make longer file names than some file systems take.
const LONGEST: usize = 64;

/// What the build takes off the name of a crate.
const OWN: &str = "lossmith-";

/// Lower-case words joined by hyphens, with a letter in front, for a plugin of one strategy.
pub(super) fn check(name: &str, role: Role) -> Result<(), ScaffoldError> {
    let Some(reason) = fault(name, role) else { return Ok(()) };
    let words = words(name);
    let own = words.strip_prefix(OWN).unwrap_or(&words).to_owned();
    let suggestions = [own.clone(), format!("my-{own}"), format!("my-{role}")];
    let suggestion = suggestions.iter().find(|suggestion| fault(suggestion, role).is_none());
    let help = suggestion.map(|suggestion| format!("try `{suggestion}`"));
    Err(ScaffoldError::Name { name: name.to_owned(), reason, help })
}

/// The fault of a name, if it has one.
fn fault(name: &str, role: Role) -> Option<String> {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.is_empty() || !name.split('-').all(is_word) {
        return Some("lower-case words joined by hyphens are expected".into());
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("a letter is expected first".into());
    }
    if name.len() > LONGEST {
        return Some(format!("at most {LONGEST} characters are expected"));
    }
    if name.starts_with(OWN) {
        return Some(format!("`{OWN}` in front is for plugins that come with Lossmith"));
    }
    (name == role.name()).then(|| "it is the name of its role".into())
}

/// The words in a text, in lower case, joined by hyphens: `MyLoss`, `my_loss` and `my loss` are `my-loss`.
fn words(text: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for c in text.chars() {
        let begins = c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        let ends = !before.is_ascii_alphanumeric();
        if c.is_ascii_alphanumeric() {
            if (begins || ends) && !words.is_empty() {
                words.push('-');
            }
            words.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words.chars().take(LONGEST).collect::<String>().trim_end_matches('-').to_owned()
}

/// The name of the strategy's type in Rust: the words of the name and the role, `soft` of a loss is `SoftLoss`. The
/// role's own name is no plugin's, so this is none of the SDK's traits.
pub(super) fn type_name(name: &str, role: Role) -> String {
    let mut words: Vec<_> = name.split('-').collect();
    if words.last() != Some(&role.name()) {
        words.push(role.name());
    }
    let capital =
        |word: &&str| word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect();
    words.iter().map(capital).collect::<Vec<String>>().concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn words_joined_by_hyphens_are_names() {
        for name in ["soft", "my-loss", "top-3", "a", "nt-xent-2", "miner", "match", "core"] {
            assert!(check(name, Role::Loss).is_ok(), "{name}");
        }
    }

    #[test]
    fn each_mistake_has_a_suggestion() {
        let long = "a".repeat(70);
        for (name, reason, suggestion) in [
            ("MyLoss", "lower-case words", "my-loss"),
            ("my_loss", "lower-case words", "my-loss"),
            ("my loss!", "lower-case words", "my-loss"),
            ("../my-loss", "lower-case words", "my-loss"),
            ("my--loss", "lower-case words", "my-loss"),
            ("-", "lower-case words", "my-loss"),
            ("", "lower-case words", "my-loss"),
            ("größe", "lower-case words", "gr-e"),
            ("2nd", "a letter", "my-2nd"),
            ("lossmith-soft", "come with Lossmith", "soft"),
            ("loss", "name of its role", "my-loss"),
            (&long, "at most 64", &long[..64]),
        ] {
            let error = check(name, Role::Loss).unwrap_err();
            let ScaffoldError::Name { reason: said, help, .. } = &error else { unreachable!("{error}") };
            assert!(said.contains(reason), "{name}: {said}");
            assert_eq!(help.as_deref(), Some(format!("try `{suggestion}`").as_str()), "{name}");
        }
    }

    #[test]
    fn types_are_named_after_name_and_role() {
        for (name, role, expected) in [
            ("my-loss", Role::Loss, "MyLoss"),
            ("soft", Role::Loss, "SoftLoss"),
            ("self", Role::Miner, "SelfMiner"),
            ("top-3", Role::Fusion, "Top3Fusion"),
            ("loss", Role::Balance, "LossBalance"),
        ] {
            assert_eq!(type_name(name, role), expected);
        }
    }
}

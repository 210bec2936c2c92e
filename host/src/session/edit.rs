//! What may change in a running training, and what changed.

use serde_json::Value;

use crate::experiment::{Experiment, ExperimentError, Source};
use crate::run::{Change, Edit};

/// What differs between two experiments, in the order of the keys.
///
/// # Errors
/// A value that JSON cannot say.
pub fn changes(from: &Experiment, to: &Experiment) -> Result<Vec<Change>, serde_json::Error> {
    Ok(Change::all(&serde_json::to_value(from)?, &serde_json::to_value(to)?))
}

/// Why a change cannot be made in a running training; none if it can.
#[must_use]
pub fn fixed(change: &Change) -> Option<&'static str> {
    let mut words = change.key.split('.');
    let zero = |value: &Value| value.as_f64() == Some(0.0);
    match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        ("evaluation", "best") => Some("the best checkpoint so far is marked by it"),
        (
            "epochs" | "objective" | "fusion" | "shadow" | "learning-rate" | "training" | "evaluation" | "limits"
            | "session",
            _,
        ) => None,
        ("optimizer", "name") => Some("what the optimizer remembers is of another kind"),
        ("optimizer", "multipliers") => Some("parameters are grouped by it when the training starts"),
        ("optimizer", "momentum") if zero(&change.from) || zero(&change.to) => {
            Some("without momentum the optimizer remembers nothing, with it it does")
        }
        ("optimizer", _) => None,
        ("run", "directory") | ("name", _) => Some("the run's folder is there already"),
        ("run", _) => None,
        ("seed", _) => Some("every random number since the start came from it"),
        ("data" | "sampler", _) => Some("the batches of the whole run are drawn from it"),
        ("model", _) => Some("it is the network that is being trained"),
        ("teacher", _) => Some("what the student learned so far is from this teacher"),
        ("device" | "precision" | "threads" | "ranks", _) => Some("it is chosen when the process starts"),
        _ => Some("it is read when the training starts"),
    }
}

/// The text with what commands changed in it. A promotion that was `settled` before is done when the text has no such
/// shadow any more.
pub(super) fn edited(source: Source, edits: &[Edit], settled: bool) -> Result<Source, ExperimentError> {
    edits.iter().try_fold(source, |source, edit| match edit {
        Edit::Set(set) => source.edit(set),
        Edit::Promote(name) if settled && !source.parse()?.shadow.iter().any(|shadow| shadow.name == *name) => {
            Ok(source)
        }
        Edit::Promote(name) => source.promote(name),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mistake_is_said_of_the_command_that_made_it() {
        let source = Source::from_text("own.toml", "name = \"own\"\n".to_owned());
        let named = |source: Source| match source.parse().err().unwrap() {
            ExperimentError::At { text, .. } => text.name().to_owned(),
            error => error.to_string(),
        };
        assert_eq!(named(source.clone().edit("epochs=-1").unwrap()), "own.toml with session set");
        assert_eq!(named(source.clone().set(&["epochs=-1".to_owned()]).unwrap()), "own.toml with --set");
        assert_eq!(named(source.clone()), "own.toml");
        let error = source.edit("margin").err().unwrap().to_string();
        assert!(error.starts_with("session set margin: expected key.path=value"), "{error}");
    }

    #[test]
    fn every_table_of_an_experiment_says_whether_it_may_change() {
        let change = |key: &str| Change { key: key.into(), from: json!(1), to: json!(2) };
        for key in ["objective.0.weight", "optimizer.learning-rate", "optimizer.momentum", "epochs", "run.log-every"] {
            assert_eq!(fixed(&change(key)), None, "{key}");
        }
        let schema = crate::experiment::schema();
        let tables = schema["properties"].as_object().unwrap().keys();
        let unknown: Vec<_> =
            tables.filter(|key| fixed(&change(key)) == Some("it is read when the training starts")).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let momentum = Change { from: json!(0.0), ..change("optimizer.momentum") };
        assert!(fixed(&momentum).is_some() && fixed(&change("model.width")).is_some());
        assert!(fixed(&change("evaluation.best")).is_some() && fixed(&change("evaluation.nmi")).is_none());
    }
}

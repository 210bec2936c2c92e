//! The commands for a training at work. The page shows them once the training has answered.

use lossmith_run::Leaves;
use maud::{Markup, html};

use crate::overview::Overview;
use crate::text::shown;

pub(crate) fn section(overview: &Overview) -> Markup {
    html! {
        section id="steering" aria-label="Steering" hidden {
            p #steering-state role="status" {}
            div.controls {
                button type="button" data-command="pause" { "Pause" }
                button type="button" data-command="resume" { "Go on" }
                button type="button" data-command="checkpoint" { "Write a checkpoint" }
                button type="button" data-command="stop" data-ask="Save the state and end this training?" { "Stop" }
                button type="button" data-command="revert"
                    data-ask="Go back to the revision before the one that is live?" { "Revert" }
                button type="button" data-command="revert" data-weights
                    data-ask="Go back to the revision and the weights before it? What was trained since is undone." {
                    "Revert with weights"
                }
                @for name in shadows(overview.leaves.as_ref()) {
                    button type="button" data-command="promote" data-name=(name)
                        data-ask={ "Put " (shown(&name)) " into its objective's place?" } {
                        "Promote " (shown(&name))
                    }
                }
            }
            form.controls id="steering-set" {
                label { "Set " input name="set" required placeholder="optimizer.learning-rate=0.001" size="40"; }
                button { "Check and take" }
            }
            output id="steering-said" {}
        }
    }
}

/// The names of the shadows of an experiment.
fn shadows(leaves: Option<&Leaves>) -> Vec<String> {
    let is_name = |key: &str| {
        let place = key.strip_prefix("shadow.").and_then(|rest| rest.strip_suffix(".name"));
        place.is_some_and(|place| place.parse::<usize>().is_ok())
    };
    leaves.into_iter().flatten().filter(|(key, _)| is_name(key)).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadows_are_known_by_their_names() {
        let found =
            lossmith_run::leaves("[[shadow]]\nname = 'a'\n[[shadow]]\nname = 'b'\nobjective = { name = 'c' }\n");
        assert_eq!(shadows(found.as_ref()), ["a", "b"]);
        assert!(shadows(None).is_empty());
    }
}

//! What a strategy keeps and reports over several calls in a row: in a training there are millions.

use lossmith_plugin::State;

use super::batch::{Extras, classes};
use super::error::CheckError;
use super::report::{CheckVerdict, StrategyReport};
use super::subject::{Kept, NotComputed, Subject, refusal};

/// Calls before the first look, and then again before the second.
const CALLS: u64 = 8;

pub(super) fn check(subject: &mut Subject, extras: Extras, report: &mut StrategyReport) -> Result<(), CheckError> {
    const WHAT: &str = "calls in a row";
    let batch = classes(40, &[3, 3, 3, 3], 8, extras)?;
    let (mut state, mut looks) = (State::default(), Vec::new());
    subject.restart();
    for call in 1..=2 * CALLS {
        let kept = match subject.next_call(&batch, state, call - 1) {
            Ok((next, kept)) => {
                state = next;
                kept
            }
            Err(error) => {
                let (verdict, text) = match refusal(error)? {
                    NotComputed::Told(text) => (CheckVerdict::Skipped, text),
                    NotComputed::Fault(text) => (CheckVerdict::Failed, text),
                };
                report.add(WHAT, verdict, format!("call {call}: {text}"));
                return Ok(());
            }
        };
        if call % CALLS == 0 {
            looks.push(kept);
        }
    }
    let [first, second] = looks.as_slice() else { return Ok(()) };
    let grew: Vec<_> = [
        ("bytes are kept", first.bytes, second.bytes),
        ("tensors are kept", first.tensors, second.tensors),
        ("names of metrics are reported", first.metrics, second.metrics),
    ]
    .into_iter()
    .filter(|(_, before, after)| after > before)
    .map(|(what, before, after)| format!("{before} {what} after {CALLS} calls, {after} after {}", 2 * CALLS))
    .collect();
    let Kept { bytes, tensors, metrics } = second;
    let (verdict, text) = if grew.is_empty() {
        let calls = 2 * CALLS;
        let text = format!("after {calls} calls {bytes} bytes are kept in {tensors} tensors; metrics: {metrics}");
        (CheckVerdict::Passed, text)
    } else {
        let advice = "a memory that fills up to a size of its own is fine; what grows for ever ends a training at \
                      `limits.state-bytes`, `limits.state-tensors` or `limits.metric-names`";
        (CheckVerdict::Warning, format!("{}\n{advice}", grew.join("\n")))
    };
    report.add(WHAT, verdict, text);
    Ok(())
}

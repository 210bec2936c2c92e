//! What the best checkpoint is, and a training that ends when nothing gets better.

use serde_json::Value;

use crate::support::{Lab, MINED_TRIPLETS, Run};

/// The epoch of the best evaluation, the first of equals.
fn best_epoch(run: &Run, metric: &str, lower: bool) -> u64 {
    let rows = run.rows("evaluation");
    let values = rows.iter().filter_map(|row| Some((row["epoch"].as_u64()?, row["values"][metric].as_f64()?)));
    let better = |one: f64, other: f64| if lower { one < other } else { one > other };
    values.reduce(|best, next| if better(next.1, best.1) { next } else { best }).unwrap().0
}

/// The numbers of a metric in the table of the validation part: last, best, epoch.
fn reported(run: &Run, metric: &str) -> Vec<String> {
    let html = run.text("report.html");
    let (_, row) = html.split_once(&format!("<th scope=\"row\">{metric}</th>")).unwrap();
    let row = row.split_once("</tr>").unwrap().0;
    row.split("<td").skip(1).map(|cell| cell.split(['>', '<']).nth(1).unwrap().to_owned()).collect()
}

#[test]
fn the_best_ratio_is_the_lowest_in_the_checkpoint_the_report_and_the_list() {
    let lab = Lab::new(MINED_TRIPLETS);
    // A rate at which the ratio goes up and down.
    let run = lab.train(&["epochs=6", "evaluation.best=distance-ratio", "optimizer.learning-rate=0.03"]);
    let lowest = best_epoch(&run, "validation/distance-ratio", true);
    let measured = lab.lossmith(&["--json", "eval", run.name(), "--part", "validation"]).json();
    assert_eq!(measured["epoch"], lowest);
    let ratio = run.values("evaluation", "validation/distance-ratio");
    let shown = |value: f64| format!("{value:.4}");
    let expected = [shown(ratio[5]), shown(ratio[lowest as usize - 1]), lowest.to_string(), "lower".to_owned()];
    assert_eq!(reported(&run, "distance-ratio"), expected);
    let highest = best_epoch(&run, "validation/map-at-r", false);
    assert_eq!(reported(&run, "map-at-r")[2..], [highest.to_string(), "higher".to_owned()]);
    assert_eq!(reported(&run, "intra-distance")[1..], ["", "", ""]);
    let best = format!("best      epoch {lowest}, validation/distance-ratio {:.4}", ratio[lowest as usize - 1]);
    let said = lab.lossmith(&["runs", "show", run.name()]).ok();
    assert!(said.contains(&best) && said.contains("lower is better"), "{said}");
    // The test part is measured with it, and stands there once.
    let html = run.text("report.html");
    assert!(html.contains(&format!("with the weights of epoch {lowest}</th>")), "{html}");
    assert!(html.contains("kind = &quot;fashion-mnist&quot;"), "{html}");

    for (metric, words) in
        [("intra-distance", "neither high nor low is better"), ("distance-rato", "`distance-ratio`?")]
    {
        lab.try_train(&[&format!("evaluation.best={metric}")]).fails(3, &[words]);
    }
}

/// After how many epochs the rule ends a training, by what was measured.
fn ends_after(values: &[f64], patience: usize) -> Option<usize> {
    let (mut best, mut stale) = (f64::NEG_INFINITY, 0);
    for (epoch, value) in (1..).zip(values) {
        stale = if *value > best { 0 } else { stale + 1 };
        best = best.max(*value);
        if stale == patience {
            return Some(epoch);
        }
    }
    None
}

#[test]
fn a_training_without_progress_ends_early_and_goes_on_with_more_patience() {
    let lab = Lab::new(MINED_TRIPLETS);
    let sets = ["epochs=30", "evaluation.nmi=false", "optimizer.learning-rate=0.03"];
    let run = lab.train(&[sets.as_slice(), &["evaluation.patience=2"]].concat());
    let values = run.values("evaluation", "validation/map-at-r");
    assert_eq!(ends_after(&values, 2), Some(values.len()));
    assert!(values.len() < 30, "{values:?}");
    // It is finished: the last epoch is kept, the test part is measured, the journal says why.
    assert_eq!(run.values("evaluation", "test/map-at-r").len(), 1);
    assert!(run.files("checkpoints").contains(&format!("epoch-{:04}.safetensors", values.len())));
    let events = run.events();
    assert!(events.ends_with(&["stopped-early".to_owned(), "finished".to_owned()]), "{events:?}");
    let listed = lab.lossmith(&["--json", "runs", "list"]).json();
    assert_eq!((&listed[0]["status"], &listed[0]["epoch"]), (&"finished".into(), &values.len().into()));
    let said = lab.lossmith(&["runs", "show", run.name()]).ok();
    assert!(said.contains("validation/map-at-r was not better in the last 2 evaluations"), "{said}");

    // A repetition ends at the same place; a run without the rule begins the same way.
    let said = lab.lossmith(&["replay", run.name()]).ok();
    assert!(said.contains("are equal to the last bit"), "{said}");
    let longer = lab.train(&[sets.as_slice(), &["name=longer", "evaluation.test=false"]].concat());
    assert_eq!(longer.values("evaluation", "validation/map-at-r")[..values.len()], values);
    lab.try_train(&["evaluation.patience=0"]).fails(3, &["patience"]);

    // It goes on with more patience, not with more epochs.
    let resume = |set: &str| lab.lossmith(&["train", "--resume", run.name(), "--accept-changes", "--set", set]);
    let finished = format!("is finished after epoch {}", values.len());
    resume("epochs=40").fails(2, &[&finished, "epochs: 30 -> 40", "evaluation.patience=NUMBER"]);
    resume("evaluation.patience=3").ok();
    let more = run.values("evaluation", "validation/map-at-r");
    let all = longer.values("evaluation", "validation/map-at-r");
    assert_eq!(more[..], all[..ends_after(&all, 3).unwrap_or(all.len())]);
}

#[test]
fn what_the_checkpoints_take_is_said() {
    let lab = Lab::new(MINED_TRIPLETS);
    let said = lab.lossmith(&["train", "experiment.toml", "--set", "epochs=4", "--set", "run.keep=2"]).ok();
    let line = said.lines().find(|line| line.starts_with("checkpoints: ")).unwrap();
    assert!(line.contains("epoch-0003, epoch-0004 (") && line.contains("run.keep"), "{line}");
    let run = lab.run("tiny");
    let shown = lab.lossmith(&["runs", "show", run.name()]).ok();
    assert!(shown.contains("kept      best, epoch-0003, epoch-0004 ("), "{shown}");
    // A line that was cut is told, not passed over.
    let metrics = run.text("metrics.jsonl");
    std::fs::write(run.path.join("metrics.jsonl"), format!("{{\"kind\":\"st\n{metrics}")).unwrap();
    let shown = lab.lossmith(&["runs", "show", run.name()]).ok();
    assert!(
        shown.contains("not understood and left out: metrics.jsonl, line 1") && shown.contains("1 thread\n"),
        "{shown}"
    );
    let json: Value = lab.lossmith(&["--json", "runs", "show", run.name()]).json();
    assert_eq!(json["checkpoints"]["names"], serde_json::json!(["best", "epoch-0003", "epoch-0004"]));
}

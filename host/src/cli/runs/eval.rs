//! `lossmith eval`.

use clap::Args;
use comfy_table::presets;
use serde_json::json;

use super::arguments::{TrainedArgs, print_data_remarks};
use super::eval_progress::ProgressLine;
use crate::cli::error::CliError;
use crate::cli::{evaluation, output};
use crate::eval::class_name;

/// Measure a run's network on a part of its data.
#[derive(Args, Debug)]
pub(in crate::cli) struct EvalArgs {
    #[command(flatten)]
    trained: TrainedArgs,
}

pub(in crate::cli) fn eval(args: &EvalArgs, json: bool) -> Result<(), CliError> {
    let (mut trained, part) = args.trained.open()?;
    let mut measuring = ProgressLine::new();
    let evaluation = trained.evaluate(part, &mut |now| measuring.show(now));
    measuring.finish();
    let evaluation = evaluation?;
    if json {
        return output::json(&json!({
            "epoch": trained.epoch(), "part": part, "evaluation": evaluation,
            "data-changes": trained.data_changes(), "data-warnings": trained.data_warnings(),
        }));
    }
    print_data_remarks(&trained)?;
    output::line(&format!("{part} part, with the weights of epoch {}:", trained.epoch()))?;
    output::line(&evaluation::text(&evaluation.values(trained.class_names())))?;
    let mut table = output::table(presets::NOTHING);
    table.set_header(["class", "images", "P@1", "R-precision", "MAP@R"]);
    for (class, scores) in &evaluation.retrieval.per_class {
        let numbers = [scores.precision_at_1, scores.r_precision, scores.map_at_r].map(|value| format!("{value:.4}"));
        let [p, r, map] = numbers;
        table.add_row([class_name(trained.class_names(), *class), scores.queries.to_string(), p, r, map]);
    }
    output::line(&table.trim_fmt())
}

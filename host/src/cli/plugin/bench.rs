//! `lossmith plugin bench`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use comfy_table::presets;
use lossmith_plugin::{Role, Runtime, Strategy};
use tch::Device;

use super::component::load;
use super::eval::{given, json};
use super::strategy::meant;
use crate::bench::{self, KEEP_NOTHING, Measurement, Quantity, Rival};
use crate::cli::device::DeviceArgs;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::output_path::may_write;
use crate::cli::role::role;
use crate::started;

/// Measure a strategy: time and memory of a step over the sizes of the batch and of the embedding.
#[derive(Args, Debug)]
pub(in crate::cli) struct PluginBenchArgs {
    /// The component: a path, or the bare name of a plugin (`lossmith plugin inspect --help` says where it is looked
    /// for).
    plugin: PathBuf,
    /// The strategy; can be left out if there is only one.
    #[arg(long)]
    strategy: Option<String>,
    /// Its role, where strategies of two roles have one name.
    #[arg(long, value_parser = role())]
    role: Option<Role>,
    /// Its parameters as JSON; what is left out has its default.
    #[arg(long, default_value = "{}")]
    params: String,
    /// What it takes turns with: another component, with the strategy of the same name or of NAME; or `native` and the
    /// NAME of a loss that the host has without a sandbox.
    #[arg(long, num_args = 1..=2, value_names = ["FILE|native", "NAME"])]
    against: Vec<String>,
    /// Numbers of images in a batch; four images are of one class.
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "32,128,512,1024")]
    #[arg(value_parser = clap::value_parser!(u16).range(8..))]
    batch: Vec<u16>,
    /// Numbers in an embedding.
    #[arg(long, value_name = "D,..", value_delimiter = ',', default_value = "64,512")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    dimension: Vec<u16>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Draw the times into this file, NAME.svg.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure memory: what the command calls itself with.
    #[arg(long, hide = true)]
    memory: bool,
}

pub(super) fn run(args: &PluginBenchArgs, as_json: bool) -> Result<(), CliError> {
    if let Some(path) = &args.plot {
        may_write("--plot", path, &["svg"])?;
    }
    let device = args.device.find()?;
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let plugin = load(&runtime, &args.plugin)?;
    let Strategy { role, name, .. } = meant(&plugin, args.role, args.strategy.as_deref())?;
    let role = *role;
    let rival = match args.against.as_slice() {
        [] => None,
        [native] if native == "native" => {
            let known = bench::native::NAMES.join(", ");
            return Err(CliError::Usage(format!("--against native needs the name of a loss: {known}")));
        }
        [native, loss, ..] if native == "native" => Some(Rival::Native(loss.clone())),
        [file, rest @ ..] => {
            let plugin = load(&runtime, Path::new(file))?;
            let of = rest.first().map_or(name.as_str(), String::as_str);
            plugin.strategy(role, of)?;
            Some(Rival::Component(plugin, of.to_owned()))
        }
    };
    let params = given(&args.params)?;
    let quantity = if args.memory { Quantity::Memory } else { Quantity::Time };
    // A bench takes a while: say how far it is.
    let tell = |row: &Measurement| {
        if !as_json && !args.memory {
            let Measurement { batch, dimension, milliseconds, error, .. } = row;
            match (milliseconds, error) {
                (Some(milliseconds), _) => eprintln!("B = {batch}, D = {dimension}: {milliseconds:.2} ms"),
                (None, error) => {
                    let why = error.as_deref().unwrap_or_default();
                    eprintln!("B = {batch}, D = {dimension}: not measured: {why}");
                }
            }
        }
    };
    let (sizes, dimensions): (Vec<_>, Vec<_>) = (
        args.batch.iter().copied().map(usize::from).collect(),
        args.dimension.iter().copied().map(i64::from).collect(),
    );
    let (what, sizes) = ((role, name.as_str(), &params), (sizes.as_slice(), dimensions.as_slice()));
    let mut rows = bench::measure(&runtime, &plugin, what, sizes, (rival.as_ref(), device), quantity, tell)?;
    if args.memory {
        return output::json(&rows);
    }
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    // What the host's memory does says nothing of a device's.
    if failed < rows.len() && device == Device::Cpu {
        for (row, measured) in rows.iter_mut().zip(memory(as_json)?) {
            row.megabytes = measured.megabytes;
            row.against_megabytes = measured.against_megabytes;
        }
    }
    let against = (!args.against.is_empty()).then(|| args.against.join(" "));
    if let Some(path) = args.plot.as_ref().filter(|_| failed < rows.len()) {
        let title = format!("{role} {name}: a step with its backward pass");
        let svg = bench::draw(&title, &rows, against.as_deref())?;
        std::fs::write(path, svg).map_err(|source| CliError::file(path, source))?;
    }
    if as_json {
        output::json(&rows)?
    } else {
        print(&rows, against.as_deref())?
    }
    if failed == 0 { Ok(()) } else { Err(CliError::Unmeasured { failed, all: rows.len() }) }
}

/// The same sizes in a process of its own, whose allocator keeps nothing.
fn memory(as_json: bool) -> Result<Vec<Measurement>, CliError> {
    let mut command = started::again().map_err(|error| CliError::file(Path::new("lossmith"), error))?;
    command.arg("--memory").envs(KEEP_NOTHING);
    if !as_json {
        command.arg("--json");
    }
    let output = command.output().map_err(|error| CliError::file(Path::new("lossmith"), error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::Machine(format!("measuring memory failed: {}", text.trim())));
    }
    json(&String::from_utf8_lossy(&output.stdout), "what was measured")
}

fn print(rows: &[Measurement], against: Option<&str>) -> Result<(), CliError> {
    let mut table = output::table(presets::NOTHING);
    let mut header =
        vec!["B".to_owned(), "D".into(), "ms".into(), "quartiles".into(), "step by step".into(), "MB".into()];
    if let Some(against) = against {
        header.extend([format!("ms of {against}"), "quartiles".into(), format!("MB of {against}"), "ratio".into()]);
    }
    table.set_header(header);
    let megabytes = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.1}"));
    let spread = |value: Option<[f64; 2]>| value.map(|[low, high]| format!("{low:.2}-{high:.2}")).unwrap_or_default();
    for row in rows {
        let Some(time) = row.milliseconds else {
            table.add_row([row.batch.to_string(), row.dimension.to_string(), "not measured".into()]);
            continue;
        };
        let mut cells = vec![
            row.batch.to_string(),
            row.dimension.to_string(),
            format!("{time:.2}"),
            spread(row.quartiles),
            row.step_by_step_milliseconds.map_or_else(|| "the same".to_owned(), |time| format!("{time:.2}")),
            megabytes(row.megabytes),
        ];
        if let (Some(time), Some(ratio)) = (row.against_milliseconds, row.ratio) {
            let (spread, megabytes) = (spread(row.against_quartiles), megabytes(row.against_megabytes));
            cells.extend([format!("{time:.2}"), spread, megabytes, format!("{ratio:.2}")]);
        }
        table.add_row(cells);
    }
    output::line(&table.trim_fmt())
}

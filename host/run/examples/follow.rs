//! Prints what a run measures while it goes on: `cargo run -p lossmith-run --example follow -- runs/NAME`

use std::error::Error;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use lossmith_run::{Run, Status};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder of a run")?;
    let run = Run::open(Path::new(&folder))?;
    let mut tail = run.follow_metrics();
    loop {
        // Asked before the rows are read, so that the last ones are printed, too.
        let goes_on = matches!(run.status()?, Status::Running | Status::Unknown);
        let news = tail.read()?;
        if news.anew {
            println!("the file of the metrics begins anew");
        }
        for row in news.lines.rows {
            let values: Vec<String> = row.values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            println!("{} after epoch {}, step {}: {}", row.kind, row.epoch, row.step, values.join(", "));
        }
        if !goes_on {
            return Ok(());
        }
        sleep(Duration::from_secs(1));
    }
}

//! Many reloads with random faults. `make torture` runs a thousand; the tests run fewer.

use std::fs;

use serde_json::{Value, json};

use super::driver::{Live, component, journal};
use crate::support::Lab;

/// State of every kind, and a component that is exchanged and misbehaves on demand.
const TORTURED: &str = r#"
[[objective]]
loss = { plugin = "proxies", strategy = "proxy-anchor" }

[[objective]]
weight = 0.5
loss = { plugin = "live.wasm", strategy = "evil-later", params = { how = "", after = 0 } }

[[objective]]
loss = { plugin = "test-roles", strategy = "noise" }
"#;

const SETS: [&str; 5] = [
    "sampler.samples=24",
    "limits.fuel=20000000",
    "limits.memory-bytes=8388608",
    "limits.handles=2000",
    "run.log-every=1",
];

const FAULTS: [&str; 7] = ["panic", "spin", "grow", "handles", "nan", "with-gradients-shape", "unreachable"];

/// A small generator of the test's own: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

struct Torture<'a> {
    live: Live<'a>,
    text: String,
    variant: u8,
    accepted: usize,
    refused: usize,
    rolled_back: usize,
}

impl Torture<'_> {
    fn write(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from}: {}", self.text);
        self.live.lab.write("experiment.toml", &self.text.replace(from, to));
    }

    /// Puts the good experiment back; nothing may change then.
    fn restore(&mut self) {
        self.live.lab.write("experiment.toml", &self.text);
        let verdict = self.live.verdict();
        assert_eq!(verdict["verdict"], "same", "{verdict}");
    }

    #[track_caller]
    fn expect(&mut self, wanted: &str) -> Value {
        let verdict = self.live.verdict();
        assert_eq!(verdict["verdict"], wanted, "{verdict}");
        match wanted {
            "accepted" => self.accepted += 1,
            _ => self.refused += 1,
        }
        verdict
    }

    fn taken(&mut self) {
        self.live.go_on();
        self.live.event("swap");
        self.live.pause();
    }

    fn once(&mut self, dice: &mut Dice) {
        let next = self.live.pause().1;
        let path = self.live.lab.path("live.wasm");
        match dice.below(8) {
            // A component of other bytes.
            0 | 1 => {
                self.variant = self.variant.wrapping_add(1);
                component(self.live.lab, "live.wasm", "evil", self.variant);
                self.expect("accepted");
                self.taken();
            }
            // A parameter of the objective.
            2 | 3 => {
                let before = self.text.lines().find(|line| line.starts_with("weight")).unwrap().to_owned();
                let after = format!("weight = 0.{}", 100 + dice.below(900));
                if before != after {
                    self.text = self.text.replace(&before, &after);
                    self.live.lab.write("experiment.toml", &self.text.clone());
                    self.expect("accepted");
                    self.taken();
                }
            }
            // What passes the checks and fails at work: not in the next step, which a rollback may have tried already.
            4 | 5 => {
                let how = FAULTS[dice.below(FAULTS.len())];
                self.write("how = \"\", after = 0", &format!("how = \"{how}\", after = {}", next + 1));
                self.expect("accepted");
                self.live.go_on();
                self.live.event("rollback");
                self.rolled_back += 1;
                self.live.pause();
                self.restore();
            }
            // A file that is cut short, or gone.
            6 => {
                let whole = fs::read(&path).unwrap();
                match dice.below(2) {
                    0 => fs::write(&path, &whole[..dice.below(whole.len())]).unwrap(),
                    _ => fs::remove_file(&path).unwrap(),
                }
                self.expect("refused");
                fs::write(&path, whole).unwrap();
                assert_eq!(self.live.verdict()["verdict"], "same");
            }
            // An experiment that is none, or wants what cannot change.
            _ => {
                let (from, to) = [("[model]", "[model"), ("width = 4", "width = 5")][dice.below(2)];
                self.write(from, to);
                self.expect("refused");
                self.restore();
            }
        }
    }

    /// Resident memory in kilobytes, and open files.
    fn usage(&self) -> (u64, usize) {
        let process = format!("/proc/{}", self.live.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let memory = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        (memory, fs::read_dir(format!("{process}/fd")).unwrap().count())
    }
}

#[test]
fn many_reloads_with_faults_leave_memory_and_files_flat_and_the_result_exact() {
    let reloads: usize = std::env::var("LOSSMITH_TORTURE").map_or(40, |count| count.parse().unwrap());
    let lab = Lab::new(TORTURED);
    component(&lab, "live.wasm", "evil", 0);
    let live = Live::start(&lab, &SETS);
    let text = fs::read_to_string(lab.path("experiment.toml")).unwrap();
    let mut torture = Torture { live, text, variant: 0, accepted: 0, refused: 0, rolled_back: 0 };
    let mut dice = Dice(20_261_125);
    let mut warm = (0, 0);
    for reload in 0..reloads {
        torture.once(&mut dice);
        if reload == reloads / 4 {
            warm = torture.usage();
        }
    }
    let end = torture.usage();
    let Torture { live, accepted, refused, rolled_back, .. } = torture;
    println!(
        "{reloads} reloads: {accepted} accepted, {refused} refused, {rolled_back} rolled back; memory {} kB after a \
         quarter, {} kB at the end; open files {} and {}",
        warm.0, end.0, warm.1, end.1
    );
    live.go_on();
    let run = live.stop_and_replay();
    assert_eq!(journal(&run, "swap").len(), accepted);
    assert_eq!(journal(&run, "rollback").len(), rolled_back);
    assert!(rolled_back > 0 && refused > 0 && accepted > rolled_back);
    assert!(end.1 <= warm.1 + 2, "open files grow: {} to {}", warm.1, end.1);
    // The allocator keeps some of what is free; a component that were kept each time would cost megabytes.
    let bound = warm.0 + 32 * 1024 + reloads as u64 * 40;
    assert!(end.0 < bound, "memory grows: {} kB to {} kB", warm.0, end.0);
    assert_eq!(journal(&run, "control").first().map(|entry| entry["command"].clone()), Some(json!("pause")));
}

//! Fusions: one embedding from the slices, at evaluation and for objectives on it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Lab, Run, Running, Stored, tensors};

/// An objective on four slices, and maybe one on what the fusion makes of them.
fn objectives(on: Option<&str>, fusion: &str) -> String {
    let fused = "loss = { plugin = \"losses\", strategy = \"multi-similarity\" }";
    let fused = on.map_or(String::new(), |on| format!("\n[[objective]]\non = \"{on}\"\n{fused}\n"));
    let fusion = if fusion.is_empty() {
        String::new()
    } else {
        format!("\n[fusion]\nplugin = \"fusions\"\nstrategy = {fusion}\n")
    };
    format!(
        "\n[[objective]]\nloss = {{ plugin = \"losses\", strategy = \"multi-threshold\" }}\n\
         schedule = {{ plugin = \"schedules\", strategy = \"uniform\" }}\n{fused}{fusion}"
    )
}

const SLICES: [&str; 2] = ["model.slices=4", "run.keep=12"];

fn train(on: Option<&str>, fusion: &str, sets: &[&str]) -> (Lab, Run) {
    let lab = Lab::new(&objectives(on, fusion));
    let run = lab.train(&[SLICES.as_slice(), sets].concat());
    (lab, run)
}

/// Rows of `lossmith embed`, and their labels.
fn embedded(lab: &Lab, run: &Run, part: &str, checkpoint: &str) -> (Vec<Vec<f64>>, Vec<i64>) {
    let which = ["--part", part, "--checkpoint", checkpoint];
    lab.lossmith(&[["embed", run.name(), "--output", "x.safetensors"].as_slice(), &which].concat()).ok();
    let file = tensors(&lab.path("x.safetensors"));
    let width = file["embeddings"].shape[1];
    let rows =
        file["embeddings"].floats().chunks(width).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    (rows, file["labels"].integers())
}

/// The four slices of a row, each of length 1.
fn slices(row: &[f64]) -> Vec<Vec<f64>> {
    let unit = |slice: &[f64]| {
        let norm = slice.iter().map(|x| x * x).sum::<f64>().sqrt();
        slice.iter().map(|x| x / norm).collect()
    };
    row.chunks(row.len() / 4).map(unit).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Weights of the slices with mean 1.
fn softmax(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| scores.len() as f64 * score.exp() / sum).collect()
}

fn numbers(tensor: &Stored) -> Vec<f64> {
    tensor.floats().into_iter().map(f64::from).collect()
}

#[track_caller]
fn assert_near(found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
    }
}

/// The rows of a slice's unit vectors, scaled.
fn fused(raw: &[Vec<f64>], weights: impl Fn(&[Vec<f64>]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let row = |row: &Vec<f64>| {
        let slices = slices(row);
        let weights = weights(&slices);
        let scaled =
            slices.iter().zip(weights).flat_map(|(slice, weight)| slice.iter().map(move |x| x * weight.sqrt()));
        scaled.collect()
    };
    raw.iter().map(row).collect()
}

#[test]
fn fused_only_trains_the_fusion_and_leaves_the_network_as_it_is() {
    let (lab, alone) = train(None, "", &[]);
    let network = |run: &Run| (run.part("epoch-0002", "model/"), run.part("epoch-0002", "optimizer/head"));
    for (fusion, parameter, shape) in
        [("\"learned-weights\"", "logits", vec![4]), ("\"attention\"", "queries", vec![4, 2])]
    {
        let (_only, only) = train(Some("fused-only"), fusion, &[]);
        assert!(network(&only) == network(&alone), "{fusion}: the network felt it");
        let (_both, both) = train(Some("fused"), fusion, &[]);
        assert!(network(&both) != network(&alone), "{fusion}: the network did not feel it");
        for run in [&only, &both] {
            let (first, second) = (run.checkpoint("epoch-0001"), run.checkpoint("epoch-0002"));
            let name = format!("plugin/fusion/parameter/{parameter}");
            assert_eq!(second[&name].shape, shape);
            assert!(first[&name] != second[&name] && first[&name].floats().iter().any(|x| *x != 0.0));
            let moments = run.part("epoch-0002", &format!("optimizer/fusion/{parameter}."));
            assert_eq!(moments.len(), 3, "{:?}", moments.keys());
        }
        // What the checkpoint has is what `embed` scales the slices with.
        let kept = only.checkpoint("epoch-0002");
        let parameters = numbers(&kept[&format!("plugin/fusion/parameter/{parameter}")]);
        let (raw, labels) = embedded(&lab, &alone, "test", "last");
        let (found, again) = embedded(&lab, &only, "test", "last");
        assert_eq!(labels, again);
        let attention = parameters.len() == 8;
        let expected = fused(&raw, |slices| {
            let attended = || slices.iter().zip(parameters.chunks(2)).map(|(slice, query)| dot(slice, query)).collect();
            softmax(&if attention { attended() } else { parameters.clone() })
        });
        assert_near(&found, &expected);
    }
}

#[test]
fn a_fusion_without_parameters_scales_the_slices_as_it_says() {
    let (lab, alone) = train(None, "", &["epochs=1"]);
    let (raw, _) = embedded(&lab, &alone, "validation", "last");
    for (fusion, weights) in [
        ("\"concatenation\"", [1.0; 4]),
        ("\"weighted\"\nparams = { weights = [0.5, 2.0, 0.0, 1.5] }", [0.5, 2.0, 0.0, 1.5]),
        ("\"dimension-weighted\"", [1.0 / 16.0; 4]),
    ] {
        let (lab, run) = train(None, fusion, &["epochs=1"]);
        assert!(run.part("epoch-0001", "model/") == alone.part("epoch-0001", "model/"));
        assert_near(&embedded(&lab, &run, "validation", "last").0, &fused(&raw, |_| weights.to_vec()));
    }
}

#[test]
fn a_finished_run_is_measured_with_its_fusion() {
    let (lab, run) = train(Some("fused"), "\"attention\"", &[]);
    let overall = |arguments: &[&str]| {
        let told = lab.lossmith(&[["--json", "eval", run.name()].as_slice(), arguments].concat()).json();
        told["evaluation"]["retrieval"]["overall"]["map-at-r"].as_f64().unwrap()
    };
    let measured = run.values("evaluation", "validation/map-at-r");
    assert_eq!(overall(&["--part", "validation", "--checkpoint", "1"]), measured[0]);
    assert_eq!(overall(&["--part", "validation", "--checkpoint", "last"]), measured[1]);
    assert_eq!(overall(&[]), run.values("evaluation", "test/map-at-r")[0]);
}

#[test]
fn parameters_of_a_fusion_survive_a_stop() {
    for (on, fusion) in [("fused", "\"attention\""), ("fused-only", "\"learned-weights\"")] {
        let lab = Lab::new(&objectives(Some(on), fusion));
        stopped_and_whole(&lab);
    }
}

/// Stops a training in each way; what it comes to after that must be that of one that was not stopped.
#[track_caller]
fn stopped_and_whole(lab: &Lab) {
    let sets = [SLICES.as_slice(), &["epochs=12"]].concat();
    let whole = lab.train(&sets);
    for (name, signal) in [("interrupted", libc::SIGINT), ("killed", libc::SIGKILL)] {
        let set = format!("name={name}");
        let mut running = Running::start(lab.command(&lab.training(&[sets.as_slice(), &[set.as_str()]].concat())));
        running.wait_for("epoch");
        if signal == libc::SIGINT {
            running.wait_for("step");
        }
        running.signal(signal);
        assert_ne!(running.finish().code, Some(0), "it was not stopped");
        let run = lab.run(name);
        lab.lossmith(&["--json", "train", "--resume", run.name()]).ok();
        for checkpoint in ["epoch-0012", "best"] {
            assert!(run.checkpoint(checkpoint) == whole.checkpoint(checkpoint), "{name}: {checkpoint} differs");
        }
        assert_eq!(run.rows("evaluation"), whole.rows("evaluation"), "{name}");
    }
}

#[test]
fn a_choice_of_a_slice_survives_a_stop() {
    stopped_and_whole(&Lab::new(&objectives(None, "\"best-slice\"")));
}

#[test]
fn parameters_that_nothing_trains_survive_a_stop() {
    stopped_and_whole(&Lab::new(&objectives(None, "\"learned-weights\"")));
}

#[test]
fn a_run_goes_on_from_the_checkpoint_of_its_first_epoch() {
    for (on, fusion) in [(None, "\"attention\""), (Some("fused"), "\"attention\""), (None, "\"best-slice\"")] {
        let (lab, run) = train(on, fusion, &[]);
        let from = format!("{}@1", run.name());
        let said = lab.lossmith(&["--json", "train", "--from", &from]).ok();
        let branch = lab.run_of(&said);
        assert!(branch.checkpoint("epoch-0002") == run.checkpoint("epoch-0002"), "{fusion}");
    }
}

#[test]
fn a_fusion_that_nothing_trains_is_told_once() {
    let told = |on: Option<&str>, fusion: &str| {
        let lab = Lab::new(&objectives(on, fusion));
        let stdout = lab.try_train(&SLICES).ok();
        let events = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = events.filter(|event| event["event"] == "line" && event["slot"] == "fusion");
        ours.map(|event| event["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let untrained = told(None, "\"learned-weights\"");
    assert_eq!(untrained.len(), 1, "{untrained:?}");
    for phrase in ["no objective trains them", "on = \"fused\"", "on = \"fused-only\""] {
        assert!(untrained[0].contains(phrase), "{untrained:?}");
    }
    assert_eq!(told(Some("fused-only"), "\"learned-weights\""), Vec::<String>::new());
    assert_eq!(told(None, "\"concatenation\""), Vec::<String>::new());
    assert_eq!(told(None, "\"best-slice\""), Vec::<String>::new());
}

/// The slice with the largest recorded value, the first of equal ones.
fn recorded_best(row: &Value) -> usize {
    let value = |slice: usize| row["values"][format!("validation/slice.{slice}.map-at-r")].as_f64().unwrap();
    (1..4).fold(0, |best, slice| if value(slice) > value(best) { slice } else { best })
}

#[test]
fn the_best_slice_is_that_of_the_validation_part_at_the_checkpoint() {
    let sets = ["epochs=4", "seed=3"];
    let (lab, run) = train(None, "\"best-slice\"", &sets);
    let (alone_lab, alone) = train(None, "", &sets);
    let rows = run.rows("evaluation");
    let chosen: Vec<usize> = rows[..4].iter().map(recorded_best).collect();
    assert!(chosen.iter().any(|slice| *slice != 0), "another seed would show more: {chosen:?}");
    let slice_of =
        |rows: Vec<Vec<f64>>, slice: usize| rows.iter().map(|row| slices(row)[slice].clone()).collect::<Vec<_>>();
    for (epoch, slice) in (1..).zip(&chosen) {
        let name = format!("epoch-{epoch:04}");
        assert!(run.part(&name, "model/") == alone.part(&name, "model/"));
        assert_eq!(run.checkpoint(&name)["plugin/fusion/buffer/slice"].integers(), [*slice as i64], "{chosen:?}");
        // The validation part is measured with what was chosen by it.
        let values = &rows[epoch - 1]["values"];
        assert_eq!(values["validation/map-at-r"], values[format!("validation/slice.{slice}.map-at-r")]);
        let checkpoint = epoch.to_string();
        let (raw, _) = embedded(&alone_lab, &alone, "test", &checkpoint);
        assert_near(&embedded(&lab, &run, "test", &checkpoint).0, &slice_of(raw, *slice));
    }
    // The test part of the run, by the slice of the best checkpoint.
    let maps = run.values("evaluation", "validation/map-at-r");
    let best = (1..4).fold(0, |best, epoch| if maps[epoch] > maps[best] { epoch } else { best });
    let test = &rows[4]["values"];
    assert_eq!(rows[4]["epoch"], best + 1);
    assert_eq!(test["test/map-at-r"], test[format!("test/slice.{}.map-at-r", chosen[best])]);
    let (raw, _) = embedded(&alone_lab, &alone, "test", &(best + 1).to_string());
    assert_near(&embedded(&lab, &run, "test", "best").0, &slice_of(raw, chosen[best]));
    let told = lab.lossmith(&["--json", "eval", run.name()]).json();
    assert_eq!(told["evaluation"]["retrieval"]["overall"]["map-at-r"], test["test/map-at-r"]);
}

#[test]
fn a_loss_on_one_slice_sees_its_dimensions_only() {
    let lab = Lab::new(&objectives(Some("fused"), "\"best-slice\"").replace(
        "plugin = \"losses\", strategy = \"multi-similarity\"",
        "plugin = \"proxies\", strategy = \"cross-entropy\"",
    ));
    let kept = lab.train(&SLICES).checkpoint("epoch-0002");
    assert_eq!(kept["plugin/objective.1.loss/parameter/W"].shape, [10, 2]);
    assert_eq!(kept["plugin/objective.1.loss/parameter/b"].shape, [10]);
}

#[test]
fn what_a_file_says_of_fusions_is_checked() {
    const PLACE: &str = "[experiment.toml with --set:";
    let fused = objectives(Some("fused"), "\"concatenation\"");
    let shadow = "\n[[shadow]]\nname = \"s\"\nreplaces = 0\n\
                  objective = { on = \"fused\", loss = { plugin = \"proxies\", strategy = \"proxy-anchor\" } }\n";
    for (objectives, code, phrases) in [
        (objectives(Some("fused"), ""), 3, vec!["there is no fused embedding", "no [fusion]", PLACE, "on = \"fused\""]),
        (objectives(Some("fused-only"), ""), 3, vec!["there is no fused embedding", PLACE, "on = \"fused-only\""]),
        (objectives(Some("fussed"), "\"concatenation\""), 3, vec!["fussed", "`fused`", PLACE]),
        (format!("{fused}{shadow}"), 3, vec!["a shadow sees the embedding", PLACE, "on = \"fused\""]),
        (objectives(None, "\"concatenate\""), 3, vec!["did you mean `concatenation`?", PLACE]),
        (
            objectives(None, "\"weighted\"\nparams = { weights = [1.0, -1.0] }"),
            3,
            vec!["`weights` of `weighted`", PLACE],
        ),
    ] {
        let lab = Lab::new(&objectives);
        lab.try_train(&SLICES).fails(code, &phrases);
        assert!(lab.runs().is_empty(), "a run was made");
    }
    // What only the plugin knows is told before anything is trained, too.
    let weighted = |weights: &str| format!("\"weighted\"\nparams = {{ weights = [{weights}] }}");
    let dimensions = "\"dimension-weighted\"\nparams = { dimensions = [3.0, 4.0] }".to_owned();
    for (fusion, phrases) in [
        (weighted("1.0, 2.0, 3.0"), ["`weights` has 3 numbers, and `model.slices` is 4", "weighted"]),
        (weighted("0.0, 0.0, 0.0, 0.0"), ["all `weights` are 0", "at least one slice"]),
        (dimensions, ["whole numbers that add up to 8", "[3.0, 4.0]"]),
    ] {
        for on in [Some("fused"), None] {
            let lab = Lab::new(&objectives(on, &fusion));
            lab.try_train(&SLICES).fails(4, &phrases);
            assert!(lab.runs().is_empty(), "a run was made");
        }
    }
}

/// The nearest other row of each, by cosine.
fn nearest(rows: &[Vec<f64>]) -> Vec<usize> {
    let others = |query: usize| (0..rows.len()).filter(move |other| *other != query);
    let best = |query: usize| {
        others(query).max_by(|a, b| dot(&rows[query], &rows[*a]).total_cmp(&dot(&rows[query], &rows[*b])))
    };
    (0..rows.len()).map(|query| best(query).unwrap()).collect()
}

#[test]
fn slices_are_measured_by_themselves_and_against_each_other() {
    let (lab, run) = train(None, "", &[]);
    let (rows, labels) = embedded(&lab, &run, "validation", "last");
    let found: Vec<Vec<usize>> =
        (0..4).map(|slice| nearest(&rows.iter().map(|row| slices(row)[slice].clone()).collect::<Vec<_>>())).collect();
    let value = |name: &str| *run.values("evaluation", &format!("validation/{name}")).last().unwrap();
    let share = |right: usize| right as f64 / rows.len() as f64;
    for (slice, found) in found.iter().enumerate() {
        let right = found.iter().enumerate().filter(|(query, found)| labels[*query] == labels[**found]).count();
        assert!((value(&format!("slice.{slice}.precision-at-1")) - share(right)).abs() < 1e-9, "{slice}");
        for metric in ["r-precision", "map-at-r"] {
            assert_eq!(run.values("evaluation", &format!("test/slice.{slice}.{metric}")).len(), 1);
        }
    }
    let pairs = (0..4).flat_map(|a| (a + 1..4).map(move |b| (a, b)));
    let differ = |(a, b): (usize, usize)| share(found[a].iter().zip(&found[b]).filter(|(a, b)| a != b).count());
    let disagreement = pairs.map(differ).sum::<f64>() / 6.0;
    assert!((value("slice-disagreement") - disagreement).abs() < 1e-9, "{disagreement}");
    assert!((0.0..=1.0).contains(&value("slice-correlation")));
    let text = lab.lossmith(&["eval", run.name()]).ok();
    assert!(
        text.contains("slice-disagreement")
            && text.lines().any(|line| line.starts_with("slice") || line.trim_start().starts_with("slice ")),
        "{text}"
    );
    // Nothing of that where it is switched off, or there is one slice.
    for off in ["evaluation.slices=false", "model.slices=1"] {
        let (_lab, run) = train(None, "\"concatenation\"", &["epochs=1", off]);
        let names: BTreeMap<String, Value> =
            run.rows("evaluation").iter().flat_map(|row| row["values"].as_object().unwrap().clone()).collect();
        assert!(!names.is_empty() && names.keys().all(|name| !name.contains("slice")), "{off}: {:?}", names.keys());
    }
}

/// Waits for the swap of an edit of the experiment file, which must be accepted. Another test may build the shared
/// components again meanwhile, which changes nothing.
#[track_caller]
fn exchanged(running: &mut Running) -> Value {
    for kind in ["verdict", "swap"] {
        loop {
            let event = running.event(kind);
            assert!(kind == "swap" || event["verdict"] == "accepted", "{event}");
            match event["changes"].as_array() {
                Some(changes) if !changes.is_empty() && kind == "swap" => return event,
                Some(changes) if !changes.is_empty() => break,
                _ => {}
            }
        }
    }
    Value::Null
}

#[test]
fn the_fusion_of_a_running_training_is_exchanged() {
    let lab = Lab::new(&objectives(Some("fused"), "\"concatenation\""));
    let sets = [SLICES.as_slice(), &["epochs=2000", "session.quiet-ms=20"]].concat();
    let mut arguments = lab.training(&sets);
    arguments.push("--watch");
    let mut running = Running::start(lab.command(&arguments));
    running.wait_for("epoch");
    for to in ["learned-weights", "best-slice", "attention"] {
        let text = std::fs::read_to_string(lab.path("experiment.toml")).unwrap();
        let (before, _) = text.split_once("\nplugin = \"fusions\"").unwrap();
        lab.write("experiment.toml", &format!("{before}\nplugin = \"fusions\"\nstrategy = \"{to}\"\n"));
        let swap = exchanged(&mut running);
        assert_eq!(swap["changes"][0]["to"], to, "{swap}");
        let epoch = running.event("epoch");
        assert!(epoch["values"]["validation/map-at-r"].is_number(), "{epoch}");
        assert!(epoch["epoch"].as_u64() > swap["epoch"].as_u64(), "{epoch}");
        running.wait_for("step");
    }
    running.signal(libc::SIGINT);
    let outcome = running.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    let run = lab.run("tiny");
    let kept = run.part("interrupted", "plugin/fusion/");
    assert!(kept.contains_key("plugin/fusion/parameter/queries"), "{:?}", kept.keys());
    let said = lab.lossmith(&["--json", "replay", run.name()]).ok();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["comparison"]["different"], 0, "{last}");
}

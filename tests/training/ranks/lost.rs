//! Ranks that are lost, do not come, or do not fit: whoever is left ends with an error that names them.

use std::net::TcpListener;

use super::{OBJECTIVES, as_rank, by_hand, free_port, launched, log, single};
use crate::support::{Lab, Outcome, Running};

/// Does not end by itself. Nobody waits long for a rank.
const ENDLESS: [&str; 5] =
    ["name=endless", "epochs=1000000", "evaluation.every=1000000", "run.keep=1", "ranks.timeout=4"];

#[test]
fn a_rank_that_is_killed_is_named_and_the_run_goes_on() {
    for killed in [0, 2] {
        let lab = Lab::new(OBJECTIVES);
        let mut ranks = by_hand(&lab, 3, &ENDLESS);
        ranks[0].wait_for("epoch");
        ranks[killed].signal(libc::SIGKILL);
        let outcomes: Vec<_> = ranks.into_iter().map(Running::finish).collect();
        let left = outcomes.into_iter().enumerate().filter(|(rank, _)| *rank != killed);
        for (_, outcome) in left {
            outcome.fails(1, &[&format!("rank {killed}")]);
        }
        let run = lab.run("endless");
        let epochs = run.rows("epoch").len() + 1;
        let epochs = format!("epochs={epochs}");
        lab.lossmith(&launched("2", &["--resume", run.name(), "--accept-changes"], &[&epochs])).ok();
        assert_eq!(run.events().last().unwrap(), "finished");
    }
}

#[test]
fn a_rank_that_stands_still_is_named() {
    for stopped in [0, 1] {
        let lab = Lab::new(OBJECTIVES);
        let mut ranks = by_hand(&lab, 2, &ENDLESS);
        ranks[0].wait_for("epoch");
        ranks[stopped].signal(libc::SIGSTOP);
        let other = ranks.remove(1 - stopped);
        other.finish().fails(1, &[&format!("lost rank {stopped}")]);
        let stopped = ranks.remove(0);
        stopped.signal(libc::SIGKILL);
        drop(stopped.finish());
    }
}

#[test]
fn ranks_that_do_not_meet_say_who_is_missing() {
    let lab = Lab::new(OBJECTIVES);
    let training = lab.training(&["ranks.timeout=2"]);
    single(&lab, &[], &training).fails(1, &["rank 1 did not come within 2 s"]);
    // Another port.
    let alone = Outcome::of(&mut as_rank(lab.command(&training), 1, 2, &free_port()));
    alone.fails(1, &["rank 1 finds nobody at 127.0.0.1", "within 2 s"]);
    // A port that somebody has.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    single(&lab, &[("MASTER_PORT", &port)], &training).fails(1, &["rank 0 cannot listen on", "set MASTER_PORT"]);
    assert!(!lab.path("runs").exists());
}

#[test]
fn a_rank_whose_files_are_damaged_says_so_to_all() {
    let lab = Lab::new(OBJECTIVES);
    lab.lossmith(&launched("2", &["experiment.toml"], &["data.path=\"nowhere\""])).fails(5, &["nowhere", "rank 0:"]);
    assert!(!lab.path("runs").exists());
}

#[test]
fn what_several_ranks_cannot_train_is_refused() {
    let lab = Lab::new(OBJECTIVES);
    let launch = |size, sets: &[&str]| lab.lossmith(&launched(size, &["experiment.toml"], sets));
    launch("3", &["sampler.classes=2", "sampler.samples=1", "objective=[{loss={plugin='losses',strategy='sup-con'}}]"])
        .fails(3, &["a batch of 2 images", "3 ranks"]);
    launch("2", &["ranks.sync-batch-norm=false"]).fails(3, &["sync-batch-norm", "freeze-batch-norm"]);
    launch("3", &["training.micro-batch=1"]).fails(3, &["do not cut a batch of 40 images"]);
    launch("2", &["ranks.timeout=0"]).fails(3, &["at least one second", "timeout = 0"]);
    launch("2", &["epochs=two"]).fails(3, &["epochs"]);
}

#[test]
fn variables_that_make_no_sense_are_named() {
    let lab = Lab::new(OBJECTIVES);
    let training = lab.training(&[]);
    single(&lab, &[("WORLD_SIZE", "0")], &training).fails(2, &["WORLD_SIZE is `0`"]);
    single(&lab, &[("RANK", "2")], &training).fails(2, &["RANK is `2`", "below 2"]);
    single(&lab, &[("MASTER_PORT", "http")], &training).fails(2, &["MASTER_PORT is `http`"]);
    lab.write("sweep.toml", "");
    single(&lab, &[], &["sweep", "sweep.toml"]).fails(2, &["2 ranks were started", "not divided"]);
    // One is none.
    let mut alone = lab.command(&lab.training(&["epochs=1", "name=alone"]));
    Outcome::of(alone.envs([("WORLD_SIZE", "1"), ("RANK", "0")])).ok();
    let run = lab.run("alone");
    assert!(!run.text("experiment.toml").contains("[ranks]") && !run.events().contains(&"ranks".to_owned()));
}

#[test]
fn components_and_decisions_are_those_of_rank_0() {
    let lab = Lab::new(OBJECTIVES);
    let port = free_port();
    let start = |rank| {
        let mut command = as_rank(lab.command(&lab.training(&ENDLESS)), rank, 2, &port);
        if rank == 1 {
            command.env("LOSSMITH_PLUGINS", "nowhere");
        }
        Running::start(command)
    };
    let mut ranks = [start(0), start(1)];
    // What another machine has in its folder of plugins changes nothing, and a signal to any rank is one to all.
    ranks[0].wait_for("epoch");
    ranks[1].signal(libc::SIGTERM);
    let [first, second] = ranks;
    first.finish().fails(130, &["its state is saved"]);
    assert_eq!(second.finish().code, Some(0));
    assert!(log(&lab.run("endless"), 1).contains("ends with the training"));
}

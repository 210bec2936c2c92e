//! What another rank than the first does: it follows rank 0, step by step, and writes nothing but its log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use lossmith_plugin::{Plugin, Runtime};
use tch::{Device, Tensor};

use super::assembly::{Assembly, Site};
use super::event::TrainingEvent;
use super::interrupts::Interrupts;
use super::message::{COMPONENT, Message, Next, Revised, STATE, Sent, in_common, out_of_turn};
use super::state::{Fit, Looks, TrainingState};
use super::training_error::TrainingError;
use crate::data::BatchLoader;
use crate::experiment::{DeviceChoice, Experiment, PluginSource, Source};
use crate::objective::{Loader, Places, Strategies};
use crate::ranks::{Ranks, Wish};
use crate::run::{Checkpoint, Run};
use crate::standard::Standard;
use crate::teacher::Teacher;

/// Does what rank 0 says, until it says that nothing is left to do.
///
/// # Errors
/// What went wrong here, or that rank 0 is lost.
pub fn follow(
    ranks: &Arc<Ranks>,
    runtime: &Arc<Runtime>,
    standard: &Standard,
    interrupts: &Interrupts,
) -> Result<(), TrainingError> {
    let mut follower = Follower {
        ranks: Arc::clone(ranks),
        runtime: Arc::clone(runtime),
        standard,
        plugins: BTreeMap::new(),
        work: None,
        log: Log { file: None },
    };
    let followed = follower.follow(interrupts);
    if let Err(error) = &followed {
        follower.log.say(&format!("ends: {error}"));
    }
    followed
}

struct Follower<'a> {
    ranks: Arc<Ranks>,
    runtime: Arc<Runtime>,
    standard: &'a Standard,
    /// Compiled already, by hash.
    plugins: BTreeMap<String, Arc<Plugin>>,
    /// None before the first state.
    work: Option<Work>,
    log: Log,
}

/// What is at work.
struct Work {
    state: TrainingState,
    teacher: Option<Teacher>,
    /// The last values of metrics.
    last: Arc<BTreeMap<String, f64>>,
    /// The batches from a step on: its epoch, and its number there.
    loader: Option<(u64, u64, BatchLoader)>,
}

/// `ranks/N.log` of the run, where this machine sees its folder.
struct Log {
    file: Option<File>,
}

impl Follower<'_> {
    fn follow(&mut self, interrupts: &Interrupts) -> Result<(), TrainingError> {
        loop {
            let (message, tensors) = self.ranks.receive()?;
            let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
            match message {
                Message::State(sent) => {
                    let taken = self.take(&sent, &mut tensors);
                    self.answer(taken.as_ref().map(drop))?;
                    taken?;
                }
                Message::Try(revised) => {
                    let tried = self.load(&revised, &tensors).map(drop);
                    self.answer(tried.as_ref().map(drop))?;
                    if let Err(error) = tried {
                        self.log.say(&format!("a revision is refused: {error}"));
                    }
                }
                Message::Compare => {
                    let work = self.work.as_ref().ok_or_else(out_of_turn)?;
                    self.ranks.compare(&in_common(&work.state)?)?;
                }
                Message::Train(next) => match self.train(&next, interrupts) {
                    // Rank 0 knows it, and goes back or ends.
                    Err(error) if error.is_of_a_strategy() => self.log.say(&format!("step {}: {error}", next.number)),
                    trained => trained?,
                },
                Message::Embed(parts) => {
                    let work = self.work.as_ref().ok_or_else(out_of_turn)?;
                    for part in parts {
                        drop(work.state.assembly().features(part, Some(&self.ranks), &mut |_| ())?);
                    }
                }
                Message::End => {
                    self.ranks.agree(None, Wish::default())?;
                    self.log.say("ends with the training");
                    return Ok(());
                }
            }
        }
    }

    /// Tells the others whether something went well here.
    fn answer(&self, result: Result<(), &TrainingError>) -> Result<(), TrainingError> {
        let failure = result.err().map(ToString::to_string);
        match self.ranks.agree(failure.as_deref(), Wish::default()) {
            // Where something failed on another rank, rank 0 decides what that means.
            Ok(_) | Err(crate::ranks::RanksError::Fault { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over the state of rank 0.
    fn take(&mut self, sent: &Sent, tensors: &mut BTreeMap<String, Tensor>) -> Result<(), TrainingError> {
        if self.work.is_some() {
            let (experiment, strategies) = self.load(&sent.revised, tensors)?;
            if let Some(work) = &mut self.work {
                work.state.replace(experiment, strategies);
            }
        } else {
            self.work = Some(self.begin(sent, tensors)?);
        }
        let work = self.work.as_mut().ok_or_else(out_of_turn)?;
        let state = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(STATE)?, tensor)));
        let tensors = state.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect();
        let checkpoint = Checkpoint { epoch: sent.epoch, step: sent.step, tensors };
        work.state.restore(Some(&checkpoint), Fit::Exact)?;
        work.state.set_pace(sent.pace());
        work.loader = None;
        Ok(())
    }

    /// Opens the data and makes the network, as rank 0 did.
    fn begin(&mut self, sent: &Sent, tensors: &BTreeMap<String, Tensor>) -> Result<Work, TrainingError> {
        let (source, plugins) = self.plugins(&sent.revised, tensors)?;
        let experiment = source.parse()?;
        let place = self.ranks.place().clone();
        let device = match &experiment.device {
            DeviceChoice::Auto => match DeviceChoice::Auto.find()? {
                Device::Cuda(_) => DeviceChoice::Cuda(place.local_rank),
                _ => DeviceChoice::Cpu,
            },
            chosen => chosen.clone(),
        };
        let site = Site { data: Some(sent.data.clone()), device: Some(device), run: None, restored: true };
        let places = Places::Standard(self.standard);
        let assembly =
            Assembly::new(&source, Arc::clone(&self.runtime), places, site, |loader| loader.pinned(plugins))?;
        let teacher = super::training::teacher(&assembly)?;
        let mut state = TrainingState::new(assembly)?;
        state.join(&self.ranks)?;
        self.log.open(sent, &place);
        let data = state.assembly().dataset.digest().get(..12).unwrap_or_default().to_owned();
        self.log.say(&format!("rank {} of {}, data {data}, from step {}", place.rank, place.size, sent.step));
        Ok(Work { state, teacher, last: Arc::default(), loader: None })
    }

    /// The strategies of an experiment.
    fn load(
        &mut self,
        revised: &Revised,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<(Experiment, Strategies), TrainingError> {
        let (source, plugins) = self.plugins(revised, tensors)?;
        let experiment = source.parse()?;
        let device = self.work.as_ref().map_or(Device::Cpu, |work| work.state.assembly().device);
        let (runtime, limits) = (Arc::clone(&self.runtime), experiment.limits.clone());
        let places = Places::Standard(self.standard);
        let loader = Loader::new(runtime, &source, places, device, experiment.seed, limits).pinned(plugins);
        let strategies = Strategies::load(&experiment, loader)?;
        Ok((experiment, strategies))
    }

    /// An experiment, and the components that it names, of the bytes that rank 0 has.
    fn plugins(
        &mut self,
        revised: &Revised,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<(Source, BTreeMap<PluginSource, Arc<Plugin>>), TrainingError> {
        let source = Source::from_text("the experiment of rank 0", revised.experiment.clone());
        let experiment = source.parse()?;
        let limits = Arc::new(experiment.limits.clone());
        let mut plugins = BTreeMap::new();
        for component in &revised.components {
            if let (None, Some(bytes)) =
                (self.plugins.get(&component.hash), tensors.get(&format!("{COMPONENT}{}", component.hash)))
            {
                let bytes = Vec::<u8>::try_from(bytes)?;
                let plugin = Plugin::from_bytes(&self.runtime, &component.name, bytes, &limits);
                let plugin = plugin.map_err(crate::objective::ObjectiveError::from)?;
                self.plugins.insert(plugin.hash.clone(), plugin);
            }
            if let (Some(strategy), Some(plugin)) =
                (experiment.strategy(&component.slot), self.plugins.get(&component.hash))
            {
                plugins.insert(strategy.plugin.clone(), Arc::clone(plugin));
            }
        }
        Ok((source, plugins))
    }

    /// This rank's part of a step.
    fn train(&mut self, next: &Next, interrupts: &Interrupts) -> Result<(), TrainingError> {
        let Work { state, teacher, last, loader } = self.work.as_mut().ok_or_else(out_of_turn)?;
        if let Some(metrics) = &next.metrics {
            let values = metrics.iter().map(|(name, bits)| (name.clone(), f64::from_bits(*bits)));
            *last = Arc::new(values.collect());
        }
        let here = loader.take().filter(|(epoch, number, _)| (*epoch, *number) == (next.epoch, next.number));
        let mut batches = match here {
            Some((_, _, batches)) => batches,
            None => state.load(next.epoch, next.number, teacher.as_ref())?,
        };
        let batch = batches.next().ok_or_else(out_of_turn)??;
        *loader = Some((next.epoch, next.number + 1, batches));
        let progress = state.progress(next.epoch, state.steps(), last);
        let mut wish = Wish { stop: interrupts.stopped(), save: interrupts.take_save() };
        let log = &mut self.log;
        let watch = &mut |event: TrainingEvent<'_>| {
            if let TrainingEvent::Line { slot, text, .. } = event {
                log.say(&format!("{slot}: {text}"));
            }
        };
        state.train(&batch, &progress, teacher.as_ref(), Looks::default(), &mut wish, watch).map(drop)
    }
}

impl Log {
    fn open(&mut self, sent: &Sent, place: &crate::ranks::Place) {
        // A machine that does not see the run's folder keeps no log.
        let Ok(run) = Run::open(&sent.run) else { return };
        let path = run.rank_log(place.rank);
        let made = path.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok());
        self.file = made.then(|| File::options().create(true).append(true).open(path).ok()).flatten();
    }

    fn say(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            // What cannot be logged does not end the training.
            let _ = writeln!(file, "{} {text}", jiff::Timestamp::now());
        }
    }
}

//! Gradients against finite differences in 64 bits.
//!
//! Values that went through `detach`, or came out of `gradient`, are frozen at the unchanged batch: no gradient flows
//! through them, by the plugin's own declaration. Where the plugin gives the gradient itself, with `with-gradients`,
//! nothing is frozen: what it gives is meant to be the derivative of the value as a whole.

use lossmith_plugin::{State, Stopped};
use tch::{Kind, TchError, Tensor};

use super::batch::TrialBatch;
use super::error::CheckError;
use super::report::{CheckVerdict, StrategyReport};
use super::subject::{StrategyOutput, Subject};

/// A step that balances truncation, `step^2 f'''`, and rounding, `1e-16 f / step`, for losses with sharpness up to
/// about 100.
const STEP: f64 = 1e-6;
/// Largest difference, relative to the largest derivative.
const TOLERANCE: f64 = 1e-5;
/// Rounding of a value of 1, over the step.
const ROUNDING: f64 = 1e-8;
/// Where the slopes on both sides differ by more, relative to the largest derivative, there is a kink.
const KINK: f64 = 1e-3;
/// Derivatives that are looked at of one tensor, at most.
const MOST: i64 = 160;

/// Compares the gradients of batches, each with the state before it, and says how many derivatives were compared.
/// `variant` names the parameters that are not at their defaults; where it is not empty only what is wrong is reported.
pub(super) fn check(
    subject: &mut Subject,
    batches: &[(TrialBatch, State)],
    variant: &str,
    report: &mut StrategyReport,
) -> Result<usize, CheckError> {
    const WHAT: &str = "gradient";
    let (mut found, mut frozen, mut moving) = (Vec::new(), 0, Vec::new());
    let mut given = false;
    for (batch, state) in batches {
        let evaluation = subject.evaluate(batch, Kind::Double, state)?;
        if let Some(text) = &evaluation.not_finite {
            report.add(WHAT, CheckVerdict::Failed, format!("{variant}{text}"));
            return Ok(0);
        }
        let Some(gradient) = &evaluation.gradient else { return Ok(0) };
        let its_own = evaluation.cost.given_gradients > 0;
        given |= its_own;
        let first = found.len();
        found.push(compare(subject, batch, state, &evaluation, None, gradient, !its_own)?);
        for (name, gradient) in &evaluation.parameter_gradients {
            found.push(compare(subject, batch, state, &evaluation, Some(name), gradient, !its_own)?);
        }
        let is_right = found.iter().skip(first).all(|found| found.wrong(its_own).is_none());
        if !its_own && !evaluation.stopped.is_empty() {
            frozen = frozen.max(evaluation.stopped.len());
            if is_right && variant.is_empty() {
                // The gradient of the value as it is, without the declaration: it may be meant to be another.
                moving.push(compare(subject, batch, state, &evaluation, None, gradient, false)?);
            }
        }
    }
    let whose = if given { "given by the plugin" } else { "by the host" };
    let wrong: Vec<_> =
        found.iter().filter_map(|found| found.wrong(given)).map(|text| format!("{variant}{text}")).collect();
    let derivatives: usize = found.iter().map(|found| found.pairs.len()).sum();
    let kinks: usize = found.iter().map(|found| found.kinks).sum();
    if wrong.is_empty() && kinks > derivatives {
        let text = format!("{variant}at {kinks} of {} places the slopes on both sides differ", kinks + derivatives);
        report.add(WHAT, CheckVerdict::Warning, text + ": the value jumps, or has a kink nearly everywhere");
    } else if !wrong.is_empty() {
        report.judge(WHAT, "", &wrong);
    } else if variant.is_empty() {
        let worst = found.iter().map(Compared::worst).fold(0.0, f64::max);
        let mut good =
            format!("{derivatives} derivatives, {whose}, agree with finite differences to {worst:.0e} of the largest");
        if frozen > 0 {
            good += &format!("; {frozen} values without gradient were held, and ");
            good += &if moving.iter().any(|moving| moving.wrong(false).is_some()) {
                let most = moving.iter().map(Compared::worst).fold(0.0, f64::max);
                format!("letting them move changes the slopes by {most:.1e} of the largest")
            } else {
                "letting them move changes nothing".to_owned()
            };
        }
        if kinks > 0 {
            good += &format!("; {kinks} at kinks were left out");
        }
        report.add(WHAT, CheckVerdict::Passed, good);
    }
    Ok(derivatives)
}

/// Both derivatives of the value with respect to one tensor.
struct Compared {
    name: String,
    columns: i64,
    /// Position, gradient, finite difference.
    pairs: Vec<(i64, f64, f64)>,
    kinks: usize,
    /// Of the value, for rounding.
    magnitude: f64,
}

fn compare(
    subject: &mut Subject,
    batch: &TrialBatch,
    state: &State,
    evaluation: &StrategyOutput,
    parameter: Option<&str>,
    gradient: &Tensor,
    hold: bool,
) -> Result<Compared, CheckError> {
    let gradient_list = Vec::<f64>::try_from(&gradient.f_reshape([-1])?)?;
    let value = evaluation.output.value().unwrap_or(f64::NAN);
    let frozen = || match hold {
        true => Stopped::Frozen(evaluation.stopped.iter().map(Tensor::shallow_clone).collect(), 0),
        false => Stopped::Computed,
    };
    let leaf = match parameter {
        None => batch.embeddings.shallow_clone(),
        Some(name) => state.parameters.get(name).map(|p| p.tensor.f_detach()).transpose()?.unwrap_or_default(),
    };
    let step = STEP * leaf.f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?.sqrt().max(1e-6);
    let mut at = |position: i64, change: f64| -> Result<f64, CheckError> {
        let mut moved = moved(&leaf, position, change)?;
        match parameter {
            None => subject.value(&batch.with_embeddings(moved), state, frozen()),
            Some(name) => {
                let mut state = state.copy()?;
                if let Some(parameter) = state.parameters.get_mut(name) {
                    parameter.tensor = moved.f_requires_grad_(true)?;
                }
                subject.value(batch, &state, frozen())
            }
        }
    };
    let count = gradient_list.len() as i64;
    // A stride that meets every column, as it shares no factor with powers of two and of ten.
    let stride = if count <= MOST { 1 } else { (count / MOST) | 1 };
    let mut slopes = Vec::new();
    for (position, &gradient) in (0..count).zip(&gradient_list).filter(|(position, _)| position % stride == 0) {
        let (right, left) = (at(position, step)?, at(position, -step)?);
        slopes.push((position, gradient, (right - value) / step, (value - left) / step));
    }
    let largest = slopes.iter().flat_map(|&(_, g, r, l)| [g, r, l]).map(f64::abs).fold(0.0, f64::max);
    let magnitude = ROUNDING * value.abs().max(1.0) / (step / STEP);
    let is_kink = |right: f64, left: f64| (right - left).abs() > KINK * largest + 10.0 * magnitude;
    let kinks = slopes.iter().filter(|&&(_, _, right, left)| is_kink(right, left)).count();
    let smooth = slopes.iter().filter(|&&(_, _, right, left)| !is_kink(right, left));
    let pairs = smooth.map(|&(position, gradient, right, left)| (position, gradient, (right + left) / 2.0)).collect();
    let columns = leaf.size().last().copied().unwrap_or(1).max(1);
    Ok(Compared { name: parameter.unwrap_or("embeddings").to_owned(), columns, pairs, kinks, magnitude })
}

fn moved(tensor: &Tensor, position: i64, change: f64) -> Result<Tensor, TchError> {
    let flat = tensor.f_detach()?.f_reshape([-1])?;
    let moved = flat.f_index_add(0, &Tensor::f_from_slice(&[position])?, &Tensor::f_from_slice(&[change])?)?;
    moved.f_reshape(tensor.size())
}

impl Compared {
    fn largest(&self) -> f64 {
        self.pairs.iter().map(|(_, gradient, slope)| gradient.abs().max(slope.abs())).fold(0.0, f64::max)
    }

    /// The largest difference, relative to the largest derivative.
    fn worst(&self) -> f64 {
        let difference = self.pairs.iter().map(|(_, gradient, slope)| (gradient - slope).abs()).fold(0.0, f64::max);
        if difference == 0.0 { 0.0 } else { difference / self.largest() }
    }

    /// The mistake of the gradient, if there is one.
    fn wrong(&self, given: bool) -> Option<String> {
        let allowed = TOLERANCE * self.largest() + self.magnitude;
        let off = |&&(_, gradient, slope): &&(i64, f64, f64)| {
            let difference = (gradient - slope).abs();
            difference.is_nan() || difference > allowed
        };
        let count = self.pairs.iter().filter(off).count();
        let difference = |&(_, gradient, slope): &(i64, f64, f64)| (gradient - slope).abs();
        let worst = self.pairs.iter().filter(off).max_by(|a, b| difference(a).total_cmp(&difference(b)))?;
        let &(position, gradient, slope) = worst;
        let place = match self.name.as_str() {
            "embeddings" => format!("image {}, dimension {}", position / self.columns, position % self.columns),
            name => format!("`{name}`, row {}, column {}", position / self.columns, position % self.columns),
        };
        let mut text = format!(
            "{count} of {} derivatives are wrong; at {place} the gradient is {gradient:.6e}, the value's slope \
             {slope:.6e}",
            self.pairs.len()
        );
        if let Some(guess) = self.guess() {
            text += &format!(": {guess}");
        }
        if given {
            text += "\nthe plugin gives this gradient itself, with `with-gradients`: look there";
        }
        Some(text)
    }

    /// The likely kind of mistake.
    fn guess(&self) -> Option<String> {
        let sum =
            |of: fn(f64, f64) -> f64| self.pairs.iter().map(|&(_, gradient, slope)| of(gradient, slope)).sum::<f64>();
        let (gg, gs, ss) = (sum(|g, _| g * g), sum(|g, s| g * s), sum(|_, s| s * s));
        if gg == 0.0 {
            return Some(
                "no gradient arrives there, though the value changes: was it computed from a list of numbers, or by \
                 the plugin itself?"
                    .into(),
            );
        }
        let cosine = gs / (gg * ss).sqrt();
        let factor = gs / ss;
        if cosine < -1.0 + 1e-6 {
            return Some(format!(
                "the sign is wrong{}",
                if (factor + 1.0).abs() > 1e-4 {
                    format!(", and it is {:.4} times as large", -factor)
                } else {
                    String::new()
                }
            ));
        }
        if cosine > 1.0 - 1e-6 {
            return Some(format!("it is {factor:.4} times what it should be"));
        }
        Some(format!("its cosine with the slopes is {cosine:.3}: a part is missing, or belongs to other images"))
    }
}

//! Means of a step's metrics over an interval, gathered on the device and read once.

use std::collections::BTreeMap;

use lossmith_plugin::Metric;
use tch::{Device, Kind, TchError, Tensor};

/// Sums of named metrics since they were last read.
#[derive(Debug, Default)]
pub(super) struct Averages {
    sums: BTreeMap<String, Sum>,
}

#[derive(Debug)]
struct Sum {
    /// On the device, 64-bit; none while only numbers came.
    tensor: Option<Tensor>,
    number: f64,
    count: u64,
}

impl Averages {
    /// Adds the metrics of a step. Waits for nothing.
    pub(super) fn add(&mut self, metrics: &[(String, Metric)]) -> Result<(), TchError> {
        for (name, metric) in metrics {
            if !self.sums.contains_key(name) {
                self.sums.insert(name.clone(), Sum { tensor: None, number: 0.0, count: 0 });
            }
            let Some(sum) = self.sums.get_mut(name) else { continue };
            sum.count += 1;
            match metric {
                Metric::Number(number) => sum.number += number,
                Metric::Tensor(value) => {
                    let value = value.f_reshape([0_i64; 0])?.f_to_kind(Kind::Double)?;
                    sum.tensor = Some(match sum.tensor.take() {
                        Some(mut total) => total.f_add_(&value)?,
                        None => value,
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds what another has gathered.
    pub(super) fn merge(&mut self, means: &BTreeMap<String, f64>, steps: u64) {
        for (name, mean) in means {
            let sum = self.sums.entry(name.clone()).or_insert(Sum { tensor: None, number: 0.0, count: 0 });
            sum.number += mean * steps as f64;
            sum.count += steps;
        }
    }

    /// The sums as tensors of four numbers: on the device, of numbers, how many, and whether there is one on the
    /// device.
    pub(super) fn state(&self) -> Result<BTreeMap<String, Tensor>, TchError> {
        let state = self.sums.iter().map(|(name, sum)| {
            let tensor = sum.tensor.as_ref().map(|tensor| tensor.f_double_value(&[])).transpose()?;
            let numbers = [tensor.unwrap_or(0.0), sum.number, sum.count as f64, f64::from(u8::from(tensor.is_some()))];
            Ok((name.clone(), Tensor::f_from_slice(&numbers)?))
        });
        state.collect()
    }

    /// Sets the sums to those of [`state`](Self::state).
    pub(super) fn load_state(&mut self, state: &BTreeMap<String, Tensor>, device: Device) -> Result<(), TchError> {
        self.sums.clear();
        for (name, numbers) in state {
            let numbers = Vec::<f64>::try_from(numbers)?;
            let [tensor, number, count, on_device] = numbers[..] else { continue };
            let tensor =
                (on_device != 0.0).then(|| Tensor::f_from_slice(&[tensor])?.f_reshape([0_i64; 0])?.f_to_device(device));
            self.sums.insert(name.clone(), Sum { tensor: tensor.transpose()?, number, count: count as u64 });
        }
        Ok(())
    }

    /// The means by name, in one read of the device, and starts again.
    pub(super) fn take(&mut self) -> Result<BTreeMap<String, f64>, TchError> {
        let sums = std::mem::take(&mut self.sums);
        let tensors: Vec<&Tensor> = sums.values().filter_map(|sum| sum.tensor.as_ref()).collect();
        let read = if tensors.is_empty() { Vec::new() } else { Vec::<f64>::try_from(&Tensor::f_stack(&tensors, 0)?)? };
        let mut read = read.into_iter();
        Ok(sums
            .iter()
            .map(|(name, sum)| {
                let tensor = if sum.tensor.is_some() { read.next().unwrap_or(f64::NAN) } else { 0.0 };
                (name.clone(), (tensor + sum.number) / sum.count.max(1) as f64)
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn means_of_tensors_and_numbers_start_again_when_taken() {
        let mut averages = Averages::default();
        for value in [1.0, 2.0, 6.0] {
            let tensor = Metric::Tensor(Tensor::from(value as f32));
            averages.add(&[("a".into(), tensor), ("b".into(), Metric::Number(10.0 * value))]).unwrap();
        }
        let means = averages.take().unwrap();
        assert_eq!(means, BTreeMap::from([("a".into(), 3.0), ("b".into(), 30.0)]));
        assert!(averages.take().unwrap().is_empty());
    }
}

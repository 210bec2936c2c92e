//! A loss whose operations change in the ways in which they can from call to call.

use lossmith_sdk::prelude::*;

strategy! {
    /// The mean square of the embeddings, made in a way that changes.
    pub struct Changes as "changes" {
        /// In which way.
        what: String = String::new();
        /// How many operations a long one has.
        count: i64 = 1;
    }
}

impl Loss for Changes {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let x = batch.embeddings();
        let loss = x.square().mean(ALL);
        Ok(match self.what.as_str() {
            "nothing" => loss,
            // A value is read in one epoch of ten.
            "reads-at-times" if progress.epoch() % 10 == 9 => &loss * (1.0 + loss.item().abs()),
            "reads-at-times" => loss,
            "step" => &loss * (1.0 + progress.step() as f64),
            // A value is read in the last step of an epoch.
            "last-step" if progress.is_last_step_of_epoch() => &loss * (1.0 + loss.item().abs()),
            "last-step" => loss,
            "largest-class" => (0..batch.largest_class()).fold(loss, |loss, _| loss * 2.0),
            "epoch" if progress.epoch().is_multiple_of(2) => loss.sqrt(),
            "epoch" => (0..progress.epoch()).fold(loss, |loss, _| loss * 2.0),
            "metric" => match progress.metric("validation/recall-at-1") {
                Some(recall) => loss * recall,
                None => loss.exp(),
            },
            "shapes" => {
                let rows = batch.size() / (1 + progress.epoch() as i64 % 3);
                x.narrow(0, 0, rows).repeat(&[2, 1]).square().mean(ALL)
            }
            "labels" => loss * batch.labels().bincount(4).to_float().mean(ALL),
            "draws" => {
                let noise = random::normal(&x.shape()) + random::uniform(&x.shape());
                let order = random::permutation(batch.size());
                let some = random::integers(&[batch.size()], 0, batch.size());
                report::metric("noise", &noise.square().mean(ALL));
                report::info("noise is drawn");
                report::metric("number", 3.0);
                (x.index_select(0, &order) * noise).square().mean(ALL) + x.index_select(0, &some).sum(ALL)
            }
            "buffer" => {
                let seen = state::buffer("seen").unwrap_or_else(|| Tensor::zeros(&[batch.dimension()], Dtype::Float));
                state::set_buffer("seen", &(seen + x.detach().mean(0)));
                // What was set is told at once, and may be set again.
                let now = state::buffer("seen").ok_or("the buffer is gone")?;
                state::set_buffer("seen", &(&now * 0.9));
                (x - now).square().mean(ALL)
            }
            "parameter" => {
                let scale = state::parameter("scale", 2.0, || Tensor::ones(&[batch.dimension()], Dtype::Float));
                (x * scale).square().mean(ALL)
            }
            "gradient" => {
                let [slope] = loss.gradient(&[&x]).try_into().map_err(|_| "one gradient")?;
                loss.with_gradients(&[(&x, &(slope * 3.0))])
            }
            "integers" => {
                // A fraction of integers takes the float of the run.
                let places = Tensor::arange(0, batch.size()) / 3.0;
                (x.mean(1) * places).square().mean(ALL)
            }
            "itself" => {
                let (twice, other) = (batch.embeddings(), batch.embeddings());
                (x.cosine_matrix(&x) + twice.cosine_matrix(&other)).square().mean(ALL)
                    + x.distance_matrix(&x).mean(ALL)
                    + twice.distance_matrix(&other).mean(ALL)
            }
            "long" => (0..self.count - 2).fold(loss, |loss, _| -loss),
            // So many bytes of constants.
            "constants" => loss + Tensor::from_integers(&vec![1; self.count as usize / 8], &[self.count / 8]).sum(ALL),
            // So many questions.
            "questions" => {
                let known = (0..self.count).filter_map(|number| progress.metric(&number.to_string()));
                loss + known.sum::<f64>()
            }
            // So many metrics of one name.
            "metrics" => {
                (0..self.count).for_each(|number| report::metric("one", number as f64));
                loss
            }
            "infinite" => loss.log(),
            unknown => return Err(format!("nothing changes by `{unknown}`").into()),
        })
    }
}

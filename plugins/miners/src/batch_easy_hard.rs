//! For each anchor one positive and one negative, chosen by how hard they are, or all of one kind.
//!
//! Hard is the farthest positive or the nearest negative, easy the other way round. Semi-hard is the hardest one for
//! which the positive is still nearer than the negative that was (or the negative farther than the positive that was)
//! chosen before. Without `all`, anchors without such a positive and negative are left out.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::positions;

choices! {
    /// How hard the chosen one is.
    pub enum Choice {
        /// The easiest.
        Easy = "easy",
        /// The hardest.
        Hard = "hard",
        /// The hardest for which positive and negative are in the right order.
        SemiHard = "semi-hard",
        /// All. The other kind of pair must not be `semi-hard` then.
        All = "all",
    }
}

strategy! {
    /// Easy or hard positives with easy or hard negatives, Xuan, Stylianou and Pless 2020.
    pub struct BatchEasyHard as "batch-easy-hard" {
        /// Which positives.
        positive: Choice = Choice::Easy;
        /// Which negatives.
        negative: Choice = Choice::SemiHard;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
    }
}

/// What was chosen for each anchor: where it is and how far, and whether there is one. All B.
struct Chosen {
    position: Tensor,
    farness: Tensor,
    exists: Tensor,
}

impl Miner for BatchEasyHard {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let farness = self.distance.farness(&batch.embeddings());
        let labels = batch.labels();
        let (same, different) = (same_class(&labels), different_class(&labels));
        let positive = |among: &Tensor| match self.positive {
            Choice::Easy => nearest(&farness, among),
            _ => farthest(&farness, among),
        };
        let negative = |among: &Tensor| match self.negative {
            Choice::Easy => farthest(&farness, among),
            _ => nearest(&farness, among),
        };
        let (positive, negative) = match (self.positive, self.negative) {
            (Choice::SemiHard, Choice::SemiHard) => {
                return Err("`positive` and `negative` cannot both be \"semi-hard\"".into());
            }
            (Choice::All, Choice::SemiHard) | (Choice::SemiHard, Choice::All) => {
                return Err("\"semi-hard\" cannot be combined with \"all\": it needs one pair of the other kind".into());
            }
            (Choice::All, Choice::All) => return Ok(crate::pairs(&same, &different)),
            (Choice::All, _) => return Ok(pairs(positions(&same), one_each(&negative(&different)))),
            (_, Choice::All) => return Ok(pairs(one_each(&positive(&same)), positions(&different))),
            (Choice::SemiHard, _) => {
                let negative = negative(&different);
                let nearer = farness.lt(&negative.farness.unsqueeze(1));
                (positive(&same.logical_and(&nearer)), negative)
            }
            (_, Choice::SemiHard) => {
                let positive = positive(&same);
                let farther = farness.gt(&positive.farness.unsqueeze(1));
                (positive, negative(&different.logical_and(&farther)))
            }
            _ => (positive(&same), negative(&different)),
        };
        let (anchors, _) = positions(&positive.exists.logical_and(&negative.exists));
        let of_anchors = |chosen: &Chosen| chosen.position.index_select(0, &anchors);
        Ok(Tuples::pairs(&anchors, &of_anchors(&positive), &anchors, &of_anchors(&negative)))
    }
}

fn nearest(farness: &Tensor, among: &Tensor) -> Chosen {
    let (farness, position) = farness.masked_fill(&among.logical_not(), f64::INFINITY).min(1);
    Chosen { position, farness, exists: among.any(1) }
}

fn farthest(farness: &Tensor, among: &Tensor) -> Chosen {
    let (farness, position) = farness.masked_fill(&among.logical_not(), f64::NEG_INFINITY).max(1);
    Chosen { position, farness, exists: among.any(1) }
}

/// The anchors that have one, and the chosen one of each.
fn one_each(chosen: &Chosen) -> (Tensor, Tensor) {
    let (anchors, _) = positions(&chosen.exists);
    let chosen = chosen.position.index_select(0, &anchors);
    (anchors, chosen)
}

fn pairs(positive: (Tensor, Tensor), negative: (Tensor, Tensor)) -> Tuples {
    Tuples::pairs(&positive.0, &positive.1, &negative.0, &negative.1)
}

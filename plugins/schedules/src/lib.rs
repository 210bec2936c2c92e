//! Threshold schedules: a threshold for each of the K slices of an embedding.
//!
//! The idea, one threshold a slice and all of them together covering the valid range, is that of multi-threshold metric
//! learning (Yang, Yu et al. 2024, arXiv 2406.16434). The range and how it is sampled are not public in detail: **the
//! formulas and defaults here are our own readings.** Distances of unit vectors lie in [0, 2]. If C classes are points
//! that are equally far from each other, that distance is sqrt(2C / (C - 1)), the largest threshold that all pairs of
//! classes can meet; it falls from 2 (two classes) to sqrt(2), so the default range of 0.1 to 1.4 is meaningful for any
//! number of classes.

mod adaptive;
mod constant;
mod curriculum;
mod list;
mod range;
mod single;
mod spread;
mod stratified_random;

lossmith_sdk::export! {
    schedules: [
        spread::Uniform,
        spread::Geometric,
        stratified_random::StratifiedRandom,
        constant::Constant,
        single::Single,
        list::List,
        curriculum::Curriculum,
        adaptive::Adaptive,
    ]
}

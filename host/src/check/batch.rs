//! Batches that a strategy is tried on.

use lossmith_plugin::random_streams::{Purpose, generator, normal};
use lossmith_plugin::{Input, PairLosses, Tuples};
use lossmith_torch_shim::upload;
use rand_chacha::rand_core::Rng;
use tch::{Device, Kind, TchError, Tensor};

/// Numbers of a batch, always in 64 bits; what a strategy is given has the dtype of its slot.
#[derive(Debug)]
pub(crate) struct TrialBatch {
    /// B x D.
    pub(crate) embeddings: Tensor,
    pub(crate) labels: Vec<i64>,
    pub(crate) class_count: i64,
    /// B x D: some transfers compare embeddings themselves.
    pub(crate) teacher: Option<Tensor>,
    /// One for each slice; none without a schedule.
    pub(crate) thresholds: Vec<f64>,
    pub(crate) slice_count: i64,
    /// B x C x H x W, for strategies that look at feature maps.
    pub(crate) feature_maps: Option<[Tensor; 2]>,
    /// What a miner found: three index lists (triplets) or four (pairs).
    pub(crate) tuples: Option<Vec<Vec<i64>>>,
}

/// What a batch has beyond embeddings, labels and a teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extras {
    None,
    /// Two slices, each with a threshold.
    Thresholds,
    /// Feature maps of student and teacher.
    FeatureMaps,
}

impl Extras {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Thresholds, Self::FeatureMaps];
}

/// Images of classes of the given sizes, in mixed order: each a random centre and a random deviation.
pub(crate) fn classes(seed: u64, sizes: &[usize], dimension: i64, extras: Extras) -> Result<TrialBatch, TchError> {
    let mut labels: Vec<i64> =
        sizes.iter().zip(0..).flat_map(|(&size, label)| std::iter::repeat_n(label, size)).collect();
    let mut random = generator(seed, Purpose::Check, 0, 0);
    for last in (1..labels.len()).rev() {
        labels.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    let size = labels.len() as i64;
    let mut numbers = |count: i64| -> Vec<f64> { (0..count).map(|_| normal(&mut random)).collect() };
    let mut scattered = |dimension: i64| -> Result<Tensor, TchError> {
        let centres = Tensor::f_from_slice(&numbers(sizes.len() as i64 * dimension))?.f_reshape([-1, dimension])?;
        let own = centres.f_index_select(0, &Tensor::f_from_slice(&labels)?)?;
        own.f_add(&Tensor::f_from_slice(&numbers(size * dimension))?.f_reshape([size, dimension])?)
    };
    let (embeddings, teacher) = (scattered(dimension)?, scattered(dimension)?);
    let mut map =
        |channels: i64| Tensor::f_from_slice(&numbers(size * channels * 4))?.f_reshape([size, channels, 2, 2]);
    let feature_maps = if extras == Extras::FeatureMaps { Some([map(3)?, map(3)?]) } else { None };
    let thresholds = if extras == Extras::Thresholds { vec![0.3, 0.7] } else { Vec::new() };
    Ok(TrialBatch {
        embeddings,
        class_count: sizes.len() as i64,
        slice_count: thresholds.len().max(1) as i64,
        labels,
        teacher: Some(teacher),
        thresholds,
        feature_maps,
        tuples: None,
    })
}

impl TrialBatch {
    /// Another batch of the same kind with these embeddings.
    pub(crate) fn with_embeddings(&self, embeddings: Tensor) -> Self {
        Self { embeddings, ..self.handle() }
    }

    /// The same batch on a device: what a strategy is given lies there.
    pub(crate) fn on(&self, device: Device) -> Result<Self, TchError> {
        let there = |tensor: &Tensor| tensor.f_to_device(device);
        let maps =
            self.feature_maps.as_ref().map(|[student, teacher]| Ok::<_, TchError>([there(student)?, there(teacher)?]));
        Ok(Self {
            embeddings: there(&self.embeddings)?,
            teacher: self.teacher.as_ref().map(there).transpose()?,
            feature_maps: maps.transpose()?,
            ..self.handle()
        })
    }

    /// Another handle of the same numbers.
    pub(crate) fn handle(&self) -> Self {
        Self {
            embeddings: self.embeddings.shallow_clone(),
            labels: self.labels.clone(),
            teacher: self.teacher.as_ref().map(Tensor::shallow_clone),
            thresholds: self.thresholds.clone(),
            feature_maps: self.feature_maps.as_ref().map(|maps| maps.each_ref().map(Tensor::shallow_clone)),
            tuples: self.tuples.clone(),
            ..*self
        }
    }

    /// The images in another order: at first the one at `order[0]`.
    pub(crate) fn permuted(&self, order: &[i64]) -> Result<Self, TchError> {
        let index = Tensor::f_from_slice(order)?;
        let rows = |tensor: &Tensor| tensor.f_index_select(0, &index);
        let maps =
            self.feature_maps.as_ref().map(|[student, teacher]| Ok::<_, TchError>([rows(student)?, rows(teacher)?]));
        let labels = order.iter().filter_map(|&position| self.labels.get(position as usize).copied()).collect();
        let new_position = |old: &i64| order.iter().position(|position| position == old).map_or(-1, |new| new as i64);
        let tuples = self
            .tuples
            .as_ref()
            .map(|parts| parts.iter().map(|part| part.iter().map(new_position).collect()).collect());
        Ok(Self {
            embeddings: rows(&self.embeddings)?,
            labels,
            teacher: self.teacher.as_ref().map(rows).transpose()?,
            feature_maps: maps.transpose()?,
            tuples,
            ..self.handle()
        })
    }

    /// What a strategy is given. Embeddings and the student's feature map require a gradient.
    pub(crate) fn input(&self, float: Kind) -> Result<Input, TchError> {
        // A copy even where the dtype is the same: it becomes a leaf.
        let leaf = |tensor: &Tensor| tensor.f_detach()?.f_to_dtype(float, false, true)?.f_requires_grad_(true);
        let (map, teacher_map) = match &self.feature_maps {
            None => (None, None),
            Some([student, teacher]) => (Some(leaf(student)?), Some(teacher.f_to_kind(float)?)),
        };
        let device = self.embeddings.device();
        let index = |list: &Vec<i64>| upload(&Tensor::f_from_slice(list)?, device);
        let tuples = match self.tuples.as_deref() {
            None => None,
            Some([a, p, n]) => Some(Tuples::Triplets([index(a)?, index(p)?, index(n)?])),
            Some([a, p, b, n]) => Some(Tuples::Pairs([index(a)?, index(p)?, index(b)?, index(n)?])),
            Some(_) => return Err(TchError::Torch("tuples are three lists (triplets) or four (pairs)".into())),
        };
        Ok(Input {
            embeddings: Some(leaf(&self.embeddings)?),
            labels: Some(index(&self.labels)?),
            class_count: self.class_count,
            slice_count: self.slice_count,
            thresholds: self.thresholds.clone(),
            teacher: self.teacher.as_ref().map(|teacher| teacher.f_to_kind(float)).transpose()?,
            feature_map: map,
            teacher_feature_map: teacher_map,
            tuples,
        })
    }
}

/// Pair losses for a balance, with all parts that standard transfers give: a pull by the teacher's similarity, a push
/// by what is left of it, and both row distributions.
pub(crate) fn pair_losses(input: &Input) -> Result<PairLosses, TchError> {
    let none = |what: &str| TchError::Torch(format!("the batch has no {what}"));
    let embeddings = input.embeddings.as_ref().ok_or_else(|| none("embeddings"))?;
    let teacher = input.teacher.as_ref().ok_or_else(|| none("teacher"))?;
    let kind = embeddings.f_kind()?;
    let rows = |x: &Tensor| x.f_matmul(&x.f_tr()?)?.f_softmax(1, kind);
    let (student_rows, teacher_rows) = (rows(embeddings)?, rows(teacher)?);
    let difference = embeddings.f_unsqueeze(1)?.f_sub(&embeddings.f_unsqueeze(0)?)?;
    let squares = difference.f_square()?.f_sum_dim_intlist(2_i64, false, kind)?;
    let pull = squares.f_mul(&teacher_rows)?;
    let push = squares.f_neg()?.f_exp()?.f_mul(&teacher_rows.f_rsub_scalar(1.0)?)?;
    let size = embeddings.size().first().copied().unwrap_or_default();
    let mut pairs = PairLosses::new(pull.f_add(&push)?, size as f64);
    let parts = [("pull", pull), ("push", push), ("student-rows", student_rows), ("teacher-rows", teacher_rows)];
    pairs.parts.extend(parts.map(|(name, part)| (name.to_owned(), part)));
    Ok(pairs)
}

//! Runs the passes of a plan.

mod job;
mod memory;

use std::sync::Mutex;

use crate::kernels::Kernels;
use crate::plan::{Buffer, Embedded, Pass, Plan};
use job::{Job, Output, Scratch};
use memory::Memory;

/// A matrix product `c = a * b`, or `c += a * b`: `rows` x `inner` times `inner` x `columns`, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Multiply {
    /// Rows of `a` and `c`.
    pub rows: usize,
    /// Columns of `b` and `c`; rows of `c` are this long.
    pub columns: usize,
    /// Columns of `a`, rows of `b`.
    pub inner: usize,
    /// Length of the rows of `a` as they lie in memory.
    pub a_leading: usize,
    /// `a` lies transposed.
    pub a_transposed: bool,
    /// Length of the rows of `b` as they lie in memory.
    pub b_leading: usize,
    /// `b` lies transposed.
    pub b_transposed: bool,
    /// Added to `c`.
    pub add: bool,
}

/// Matrix products and threads.
pub trait Backend<T>: Sync {
    /// A matrix product on the thread that calls it.
    fn multiply(&self, product: &Multiply, a: &[T], b: &[T], c: &mut [T]);
    /// Calls `job` with each number below `jobs`, on some threads.
    fn parallel(&self, jobs: usize, job: &(dyn Fn(usize) + Sync));
}

/// Elements of a product of rows that are made at once, 512 KiB of 32 bits: what fits into the cache of a core.
const BLOCK: usize = 1 << 17;
/// Rows of a block at least: below, a matrix product is slow, most of all one that is added up over the blocks.
const BLOCK_ROWS: usize = 64;
/// Blocks of a matrix at least, where it has the rows. On two cores 4 and 8 of them took 5 to 15 % longer at 512 x 512.
const SHARES: usize = 2;
/// Jobs at most. They do not depend on the number of threads, and so neither does the result.
const JOBS: usize = 16;
/// Elements of the sums that jobs have of their own: of large ones there are fewer jobs.
const SUMS: usize = 1 << 26;
/// Elements times instructions below which one job is quicker: 32 x 32 takes 50 us as one, and 90 as two.
const SMALL: usize = 1 << 17;

/// A plan with what it needs between its runs.
#[derive(Debug)]
pub(crate) struct Ready<T> {
    plan: Plan,
    constants: Vec<Vec<T>>,
    /// Of runs that are over.
    temporaries: Mutex<Vec<Vec<Vec<T>>>>,
    scratch: Mutex<Vec<Scratch<T>>>,
}

impl<T: Kernels> Ready<T> {
    pub(crate) fn new(plan: Plan) -> Self {
        let constants = plan.buffers.iter().map(|buffer| match *buffer {
            Buffer::Positions(length) => (0..length).map(|place| T::from_f64(place as f64)).collect(),
            Buffer::Filled(length, value) => vec![T::from_f64(value); length],
            Buffer::Given(_) | Buffer::Wanted | Buffer::Temporary(_) => Vec::new(),
        });
        let constants = constants.collect();
        Self { plan, constants, temporaries: Mutex::default(), scratch: Mutex::default() }
    }

    /// Elements of the arrays that a run takes.
    pub(crate) fn elements(&self) -> usize {
        self.plan.elements()
    }

    /// Computes what is wanted of what is given.
    pub(crate) fn run(&self, backend: &dyn Backend<T>, given: &[&[T]], wanted: &mut [&mut [T]]) {
        let temporaries = pop(&self.temporaries).unwrap_or_else(|| self.new_temporaries());
        let mut memory = Memory::new(&self.plan.buffers, &self.constants, given, wanted, temporaries);
        for pass in &self.plan.passes {
            let mut written: Vec<_> = pass.written.iter().map(|written| memory.take(written.buffer)).collect();
            match &pass.embedded {
                Some(embedded) => embed(embedded, &memory, &mut written),
                None => self.pass(pass, backend, &memory, &mut written),
            }
            for (of, array) in pass.written.iter().zip(written) {
                memory.put(of.buffer, array);
            }
        }
        push(&self.temporaries, memory.temporaries());
    }

    fn new_temporaries(&self) -> Vec<Vec<T>> {
        let lengths = self.plan.buffers.iter().map(|buffer| match *buffer {
            Buffer::Temporary(length) => vec![T::ZERO; length],
            Buffer::Given(_) | Buffer::Wanted | Buffer::Positions(_) | Buffer::Filled(..) => Vec::new(),
        });
        lengths.collect()
    }

    fn pass(
        &self,
        pass: &Pass,
        backend: &dyn Backend<T>,
        memory: &Memory<'_, T>,
        written: &mut [memory::Array<'_, T>],
    ) {
        let columns = pass.columns.max(1);
        let products = !pass.sources.is_empty() || !pass.sinks.is_empty();
        let inner: usize = pass.sources.iter().map(|source| source.inner).sum::<usize>()
            + pass.sinks.iter().map(|sink| sink.columns).sum::<usize>();
        let work = pass.rows * columns * (pass.code.len() + inner / 8);
        // Enough blocks for several threads, also of a small matrix.
        let share = if work < SMALL { pass.rows } else { pass.rows.div_ceil(SHARES).next_multiple_of(8) };
        let block = (BLOCK / columns).min(share).clamp(BLOCK_ROWS, 256);
        let block = if products { block } else { block.max(job::TILE / columns) };
        let matrices = pass.rows.checked_div(pass.matrix_rows).unwrap_or(0);
        // A job has whole matrices, or some rows of the only one.
        let unit = if matrices > 1 { pass.matrix_rows } else { block };
        let units = pass.rows.div_ceil(unit.max(1));
        let sums: usize = pass.written.iter().filter(|of| of.summed).map(|of| of.each).sum();
        let jobs = (SUMS / sums.max(1)).clamp(1, JOBS);
        let each = if work < SMALL { units } else { units.div_ceil(jobs) } * unit;
        let each = each.max(1);
        let jobs = pass.rows.div_ceil(each);
        let mut lists: Vec<Vec<Output<'_, T>>> = (0..jobs).map(|_| Vec::with_capacity(pass.written.len())).collect();
        for (of, array) in pass.written.iter().zip(written.iter_mut()) {
            let mut rest = array.slice();
            for (number, list) in lists.iter_mut().enumerate() {
                let rows = each.min(pass.rows - number * each);
                let length = match of.summed {
                    false => rows * of.each,
                    true if matrices > 1 => rows / pass.matrix_rows * of.each,
                    // The first job adds up in place.
                    true if number == 0 => of.each,
                    true => 0,
                };
                let (own, others) = rest.split_at_mut(length);
                rest = others;
                list.push(match of.summed && matrices <= 1 && number > 0 {
                    true => Output::Own(vec![T::ZERO; of.each]),
                    false => Output::Part(own),
                });
            }
        }
        let lists: Vec<Mutex<Vec<Output<'_, T>>>> = lists.into_iter().map(Mutex::new).collect();
        let run = |number: usize| {
            let mut scratch = pop(&self.scratch).unwrap_or_default();
            let first = number * each;
            let rows = first..pass.rows.min(first + each);
            if let Ok(mut outputs) = lists[number].lock() {
                Job { pass, memory, backend, scratch: &mut scratch, outputs: &mut outputs, block }.run(rows);
            }
            push(&self.scratch, scratch);
        };
        match jobs {
            0 => {}
            1 => run(0),
            _ => backend.parallel(jobs, &run),
        }
        let mut lists = lists.into_iter().filter_map(|list| list.into_inner().ok());
        let Some(mut first) = lists.next() else {
            // Without a row a sum is 0.
            for array in written {
                array.slice().fill(T::ZERO);
            }
            return;
        };
        for list in lists {
            for (sum, part) in first.iter_mut().zip(list) {
                if let (Output::Part(sum), Output::Own(part)) = (sum, part) {
                    T::add_to(sum, &part);
                }
            }
        }
    }
}

fn embed<T: Kernels>(embedded: &Embedded, memory: &Memory<'_, T>, written: &mut [memory::Array<'_, T>]) {
    let Some(to) = written.first_mut() else { return };
    let (from, to) = (memory.read(embedded.from), to.slice());
    to.fill(T::ZERO);
    let count: usize = embedded.dims.iter().map(|&(size, ..)| size).product();
    for place in 0..count {
        let (mut rest, mut source, mut target) = (place, embedded.offset, embedded.start);
        for &(size, from, to) in embedded.dims.iter().rev() {
            source += rest % size * from;
            target += rest % size * to;
            rest /= size;
        }
        to[target] = from[source];
    }
}

pub(crate) fn pop<V>(list: &Mutex<Vec<V>>) -> Option<V> {
    list.lock().ok().and_then(|mut list| list.pop())
}

pub(crate) fn push<V>(list: &Mutex<Vec<V>>, value: V) {
    if let Ok(mut list) = list.lock() {
        list.push(value);
    }
}

//! Some rows of a pass, on one thread.

use std::ops::Range;

use super::memory::Memory;
use super::{Backend, Multiply};
use crate::graph::Reduction;
use crate::kernels::{Kernels, Operand};
use crate::layout::Access;
use crate::plan::{Arg, Instruction, Matrix, Pass, Register};

/// Elements of the rows at hand: registers of 8 KiB in 32 bits.
pub(super) const TILE: usize = 2048;
/// Columns of a long row.
const LONG: usize = 2 * TILE;

/// What a job has for itself.
#[derive(Debug, Default)]
pub(crate) struct Scratch<T> {
    registers: [Vec<Vec<T>>; 2],
    sources: Vec<Vec<T>>,
    kept: Vec<Vec<T>>,
}

/// A job's part of an array that the pass writes.
#[derive(Debug)]
pub(super) enum Output<'a, T> {
    Part(&'a mut [T]),
    /// To be added to the first job's.
    Own(Vec<T>),
}

impl<T> Output<'_, T> {
    fn slice(&mut self) -> &mut [T] {
        match self {
            Self::Part(slice) => slice,
            Self::Own(list) => list,
        }
    }

    fn read(&self) -> &[T] {
        match self {
            Self::Part(slice) => slice,
            Self::Own(list) => list,
        }
    }
}

pub(super) struct Job<'a, 'b, T> {
    pub(super) pass: &'a Pass,
    pub(super) memory: &'a Memory<'a, T>,
    pub(super) backend: &'a dyn Backend<T>,
    pub(super) scratch: &'a mut Scratch<T>,
    pub(super) outputs: &'a mut Vec<Output<'b, T>>,
    /// Rows of a block.
    pub(super) block: usize,
}

/// The rows at hand.
struct Tile {
    /// Of the pass.
    rows: Range<usize>,
    /// The first, counted in its block, and in its job.
    in_block: usize,
    in_job: usize,
    /// Not all of them only where there is one row.
    columns: Range<usize>,
}

impl Tile {
    /// Where its elements are in an array of so many columns, whose row `first` is its first.
    fn part(&self, first: usize, columns: usize) -> Range<usize> {
        let start = first * columns;
        match columns {
            1 => start..start + self.rows.len(),
            _ => start + self.columns.start..start + (self.rows.len() - 1) * columns + self.columns.end,
        }
    }

    /// How many of so many columns are at hand.
    fn width(&self, columns: usize) -> usize {
        if columns == 1 { 1 } else { self.columns.len() }
    }
}

fn room<T: Kernels>(lists: &mut Vec<Vec<T>>, place: usize, length: usize) {
    if lists.len() <= place {
        lists.resize_with(place + 1, Vec::new);
    }
    if lists[place].len() < length {
        lists[place].resize(length, T::ZERO);
    }
}

impl<T: Kernels> Job<'_, '_, T> {
    pub(super) fn run(mut self, rows: Range<usize>) {
        let pass = self.pass;
        let tile_rows = (TILE / pass.columns.max(1)).max(1);
        for number in 0..pass.full_registers {
            room(&mut self.scratch.registers[1], number, tile_rows * pass.columns);
        }
        for number in 0..pass.row_registers {
            room(&mut self.scratch.registers[0], number, tile_rows);
        }
        let mut start = rows.start;
        while start < rows.end {
            let matrix = start / pass.matrix_rows;
            let end = rows.end.min(start + self.block).min((matrix + 1) * pass.matrix_rows);
            self.sources(start..end, rows.start);
            for (kept, &columns) in pass.kept.iter().enumerate() {
                room(&mut self.scratch.kept, kept, (end - start) * columns);
            }
            let mut first = start;
            while first < end {
                let last = end.min(first + tile_rows);
                self.tile(Tile {
                    rows: first..last,
                    in_block: first - start,
                    in_job: first - rows.start,
                    columns: 0..pass.columns,
                });
                first = last;
            }
            self.sinks(start..end, rows.start);
            start = end;
        }
    }

    /// A long row is taken in parts that stay in the cache, from one reduction of it to the next.
    fn tile(&mut self, mut tile: Tile) {
        let pass = self.pass;
        if pass.columns <= LONG {
            return pass.code.iter().for_each(|instruction| self.instruction(instruction, &tile));
        }
        for code in pass.code.split_inclusive(|instruction| matches!(instruction, Instruction::Reduce { .. })) {
            for start in (0..pass.columns).step_by(TILE) {
                tile.columns = start..pass.columns.min(start + TILE);
                let of_rows = start == 0;
                let now = |instruction: &&Instruction| match instruction {
                    Instruction::Reduce { .. } => false,
                    instruction => of_rows || self.pass.is_full(instruction),
                };
                code.iter().filter(now).for_each(|instruction| self.instruction(instruction, &tile));
            }
            tile.columns = 0..pass.columns;
            let last = code.last().filter(|instruction| matches!(instruction, Instruction::Reduce { .. }));
            last.into_iter().for_each(|instruction| self.instruction(instruction, &tile));
        }
    }

    fn matrix<'m>(memory: &'m Memory<'_, T>, matrix: Matrix, number: usize) -> &'m [T] {
        &memory.read(matrix.buffer)[matrix.offset + number * matrix.batch..]
    }

    fn sources(&mut self, rows: Range<usize>, job: usize) {
        let number = rows.start / self.pass.matrix_rows;
        let first = rows.start % self.pass.matrix_rows;
        for (place, source) in self.pass.sources.iter().enumerate() {
            let count = rows.len() * source.columns;
            let (left, right) = (source.left, source.right);
            let a = Self::matrix(self.memory, left, number);
            let a = &a[first * if left.transposed { 1 } else { left.leading }..];
            let b = Self::matrix(self.memory, right, number);
            let product = Multiply {
                rows: rows.len(),
                columns: source.columns,
                inner: source.inner,
                a_leading: left.leading,
                a_transposed: left.transposed,
                b_leading: right.leading,
                b_transposed: right.transposed,
                add: false,
            };
            let to = match source.written {
                Some(written) => {
                    let start = (rows.start - job) * source.columns;
                    &mut self.outputs[written].slice()[start..start + count]
                }
                None => {
                    room(&mut self.scratch.sources, place, count);
                    &mut self.scratch.sources[place][..count]
                }
            };
            self.backend.multiply(&product, a, b, to);
        }
    }

    fn sinks(&mut self, rows: Range<usize>, job: usize) {
        let matrix_rows = self.pass.matrix_rows;
        let number = rows.start / matrix_rows;
        for sink in &self.pass.sinks {
            let columns = self.pass.kept[sink.kept];
            let kept = &self.scratch.kept[sink.kept][..rows.len() * columns];
            let right = sink.right;
            let b = Self::matrix(self.memory, right, number);
            let (b, product) = if sink.summed {
                // Rows of the right matrix that belong to these.
                let first = rows.start % matrix_rows;
                let b = &b[first * if right.transposed { 1 } else { right.leading }..];
                // The first block of a matrix, or of a job, begins the sum.
                let add = rows.start != job && first != 0;
                (b, Multiply { rows: columns, inner: rows.len(), add, ..Self::kept(sink.columns, columns, right) })
            } else {
                (b, Multiply { rows: rows.len(), inner: columns, ..Self::kept(sink.columns, columns, right) })
            };
            let product = Multiply { a_transposed: sink.summed, ..product };
            let each = self.pass.written[sink.written].each;
            let start = match sink.summed {
                true => (number - job / matrix_rows) * each,
                false => (rows.start - job) * each,
            };
            let length = if sink.summed { each } else { rows.len() * each };
            let to = &mut self.outputs[sink.written].slice()[start..start + length];
            self.backend.multiply(&product, kept, b, to);
        }
    }

    fn kept(columns: usize, leading: usize, right: Matrix) -> Multiply {
        Multiply {
            rows: 0,
            columns,
            inner: 0,
            a_leading: leading,
            a_transposed: false,
            b_leading: right.leading,
            b_transposed: right.transposed,
            add: false,
        }
    }

    /// The values of an operand, in rows of so many columns.
    fn operand<'s>(&'s self, arg: &Arg, tile: &Tile, columns: usize) -> Operand<'s, T> {
        let count = tile.rows.len();
        match arg {
            Arg::Number(value) => Operand::One(T::from_f64(*value)),
            Arg::Register(Register { number, full }) => {
                let values = &self.scratch.registers[usize::from(*full)][*number];
                match (*full, columns) {
                    (false, 1) => Operand::Full(&values[..count]),
                    (false, _) => Operand::Row(&values[..count]),
                    (true, _) => Operand::Full(&values[tile.part(0, columns)]),
                }
            }
            Arg::Source(number) => {
                let source = &self.pass.sources[*number];
                let (values, first) = match source.written {
                    Some(written) => (self.outputs[written].read(), tile.in_job),
                    None => (self.scratch.sources[*number].as_slice(), tile.in_block),
                };
                let values = &values[tile.part(first, source.columns)];
                if columns > 1 && source.columns == 1 { Operand::Row(values) } else { Operand::Full(values) }
            }
            Arg::Memory(buffer, access) => {
                let values = self.memory.read(*buffer);
                let rows = &tile.rows;
                match *access {
                    Access::Full { offset } => Operand::Full(&values[offset..][tile.part(rows.start, columns)]),
                    Access::Row { offset } => Operand::Row(&values[offset + rows.start..offset + rows.end]),
                    Access::Column { offset } if columns == 1 => Operand::Column(&values[offset..offset + 1]),
                    Access::Column { offset } => Operand::Column(&values[offset..][tile.columns.clone()]),
                    // Strided operands are loaded before.
                    Access::One { offset } | Access::Strided { offset, .. } => Operand::One(values[offset]),
                }
            }
        }
    }

    fn take(&mut self, to: Register) -> Vec<T> {
        std::mem::take(&mut self.scratch.registers[usize::from(to.full)][to.number])
    }

    fn put(&mut self, to: Register, values: Vec<T>) {
        self.scratch.registers[usize::from(to.full)][to.number] = values;
    }

    fn instruction(&mut self, instruction: &Instruction, tile: &Tile) {
        let columns_of = |to: Register| if to.full { self.pass.columns } else { 1 };
        match instruction {
            Instruction::Unary { op, x, to } => {
                let columns = columns_of(*to);
                let mut out = self.take(*to);
                let x = self.operand(x, tile, columns);
                T::unary(*op, x, &mut out[tile.part(0, columns)], tile.width(columns));
                self.put(*to, out);
            }
            Instruction::Binary { op, a, b, to } => {
                let columns = columns_of(*to);
                let mut out = self.take(*to);
                let (a, b) = (self.operand(a, tile, columns), self.operand(b, tile, columns));
                T::binary(*op, a, b, &mut out[tile.part(0, columns)], tile.width(columns));
                self.put(*to, out);
            }
            Instruction::Choose { mask, a, b, to } => {
                let columns = columns_of(*to);
                let mut out = self.take(*to);
                let [mask, a, b] = [mask, a, b].map(|arg| self.operand(arg, tile, columns));
                T::choose(mask, a, b, &mut out[tile.part(0, columns)], tile.width(columns));
                self.put(*to, out);
            }
            Instruction::Reduce { op, x, columns, to } => {
                let mut out = self.take(*to);
                let x = self.operand(x, tile, *columns);
                for (row, out) in out[..tile.rows.len()].iter_mut().enumerate() {
                    *out = reduced(*op, x, row, *columns);
                }
                self.put(*to, out);
            }
            Instruction::Load { from, access, to } => {
                let columns = columns_of(*to);
                let mut out = self.take(*to);
                load(self.memory.read(*from), access, tile, &mut out[tile.part(0, columns)], columns);
                self.put(*to, out);
            }
            Instruction::Store { x, to } => {
                let mut part = std::mem::replace(&mut self.outputs[*to], Output::Own(Vec::new()));
                let each = self.pass.written[*to].each;
                copy(self.operand(x, tile, each), &mut part.slice()[tile.part(tile.in_job, each)], tile.width(each));
                self.outputs[*to] = part;
            }
            Instruction::Keep { x, to } => {
                let columns = self.pass.kept[*to];
                let mut kept = std::mem::take(&mut self.scratch.kept[*to]);
                let x = self.operand(x, tile, columns);
                copy(x, &mut kept[tile.part(tile.in_block, columns)], tile.width(columns));
                self.scratch.kept[*to] = kept;
            }
        }
    }
}

fn copy<T: Kernels>(x: Operand<'_, T>, out: &mut [T], columns: usize) {
    match x {
        Operand::Full(values) => out.copy_from_slice(values),
        x => T::unary(crate::graph::Unary::Copy, x, out, columns),
    }
}

fn reduced<T: Kernels>(op: Reduction, x: Operand<'_, T>, row: usize, columns: usize) -> T {
    let values = match x {
        Operand::Full(values) => &values[row * columns..(row + 1) * columns],
        Operand::Column(values) => &values[..columns],
        Operand::Row(values) => return alike(op, values[row], columns),
        Operand::One(value) => return alike(op, value, columns),
    };
    let place = |place: Option<usize>| T::from_f64(place.unwrap_or_default() as f64);
    match op {
        Reduction::Sum => T::sum(values),
        Reduction::Max | Reduction::FirstMax => T::max(values),
        Reduction::Min | Reduction::FirstMin => T::min(values),
        Reduction::ArgMax => place(T::index_of_max(values)),
        Reduction::ArgMin => place(T::index_of_min(values)),
    }
}

/// Of a row whose elements are equal.
fn alike<T: Kernels>(op: Reduction, value: T, columns: usize) -> T {
    match op {
        Reduction::Sum => value * T::from_f64(columns as f64),
        Reduction::Max | Reduction::FirstMax | Reduction::Min | Reduction::FirstMin => value,
        Reduction::ArgMax | Reduction::ArgMin => T::ZERO,
    }
}

fn load<T: Kernels>(values: &[T], access: &Access, tile: &Tile, out: &mut [T], columns: usize) {
    let Access::Strided { offset, rows, column } = access else { return };
    let first = if columns == 1 { 0 } else { tile.columns.start };
    for (row, out) in tile.rows.clone().zip(out.chunks_exact_mut(tile.width(columns))) {
        let (mut rest, mut place) = (row, *offset + first * column);
        for &(size, stride) in rows.iter().rev() {
            place += rest % size * stride;
            rest /= size;
        }
        match column {
            0 => out.fill(values[place]),
            1 => out.copy_from_slice(&values[place..place + out.len()]),
            stride => {
                for (number, out) in out.iter_mut().enumerate() {
                    *out = values[place + number * stride];
                }
            }
        }
    }
}

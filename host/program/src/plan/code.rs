//! What each pass does, instruction by instruction.

use std::collections::{BTreeMap, HashMap};

use super::assign::{Assigned, matrix, plain};
use super::{Arg, Buffer, BufferId, Instruction, Matrix, Pass, Plan, Register, Sink, Source, Written};
use crate::graph::{Graph, Id, Node, Op, Unary, View, elements, space};
use crate::layout::{Access, Layout, access};

pub(super) fn plan(graph: &Graph, assigned: &Assigned) -> Plan {
    let mut buffers = Buffers { list: Vec::new(), of: BTreeMap::new(), filled: HashMap::new() };
    for (place, &id) in assigned.given.iter().enumerate() {
        buffers.list.push(Buffer::Given(place));
        buffers.of.insert(id, place);
    }
    for &id in &assigned.wanted {
        buffers.of.entry(id).or_insert(buffers.list.len());
        buffers.list.push(Buffer::Wanted);
    }
    let passes = (0..assigned.passes.len()).map(|pass| Coder::new(graph, assigned, &mut buffers, pass).pass());
    let passes = passes.collect();
    Plan { buffers: buffers.list, passes }
}

struct Buffers {
    list: Vec<Buffer>,
    of: BTreeMap<Id, BufferId>,
    filled: HashMap<(usize, u64), BufferId>,
}

impl Buffers {
    fn push(&mut self, buffer: Buffer) -> BufferId {
        self.list.push(buffer);
        self.list.len() - 1
    }

    fn of(&mut self, graph: &Graph, id: Id) -> BufferId {
        if let Some(&known) = self.of.get(&id) {
            return known;
        }
        let Node { op, shape, .. } = graph.node(id);
        let buffer = match op {
            Op::Positions => self.push(Buffer::Positions(elements(shape))),
            _ => self.push(Buffer::Temporary(elements(shape))),
        };
        self.of.insert(id, buffer);
        buffer
    }

    fn filled(&mut self, length: usize, bits: u64) -> BufferId {
        if let Some(&known) = self.filled.get(&(length, bits)) {
            return known;
        }
        let buffer = self.push(Buffer::Filled(length, f64::from_bits(bits)));
        self.filled.insert((length, bits), buffer);
        buffer
    }
}

struct Coder<'a> {
    graph: &'a Graph,
    assigned: &'a Assigned,
    buffers: &'a mut Buffers,
    number: usize,
    pass: Pass,
    /// Where the values of nodes are.
    values: HashMap<Id, Arg>,
    /// Which node of the pass needs a value last, by its place.
    last: HashMap<Id, usize>,
    free: [Vec<usize>; 2],
    kept: HashMap<Id, usize>,
}

impl<'a> Coder<'a> {
    fn new(graph: &'a Graph, assigned: &'a Assigned, buffers: &'a mut Buffers, number: usize) -> Self {
        let space = &assigned.passes[number];
        let pass = Pass {
            rows: space.rows,
            columns: space.columns,
            matrix_rows: space.matrix_rows.unwrap_or(space.rows),
            ..Pass::default()
        };
        let mut last = HashMap::new();
        for (place, &id) in space.nodes.iter().enumerate() {
            for &input in &graph.node(id).inputs {
                if let Some(value) = assigned.value(graph, input) {
                    last.insert(value, place);
                }
            }
        }
        Self {
            graph,
            assigned,
            buffers,
            number,
            pass,
            values: HashMap::new(),
            last,
            free: Default::default(),
            kept: HashMap::new(),
        }
    }

    fn pass(mut self) -> Pass {
        let nodes = &self.assigned.passes[self.number].nodes;
        for &id in nodes {
            if matches!(self.graph.node(id).op, Op::Product { .. }) && !self.assigned.sinks.contains(&id) {
                self.source(id);
            }
        }
        for (place, &id) in nodes.iter().enumerate() {
            self.node(place, id);
        }
        self.pass
    }

    fn written(&mut self, id: Id, each: usize, summed: bool) -> usize {
        let buffer = self.buffers.of(self.graph, id);
        self.pass.written.push(Written { buffer, each, summed });
        self.pass.written.len() - 1
    }

    fn matrix(&mut self, id: Id) -> Matrix {
        let (root, layout) = self.assigned.lies(self.graph, id);
        let shape = self.graph.shape(id);
        let rank = shape.len();
        let (root, layout) = match self.graph.node(root).op {
            Op::Constant(bits) => (self.buffers.filled(elements(shape), bits), Layout::contiguous(shape)),
            _ => (self.buffers.of(self.graph, root), layout),
        };
        let (leading, transposed) = matrix(&layout, shape).unwrap_or((shape[rank - 1], false));
        // The innermost dimension of several matrices has the distance between two.
        let batch = shape[..rank - 2].iter().zip(&layout.strides).rev().find(|(size, _)| **size != 1);
        let batch = batch.map_or(0, |(_, &stride)| stride);
        Matrix { buffer: root, offset: layout.offset, batch, leading, transposed }
    }

    fn source(&mut self, id: Id) {
        let Node { op, inputs, shape } = self.graph.node(id);
        let Op::Product { left: turn_left, right: turn_right } = *op else { return };
        let (mut left, mut right) = (self.matrix(inputs[0]), self.matrix(inputs[1]));
        left.transposed ^= turn_left;
        right.transposed ^= turn_right;
        let of_left = self.graph.shape(inputs[0]);
        let inner = of_left[of_left.len() - if turn_left { 2 } else { 1 }];
        let columns = space(shape).1;
        let first = self.assigned.pass.get(&id) == Some(&self.number);
        let written = (first && self.assigned.written.contains(&id)).then(|| self.written(id, columns, false));
        self.values.insert(id, Arg::Source(self.pass.sources.len()));
        self.pass.sources.push(Source { left, right, inner, columns, written });
    }

    fn register(&mut self, full: bool) -> Register {
        let count = if full { &mut self.pass.full_registers } else { &mut self.pass.row_registers };
        let number = self.free[usize::from(full)].pop().unwrap_or_else(|| {
            *count += 1;
            *count - 1
        });
        Register { number, full }
    }

    fn is_full(&self, id: Id) -> bool {
        space(self.graph.shape(id)).1 > 1
    }

    /// The operand of a node of shape `to`; `taken` are registers to be given back after it.
    fn arg(&mut self, operand: Id, to: &[usize], taken: &mut Vec<Register>) -> Arg {
        let operand = plain(self.graph, operand);
        if let Some(value) = self.assigned.value(self.graph, operand)
            && self.assigned.computed.contains(&(self.number, value))
            && let Some(arg) = self.values.get(&value)
        {
            return arg.clone();
        }
        let (root, layout) = self.assigned.lies(self.graph, operand);
        let shape = self.graph.shape(operand);
        self.read(root, &layout, shape, to, taken)
    }

    fn read(&mut self, root: Id, layout: &Layout, shape: &[usize], to: &[usize], taken: &mut Vec<Register>) -> Arg {
        if let Some(number) = self.graph.number(root) {
            return Arg::Number(number);
        }
        // What a pass writes is there when it is over.
        debug_assert!(
            self.assigned.pass.get(&root).is_none_or(|&pass| pass < self.number),
            "{root:?} is not there yet"
        );
        let from = self.buffers.of(self.graph, root);
        match access(layout, shape, to) {
            access @ Access::Strided { .. } => {
                let register = self.register(space(to).1 > 1);
                self.pass.code.push(Instruction::Load { from, access, to: register });
                taken.push(register);
                Arg::Register(register)
            }
            access => Arg::Memory(from, access),
        }
    }

    fn node(&mut self, place: usize, id: Id) {
        let Node { op, inputs, shape } = self.graph.node(id).clone();
        let mut taken = Vec::new();
        let made = match op {
            Op::Input(_) | Op::Constant(_) | Op::Positions => None,
            Op::Product { left, right } => {
                if self.assigned.sinks.contains(&id) {
                    self.sink(id, inputs[0], inputs[1], left, right);
                }
                None
            }
            Op::View(_) => {
                let (root, layout) = self.assigned.lies_view(self.graph, id);
                let x = self.read(root, &layout, &shape, &shape, &mut taken);
                let to = self.register(self.is_full(id));
                self.pass.code.push(Instruction::Unary { op: Unary::Copy, x, to });
                Some(to)
            }
            Op::Embed(view) => {
                self.embed(id, inputs[0], &view);
                None
            }
            Op::Unary(op) => {
                let x = self.arg(inputs[0], &shape, &mut taken);
                let to = self.register(self.is_full(id));
                self.pass.code.push(Instruction::Unary { op, x, to });
                Some(to)
            }
            Op::Binary(op) => {
                let (a, b) = (self.arg(inputs[0], &shape, &mut taken), self.arg(inputs[1], &shape, &mut taken));
                let to = self.register(self.is_full(id));
                self.pass.code.push(Instruction::Binary { op, a, b, to });
                Some(to)
            }
            Op::Choose => {
                let [mask, a, b] = [0, 1, 2].map(|place| self.arg(inputs[place], &shape, &mut taken));
                let to = self.register(self.is_full(id));
                self.pass.code.push(Instruction::Choose { mask, a, b, to });
                Some(to)
            }
            Op::Reduce(op) => {
                let of = self.graph.shape(inputs[0]).to_vec();
                let x = self.arg(inputs[0], &of, &mut taken);
                let to = self.register(false);
                self.pass.code.push(Instruction::Reduce { op, x, columns: space(&of).1, to });
                Some(to)
            }
        };
        if let Some(to) = made {
            self.values.insert(id, Arg::Register(to));
            if self.assigned.written.contains(&id) && self.assigned.pass.get(&id) == Some(&self.number) {
                let each = if to.full { self.pass.columns } else { 1 };
                let written = self.written(id, each, false);
                self.pass.code.push(Instruction::Store { x: Arg::Register(to), to: written });
            }
            if !self.last.contains_key(&id) {
                taken.push(to);
            }
        }
        for input in inputs {
            let Some(value) = self.assigned.value(self.graph, input) else { continue };
            if self.last.get(&value) == Some(&place)
                && let Some(Arg::Register(register)) = self.values.remove(&value)
            {
                taken.push(register);
            }
        }
        for register in taken {
            self.free[usize::from(register.full)].push(register.number);
        }
    }

    fn sink(&mut self, id: Id, a: Id, b: Id, summed: bool, turned: bool) {
        let Some(value) = self.assigned.value(self.graph, a) else { return };
        let mut right = self.matrix(b);
        right.transposed ^= turned;
        let kept = match self.kept.get(&value) {
            Some(&kept) => kept,
            None => {
                let kept = self.pass.kept.len();
                self.pass.kept.push(space(self.graph.shape(value)).1);
                let x = self.values.get(&value).cloned().unwrap_or(Arg::Number(0.0));
                self.pass.code.push(Instruction::Keep { x, to: kept });
                self.kept.insert(value, kept);
                kept
            }
        };
        let shape = self.graph.shape(id);
        let (rank, columns) = (shape.len(), space(shape).1);
        let each = if summed { shape[rank - 2] * columns } else { columns };
        let written = self.written(id, each, summed);
        self.pass.sinks.push(Sink { kept, right, columns, summed, written });
    }

    fn embed(&mut self, id: Id, x: Id, view: &View) {
        let (shape, part) = (self.graph.shape(id), self.graph.shape(x));
        let whole = Layout::contiguous(shape);
        let Some(inside) = whole.view(view, shape, part) else { return };
        let (root, layout) = self.assigned.lies(self.graph, x);
        let from = match self.graph.node(root).op {
            Op::Constant(bits) => (self.buffers.filled(1, bits), Layout { offset: 0, strides: vec![0; part.len()] }),
            _ => (self.buffers.of(self.graph, root), layout),
        };
        let dims = part.iter().zip(&from.1.strides).zip(&inside.strides);
        let dims = dims.map(|((&size, &from), &to)| (size, from, to)).collect();
        let written = self.written(id, elements(shape), true);
        self.pass.embedded = Some(super::Embedded { from: from.0, offset: from.1.offset, start: inside.offset, dims });
        debug_assert_eq!(written, 0);
    }
}

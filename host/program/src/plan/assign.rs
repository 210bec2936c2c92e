//! Which pass computes which node, and which nodes are written to memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Id, Node, Op, Unary, View, space};
use crate::layout::Layout;

/// The space of a pass.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Rows of each matrix of its products; none without products.
    pub(crate) matrix_rows: Option<usize>,
    /// The nodes that it computes, in their order.
    pub(crate) nodes: Vec<Id>,
    /// Nothing joins it.
    closed: bool,
}

/// The pass of each node.
pub(crate) struct Assigned {
    pub(crate) given: Vec<Id>,
    pub(crate) wanted: Vec<Id>,
    pub(crate) passes: Vec<Space>,
    /// The first pass that computes a node.
    pub(crate) pass: BTreeMap<Id, usize>,
    /// All passes that compute a node: what is between two matrices is computed again rather than written.
    pub(crate) computed: BTreeSet<(usize, Id)>,
    /// Nodes that are written to memory.
    pub(crate) written: BTreeSet<Id>,
    /// Views that are copied.
    pub(crate) copied: BTreeSet<Id>,
    /// Products of rows that their own pass has just made.
    pub(crate) sinks: BTreeSet<Id>,
    /// Products are made in each pass that needs them, rather than written.
    blocked: bool,
}

/// The node that has the value of another one.
pub(crate) fn plain(graph: &Graph, mut id: Id) -> Id {
    while let Node { op: Op::Unary(Unary::Stop), inputs, .. } = graph.node(id) {
        id = inputs[0];
    }
    id
}

impl Assigned {
    pub(crate) fn new(graph: &Graph, given: &[Id], wanted: &[Id], blocked: bool) -> Self {
        let mut assigned = Self {
            given: given.to_vec(),
            wanted: wanted.iter().map(|&id| plain(graph, id)).collect(),
            passes: Vec::new(),
            pass: BTreeMap::new(),
            computed: BTreeSet::new(),
            written: BTreeSet::new(),
            copied: BTreeSet::new(),
            sinks: BTreeSet::new(),
            blocked,
        };
        for id in assigned.needed(graph) {
            assigned.place(graph, id);
        }
        assigned.written.extend(&assigned.wanted);
        assigned
    }

    /// All nodes on the way from what is given to what is wanted.
    fn needed(&self, graph: &Graph) -> BTreeSet<Id> {
        let mut needed = BTreeSet::new();
        let mut open = self.wanted.clone();
        while let Some(id) = open.pop() {
            let id = plain(graph, id);
            if needed.insert(id) && !self.given.contains(&id) {
                open.extend(&graph.node(id).inputs);
            }
        }
        needed
    }

    /// Whether a node lies in memory before any pass.
    fn is_given(&self, graph: &Graph, id: Id) -> bool {
        self.given.contains(&id) || matches!(graph.node(id).op, Op::Input(_) | Op::Constant(_) | Op::Positions)
    }

    fn is_view(&self, graph: &Graph, id: Id) -> bool {
        matches!(graph.node(id).op, Op::View(_)) && !self.is_given(graph, id) && !self.copied.contains(&id)
    }

    /// The node whose value in a pass is that of `id`: through other shapes of the same rows and columns.
    pub(crate) fn value(&self, graph: &Graph, id: Id) -> Option<Id> {
        let mut id = plain(graph, id);
        while self.is_view(graph, id) {
            let Node { op, inputs, shape } = graph.node(id);
            let input = plain(graph, inputs[0]);
            if *op != Op::View(View::Reshape) || space(graph.shape(input)) != space(shape) {
                return None;
            }
            id = input;
        }
        // What is complete when its pass is over is no value in it.
        let whole = self.sinks.contains(&id) || matches!(graph.node(id).op, Op::Embed(_));
        (!self.is_given(graph, id) && !whole).then_some(id)
    }

    /// The node in whose memory the elements of `id` lie, and where. Views that lie nowhere are copied from now on.
    fn memory(&mut self, graph: &Graph, id: Id) -> (Id, Layout) {
        let id = plain(graph, id);
        if !self.is_view(graph, id) {
            return (id, Layout::contiguous(graph.shape(id)));
        }
        let Node { op, inputs, shape } = graph.node(id);
        let input = plain(graph, inputs[0]);
        let (root, layout) = self.memory(graph, input);
        let Op::View(view) = op else { return (root, layout) };
        match layout.view(view, graph.shape(input), shape) {
            Some(layout) => (root, layout),
            None => {
                self.copy(graph, input);
                let whole = Layout::contiguous(graph.shape(input));
                (input, whole.view(view, graph.shape(input), shape).unwrap_or(whole))
            }
        }
    }

    /// As `memory`, of a plan that is complete.
    pub(crate) fn lies(&self, graph: &Graph, id: Id) -> (Id, Layout) {
        let id = plain(graph, id);
        match self.is_view(graph, id) {
            true => self.lies_view(graph, id),
            false => (id, Layout::contiguous(graph.shape(id))),
        }
    }

    /// Where the elements of a view lie, also of one that is copied from there.
    pub(crate) fn lies_view(&self, graph: &Graph, id: Id) -> (Id, Layout) {
        let Node { op, inputs, shape } = graph.node(id);
        let input = plain(graph, inputs[0]);
        let (root, layout) = self.lies(graph, input);
        let view = match op {
            Op::View(view) => layout.view(view, graph.shape(input), shape),
            _ => None,
        };
        (root, view.unwrap_or_else(|| Layout::contiguous(shape)))
    }

    /// Makes a copy of a view, as a node of its own.
    fn copy(&mut self, graph: &Graph, id: Id) {
        if self.copied.contains(&id) {
            return;
        }
        let (root, _) = self.memory(graph, id);
        let after = self.written_before(graph, root);
        self.copied.insert(id);
        let pass = self.find(space(graph.shape(id)), None, after);
        self.join(id, pass);
        self.written.insert(id);
    }

    /// Has a node written to memory; the first pass that may read it.
    fn written_before(&mut self, graph: &Graph, root: Id) -> usize {
        match self.pass.get(&root) {
            Some(&pass) => {
                self.written.insert(root);
                pass + 1
            }
            None => {
                debug_assert!(self.is_given(graph, root), "{root:?} is in no pass");
                0
            }
        }
    }

    /// Whether an operand of a node is, in its pass, a value of the same rows.
    fn fits(graph: &Graph, node: Id, operand: Id) -> bool {
        let (to, from) = (graph.shape(node), graph.shape(operand));
        if to == from {
            return true;
        }
        match (to, from) {
            ([rows @ .., _], [own @ .., 1]) if to.len() >= 2 => rows == own,
            _ => false,
        }
    }

    fn place(&mut self, graph: &Graph, id: Id) {
        if self.is_given(graph, id) || self.pass.contains_key(&id) {
            return;
        }
        let Node { op, inputs, shape } = graph.node(id);
        match op {
            Op::Input(_) | Op::Constant(_) | Op::Positions | Op::View(_) => {}
            Op::Product { .. } => self.place_product(graph, id, inputs[0], inputs[1]),
            Op::Reduce(_) => {
                let of = space(graph.shape(inputs[0]));
                self.place_among(graph, id, inputs, of, |_, _| true);
            }
            Op::Unary(_) | Op::Binary(_) | Op::Choose => {
                self.place_among(graph, id, inputs, space(shape), |graph, operand| Self::fits(graph, id, operand));
            }
            Op::Embed(_) => {
                // Read as a whole by what writes it.
                let (root, _) = self.memory(graph, inputs[0]);
                let after = self.written_before(graph, root);
                let pass = self.passes.len();
                debug_assert!(pass >= after);
                let (rows, columns) = space(shape);
                self.passes.push(Space { rows, columns, matrix_rows: None, nodes: Vec::new(), closed: true });
                self.join(id, pass);
                self.written.insert(id);
            }
        }
    }

    /// Places a node that reads its operands in its own pass, where they fit, or from memory.
    fn place_among(
        &mut self,
        graph: &Graph,
        id: Id,
        inputs: &[Id],
        of: (usize, usize),
        fits: impl Fn(&Graph, Id) -> bool,
    ) {
        let mut first = 0;
        for &input in inputs {
            let made = self.value(graph, input).and_then(|value| self.pass.get(&value).map(|&pass| (value, pass)));
            match made {
                Some((_, pass)) if fits(graph, plain(graph, input)) => first = first.max(pass),
                _ => {
                    let (root, _) = self.memory(graph, input);
                    first = first.max(self.pass.get(&root).map_or(0, |pass| pass + 1));
                }
            }
        }
        let pass = self.find(of, None, first);
        for &input in inputs {
            self.reach(graph, pass, input, fits(graph, plain(graph, input)));
        }
        self.join(id, pass);
    }

    /// Has an operand where a pass can read it: among what it computes, if it fits there, or in memory.
    fn reach(&mut self, graph: &Graph, pass: usize, operand: Id, fits: bool) {
        if let Some(value) = self.value(graph, operand)
            && fits
        {
            if self.computed.contains(&(pass, value)) {
                return;
            }
            if self.is_repeated(graph, value) && self.can_repeat(graph, pass, value) {
                self.repeat(graph, pass, value);
                return;
            }
        }
        let (root, _) = self.memory(graph, operand);
        self.written_before(graph, root);
    }

    /// Whether a node is computed again rather than written: it is as large as a matrix, and made element by element,
    /// or a product of a plan in blocks.
    fn is_repeated(&self, graph: &Graph, value: Id) -> bool {
        let Node { op, shape, .. } = graph.node(value);
        let (rows, columns) = space(shape);
        let again = match op {
            Op::Unary(_) | Op::Binary(_) | Op::Choose => true,
            Op::Product { .. } => self.blocked,
            Op::Input(_) | Op::Constant(_) | Op::Positions | Op::Reduce(_) | Op::View(_) | Op::Embed(_) => false,
        };
        again && rows > 1 && columns > 1 && !self.written.contains(&value) && !self.wanted.contains(&value)
    }

    /// Whether a product that is made again has matrices of the pass's rows.
    fn can_repeat(&self, graph: &Graph, pass: usize, value: Id) -> bool {
        let Node { op, shape, .. } = graph.node(value);
        let rows = |shape: &[usize]| shape.len().checked_sub(2).and_then(|place| shape.get(place).copied());
        !matches!(op, Op::Product { .. }) || self.passes[pass].matrix_rows.is_none_or(|own| Some(own) == rows(shape))
    }

    /// Computes a node in another pass, too.
    fn repeat(&mut self, graph: &Graph, pass: usize, value: Id) {
        let Node { op, inputs, shape } = graph.node(value);
        // The matrices of a product lie in memory since it was made first.
        if matches!(op, Op::Product { .. }) {
            self.passes[pass].matrix_rows = Some(shape[shape.len() - 2]);
        } else {
            for &input in inputs {
                self.reach(graph, pass, input, Self::fits(graph, value, plain(graph, input)));
            }
        }
        self.computed.insert((pass, value));
        self.passes[pass].nodes.push(value);
    }

    fn place_product(&mut self, graph: &Graph, id: Id, a: Id, b: Id) {
        let after_b = self.matrix_before(graph, b);
        let rows = graph.shape(a)[graph.shape(a).len() - 2];
        // Of rows that a pass makes, if the right matrix is there before.
        if let Some(value) = self.value(graph, a)
            && graph.shape(value).len() >= 2
            && let Some(&pass) = self.pass.get(&value)
            && !self.passes[pass].closed
            && !self.copied.contains(&value)
            && !self.sinks.contains(&value)
            && (pass >= after_b || self.is_repeated(graph, value))
        {
            let of = space(graph.shape(a));
            let own = &self.passes[pass];
            let here = pass >= after_b && own.columns == of.1 && own.matrix_rows.is_none_or(|own| own == rows);
            let pass = match here {
                true => Some(pass),
                false if self.is_repeated(graph, value) => Some(self.find(of, Some(rows), after_b.max(pass))),
                false => None,
            };
            if let Some(pass) = pass {
                self.reach(graph, pass, a, true);
                self.passes[pass].matrix_rows = Some(rows);
                self.sinks.insert(id);
                self.join(id, pass);
                self.written.insert(id);
                return;
            }
        }
        let after = self.matrix_before(graph, a).max(after_b);
        let shape = graph.shape(id);
        let rows = shape[shape.len() - 2];
        let pass = self.find(space(shape), Some(rows), after);
        self.passes[pass].matrix_rows = Some(rows);
        self.join(id, pass);
    }

    /// Has an operand of a product in memory as matrices that a product can read; the first pass that may.
    fn matrix_before(&mut self, graph: &Graph, id: Id) -> usize {
        let (root, layout) = self.memory(graph, id);
        let shape = graph.shape(id);
        // A number that is read again and again becomes an array, see `code`.
        if matches!(graph.node(root).op, Op::Constant(_)) {
            return 0;
        }
        if matrix(&layout, shape).is_some() {
            return self.written_before(graph, root);
        }
        let id = plain(graph, id);
        self.copy(graph, id);
        self.written_before(graph, id)
    }

    /// The first pass from `first` on with a space for the node; a new one if there is none.
    fn find(&mut self, (rows, columns): (usize, usize), matrix_rows: Option<usize>, first: usize) -> usize {
        let found = self.passes.iter().enumerate().skip(first).find(|(_, space)| {
            let alike = space.rows == rows && (space.columns == columns || space.columns == 1 || columns == 1);
            let matrices = match (space.matrix_rows, matrix_rows) {
                (Some(own), Some(wanted)) => own == wanted,
                _ => true,
            };
            alike && matrices && !space.closed
        });
        let pass = found.map_or(self.passes.len(), |(pass, _)| pass);
        if pass == self.passes.len() {
            self.passes.push(Space { rows, columns, matrix_rows: None, nodes: Vec::new(), closed: false });
        }
        let space = &mut self.passes[pass];
        space.columns = space.columns.max(columns);
        pass
    }

    fn join(&mut self, id: Id, pass: usize) {
        self.pass.insert(id, pass);
        self.computed.insert((pass, id));
        self.passes[pass].nodes.push(id);
    }
}

/// Row length and whether it lies transposed, of matrices that a product can read.
pub(crate) fn matrix(layout: &Layout, shape: &[usize]) -> Option<(usize, bool)> {
    let rank = shape.len();
    let (rows, columns) = (shape[rank - 2], shape[rank - 1]);
    let (down, along) = (layout.strides[rank - 2], layout.strides[rank - 1]);
    let batches = &shape[..rank - 2];
    // Matrices one after the other, at equal distances.
    let step = batches.len().checked_sub(1).map_or(0, |last| layout.strides[last]);
    let mut stride = step;
    for (place, &size) in batches.iter().enumerate().rev() {
        if size != 1 && layout.strides[place] != stride {
            return None;
        }
        stride *= size;
    }
    if (along == 1 || columns == 1) && (down >= columns || rows == 1) {
        Some((if rows == 1 { columns.max(1) } else { down }, false))
    } else if (down == 1 || rows == 1) && (along >= rows || columns == 1) {
        Some((if columns == 1 { rows.max(1) } else { along }, true))
    } else {
        None
    }
}

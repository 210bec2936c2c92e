//! Estimates from the bytes of a component what compiling and instantiating it takes, before either begins.
//!
//! Compiling takes time and memory in proportion to the operators of a function and to the values (locals, and operands
//! on the stack) that each branch may carry, so a small function of many locals and many branches can take minutes and
//! gigabytes. One pass of the validator, which takes milliseconds, counts both.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ConstExpr, DataKind, Encoding,
    FuncValidator, FuncValidatorAllocations, FunctionBody, Instance, Operator, Parser, Payload, TableInit,
    ValidPayload, Validator, ValidatorResources,
};

use crate::error::Cause;
use crate::limits::Limits;

/// Counts what is in a component or module.
///
/// # Errors
/// The limit that it reaches, or what is not valid.
pub(super) fn scan(bytes: &[u8], limits: &Limits) -> Result<(), Cause> {
    let mut scan = ComponentScan {
        limits,
        functions: 0,
        entries: 0,
        work: 0,
        levels: Vec::new(),
        modules: Vec::new(),
        largest_inner: 0,
    };
    let mut validator = Validator::new();
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        scan.count(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(invalid)? {
            allocations = scan.function(function.into_validator(allocations), &body)?;
        }
    }
    Ok(())
}

fn invalid(error: impl std::fmt::Display) -> Cause {
    Cause::Invalid(error.to_string())
}

/// An error when so much is too much.
pub(super) fn over(limit: &'static str, value: u64, wanted: u64) -> Result<(), Cause> {
    if wanted > value { Err(Cause::Limit { limit, value, wanted: Some(wanted), place: None }) } else { Ok(()) }
}

/// The engine writes out so many elements of a table at most while it compiles, 4 bytes each: those of a table that
/// begins with a value, and those up to the last one that a segment puts in.
const WRITTEN: u64 = 1 << 20;
/// The bytes of an expression that is one number, with its end.
const NUMBER: u64 = 12;

struct ComponentScan<'a> {
    limits: &'a Limits,
    functions: u64,
    /// Entries of all that was read.
    entries: u64,
    work: u64,
    /// The component or module that is being read, inside of those around it.
    levels: Vec<Level>,
    /// Entries of the modules of the outermost component, by their index there.
    modules: Vec<u64>,
    /// Entries of the largest component inside of it.
    largest_inner: u64,
}

struct Level {
    encoding: Encoding,
    entries: u64,
    /// What its empty tables have room for.
    tables: u64,
}

impl ComponentScan<'_> {
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Cause> {
        let entries = match payload {
            Payload::Version { encoding, .. } => return self.begin(*encoding),
            Payload::End(_) => {
                self.end();
                return Ok(());
            }
            Payload::TypeSection(section) => section.count(),
            Payload::ImportSection(section) => section.count(),
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                over("functions", self.limits.functions, self.functions)?;
                section.count()
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let table = table.map_err(invalid)?;
                    let begun = table.ty.initial.min(WRITTEN);
                    match table.init {
                        TableInit::RefNull => self.later(begun),
                        TableInit::Expr(first) => {
                            self.add(begun)?;
                            self.expression(&first)?;
                        }
                    }
                }
                section.count()
            }
            Payload::MemorySection(section) => section.count(),
            Payload::TagSection(section) => section.count(),
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    self.expression(&global.map_err(invalid)?.init_expr)?;
                }
                section.count()
            }
            Payload::ExportSection(section) => section.count(),
            Payload::ElementSection(section) => {
                if section.count() > 0 {
                    let tables = self.levels.last().map_or(0, |level| level.tables);
                    self.add(tables)?;
                }
                for element in section.clone() {
                    let element = element.map_err(invalid)?;
                    // What an element is made of takes a byte at least.
                    self.add((element.range.end - element.range.start) as u64)?;
                }
                section.count()
            }
            Payload::DataSection(section) => {
                for data in section.clone() {
                    if let DataKind::Active { offset_expr, .. } = data.map_err(invalid)?.kind {
                        self.expression(&offset_expr)?;
                    }
                }
                section.count()
            }
            Payload::InstanceSection(section) => {
                self.outermost()?;
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance.map_err(invalid)? {
                        let known = usize::try_from(module_index).ok().and_then(|index| self.modules.get(index));
                        let entries = known.copied().unwrap_or_else(|| self.largest_module());
                        self.add(entries)?;
                    }
                }
                section.count()
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { .. } = instance.map_err(invalid)? {
                        self.outermost()?;
                        self.add(self.largest_inner)?;
                    }
                }
                section.count()
            }
            Payload::ComponentCanonicalSection(section) => {
                self.outermost()?;
                section.count()
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias.map_err(invalid)?);
                }
                section.count()
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    if export.map_err(invalid)?.kind == ComponentExternalKind::Module {
                        self.modules.push(self.largest_module());
                    }
                }
                section.count()
            }
            Payload::ComponentImportSection(section) => section.count(),
            Payload::ComponentTypeSection(section) => section.count(),
            Payload::CoreTypeSection(section) => section.count(),
            _ => 0,
        };
        self.add(entries.into())
    }

    /// A component inside may only name what it is given, as those that `wit-component` makes for interfaces do.
    /// Otherwise one that instantiates another twice, which does the same, would be unfolded without end.
    fn begin(&mut self, encoding: Encoding) -> Result<(), Cause> {
        self.outermost()?;
        self.levels.push(Level { encoding, entries: 0, tables: 0 });
        Ok(())
    }

    fn outermost(&self) -> Result<(), Cause> {
        if self.levels.len() <= 1 {
            return Ok(());
        }
        Err(Cause::Invalid(
            "a component inside of it has code or components of its own; a plugin is one component".into(),
        ))
    }

    fn end(&mut self) {
        if let Some(Level { encoding, entries, .. }) = self.levels.pop() {
            match encoding {
                Encoding::Module => self.modules.push(entries),
                Encoding::Component => self.largest_inner = self.largest_inner.max(entries),
            }
        }
    }

    /// An alias or an export of a module is one more index of it.
    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        let of_module = match alias {
            ComponentAlias::InstanceExport { kind, .. } => *kind == ComponentExternalKind::Module,
            ComponentAlias::Outer { kind, .. } => *kind == ComponentOuterAliasKind::CoreModule,
            ComponentAlias::CoreInstanceExport { .. } => false,
        };
        if of_module {
            self.modules.push(self.largest_module());
        }
    }

    fn largest_module(&self) -> u64 {
        self.modules.iter().copied().max().unwrap_or_default()
    }

    /// A table that is empty until elements are put into it.
    fn later(&mut self, begun: u64) {
        if let Some(level) = self.levels.last_mut() {
            level.tables = level.tables.saturating_add(begun);
        }
    }

    /// A constant expression counts by its bytes beyond the few that a number takes.
    fn expression(&mut self, expression: &ConstExpr<'_>) -> Result<(), Cause> {
        let bytes = expression.get_binary_reader().bytes_remaining() as u64;
        self.add(bytes.saturating_sub(NUMBER))
    }

    fn add(&mut self, entries: u64) -> Result<(), Cause> {
        // Modules that nothing instantiates are compiled, too.
        self.entries = self.entries.saturating_add(entries);
        over("entries", self.limits.entries, self.entries)?;
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        level.entries = level.entries.saturating_add(entries);
        over("entries", self.limits.entries, level.entries)
    }

    fn function(
        &mut self,
        mut validator: FuncValidator<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<FuncValidatorAllocations, Cause> {
        let limits = self.limits;
        over("function-bytes", limits.function_bytes, body.as_bytes().len() as u64)?;
        let mut locals = body.get_locals_reader().map_err(invalid)?;
        for _ in 0..locals.get_count() {
            let offset = locals.original_position();
            let (count, kind) = locals.read().map_err(invalid)?;
            validator.define_locals(offset, count, kind).map_err(invalid)?;
        }
        let locals = u64::from(validator.len_locals());
        over("function-locals", limits.function_locals, locals)?;
        let mut operators = body.get_operators_reader().map_err(invalid)?;
        let mut work = 0_u64;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(invalid)?;
            let (taken, left) = operator.operator_arity(&validator).unwrap_or_default();
            let before = validator.operand_stack_height();
            validator.op(offset, &operator).map_err(invalid)?;
            let carried = locals + u64::from(before.max(validator.operand_stack_height()));
            work += 1 + u64::from(taken) + u64::from(left) + ways(&operator) * carried;
            over("function-work", limits.function_work, work)?;
        }
        self.work += work;
        over("compile-work", limits.compile_work, self.work)?;
        Ok(validator.into_allocations())
    }
}

/// How many ways an operator may go, if it ends a block.
fn ways(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::BrTable { targets } => u64::from(targets.len()) + 1,
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::Else
        | Operator::End
        | Operator::Br { .. }
        | Operator::BrIf { .. }
        | Operator::Return => 1,
        _ => 0,
    }
}

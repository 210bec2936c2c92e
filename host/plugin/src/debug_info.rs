//! Debug information of a component, left out where reading it would take too long or too much memory.
//!
//! When a call traps, the engine looks up the place in it. What it reads then may refer to the same lines, ranges and
//! abbreviations many times over, so that a file of a megabyte unfolds into gigabytes. This follows the references and
//! counts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gimli::{Dwarf, EndianSlice, LittleEndian, Section, constants};
use wasmparser::{Parser, Payload};

/// Lines, ranges, entries and bytes that are read of one module's debug information. That of our largest plugin takes
/// 1,500,000.
const AFFORDABLE: u64 = 16_000_000;

/// The component, without debug information that costs too much: its faults then name functions, but no lines.
pub(super) fn affordable(component: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let costly = costly(&component);
    if costly.is_empty() {
        return component;
    }
    let mut bytes = component.into_owned();
    for name in costly {
        // Under another name nobody looks at the section.
        if let Some(letter) = bytes.get_mut(name) {
            *letter = b'_';
        }
    }
    Cow::Owned(bytes)
}

#[derive(Default)]
struct Module<'a> {
    sections: BTreeMap<&'a str, &'a [u8]>,
    /// Where the names of its sections `.debug_info` begin.
    names: Vec<usize>,
}

/// Where the names of sections begin that cost too much.
fn costly(component: &[u8]) -> Vec<usize> {
    let (mut costly, mut modules) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::Version { .. }) => modules.push(Module::default()),
            Ok(Payload::CustomSection(section)) => {
                let Some(module) = modules.last_mut() else { continue };
                if section.name() == ".debug_info" {
                    let data = section.data_offset();
                    module.names.push(data.saturating_sub(section.name().len()));
                }
                if section.name().starts_with(".debug_") {
                    module.sections.insert(section.name(), section.data());
                }
            }
            Ok(Payload::End(_)) => {
                let Some(Module { sections, names }) = modules.pop() else { continue };
                // Of several sections it is not sure which one the engine takes.
                if names.len() > 1 || (names.len() == 1 && !is_affordable(&sections)) {
                    costly.extend(names);
                }
            }
            Ok(_) => {}
            // The bytes were looked through before.
            Err(_) => break,
        }
    }
    costly
}

fn is_affordable(sections: &BTreeMap<&str, &[u8]>) -> bool {
    let section = |id: gimli::SectionId| {
        Ok::<_, gimli::Error>(EndianSlice::new(sections.get(id.name()).copied().unwrap_or_default(), LittleEndian))
    };
    // What is damaged is not read further by the engine either.
    let mut left = Some(AFFORDABLE);
    let _ = Dwarf::load(section).and_then(|dwarf| read(&dwarf, &mut left));
    left.is_some()
}

/// Goes where the engine would. `left` is none when that costs too much.
fn read(dwarf: &Dwarf<EndianSlice<'_, LittleEndian>>, left: &mut Option<u64>) -> gimli::Result<()> {
    let mut spend = |amount: usize| {
        *left = left.and_then(|left| left.checked_sub(amount as u64));
        left.is_some()
    };
    let abbreviations = dwarf.debug_abbrev.reader().len();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        if !spend(abbreviations.saturating_sub(header.debug_abbrev_offset().0)) {
            return Ok(());
        }
        let Ok(unit) = dwarf.unit(header) else { continue };
        let lines = unit.line_program.as_ref().map_or(0, |program| program.header().unit_length());
        if !spend(lines) {
            return Ok(());
        }
        let mut entries = unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            if !spend(1 + entry.attrs().len()) {
                return Ok(());
            }
            let Some(ranges) = entry.attr_value(constants::DW_AT_ranges) else { continue };
            let Ok(Some(offset)) = dwarf.attr_ranges_offset(&unit, ranges) else { continue };
            let Ok(mut ranges) = dwarf.raw_ranges(&unit, offset) else { continue };
            while let Ok(Some(_)) = ranges.next() {
                if !spend(1) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

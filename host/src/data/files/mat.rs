//! MATLAB files of version 5, as far as annotations of images need them: numbers, text, cells and structures.
//!
//! After a header of 128 bytes a file is a sequence of elements: a type, a length and data, padded to 8 bytes. A matrix
//! is an element that contains others; most files have each matrix compressed by zlib.
//!
//! No crate is used: the annotations of Cars196 are an array of structures. `matfile` passes over cells and
//! structures, `matreader` has hardly begun, `matio-rs` binds a C library, and `scirs2-io` is a whole framework.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::data::DataError;

const HEADER: usize = 128;
/// Cells and structures inside each other; more is damage.
const DEPTH: usize = 8;
/// The most bytes of a compressed variable once it is unpacked; annotations have a few millions.
const MOST_BYTES: u64 = 64 << 20;

/// The value of a matrix, its elements in the file's order.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::data) enum MatValue {
    Numbers(Vec<f64>),
    Text(String),
    Cells(Vec<MatValue>),
    /// A structure array: the values of each record by the name of the field.
    Records(Vec<BTreeMap<String, MatValue>>),
    /// Something that annotations do not need.
    Other,
}

impl MatValue {
    /// The number, if it is one.
    pub(in crate::data) fn number(&self) -> Option<f64> {
        match self {
            Self::Numbers(numbers) => numbers.first().copied().filter(|_| numbers.len() == 1),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(in crate::data) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// All variables of a file by name.
pub(in crate::data) fn read(path: &Path) -> Result<BTreeMap<String, MatValue>, DataError> {
    let bytes = lossmith_files::read(path, lossmith_files::LIST)
        .map_err(|cause| DataError::Read { path: path.to_owned(), cause })?;
    variables(&bytes).map_err(|problem| DataError::Record {
        place: path.display().to_string(),
        problem: format!("this is no whole MATLAB file of version 5: {problem}"),
        help: "fetch the file again; one of version 7.3 must be saved again with the option `-v7`".to_owned(),
    })
}

fn variables(bytes: &[u8]) -> Result<BTreeMap<String, MatValue>, String> {
    let header = bytes.get(..HEADER).ok_or("it is shorter than its header")?;
    if !header.starts_with(b"MATLAB 5.0 MAT-file") {
        return Err("it does not begin with `MATLAB 5.0 MAT-file`".to_owned());
    }
    if !header.ends_with(b"IM") {
        return Err("its numbers are not little-endian".to_owned());
    }
    let mut rest = Elements(bytes.get(HEADER..).unwrap_or_default());
    let mut variables = BTreeMap::new();
    while !rest.0.is_empty() {
        let (kind, data) = rest.next()?;
        let matrix = match kind {
            Kind::COMPRESSED => inflate(data)?,
            Kind::MATRIX => {
                variables.extend([matrix(data, 0)?]);
                continue;
            }
            _ => return Err(format!("it has an element of the type {} outside of a matrix", kind.0)),
        };
        let (_, data) = Elements(&matrix).next()?;
        variables.extend([self::matrix(data, 0)?]);
    }
    Ok(variables)
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(data).take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it has a variable of more than {MOST_BYTES} bytes"));
    }
    Ok(bytes)
}

/// The type of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind(u32);

impl Kind {
    const MATRIX: Self = Self(14);
    const COMPRESSED: Self = Self(15);
}

/// Elements one after the other.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<(Kind, &'a [u8]), String> {
        const EARLY: &str = "it ends early";
        let word = |place| word(self.0, place).ok_or(EARLY);
        let (first, second) = (word(0)?, word(4)?);
        // The small form: type and length share a word, and up to four bytes of data follow in the other.
        let (kind, start, length, padding) = if first >> 16 != 0 {
            (Kind(first & 0xffff), 4, (first >> 16) as usize, 4)
        } else {
            let padding = if Kind(first) == Kind::COMPRESSED { 1 } else { 8 };
            (Kind(first), 8, second as usize, padding)
        };
        if padding == 4 && length > 4 {
            return Err(format!("it has a small element of {length} bytes"));
        }
        let data = self.0.get(start..).and_then(|data| data.get(..length)).ok_or(EARLY)?;
        let end = if padding == 4 { 8 } else { start + length.next_multiple_of(padding) };
        // The last element of a compressed matrix may come without its padding.
        self.0 = self.0.get(end..).unwrap_or_default();
        Ok((kind, data))
    }

    fn data(&mut self) -> Result<&'a [u8], String> {
        Ok(self.next()?.1)
    }
}

fn word(bytes: &[u8], place: usize) -> Option<u32> {
    let bytes = bytes.get(place..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// The name and value of a matrix.
fn matrix(data: &[u8], depth: usize) -> Result<(String, MatValue), String> {
    const CELL: u8 = 1;
    const STRUCTURE: u8 = 2;
    const TEXT: u8 = 4;
    const NUMBERS: std::ops::RangeInclusive<u8> = 6..=15;
    // What was never given a value has no content at all.
    if data.is_empty() {
        return Ok((String::new(), MatValue::Numbers(Vec::new())));
    }
    if depth > DEPTH {
        return Err(format!("it has more than {DEPTH} matrices inside each other"));
    }
    let mut elements = Elements(data);
    let class = elements.data()?.first().copied().ok_or("a matrix has no class")?;
    let lengths = elements.data()?;
    let mut lengths = (0..lengths.len() / 4).filter_map(|place| word(lengths, place * 4));
    let count = lengths.try_fold(1_usize, |product, length| product.checked_mul(length as usize));
    let count = count.ok_or("a matrix is too large")?;
    let name = String::from_utf8_lossy(elements.data()?).into_owned();
    let value = match class {
        CELL => MatValue::Cells((0..count).map(|_| inner(&mut elements, depth)).collect::<Result<_, _>>()?),
        STRUCTURE => MatValue::Records(records(&mut elements, count, depth)?),
        TEXT => MatValue::Text(text(elements.next()?)?),
        class if NUMBERS.contains(&class) => MatValue::Numbers(numbers(elements.next()?)?),
        _ => MatValue::Other,
    };
    Ok((name, value))
}

/// The next matrix of a cell or structure.
fn inner(elements: &mut Elements, depth: usize) -> Result<MatValue, String> {
    match elements.next()? {
        (Kind::MATRIX, data) => Ok(matrix(data, depth + 1)?.1),
        (kind, _) => Err(format!("it has an element of the type {} in place of a matrix", kind.0)),
    }
}

fn records(elements: &mut Elements, count: usize, depth: usize) -> Result<Vec<BTreeMap<String, MatValue>>, String> {
    let width = word(elements.data()?, 0).filter(|width| *width > 0).ok_or("a structure has names of no length")?;
    let names = elements.data()?.chunks(width as usize).map(|name| {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut record = || names.iter().map(|name| Ok((name.clone(), inner(elements, depth)?))).collect();
    (0..count).map(|_| record()).collect()
}

/// Text is bytes of UTF-8, or numbers of 16 bits of UTF-16.
fn text((kind, data): (Kind, &[u8])) -> Result<String, String> {
    match kind.0 {
        1 | 2 | 16 => String::from_utf8(data.to_vec()).map_err(|error| error.to_string()),
        4 | 17 => {
            let units: Vec<u16> = pieces(data).map(u16::from_le_bytes).collect();
            String::from_utf16(&units).map_err(|error| error.to_string())
        }
        kind => Err(format!("it has text of the type {kind}")),
    }
}

/// Numbers are stored in the smallest type that holds them, whatever the class of their matrix.
fn numbers((kind, data): (Kind, &[u8])) -> Result<Vec<f64>, String> {
    Ok(match kind.0 {
        1 => pieces(data).map(|bytes| i8::from_le_bytes(bytes).into()).collect(),
        2 => data.iter().map(|byte| (*byte).into()).collect(),
        3 => pieces(data).map(|bytes| i16::from_le_bytes(bytes).into()).collect(),
        4 => pieces(data).map(|bytes| u16::from_le_bytes(bytes).into()).collect(),
        5 => pieces(data).map(|bytes| i32::from_le_bytes(bytes).into()).collect(),
        6 => pieces(data).map(|bytes| u32::from_le_bytes(bytes).into()).collect(),
        7 => pieces(data).map(|bytes| f32::from_le_bytes(bytes).into()).collect(),
        9 => pieces(data).map(f64::from_le_bytes).collect(),
        12 => pieces(data).map(|bytes| i64::from_le_bytes(bytes) as f64).collect(),
        13 => pieces(data).map(|bytes| u64::from_le_bytes(bytes) as f64).collect(),
        kind => return Err(format!("it has numbers of the type {kind}")),
    })
}

fn pieces<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// Made by SciPy, see make.py beside it.
    const CARS: &[u8] = include_bytes!("../../../../tests/data/cars196/cars_annos.mat");

    #[test]
    fn structures_cells_text_and_numbers_are_read() {
        let found = variables(CARS).unwrap();
        let names =
            ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012", "Acura TL Type-S 2008"];
        assert_eq!(found["class_names"], MatValue::Cells(names.map(|name| MatValue::Text(name.to_owned())).to_vec()));
        let MatValue::Records(annotations) = &found["annotations"] else { unreachable!() };
        assert_eq!(annotations.len(), 12);
        let last = annotations.last().unwrap();
        assert_eq!(last["relative_im_path"].text(), Some("car_ims/000012.jpg"));
        let numbers = ["bbox_x1", "bbox_x2", "bbox_y2", "class", "test"].map(|name| last[name].number());
        assert_eq!(numbers, [1.0, 12.0, 10.0, 4.0, 1.0].map(Some));
        assert_eq!((last["class"].text(), last["relative_im_path"].number()), (None, None));
    }

    #[test]
    fn a_file_that_is_cut_is_an_error() {
        // At the header's end, and between its two variables, a file is whole.
        let whole = |length: usize| variables(CARS.get(..length).unwrap());
        let good: Vec<usize> = (0..CARS.len()).filter(|length| whole(*length).is_ok()).collect();
        assert!(good.len() <= 2 && good.first() == Some(&HEADER), "{good:?}");
        assert_eq!(whole(60).unwrap_err(), "it is shorter than its header");
        assert_eq!(whole(HEADER + 20).unwrap_err(), "it ends early");
    }

    #[test]
    fn a_damaged_byte_is_an_error_or_other_values_but_no_panic() {
        for place in 0..CARS.len() {
            let mut bytes = CARS.to_vec();
            bytes[place] ^= 0xff;
            let _ = variables(&bytes);
        }
        let mut plain = CARS[..HEADER].to_vec();
        let (_, data) = Elements(&CARS[HEADER..]).next().unwrap();
        plain.extend(inflate(data).unwrap());
        assert!(variables(&plain).unwrap().contains_key("annotations"));
        for place in HEADER..plain.len() {
            for change in [1, 0x80, 0xff] {
                let mut bytes = plain.clone();
                bytes[place] ^= change;
                let _ = variables(&bytes);
            }
        }
    }

    #[test]
    fn a_small_file_that_unpacks_to_a_large_one_is_refused() {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::copy(&mut std::io::repeat(0).take(MOST_BYTES + 1), &mut packed).unwrap();
        let data = packed.finish().unwrap();
        let element = [&15_u32.to_le_bytes()[..], &(data.len() as u32).to_le_bytes(), &data].concat();
        let error = variables(&[&CARS[..HEADER], &element].concat()).unwrap_err();
        assert_eq!(error, "it has a variable of more than 67108864 bytes");
    }

    #[test]
    fn another_format_is_named() {
        let hdf = [b"MATLAB 7.3 MAT-file".as_slice(), &[0; 200]].concat();
        assert!(variables(&hdf).unwrap_err().contains("MATLAB 5.0 MAT-file"));
        let mut big = CARS.to_vec();
        big[HEADER - 2..HEADER].copy_from_slice(b"MI");
        assert!(variables(&big).unwrap_err().contains("little-endian"));
    }
}

//! Looks at the end of a parquet file before the library reads it: a walk through its Thrift that holds nothing.
//!
//! The library makes room for as many things as a list claims to have, and descends as deep as columns are nested; both end a
//! process instead of being an error. So no list may be longer than the bytes it has, no column may have more parts than
//! there are columns, and nesting has a bound.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::damaged;
use crate::records::PARQUET;

/// Deepest nesting of columns; JSON's own is 128 here, and each list is two levels of columns.
const DEEPEST: usize = 256;
/// Deepest nesting of the Thrift structures; the form has 6.
const STRUCTURES: usize = 16;
/// The field of the footer with the columns, and those of a column with its number of parts.
const SCHEMA: i16 = 2;
const PARTS: i16 = 5;

/// Whether the library may read this file.
pub(super) fn check(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = [0; 8];
    let cut_off = || damaged("a parquet file without its end");
    file.read_exact_at(&mut end, length.checked_sub(8).ok_or_else(cut_off)?)?;
    let [a, b, c, d, magic @ ..] = end;
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != PARQUET || size + 12 > length {
        return Err(cut_off());
    }
    let mut footer = vec![0; usize::try_from(size).map_err(|_| cut_off())?];
    file.read_exact_at(&mut footer, length - 8 - size)?;
    match walk(&footer) {
        Some(columns) if nested_well(&columns) => Ok(()),
        _ => Err(damaged("a parquet file whose description of itself is damaged")),
    }
}

/// How many parts each column has, groups before their parts.
fn walk(footer: &[u8]) -> Option<Vec<i64>> {
    let mut thrift = Thrift { bytes: footer };
    let mut columns = Vec::new();
    let mut id = 0;
    while let Some(kind) = thrift.field(&mut id)? {
        if id == SCHEMA && kind == Kind::LIST {
            let (of, count) = thrift.list()?;
            for _ in 0..count {
                columns.push(thrift.column(of)?);
            }
        } else {
            thrift.skip(kind, STRUCTURES)?;
        }
    }
    Some(columns)
}

/// Whether every part is there, nothing is left over, and all of it is shallow.
fn nested_well(columns: &[i64]) -> bool {
    let mut open: Vec<usize> = Vec::new();
    for (index, &parts) in columns.iter().enumerate() {
        match open.last_mut() {
            Some(left) => *left -= 1,
            None if index == 0 => {}
            None => return false,
        }
        let Ok(parts) = usize::try_from(parts) else { return false };
        if parts > columns.len() || open.len() >= DEEPEST {
            return false;
        }
        open.push(parts);
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    open.is_empty()
}

/// The kinds of values of Thrift's compact form.
struct Kind;

impl Kind {
    const STOP: u8 = 0;
    const TRUE: u8 = 1;
    const FALSE: u8 = 2;
    const BYTE: u8 = 3;
    const I16: u8 = 4;
    const I32: u8 = 5;
    const I64: u8 = 6;
    const DOUBLE: u8 = 7;
    const BINARY: u8 = 8;
    const LIST: u8 = 9;
    const SET: u8 = 10;
    const MAP: u8 = 11;
    const STRUCT: u8 = 12;
}

/// What is left to read; `None` wherever it is not what it should be.
struct Thrift<'a> {
    bytes: &'a [u8],
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A length that what is left can hold, since nothing is shorter than a byte.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.varint()?).ok()?;
        (length <= self.bytes.len()).then_some(length)
    }

    /// The next field's kind, its number left in `id`; inside: `None` behind the last.
    fn field(&mut self, id: &mut i16) -> Option<Option<u8>> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == Kind::STOP {
            return Some(None);
        }
        *id = match head >> 4 {
            0 => i16::try_from(self.zigzag()?).ok()?,
            step => id.checked_add(i16::from(step))?,
        };
        Some(Some(kind))
    }

    fn list(&mut self) -> Option<(u8, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.length()?,
            count => usize::from(count),
        };
        Some((head & 0x0f, count))
    }

    /// A column's number of parts.
    fn column(&mut self, kind: u8) -> Option<i64> {
        if kind != Kind::STRUCT {
            return None;
        }
        let (mut id, mut parts) = (0, 0);
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (PARTS, Kind::I32) => parts = self.zigzag()?,
                _ => self.skip(kind, STRUCTURES)?,
            }
        }
        Some(parts)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Kind::TRUE | Kind::FALSE => {}
            Kind::BYTE => drop(self.byte()?),
            Kind::I16 | Kind::I32 | Kind::I64 => drop(self.varint()?),
            Kind::DOUBLE => self.bytes = self.bytes.get(8..)?,
            Kind::BINARY => {
                let length = self.length()?;
                self.bytes = &self.bytes[length..];
            }
            Kind::LIST | Kind::SET => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.element(kind, depth)?;
                }
            }
            Kind::MAP => {
                let count = self.length()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 0x0f, depth)?;
                }
            }
            Kind::STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// As [`Thrift::skip`]; inside of lists a truth has a byte of its own.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            Kind::TRUE | Kind::FALSE => self.byte().map(drop),
            kind => self.skip(kind, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_must_be_a_shallow_tree() {
        let deep = |depth: usize| [vec![1; depth], vec![0]].concat();
        let rows: [(Vec<i64>, bool); 9] = [
            (vec![0], true),
            (vec![2, 0, 0], true),
            (vec![2, 1, 0, 0], true),
            (vec![], true),
            (vec![2, 0], false),
            (vec![1, 0, 0], false),
            (vec![i64::from(i32::MAX), 0], false),
            (vec![-1], false),
            (deep(DEEPEST), false),
        ];
        for (columns, well) in rows {
            assert_eq!(nested_well(&columns), well, "{columns:?}");
        }
        assert!(nested_well(&deep(DEEPEST - 1)));
    }

    /// The library asks the system for 2^31 columns' room at such a list.
    #[test]
    fn lists_are_no_longer_than_their_bytes() {
        let columns = [0x15, 0x02, 0x19, 0x1c, 0x48, 0x01, b'a', 0x00, 0x00];
        assert_eq!(walk(&columns), Some(vec![0]));
        let mut long = columns.to_vec();
        long.splice(3..4, [0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]);
        assert_eq!(walk(&long), None);
        let deep = [[0x1c; 40].as_slice(), &[0; 41]].concat();
        assert_eq!(walk(&deep), None);
        (0..columns.len()).for_each(|cut| assert_eq!(walk(&columns[..cut]), None, "{cut}"));
    }
}

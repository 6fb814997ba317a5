//! `general.alignment`, looked at before candle reads the file: candle divides by it, and by 0 too.

use std::io::{Read, Seek};

const KEY: &[u8] = b"general.alignment";
/// Arrays within arrays; candle goes as deep.
const DEEPEST: u32 = 64;
const STRING: u64 = 8;
const ARRAY: u64 = 9;

/// Whether the file says 0. What is no header says nothing: candle will say what is wrong with it.
pub(super) fn is_zero(file: &mut (impl Read + Seek)) -> bool {
    zero(file).unwrap_or(false)
}

/// Looks through the metadata, entry by entry: key, type, value.
fn zero(file: &mut (impl Read + Seek)) -> Option<bool> {
    let _magic = number(file, 4)?;
    let mut header = Header { wide: number(file, 4)? > 1, file };
    let _tensors = header.length()?;
    for _ in 0..header.length()? {
        let is_it = header.is_key()?;
        let kind = number(header.file, 4)?;
        if let Some(bytes) = bytes_of(kind).filter(|_| is_it) {
            return Some(number(header.file, bytes)? == 0);
        }
        header.skip_value(kind, 0)?;
    }
    Some(false)
}

/// Where in the metadata we are.
struct Header<'f, F> {
    file: &'f mut F,
    /// Lengths have 8 bytes, 4 in the first version.
    wide: bool,
}

impl<F: Read + Seek> Header<'_, F> {
    fn length(&mut self) -> Option<u64> {
        number(self.file, if self.wide { 8 } else { 4 })
    }

    /// Whether the entry that begins here is the one; stands behind its key then.
    fn is_key(&mut self) -> Option<bool> {
        let length = self.length()?;
        if length != KEY.len() as u64 {
            self.skip(length)?;
            return Some(false);
        }
        let mut key = [0; KEY.len()];
        self.file.read_exact(&mut key).ok()?;
        Some(key == KEY)
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.file.seek_relative(i64::try_from(bytes).ok()?).ok()
    }

    fn skip_value(&mut self, kind: u64, depth: u32) -> Option<()> {
        match (kind, bytes_of(kind)) {
            (_, Some(bytes)) => self.skip(bytes),
            (STRING, _) => {
                let length = self.length()?;
                self.skip(length)
            }
            (ARRAY, _) if depth < DEEPEST => {
                let (of, count) = (number(self.file, 4)?, self.length()?);
                match bytes_of(of) {
                    Some(bytes) => self.skip(bytes.checked_mul(count)?),
                    None => (0..count).try_for_each(|_| self.skip_value(of, depth + 1)),
                }
            }
            _ => None,
        }
    }
}

/// A little-endian number of so many bytes, at most 8.
fn number(file: &mut impl Read, bytes: u64) -> Option<u64> {
    let mut number = [0; 8];
    file.read_exact(number.get_mut(..usize::try_from(bytes).ok()?)?).ok()?;
    Some(u64::from_le_bytes(number))
}

/// The size of a value that is one number, by the number of its type.
fn bytes_of(kind: u64) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

//! Reads zip archives: the list of files at their end, and files that are stored or deflated. No file is written, no name
//! leads anywhere, and a file's bytes are held only up to a cap. Encryption, other ways of packing and archives beyond
//! 4 GiB are refused by name.

use crate::error::{Misfit, clip};
use flate2::read::DeflateDecoder;
use std::collections::BTreeMap;
use std::io::Read;

const FETCH: &str = "fetch the archive again, or unpack it and give the folder";
/// The record at the end, without the remark behind it, which has at most 65,535 bytes.
const END: usize = 22;
const ENTRY: usize = 46;
const HEAD: usize = 30;

/// An archive in memory.
#[derive(Debug)]
pub(crate) struct Zip {
    bytes: Vec<u8>,
    /// By name; folders are left out.
    files: BTreeMap<String, Packed>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    deflated: bool,
    crc: u32,
    length: usize,
    /// Where the file's own head begins.
    head: usize,
}

impl Zip {
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Zip, Misfit> {
        let damaged = || Misfit::new("a whole zip archive", "one that is cut off or damaged", FETCH);
        let from = bytes.len().saturating_sub(END + 0xffff);
        let tail = bytes.get(from..).unwrap_or_default();
        let end = tail.windows(4).rposition(|four| four == b"PK\x05\x06").ok_or_else(damaged)? + from;
        let count = number(&bytes, end + 10, 2).ok_or_else(damaged)?;
        let mut at = number(&bytes, end + 16, 4).ok_or_else(damaged)?;
        if at == 0xffff_ffff || count == 0xffff {
            return Err(Misfit::new(
                "a zip archive below 4 GiB",
                "a zip64 archive",
                "unpack it and give the folder",
            ));
        }
        let mut files = BTreeMap::new();
        for _ in 0..count {
            let field = |offset: usize, width: usize| number(&bytes, at + offset, width).ok_or_else(damaged);
            if bytes.get(at..at + 4) != Some(b"PK\x01\x02") {
                return Err(damaged());
            }
            let name = bytes.get(at + ENTRY..at + ENTRY + field(28, 2)?).ok_or_else(damaged)?;
            let name = String::from_utf8_lossy(name).into_owned();
            let deflated = match (field(8, 2)? & 1, field(10, 2)?) {
                (0, 0) => false,
                (0, 8) => true,
                (0, other) => {
                    let found = format!("method {other} for {}", clip(&name));
                    return Err(Misfit::new("files that are stored or deflated", found, FETCH));
                }
                _ => return Err(Misfit::new("files that are not encrypted", clip(&name), FETCH)),
            };
            let packed =
                Packed { deflated, crc: field(16, 4)? as u32, length: field(20, 4)?, head: field(42, 4)? };
            if !name.ends_with('/') && files.insert(name.clone(), packed).is_some() {
                return Err(Misfit::new(
                    "each file once in the archive",
                    format!("{} twice", clip(&name)),
                    FETCH,
                ));
            }
            at += ENTRY + field(28, 2)? + field(30, 2)? + field(32, 2)?;
        }
        Ok(Zip { bytes, files })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.files.keys()
    }

    /// A file's bytes, at most `cap` of them.
    pub(crate) fn read(&self, name: &str, cap: usize) -> Result<Vec<u8>, Misfit> {
        let damaged = || Misfit::new(format!("the whole file {}", clip(name)), "a damaged one", FETCH);
        let file = self.files.get(name).ok_or_else(damaged)?;
        let skipped = [26, 28].map(|offset| number(&self.bytes, file.head + offset, 2));
        let [Some(name_length), Some(extra)] = skipped else { return Err(damaged()) };
        let from = file.head + HEAD + name_length + extra;
        let packed = self.bytes.get(from..from.saturating_add(file.length)).ok_or_else(damaged)?;
        let mut bytes = Vec::new();
        let limit = cap as u64 + 1;
        let read = match file.deflated {
            true => DeflateDecoder::new(packed).take(limit).read_to_end(&mut bytes),
            false => packed.take(limit).read_to_end(&mut bytes),
        };
        read.map_err(|_| damaged())?;
        if bytes.len() > cap {
            let found = format!("a larger one, {}", clip(name));
            return Err(Misfit::new(format!("a file of at most {cap} bytes once unpacked"), found, FETCH));
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if crc.sum() == file.crc { Ok(bytes) } else { Err(damaged()) }
    }
}

/// A little-endian number of `width` bytes; `None` beyond the end.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let mut value = [0; 8];
    value[..width].copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
    usize::try_from(u64::from_le_bytes(value)).ok()
}

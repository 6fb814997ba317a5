//! Cuts a file into records without holding more than one of them.
//!
//! Two shapes, told apart by the first byte: JSON Lines (`{` ...) and one JSON array (`[` ...). Either shape may be packed with gzip or zstd. A record longer than the cap is an error before it
//! is held.

use crate::elements::Element;
use crate::error::{LoadError, Misfit, Place, clip};
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// How a zstd frame begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// How a parquet file begins, and ends.
pub(crate) const PARQUET: [u8; 4] = *b"PAR1";

/// All frames of a zstd file, one after the other.
struct Zstd {
    frame: Option<StreamingDecoder<BufReader<File>, FrameDecoder>>,
    /// What is left behind a frame, or before the first.
    file: Option<BufReader<File>>,
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let damaged = |error: &dyn fmt::Display| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string())
        };
        loop {
            if let Some(mut file) = self.file.take() {
                if file.fill_buf()?.is_empty() {
                    self.file = Some(file);
                    return Ok(0);
                }
                self.frame = Some(StreamingDecoder::new(file).map_err(|error| damaged(&error))?);
            }
            let Some(mut frame) = self.frame.take() else { return Ok(0) };
            match frame.read(buffer) {
                Ok(0) => self.file = Some(frame.into_inner()),
                Ok(count) => {
                    self.frame = Some(frame);
                    return Ok(count);
                }
                Err(error) => return Err(damaged(&error)),
            }
        }
    }
}

/// The records of one file, in order.
pub(crate) struct Records {
    file: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    shape: Shape,
    line: u64,
    record: u64,
    /// Unpacked bytes stepped over so far, and where the last record begins among them.
    offset: u64,
    start: u64,
    cap: usize,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Lines,
    Array,
    Ended,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("file", &self.file)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

impl Records {
    /// Opens a file and looks at its first byte; `cap` is the longest accepted record in bytes.
    pub(crate) fn open(path: &Path, cap: usize) -> Result<Records, LoadError> {
        let (input, _) = unpacked(path).map_err(|error| unreadable(path, None, &error))?;
        Records::new(path, input, cap)
    }

    /// As [`Records::open`], of what [`unpacked`] or something around it reads.
    pub(crate) fn new(path: &Path, input: Box<dyn Read + Send>, cap: usize) -> Result<Records, LoadError> {
        let input = BufReader::with_capacity(1 << 16, input);
        let (file, buffer) = (path.to_owned(), Vec::new());
        let (shape, line, record, offset, start) = (Shape::Ended, 1, 0, 0, 0);
        let mut records = Records { file, input, shape, line, record, offset, start, cap, buffer };
        for mark in *b"\xef\xbb\xbf" {
            if records.peek()? == Some(mark) {
                records.bump(mark);
            }
        }
        records.shape = match records.skip_space()? {
            Some(b'{') => Shape::Lines,
            Some(b'[') => {
                records.bump(b'[');
                Shape::Array
            }
            other => return Err(records.no_records(other)),
        };
        Ok(records)
    }

    /// The next record and where it begins; `None` at the end. After an error there are no more.
    pub(crate) fn next(&mut self) -> Result<Option<(Place, &[u8])>, LoadError> {
        self.buffer.clear();
        let found = match self.shape {
            Shape::Lines => self.next_line(),
            Shape::Array => self.next_element(),
            Shape::Ended => Ok(None),
        };
        if !matches!(found, Ok(Some(_))) {
            self.shape = Shape::Ended;
        }
        Ok(found?.map(|place| (place, self.buffer.as_slice())))
    }

    /// The file, as it was named.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Where the last record lies in the unpacked file: its first byte, and its length.
    pub(crate) fn span(&self) -> (u64, usize) {
        (self.start, self.buffer.len())
    }

    /// The error for a record of this file.
    pub(crate) fn error(&self, place: Place, misfit: Misfit) -> LoadError {
        LoadError { file: self.file.clone(), place: Some(place), misfit }
    }

    fn next_line(&mut self) -> Result<Option<Place>, LoadError> {
        if self.skip_space()?.is_none() {
            return Ok(None);
        }
        let place = self.begin();
        while self.peek()?.is_some() {
            let bytes = self.input.buffer();
            let end = bytes.iter().position(|&byte| byte == b'\n');
            self.keep(end.unwrap_or(bytes.len()), place)?;
            if end.is_some() {
                self.bump(b'\n');
                break;
            }
        }
        Ok(Some(place))
    }

    fn next_element(&mut self) -> Result<Option<Place>, LoadError> {
        if self.record > 0 && self.peek()? == Some(b',') {
            self.bump(b',');
        } else if self.skip_space()? == Some(b']') {
            self.bump(b']');
            return self.end_of_array();
        }
        self.skip_space()?;
        let place = self.begin();
        let mut element = Element::default();
        while self.peek()?.is_some() {
            let length = element.length(self.input.buffer());
            let ended = length < self.input.buffer().len();
            self.keep(length, place)?;
            if ended {
                return Ok(Some(place));
            }
        }
        let misfit =
            Misfit::new("`,` or `]` after the record", "the end of the file", "fetch the file again");
        Err(self.error(place, misfit))
    }

    fn end_of_array(&mut self) -> Result<Option<Place>, LoadError> {
        match self.skip_space()? {
            None => Ok(None),
            Some(byte) => {
                let place = Place { line: self.line, record: self.record };
                let found = clip(&char::from(byte).to_string());
                let hint = "put all records in one array, or write one JSON object per line";
                Err(self.error(place, Misfit::new("the end of the file after `]`", found, hint)))
            }
        }
    }

    fn begin(&mut self) -> Place {
        self.record += 1;
        self.start = self.offset;
        Place { line: self.line, record: self.record }
    }

    /// Takes so many of the bytes at hand into the record.
    fn keep(&mut self, length: usize, place: Place) -> Result<(), LoadError> {
        if self.buffer.len() + length > self.cap {
            return Err(self.too_long(place));
        }
        let bytes = &self.input.buffer()[..length];
        self.buffer.extend_from_slice(bytes);
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.offset += length as u64;
        self.input.consume(length);
        Ok(())
    }

    fn too_long(&self, place: Place) -> LoadError {
        let expected = format!("a record of at most {} bytes", self.cap);
        let hint = "split the record, or check that the file is one record per line or one array";
        self.error(place, Misfit::new(expected, "a longer one", hint))
    }

    fn skip_space(&mut self) -> Result<Option<u8>, LoadError> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.bump(byte);
        }
        Ok(None)
    }

    fn peek(&mut self) -> Result<Option<u8>, LoadError> {
        match self.input.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) => {
                let place = Place { line: self.line, record: self.record + 1 };
                Err(unreadable(&self.file, Some(place), &error))
            }
        }
    }

    /// Steps over the byte just peeked.
    fn bump(&mut self, byte: u8) {
        self.input.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
    }

    fn no_records(&self, first: Option<u8>) -> LoadError {
        let found = match first {
            None => "an empty file".to_owned(),
            Some(byte) => format!("a file that begins with {}", clip(&char::from(byte).to_string())),
        };
        let expected = "JSON Lines (`{`) or a JSON array (`[`), plain, gzipped or zstd";
        let hint = "convert the file, or check that it was fetched whole";
        LoadError { file: self.file.clone(), place: None, misfit: Misfit::new(expected, found, hint) }
    }
}

/// What a file holds, unpacked as it is read, and whether it was packed.
pub(crate) fn unpacked(path: &Path) -> std::io::Result<(Box<dyn Read + Send>, bool)> {
    let mut plain = BufReader::with_capacity(1 << 16, File::open(path)?);
    let head = plain.fill_buf()?;
    if head.starts_with(&PARQUET) {
        return Ok((parquet(path)?, true));
    }
    Ok(match head.starts_with(&[0x1f, 0x8b]) {
        true => (Box::new(MultiGzDecoder::new(plain)), true),
        false if head.starts_with(&ZSTD) => (Box::new(Zstd { frame: None, file: Some(plain) }), true),
        false => (Box::new(plain), false),
    })
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(crate::parquet::Lines::open(File::open(path)?)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    let what = "a parquet file, which this build does not read";
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, what))
}

pub(crate) fn unreadable(path: &Path, place: Option<Place>, error: &std::io::Error) -> LoadError {
    use std::io::ErrorKind::{
        InvalidData, InvalidInput, OutOfMemory, StorageFull, UnexpectedEof, Unsupported,
    };
    let ours = matches!(error.kind(), OutOfMemory | StorageFull) || error.raw_os_error().is_some_and(is_ours);
    let hint = match error.kind() {
        // Only a packed file has a form and an end of its own.
        UnexpectedEof => "the packed file is cut off: fetch it again",
        InvalidData | InvalidInput => "the packed file is damaged: fetch it again",
        Unsupported if cfg!(feature = "parquet") => "write it again, packed with snappy, gzip or zstd",
        Unsupported => "build with `--features parquet`, or convert it to JSON Lines",
        StorageFull => "free some space in the temporary directory, or set TMPDIR to a larger place",
        _ if ours => "the file may be fine: see what uses up this machine or its limits, and start again",
        _ => "check the path and the permissions",
    };
    let misfit = Misfit { ours, ..Misfit::new("a readable file", error.to_string(), hint) };
    LoadError { file: path.to_owned(), place, misfit }
}

/// Linux's numbers for: input or output failed, and too many open files, in this process or on this machine.
fn is_ours(number: i32) -> bool {
    matches!(number, 5 | 23 | 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process without free descriptors called the caller's file unreadable and its permissions wrong.
    #[test]
    fn what_the_machine_lacks_is_not_the_files_fault() {
        let said = |number| unreadable(Path::new("f"), None, &std::io::Error::from_raw_os_error(number));
        for (number, ours) in
            [(2, false), (13, false), (21, false), (5, true), (12, true), (23, true), (24, true), (28, true)]
        {
            assert_eq!(said(number).misfit.ours, ours, "{}", said(number));
            assert_eq!(said(number).to_string().contains("permissions"), !ours, "{}", said(number));
        }
    }
}

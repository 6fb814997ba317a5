//! Parquet files as the JSON Lines that they could have been: one row, one line, and everything behind is the same for both.
//!
//! Texts, numbers, lists and structs become their JSON; a map becomes an object, decimals keep their digits, dates and times
//! are written as in ISO 8601, NaN and infinities (pandas writes NaN where nothing is) are `null`, and bytes that are no text
//! are base64. Memory holds a page of each column and some rows.
//!
//! The library's reader of rows asserts what a whole file fulfils, so its panics over a damaged one are errors here;
//! `footer.rs` looks beforehand for what would be worse than a panic.

mod footer;

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::basic::{Compression, LogicalType, TimeUnit};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::{ReaderIter, TreeBuilder};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Values of a column read at once: the library's 1,024 would be gigabytes of LiveCodeBench's tests.
const BATCH: usize = 16;

/// A file's rows as JSON Lines.
pub(crate) struct Lines {
    file: SerializedFileReader<File>,
    /// Of each column, whether its numbers are nanoseconds since 1970, which the library does not say of a value.
    nanoseconds: Vec<bool>,
    next_group: usize,
    rows: Option<ReaderIter>,
    line: Vec<u8>,
    /// How much of the line was handed out.
    at: usize,
}

impl Lines {
    /// Reads what stands at the file's end: its columns, and where their pages lie.
    pub(crate) fn open(file: File) -> io::Result<Lines> {
        footer::check(&file)?;
        let file = guarded(|| SerializedFileReader::new(file))?;
        let columns = file.metadata().file_metadata().schema().get_fields();
        if columns.is_empty() {
            return Err(damaged("a parquet file without columns"));
        }
        let nanoseconds = columns.iter().map(|column| is_nanoseconds(column)).collect();
        let chunks = file.metadata().row_groups().iter().flat_map(|group| group.columns());
        for compression in chunks.map(|chunk| chunk.compression()) {
            if matches!(compression, Compression::BROTLI(_) | Compression::LZO) {
                let what = format!("parquet pages packed with {compression}");
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
        }
        Ok(Lines { file, nanoseconds, next_group: 0, rows: None, line: Vec::new(), at: 0 })
    }

    /// Puts the next row into `line`; false at the end.
    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.at = 0;
        loop {
            if let Some(row) = self.rows.as_mut().and_then(Iterator::next) {
                object(&mut self.line, &row.map_err(unread)?, &self.nanoseconds);
                self.line.push(b'\n');
                return Ok(true);
            }
            if self.next_group == self.file.num_row_groups() {
                return Ok(false);
            }
            let group = self.file.get_row_group(self.next_group).map_err(unread)?;
            let schema = self.file.metadata().file_metadata().schema_descr_ptr();
            let tree = TreeBuilder::new().with_batch_size(BATCH);
            self.rows = Some(tree.as_iter(schema, &*group).map_err(unread)?);
            self.next_group += 1;
        }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.line.len() {
            let more = catch_unwind(AssertUnwindSafe(|| self.next_line()));
            if !more.unwrap_or_else(|_| Err(broken()))? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.line.len() - self.at);
        buffer[..count].copy_from_slice(&self.line[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(read)).map_or_else(|_| Err(broken()), |read| read.map_err(unread))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn broken() -> io::Error {
    damaged("a parquet file whose parts contradict each other")
}

fn unread(error: ParquetError) -> io::Error {
    damaged(&error.to_string().escape_debug().to_string())
}

fn is_nanoseconds(column: &Type) -> bool {
    match column.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => time.unit == TimeUnit::NANOS,
        _ => false,
    }
}

fn object(line: &mut Vec<u8>, row: &Row, nanoseconds: &[bool]) {
    let columns = row.get_column_iter().enumerate();
    members(line, columns, |line, (column, (name, field))| {
        text(line, name);
        line.push(b':');
        match field {
            Field::Long(time) if nanoseconds.get(column) == Some(&true) => {
                instant(line, *time, 1_000_000_000)
            }
            field => value(line, field),
        }
    });
}

/// What stands between brackets, with commas.
fn members<T>(line: &mut Vec<u8>, members: impl Iterator<Item = T>, mut put: impl FnMut(&mut Vec<u8>, T)) {
    line.push(b'{');
    for (index, member) in members.enumerate() {
        if index > 0 {
            line.push(b',');
        }
        put(line, member);
    }
    line.push(b'}');
}

fn value(line: &mut Vec<u8>, field: &Field) {
    match field {
        Field::Null => line.extend_from_slice(b"null"),
        Field::Str(string) => text(line, string),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(string) => text(line, string),
            Err(_) => text(line, &STANDARD.encode(bytes.data())),
        },
        // The shortest digits that mean the number in its own width.
        Field::Float16(number) => json(line, &number.to_f32()),
        Field::Float(number) => json(line, number),
        Field::Double(number) => json(line, number),
        Field::Date(days) => day(line, i64::from(*days)),
        Field::TimestampMillis(time) => instant(line, *time, 1_000),
        Field::TimestampMicros(time) => instant(line, *time, 1_000_000),
        Field::TimeMillis(_) | Field::TimeMicros(_) => text(line, &field.to_string()),
        Field::Group(row) => object(line, row, &[]),
        Field::ListInternal(list) => {
            line.push(b'[');
            for (index, element) in list.elements().iter().enumerate() {
                if index > 0 {
                    line.push(b',');
                }
                value(line, element);
            }
            line.push(b']');
        }
        Field::MapInternal(map) => members(line, map.entries().iter(), |line, (key, of_key)| {
            match key {
                Field::Str(_) | Field::Bytes(_) => value(line, key),
                key => text(line, &key.to_string()),
            }
            line.push(b':');
            value(line, of_key);
        }),
        Field::Bool(_)
        | Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Decimal(_) => line.extend_from_slice(field.to_string().as_bytes()),
    }
}

fn text(line: &mut Vec<u8>, text: &str) {
    json(line, text);
}

fn json<T: Serialize + ?Sized>(line: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(line, value).expect("memory does not fail");
}

/// A time since 1970 in parts of a second, written as Python's `isoformat` does.
fn instant(line: &mut Vec<u8>, time: i64, parts: i64) {
    let (seconds, part) = (time.div_euclid(parts), time.rem_euclid(parts));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut written = format!("\"{}T{hour:02}:{minute:02}:{second:02}", civil(days));
    if part != 0 {
        let width = parts.ilog10() as usize;
        written.push_str(&format!(".{part:0width$}"));
    }
    written.push('"');
    line.extend_from_slice(written.as_bytes());
}

fn day(line: &mut Vec<u8>, days: i64) {
    line.extend_from_slice(format!("\"{}\"", civil(days)).as_bytes());
}

/// Days since 1970 as a date: whole 400-year eras first, years from March on, so that a leap day is a year's last.
fn civil(days: i64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_iso_8601() {
        let rows = [
            (0, 1_000, "\"1970-01-01T00:00:00\""),
            (1_693_008_000_000, 1_000, "\"2023-08-26T00:00:00\""),
            (951_825_599_000_250, 1_000_000, "\"2000-02-29T11:59:59.000250\""),
            (-1, 1_000_000_000, "\"1969-12-31T23:59:59.999999999\""),
            (-2_203_891_200_000, 1_000, "\"1900-03-01T00:00:00\""),
        ];
        for (time, parts, expected) in rows {
            let mut line = Vec::new();
            instant(&mut line, time, parts);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
        // No number is too large to be written.
        for (time, parts) in [(i64::MAX, 1_000), (i64::MIN, 1_000)] {
            instant(&mut Vec::new(), time, parts);
        }
    }
}

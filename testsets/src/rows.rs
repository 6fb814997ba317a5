//! The rows of a file as they are, for those who have a use of their own for them.

use crate::error::{LoadError, Misfit, Place};
use crate::load::MAX_RECORD;
use crate::records::Records;
use std::path::Path;

/// The rows of one file, in its order, each one JSON value as text; memory holds one of them.
#[derive(Debug)]
pub struct Rows(Records);

/// Opens a file of rows as [`load`](crate::load()) opens one of problems: JSON Lines or one JSON array, plain, gzipped or
/// zstd, or with the feature `parquet` a parquet file.
///
/// # Errors
/// When the file cannot be opened or holds no record.
pub fn load_rows(path: &Path) -> Result<Rows, LoadError> {
    Records::open(path, MAX_RECORD).map(Rows)
}

impl Iterator for Rows {
    type Item = Result<(Place, String), LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (place, text) = match self.0.next() {
            Ok(Some((place, bytes))) => (place, std::str::from_utf8(bytes).map(str::to_owned)),
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        };
        let misfit = |error: std::str::Utf8Error| {
            Misfit::new("text in UTF-8", error.to_string(), "convert the file to UTF-8")
        };
        Some(text.map(|text| (place, text)).map_err(|error| self.0.error(place, misfit(error))))
    }
}

//! Unpacks base64 -> zlib -> bytes with a cap, as private tests are shipped.

use crate::error::{Misfit, clip};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use std::io::Read;

/// The bytes behind a packed string; more than `cap` of them is an error, found before they are held.
pub(crate) fn unpack(packed: &str, name: &str, cap: usize) -> Result<Vec<u8>, Misfit> {
    let hint = "fetch the file again; only records as LiveCodeBench ships them are unpacked";
    let compact: String = packed.split_ascii_whitespace().collect();
    let squeezed = STANDARD.decode(&compact).map_err(|error| {
        Misfit::new(format!("`{name}` to be JSON or base64"), format!("{} ({error})", clip(packed)), hint)
    })?;
    let mut bytes = Vec::new();
    ZlibDecoder::new(squeezed.as_slice()).take(cap as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        Misfit::new(
            format!("zlib data in `{name}`"),
            format!("{} bytes that are not ({error})", squeezed.len()),
            hint,
        )
    })?;
    if bytes.len() > cap {
        return Err(Misfit::new(
            format!("at most {cap} bytes in `{name}` once decompressed"),
            format!("more, out of {} compressed", squeezed.len()),
            "drop the record: no real test set is so large",
        ));
    }
    Ok(bytes)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    fn pack(bytes: &[u8]) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        STANDARD.encode(encoder.finish().unwrap())
    }

    #[test]
    fn a_bomb_is_an_error_and_the_cap_itself_is_not() {
        let packed = pack(&vec![0; 4 << 20]);
        assert!(packed.len() < 10_000, "{}", packed.len());
        assert_eq!(unpack(&packed, "tests", 4 << 20).unwrap().len(), 4 << 20);
        let error = unpack(&packed, "tests", (4 << 20) - 1).unwrap_err().to_string();
        assert!(error.contains("at most 4194303 bytes in `tests`"), "{error}");
    }

    #[test]
    fn what_is_not_packed_is_named() {
        let whole = pack(b"some text that is long enough to be cut");
        for (text, part) in [
            ("***", "to be JSON or base64"),
            ("aGVsbG8=", "zlib data"),
            ("", "zlib data"),
            (&whole[..whole.len() - 8], "zlib data"),
        ] {
            let error = unpack(text, "tests", 100).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

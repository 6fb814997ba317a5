//! Unpacks base64 -> zlib -> bytes with a cap, as private tests are shipped.

use crate::error::{Misfit, clip};
use base64::DecodeError;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use flate2::read::ZlibDecoder;
use std::io::{self, Read};

/// The bytes behind a packed string; more than `cap` of them is an error, found before they are held. Nothing between the
/// string and these bytes is held whole: a record's tests can be hundreds of megabytes on each of these ways.
pub(crate) fn unpack(packed: &str, name: &str, cap: usize) -> Result<Vec<u8>, Misfit> {
    let hint = "fetch the file again; only records as LiveCodeBench ships them are unpacked";
    let failed = |error: io::Error| match error.get_ref().is_some_and(|inner| inner.is::<DecodeError>()) {
        true => {
            let found = format!("{} ({error})", clip(packed));
            Misfit::new(format!("`{name}` to be JSON or base64"), found, hint)
        }
        false => {
            let found = format!("{} characters of base64 that are not ({error})", packed.len());
            Misfit::new(format!("zlib data in `{name}`"), found, hint)
        }
    };
    let mut bytes = Vec::new();
    let mut unpacked = ZlibDecoder::new(DecoderReader::new(Compact(packed.as_bytes()), &STANDARD));
    let read = (&mut unpacked).take(cap as u64 + 1).read_to_end(&mut bytes);
    if read.map_err(failed)? > cap {
        return Err(Misfit::new(
            format!("at most {cap} bytes in `{name}` once decompressed"),
            format!("more, out of {} characters of base64", packed.len()),
            "drop the record: no real test set is so large",
        ));
    }
    // What stands behind the zlib stream says nothing, but is base64 too.
    io::copy(&mut unpacked.into_inner(), &mut io::sink()).map_err(failed)?;
    Ok(bytes)
}

/// Text without its white space.
struct Compact<'a>(&'a [u8]);

impl Read for Compact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let Some((byte, rest)) = self.0.split_first() else { break };
            self.0 = rest;
            if !byte.is_ascii_whitespace() {
                buffer[count] = *byte;
                count += 1;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
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

    /// Some files break base64 into lines.
    #[test]
    fn white_space_says_nothing() {
        let packed = pack(&[7; 100_000]);
        let broken: String = packed.chars().map(|c| format!("\r\n {c}")).collect();
        assert_eq!(unpack(&broken, "tests", 100_000).unwrap(), [7; 100_000]);
    }

    #[test]
    fn what_is_not_packed_is_named() {
        let whole = pack(b"some text that is long enough to be cut");
        for (text, part) in [
            ("***", "to be JSON or base64"),
            ("aGVsbG8=", "zlib data"),
            ("", "zlib data"),
            (&whole[..whole.len() - 8], "zlib data"),
            (&format!("{whole}*"), "to be JSON or base64"),
            (&whole.replace('e', "*"), "to be JSON or base64"),
        ] {
            let error = unpack(text, "tests", 100).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

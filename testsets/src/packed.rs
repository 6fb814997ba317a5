//! Unpacks base64 -> zlib -> bytes with a cap, as private tests are shipped.

use crate::error::{Misfit, clip};
use base64::DecodeError;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use flate2::read::ZlibDecoder;
use std::io::{self, BufReader, Read};

/// The bytes behind the packed string of a field, as they are read: a record's tests can be hundreds of megabytes, and are never
/// held whole on any of these ways. An error of reading holds the [`Misfit`] to tell, for [`misfit`]: more than `cap` bytes
/// are one too.
pub(crate) fn unpack<'a>(packed: &'a str, name: &'a str, cap: usize) -> BufReader<Unpacked<'a>> {
    let zlib = ZlibDecoder::new(DecoderReader::new(Compact(packed.as_bytes()), &STANDARD));
    BufReader::with_capacity(1 << 16, Unpacked { packed, name, cap, count: 0, zlib })
}

/// What [`unpack`] had to say.
pub(crate) fn misfit(error: io::Error) -> Misfit {
    let other = |error: io::Error| Misfit::new("readable bytes", error.to_string(), HINT);
    error.downcast::<Misfit>().unwrap_or_else(other)
}

const HINT: &str = "fetch the file again; only records as LiveCodeBench ships them are unpacked";

/// See [`unpack`].
pub(crate) struct Unpacked<'a> {
    packed: &'a str,
    name: &'a str,
    cap: usize,
    count: usize,
    zlib: ZlibDecoder<DecoderReader<'static, base64::engine::GeneralPurpose, Compact<'a>>>,
}

impl Unpacked<'_> {
    fn failed(&self, error: &io::Error) -> io::Error {
        let name = self.name;
        io::Error::other(match error.get_ref().is_some_and(|inner| inner.is::<DecodeError>()) {
            true => {
                let found = format!("{} ({error})", clip(self.packed));
                Misfit::new(format!("`{name}` to be JSON or base64"), found, HINT)
            }
            false => {
                let found = format!("{} characters of base64 that are not ({error})", self.packed.len());
                Misfit::new(format!("zlib data in `{name}`"), found, HINT)
            }
        })
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.zlib.read(buffer).map_err(|error| self.failed(&error))?;
        if count == 0 && !buffer.is_empty() {
            // What stands behind the zlib stream says nothing, but is base64 too.
            io::copy(self.zlib.get_mut(), &mut io::sink()).map_err(|error| self.failed(&error))?;
        }
        self.count += count;
        if self.count > self.cap {
            return Err(io::Error::other(Misfit::new(
                format!("at most {} bytes in `{}` once decompressed", self.cap, self.name),
                format!("more, out of {} characters of base64", self.packed.len()),
                "drop the record: no real test set is so large",
            )));
        }
        Ok(count)
    }
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

    fn unpacked(packed: &str, cap: usize) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = unpack(packed, "tests", cap).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| misfit(error).to_string())
    }

    #[test]
    fn a_bomb_is_an_error_and_the_cap_itself_is_not() {
        let packed = pack(&vec![0; 4 << 20]);
        assert!(packed.len() < 10_000, "{}", packed.len());
        assert_eq!(unpacked(&packed, 4 << 20).unwrap().len(), 4 << 20);
        let error = unpacked(&packed, (4 << 20) - 1).unwrap_err();
        assert!(error.contains("at most 4194303 bytes in `tests`"), "{error}");
    }

    /// Some files break base64 into lines.
    #[test]
    fn white_space_says_nothing() {
        let packed = pack(&[7; 100_000]);
        let broken: String = packed.chars().map(|c| format!("\r\n {c}")).collect();
        assert_eq!(unpacked(&broken, 100_000).unwrap(), [7; 100_000]);
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
            let error = unpacked(text, 100).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

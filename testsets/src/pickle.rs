//! Reads the two pickles that test files really contain, and nothing else.
//!
//! LiveCodeBench stores a record's private tests as a pickled `str`; SandboxFusion's copies as a pickled
//! `dict` of one `str`. A pickle is a program for a stack machine that can import and call anything, so there
//! is no machine here: a straight reader of the few opcodes that make those two values, which refuses every
//! other opcode by its name. Text is handed on as it is read: it may be more than memory should hold.

use crate::error::Misfit;
use crate::packed::misfit;
use std::io::{self, BufRead, Read, Take};

/// Why some bytes are not such a pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PickleError {
    #[error("the pickle opcode {name} ({opcode:#04x}) at byte {at}")]
    Refused { opcode: u8, name: &'static str, at: u64 },
    #[error("a pickle that ends inside an opcode at byte {at}")]
    Truncated { at: u64 },
    #[error("a pickled string at byte {at} that is not UTF-8")]
    NotUtf8 { at: u64 },
    #[error("a pickle protocol {protocol}, newer than 5")]
    Protocol { protocol: u8 },
    #[error("a pickle that does not hold {wanted}")]
    Shape { wanted: &'static str },
    #[error("bytes after the pickle's STOP at byte {at}")]
    Trailing { at: u64 },
    #[error("{0}")]
    Other(Misfit),
}

/// A pickle as it is read.
pub(crate) struct Pickle<R> {
    input: R,
    at: u64,
}

enum Op {
    /// PROTO, FRAME and the memo opcodes: they say nothing about the value.
    Nothing,
    /// A string of so many bytes, which follow.
    Text(u64),
    EmptyDict,
    SetItem,
    Stop,
}

impl<R: BufRead> Pickle<R> {
    pub(crate) fn new(input: R) -> Pickle<R> {
        Pickle { input, at: 0 }
    }

    /// Hands the bytes of a pickled `str`, and where they begin, to `read`, which reads them all or fails; whether they are
    /// UTF-8 is for it to say.
    pub(crate) fn str<T>(
        mut self,
        read: impl FnOnce(&mut Take<&mut R>, u64) -> Result<T, PickleError>,
    ) -> Result<T, PickleError> {
        let (mut read, mut value) = (Some(read), None);
        loop {
            let at = self.at;
            match self.op()? {
                Op::Nothing => {}
                Op::Text(length) => value = Some(self.text(length, read.take().ok_or(ONE_STRING)?)?),
                Op::EmptyDict => return Err(refused(b'}', at)),
                Op::SetItem => return Err(refused(b's', at)),
                Op::Stop => break,
            }
        }
        self.end()?;
        value.ok_or(ONE_STRING)
    }

    /// Key and value of a pickled `dict` with exactly one entry, both `str`.
    pub(crate) fn entry(mut self) -> Result<(String, String), PickleError> {
        const WANTED: PickleError = PickleError::Shape { wanted: "a dict with one string for one key" };
        let (mut opened, mut closed, mut texts) = (false, false, Vec::new());
        loop {
            match self.op()? {
                Op::Nothing => {}
                Op::EmptyDict if !opened => opened = true,
                Op::Text(length) if opened && texts.len() < 2 => texts.push(self.text(length, whole)?),
                Op::SetItem if texts.len() == 2 && !closed => closed = true,
                Op::Stop if closed => break,
                _ => return Err(WANTED),
            }
        }
        self.end()?;
        <[String; 2]>::try_from(texts).map(Into::into).map_err(|_| WANTED)
    }

    fn op(&mut self) -> Result<Op, PickleError> {
        let at = self.at;
        match self.number(1)? {
            0x80 => match self.number(1)? as u8 {
                0..=5 => Ok(Op::Nothing),
                protocol => Err(PickleError::Protocol { protocol }),
            },
            0x95 => self.number(8).map(|_| Op::Nothing), // FRAME: its length only helps a reader of streams
            0x94 => Ok(Op::Nothing),                     // MEMOIZE
            0x71 => self.number(1).map(|_| Op::Nothing), // BINPUT
            0x72 => self.number(4).map(|_| Op::Nothing), // LONG_BINPUT
            0x8c => self.number(1).map(Op::Text),        // SHORT_BINUNICODE
            0x58 => self.number(4).map(Op::Text),        // BINUNICODE
            0x8d => self.number(8).map(Op::Text),        // BINUNICODE8
            0x7d => Ok(Op::EmptyDict),
            0x73 => Ok(Op::SetItem),
            0x2e => Ok(Op::Stop),
            opcode => Err(refused(opcode as u8, at)),
        }
    }

    /// What is written in so many little-endian bytes, eight at most.
    fn number(&mut self, width: usize) -> Result<u64, PickleError> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes[..width]).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => PickleError::Truncated { at: self.at },
            _ => PickleError::Other(misfit(error)),
        })?;
        self.at += width as u64;
        Ok(u64::from_le_bytes(bytes))
    }

    fn text<T>(
        &mut self,
        length: u64,
        read: impl FnOnce(&mut Take<&mut R>, u64) -> Result<T, PickleError>,
    ) -> Result<T, PickleError> {
        let mut text = (&mut self.input).take(length);
        let value = read(&mut text, self.at);
        if text.limit() > 0 && matches!(self.input.fill_buf(), Ok([])) {
            // Whatever was made of a text that is cut off.
            return Err(PickleError::Truncated { at: self.at });
        }
        self.at += length;
        value
    }

    fn end(mut self) -> Result<(), PickleError> {
        match self.input.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(PickleError::Trailing { at: self.at }),
            Err(error) => Err(PickleError::Other(misfit(error))),
        }
    }
}

const ONE_STRING: PickleError = PickleError::Shape { wanted: "exactly one string" };

/// All of a text that begins at `at`.
pub(crate) fn whole<R: BufRead>(text: &mut Take<&mut R>, at: u64) -> Result<String, PickleError> {
    let mut read = String::new();
    text.read_to_string(&mut read).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => PickleError::NotUtf8 { at },
        _ => PickleError::Other(misfit(error)),
    })?;
    Ok(read)
}

fn refused(opcode: u8, at: u64) -> PickleError {
    let name = REFUSED.iter().find(|(code, _)| *code == opcode).map_or("(unknown)", |(_, name)| name);
    PickleError::Refused { opcode, name, at }
}

/// Every opcode of protocols 0 to 5 that some or all pickles here may not contain, by its name in the
/// format's documentation.
const REFUSED: [(u8, &str); 59] = [
    (b'(', "MARK"),
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'J', "BININT"),
    (b'K', "BININT1"),
    (b'L', "LONG"),
    (b'M', "BININT2"),
    (b'N', "NONE"),
    (b'P', "PERSID"),
    (b'Q', "BINPERSID"),
    (b'R', "REDUCE"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'U', "SHORT_BINSTRING"),
    (b'V', "UNICODE"),
    (b'a', "APPEND"),
    (b'b', "BUILD"),
    (b'c', "GLOBAL"),
    (b'd', "DICT"),
    (b'}', "EMPTY_DICT"),
    (b'e', "APPENDS"),
    (b'g', "GET"),
    (b'h', "BINGET"),
    (b'i', "INST"),
    (b'j', "LONG_BINGET"),
    (b'l', "LIST"),
    (b']', "EMPTY_LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (b's', "SETITEM"),
    (b't', "TUPLE"),
    (b')', "EMPTY_TUPLE"),
    (b'u', "SETITEMS"),
    (b'G', "BINFLOAT"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x85, "TUPLE1"),
    (0x86, "TUPLE2"),
    (0x87, "TUPLE3"),
    (0x88, "NEWTRUE"),
    (0x89, "NEWFALSE"),
    (0x8a, "LONG1"),
    (0x8b, "LONG4"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x93, "STACK_GLOBAL"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_str(pickle: &[u8]) -> Result<String, PickleError> {
        Pickle::new(pickle).str(whole)
    }

    fn decode_entry(pickle: &[u8]) -> Result<(String, String), PickleError> {
        Pickle::new(pickle).entry()
    }

    /// What Python's `pickle.dumps(text, 4)` writes.
    fn dumps(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        [b"\x80\x04\x95\0\0\0\0\0\0\0\0X".as_slice(), &length, text.as_bytes(), b"\x94."].concat()
    }

    #[test]
    fn strings_of_every_protocol_that_has_them() {
        let rows: [(&[u8], &str); 6] = [
            (b"\x80\x04\x95\x06\0\0\0\0\0\0\0\x8c\x02[]\x94.", "[]"),
            (b"\x80\x02X\x02\0\0\0hiq\0.", "hi"),
            (b"\x80\x03X\0\0\0\0r\0\x01\0\0.", ""),
            (b"\x80\x05\x8d\x03\0\0\0\0\0\0\0abc\x94.", "abc"),
            (b"X\x02\0\0\0\xc3\xa9.", "\u{e9}"),
            (b"\x8c\x01..", "."),
        ];
        for (pickle, text) in rows {
            assert_eq!(decode_str(pickle).as_deref(), Ok(text), "{pickle:?}");
        }
    }

    #[test]
    fn a_dict_of_one_string() {
        assert_eq!(decode_entry(b"\x80\x04}\x94\x8c\x01k\x94\x8c\x01v\x94s."), Ok(("k".into(), "v".into())));
        for other in [
            b"\x80\x04\x8c\x01k\x94.".as_slice(),
            b"\x80\x04}\x94.",
            b"\x80\x04}\x94\x8c\x01k\x8c\x01v.",
            b"\x80\x04}\x94\x8c\x01k\x8c\x01vs\x8c\x01k\x8c\x01vs.",
            b"\x80\x04}}\x94\x8c\x01k\x8c\x01vs.",
        ] {
            assert!(matches!(decode_entry(other), Err(PickleError::Shape { .. })), "{other:?}");
        }
    }

    #[test]
    fn every_other_opcode_is_refused_by_name() {
        for (opcode, name) in REFUSED {
            let pickle = [0x80, 4, opcode, b'.'];
            assert_eq!(decode_str(&pickle), Err(PickleError::Refused { opcode, name, at: 2 }));
        }
        let accepted = *b"\x80\x95\x94qr\x8cX\x8d.";
        for opcode in (0..=u8::MAX).filter(|opcode| !accepted.contains(opcode)) {
            let pickle = [opcode];
            let answer = decode_str(&pickle);
            assert!(matches!(answer, Err(PickleError::Refused { .. })), "{opcode:#04x}: {answer:?}");
        }
    }

    #[test]
    fn damaged_pickles_are_named() {
        let rows: [(&[u8], PickleError); 6] = [
            (b"\x80\x06.", PickleError::Protocol { protocol: 6 }),
            (b"\x8c\x01\xff.", PickleError::NotUtf8 { at: 2 }),
            (b"\x8c\x02ab..", PickleError::Trailing { at: 5 }),
            (b"\x80\x04.", PickleError::Shape { wanted: "exactly one string" }),
            (b"\x8c\x01a\x8c\x01b.", PickleError::Shape { wanted: "exactly one string" }),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa", PickleError::Truncated { at: 9 }),
        ];
        for (pickle, error) in rows {
            assert_eq!(decode_str(pickle), Err(error), "{pickle:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let pickle = dumps(&text);
            prop_assert_eq!(decode_str(&pickle), Ok(text));
        }

        #[test]
        fn a_cut_pickle_is_an_error(text in "[a-z]{0,20}", cut in 0_usize..30) {
            let pickle = dumps(&text);
            prop_assume!(cut < pickle.len());
            prop_assert!(decode_str(&pickle[..cut]).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_str(&bytes);
            let _ = decode_entry(&bytes);
        }
    }
}

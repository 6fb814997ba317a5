//! Reads the two pickles that test files really contain, and nothing else.
//!
//! LiveCodeBench stores a record's private tests as a pickled `str`; SandboxFusion's copies as a pickled
//! `dict` of one `str`. A pickle is a program for a stack machine that can import and call anything, so there
//! is no machine here: a straight reader of the few opcodes that make those two values, which borrows the
//! text from the input and refuses every other opcode by its name.

/// Why some bytes are not such a pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PickleError {
    #[error("the pickle opcode {name} ({opcode:#04x}) at byte {at}")]
    Refused { opcode: u8, name: &'static str, at: usize },
    #[error("a pickle that ends inside an opcode at byte {at}")]
    Truncated { at: usize },
    #[error("a pickled string at byte {at} that is not UTF-8")]
    NotUtf8 { at: usize },
    #[error("a pickle protocol {protocol}, newer than 5")]
    Protocol { protocol: u8 },
    #[error("a pickle that does not hold {wanted}")]
    Shape { wanted: &'static str },
    #[error("bytes after the pickle's STOP at byte {at}")]
    Trailing { at: usize },
}

/// The text of a pickled `str`.
pub(crate) fn decode_str(bytes: &[u8]) -> Result<&str, PickleError> {
    let mut reader = Reader { bytes, at: 0 };
    let mut text = None;
    loop {
        let at = reader.at;
        match reader.op()? {
            Op::Nothing => {}
            Op::Text(one) if text.is_none() => text = Some(one),
            Op::Text(_) => return Err(PickleError::Shape { wanted: "exactly one string" }),
            Op::EmptyDict => return Err(refused(b'}', at)),
            Op::SetItem => return Err(refused(b's', at)),
            Op::Stop => break,
        }
    }
    reader.end()?;
    text.ok_or(PickleError::Shape { wanted: "exactly one string" })
}

/// Key and value of a pickled `dict` with exactly one entry, both `str`.
pub(crate) fn decode_entry(bytes: &[u8]) -> Result<(&str, &str), PickleError> {
    const WANTED: PickleError = PickleError::Shape { wanted: "a dict with one string for one key" };
    let mut reader = Reader { bytes, at: 0 };
    let (mut opened, mut closed, mut texts) = (false, false, Vec::new());
    loop {
        match reader.op()? {
            Op::Nothing => {}
            Op::EmptyDict if !opened => opened = true,
            Op::Text(text) if opened && texts.len() < 2 => texts.push(text),
            Op::SetItem if texts.len() == 2 && !closed => closed = true,
            Op::Stop if closed => break,
            _ => return Err(WANTED),
        }
    }
    reader.end()?;
    match texts[..] {
        [key, value] => Ok((key, value)),
        _ => Err(WANTED),
    }
}

enum Op<'a> {
    /// PROTO, FRAME and the memo opcodes: they say nothing about the value.
    Nothing,
    Text(&'a str),
    EmptyDict,
    SetItem,
    Stop,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn op(&mut self) -> Result<Op<'a>, PickleError> {
        let at = self.at;
        let opcode = self.take(1)?[0];
        match opcode {
            0x80 => match self.take(1)?[0] {
                0..=5 => Ok(Op::Nothing),
                protocol => Err(PickleError::Protocol { protocol }),
            },
            0x95 => self.take(8).map(|_| Op::Nothing), // FRAME: its length only helps a reader of streams
            0x94 => Ok(Op::Nothing),                   // MEMOIZE
            b'q' => self.take(1).map(|_| Op::Nothing), // BINPUT
            b'r' => self.take(4).map(|_| Op::Nothing), // LONG_BINPUT
            0x8c => self.text(1),                      // SHORT_BINUNICODE
            b'X' => self.text(4),                      // BINUNICODE
            0x8d => self.text(8),                      // BINUNICODE8
            b'}' => Ok(Op::EmptyDict),
            b's' => Ok(Op::SetItem),
            b'.' => Ok(Op::Stop),
            _ => Err(refused(opcode, at)),
        }
    }

    /// A string whose length is written in `width` little-endian bytes.
    fn text(&mut self, width: usize) -> Result<Op<'a>, PickleError> {
        let mut length = [0; 8];
        length[..width].copy_from_slice(self.take(width)?);
        let at = self.at;
        let length =
            usize::try_from(u64::from_le_bytes(length)).map_err(|_| PickleError::Truncated { at })?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| PickleError::NotUtf8 { at })?;
        Ok(Op::Text(text))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(PickleError::Truncated { at: self.at })?;
        self.at += count;
        Ok(taken)
    }

    fn end(&self) -> Result<(), PickleError> {
        match self.at == self.bytes.len() {
            true => Ok(()),
            false => Err(PickleError::Trailing { at: self.at }),
        }
    }
}

fn refused(opcode: u8, at: usize) -> PickleError {
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
            assert_eq!(decode_str(pickle), Ok(text), "{pickle:?}");
        }
    }

    #[test]
    fn a_dict_of_one_string() {
        assert_eq!(decode_entry(b"\x80\x04}\x94\x8c\x01k\x94\x8c\x01v\x94s."), Ok(("k", "v")));
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
            prop_assert_eq!(decode_str(&pickle), Ok(text.as_str()));
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

//! Cuts a JSON list into its elements as it is read. Only strings and brackets are known here: whether a piece is JSON is
//! decided by who parses it.

use std::io::{self, BufRead};

/// How far into an element its bytes have come.
#[derive(Debug, Default)]
pub(crate) struct Element {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Element {
    /// How many of the next bytes belong to it: fewer than all where the `,` or `]` behind it comes.
    pub(crate) fn length(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                at += self.string(&bytes[at..]);
                continue;
            }
            match bytes[at] {
                b',' | b']' if self.depth == 0 => break,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'"' => self.in_string = true,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// How many bytes go on or end the string; one at least.
    fn string(&mut self, bytes: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        match bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            None => bytes.len(),
            Some(at) => {
                (self.in_string, self.escaped) = (bytes[at] == b'\\', bytes[at] == b'\\');
                at + 1
            }
        }
    }
}

/// Why a list was not read to its end.
#[derive(Debug)]
pub(crate) enum Broken<E> {
    /// What should have come next, and what came.
    Form(&'static str, Option<u8>),
    /// By who took an element.
    Element(E),
    /// While it was read.
    Read(io::Error),
}

/// Hands each element on, without the space around it, until one is refused; one is held at a time.
pub(crate) fn each<E>(
    list: &mut impl BufRead,
    mut element: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), Broken<E>> {
    expect(list, "`[`", b"[")?;
    if next(list)? == Some(b']') {
        list.consume(1);
        return end(list);
    }
    let mut held = Vec::new();
    loop {
        take(list, &mut held)?;
        element(held.trim_ascii()).map_err(Broken::Element)?;
        if expect(list, "`,` or `]`", b",]")? == b']' {
            return end(list);
        }
    }
}

fn take<E>(list: &mut impl BufRead, held: &mut Vec<u8>) -> Result<(), Broken<E>> {
    held.clear();
    let mut element = Element::default();
    loop {
        let bytes = list.fill_buf().map_err(Broken::Read)?;
        let length = element.length(bytes);
        let ended = length < bytes.len() || bytes.is_empty();
        held.extend_from_slice(&bytes[..length]);
        list.consume(length);
        if ended {
            return Ok(());
        }
    }
}

fn expect<E>(list: &mut impl BufRead, what: &'static str, any: &[u8]) -> Result<u8, Broken<E>> {
    match next(list)? {
        Some(byte) if any.contains(&byte) => {
            list.consume(1);
            Ok(byte)
        }
        other => Err(Broken::Form(what, other)),
    }
}

fn end<E>(list: &mut impl BufRead) -> Result<(), Broken<E>> {
    match next(list)? {
        None => Ok(()),
        other => Err(Broken::Form("the end behind `]`", other)),
    }
}

/// The next byte that is no space, not stepped over.
fn next<E>(list: &mut impl BufRead) -> Result<Option<u8>, Broken<E>> {
    loop {
        let bytes = list.fill_buf().map_err(Broken::Read)?;
        let spaces = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match bytes.get(spaces).copied() {
            None if !bytes.is_empty() => list.consume(spaces),
            byte => {
                list.consume(spaces);
                return Ok(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::io::BufReader;

    fn cut(text: &str, capacity: usize) -> Result<Vec<String>, Broken<()>> {
        let mut elements = Vec::new();
        let keep = |bytes: &[u8]| {
            elements.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(())
        };
        each(&mut BufReader::with_capacity(capacity, text.as_bytes()), keep).map(|()| elements)
    }

    #[test]
    fn what_is_no_list_is_named() {
        for (text, wanted, found) in [
            ("", "`[`", None),
            (" {}", "`[`", Some(b'{')),
            ("[1", "`,` or `]`", None),
            ("[\"a\\\"]", "`,` or `]`", None),
            ("[[1]", "`,` or `]`", None),
            ("[] ]", "the end behind `]`", Some(b']')),
            ("[1]\n2", "the end behind `]`", Some(b'2')),
        ] {
            let broken = cut(text, 3).unwrap_err();
            assert!(matches!(broken, Broken::Form(w, f) if w == wanted && f == found), "{text}: {broken:?}");
        }
        assert!(matches!(each::<()>(&mut "[1, 2]".as_bytes(), |_| Err(())), Err(Broken::Element(()))));
        assert_eq!(cut("[1,]", 9).unwrap(), ["1", ""], "which no parser takes");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "[\\]\\[{},\"\\\\ a\u{e9}]{0,9}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[\"\\]a]{0,3}", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        /// Wherever what is read at once ends.
        #[test]
        fn elements_are_those_of_the_list(list in prop::collection::vec(json(), 0..5), capacity in 1_usize..9) {
            for text in [serde_json::to_string(&list).unwrap(), serde_json::to_string_pretty(&list).unwrap()] {
                let cut = cut(&text, capacity).unwrap();
                let read: Vec<Value> = cut.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
                prop_assert_eq!(&read, &list);
            }
        }
    }
}

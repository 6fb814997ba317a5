//! Tokens to text as they come, and where it stops.
//!
//! A token may end in the middle of a character, and a stop string may begin in one token and end in another. So text is
//! given out only as far as its characters are whole and no stop string may have begun in it; what is given out in all is
//! what the whole sequence decodes to, cut before the first stop string.

use std::sync::Arc;

use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Tokens without a whole character among them, after which they are given out as they are: a model that writes bytes
/// which are no text must not make each step cost more than the one before.
const LONGEST_WAIT: usize = 256;

/// The text of one completion.
#[derive(Debug)]
pub(crate) struct Text<'t> {
    tokenizer: &'t Tokenizer,
    stop: Arc<[String]>,
    /// The last tokens: what `..done` decode to was taken, and they stay, because a token's text may depend on the one
    /// before it.
    ids: Vec<u32>,
    done: usize,
    /// Taken, but perhaps the beginning of a stop string.
    held: String,
    stopped: bool,
}

impl<'t> Text<'t> {
    pub(crate) fn new(tokenizer: &'t Tokenizer, stop: Arc<[String]>) -> Text<'t> {
        Text { tokenizer, stop, ids: Vec::new(), done: 0, held: String::new(), stopped: false }
    }

    /// Whether a stop string was found.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes the next token; returns what can be given out.
    pub(crate) fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let (before, whole) = self.decoded()?;
        let partial =
            whole.ends_with(char::REPLACEMENT_CHARACTER) && self.ids.len() - self.done < LONGEST_WAIT;
        if whole.len() <= before || partial {
            return Ok(String::new());
        }
        self.take(&whole[before..]);
        self.ids.drain(..self.done);
        self.done = self.ids.len();
        Ok(self.give(false))
    }

    /// The completion has ended: what is left of its text, incomplete characters as U+FFFD.
    pub(crate) fn finish(&mut self) -> Result<String> {
        let (before, whole) = self.decoded()?;
        if let Some(rest) = whole.get(before..) {
            self.take(rest);
        }
        self.done = self.ids.len();
        Ok(self.give(true))
    }

    /// The length of the text that was taken, and all of the text, of the tokens that are kept.
    fn decoded(&self) -> Result<(usize, String)> {
        let before = self.tokenizer.decode(&self.ids[..self.done], true)?.len();
        let whole = self.tokenizer.decode(&self.ids, true)?;
        // Never so of byte-level tokens; of others the text before may change.
        let before = if whole.is_char_boundary(before.min(whole.len())) { before } else { whole.len() };
        Ok((before, whole))
    }

    fn take(&mut self, text: &str) {
        if self.stopped {
            return;
        }
        self.held += text;
        let found = self.stop.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            self.held.truncate(at);
            self.stopped = true;
        }
    }

    fn give(&mut self, all: bool) -> String {
        let keep = if all || self.stopped { 0 } else { self.begun() };
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// Bytes at the end of what is held with which a stop string begins.
    fn begun(&self) -> usize {
        let of = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.into_iter().find(|&at| self.held.ends_with(&stop[..at])).unwrap_or(0)
        };
        self.stop.iter().map(of).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let texts: Vec<String> = (0..50)
            .map(|i| format!("Answer {i}: \u{e9}t\u{e9} \u{4e2d}\u{6587} \\boxed{{{i}}}\n\n"))
            .collect();
        Tokenizer::train(&texts, 320, &["<|end|>"]).unwrap()
    }

    /// Everything given out, piece by piece, and whether it stopped, and after how many tokens.
    fn through(tokenizer: &Tokenizer, stop: &[&str], ids: &[u32]) -> (String, bool, usize) {
        let stop: Vec<String> = stop.iter().map(|&text| text.to_owned()).collect();
        let mut text = Text::new(tokenizer, stop.into());
        let mut given = String::new();
        for (at, &id) in ids.iter().enumerate() {
            given += &text.push(id).unwrap();
            if text.stopped() {
                return (given + &text.finish().unwrap(), true, at + 1);
            }
        }
        given += &text.finish().unwrap();
        (given, text.stopped(), ids.len())
    }

    #[test]
    fn text_is_cut_before_the_first_stop_string_wherever_tokens_end() {
        let tokenizer = tokenizer();
        let bytes = |text: &str| -> Vec<u32> {
            // A token per byte: what a model may write instead of the merges.
            let one = |byte: u8| {
                (0..320).find(|&id| {
                    let token = tokenizer.token_id(byte_level(byte).to_string().as_str());
                    token == Some(id)
                })
            };
            text.bytes().map(|byte| one(byte).unwrap()).collect()
        };
        let rows: [(&str, &[&str], &str); 9] = [
            ("Answer 7", &[], "Answer 7"),
            ("one\n\ntwo", &["\n\n"], "one"),
            ("one\ntwo\n", &["\n\n"], "one\ntwo\n"),
            ("xaabaaac", &["aaac"], "xaab"),
            ("\u{e9}t\u{e9} \u{4e2d}\u{6587}!", &["\u{6587}"], "\u{e9}t\u{e9} \u{4e2d}"),
            ("ab", &["b", "ab"], ""),
            ("abc", &["c", "bc"], "a"),
            ("Answer", &["Answer"], ""),
            ("so \\boxed{4}", &["}", "xed{4}"], "so \\bo"),
        ];
        for (text, stop, expected) in rows {
            for ids in [tokenizer.encode(text).unwrap(), bytes(text)] {
                let (given, stopped, _) = through(&tokenizer, stop, &ids);
                assert_eq!(
                    (given.as_str(), stopped),
                    (expected, expected != text),
                    "{text:?} {stop:?} {ids:?}"
                );
            }
        }
        // It is found with the token that ends it, not with the end of the text.
        let ids = bytes("stop here and no further");
        assert_eq!(through(&tokenizer, &["here"], &ids), ("stop ".to_owned(), true, 9));
        // Half a character at the end is one that cannot be read.
        let half = &bytes("ok \u{4e2d}")[..5];
        assert_eq!(through(&tokenizer, &[], half).0, tokenizer.decode(half, true).unwrap());
    }

    /// The character that stands for a byte in a byte-level vocabulary.
    fn byte_level(byte: u8) -> char {
        let printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        match printable(byte) {
            true => char::from(byte),
            false => {
                let before = (0..byte).filter(|&byte| !printable(byte)).count();
                char::from_u32(0x100 + before as u32).unwrap()
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_tokens_the_text_is_the_whole_sequences(ids in prop::collection::vec(0u32..320, 0..60)) {
            let tokenizer = tokenizer();
            let ids: Vec<u32> = ids.into_iter().filter(|&id| (id as usize) < tokenizer.vocab_size()).collect();
            let whole = tokenizer.decode(&ids, true).unwrap();
            prop_assert_eq!(through(&tokenizer, &[], &ids).0, whole.clone());
            for stop in ["e", "er 1", "\u{4e2d}", "\u{fffd}"] {
                let (given, stopped, used) = through(&tokenizer, &[stop], &ids);
                if stop != "\u{fffd}" {
                    let cut = whole.find(stop).map_or(whole.as_str(), |at| &whole[..at]);
                    prop_assert_eq!(&given, cut);
                    prop_assert_eq!(stopped, whole.contains(stop));
                    prop_assert!(!stopped || tokenizer.decode(&ids[..used], true).unwrap().contains(stop));
                }
            }
        }
    }
}

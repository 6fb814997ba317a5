//! Byte-level BPE by `tokenizer.json`, through the `tokenizers` crate.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use crate::checkpoint::replace;
use crate::error::{EngineError, Result};
use crate::gguf::{self, Gguf};

/// Where text is cut before it is merged: words, each digit by itself (so numbers have no memorised spellings),
/// signs, line ends, white space.
///
/// It is Qwen2's own, sign for sign, and [`NORMALIZER`] too: whatever `tokenizer_config.json` says, transformers
/// 5 puts these two in place of those of a `tokenizer.json` that lies beside a `qwen2` model.
pub(crate) const PIECES: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What happens to text before anything else: letters written with combining marks become one character.
pub(crate) const NORMALIZER: &str = "NFC";

/// Text to token ids and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// `tokenizer_config.json`, passed on as it was read.
    config: Value,
    /// `chat_template.jinja`, passed on too: where there is one it counts, whatever the configuration says.
    template: Option<String>,
}

const CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` if there is one, of a directory; or what a `.gguf` file
    /// holds of both.
    ///
    /// # Errors
    /// The file is missing or no tokenizer.
    pub fn load(directory: &Path) -> Result<Tokenizer> {
        if gguf::is_one(directory) {
            let file = Gguf::open(directory)?;
            let (inner, end_of_text, chat_template) = file.tokenizer()?;
            let config = json!({
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": end_of_text,
                "chat_template": chat_template,
            });
            return Ok(Tokenizer { inner, config, template: None });
        }
        let path = directory.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(EngineError::part(&path))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| EngineError::checkpoint(&path, format!("expected a tokenizer: {error}")))?;
        let path = directory.join(CONFIG);
        let config = match text_if_there(&path)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| EngineError::checkpoint(&path, format!("expected JSON: {error}")))?,
            None => json!({}),
        };
        let template = text_if_there(&directory.join(TEMPLATE))?;
        Ok(Tokenizer { inner, config, template })
    }

    /// The tokenizer of a `tokenizer.json`'s text, with its end-of-text token.
    ///
    /// # Errors
    /// The text is no tokenizer.
    pub fn from_json(text: &str, end_of_text: &str) -> Result<Tokenizer> {
        let inner = tokenizers::Tokenizer::from_bytes(text).map_err(refused)?;
        Ok(Tokenizer { inner, config: token_config(end_of_text), template: None })
    }

    /// Learns a vocabulary of at most `vocab_size` ids from `texts`: the special tokens first, in the given
    /// order from id 0, then the 256 bytes, then merges. The same texts give the same tokenizer. The first
    /// special token is the end of text.
    ///
    /// # Errors
    /// No special token, a vocabulary too small for the bytes, or the trainer refused.
    pub fn train(texts: &[String], vocab_size: usize, special: &[&str]) -> Result<Tokenizer> {
        let least = 256 + special.len();
        if special.is_empty() || vocab_size < least {
            let what = format!(
                "expected an end-of-text token and a vocabulary of at least {least}, not {vocab_size}"
            );
            return Err(EngineError::Input(what));
        }
        let mut inner = tokenizers::Tokenizer::new(BPE::default());
        let pieces = SplitPattern::Regex(PIECES.to_owned());
        let split = Split::new(pieces, SplitDelimiterBehavior::Isolated, false).map_err(refused)?;
        let bytes = ByteLevel::new(false, false, false);
        inner.with_normalizer(Some(NFC)).map_err(refused)?;
        inner.with_pre_tokenizer(Some(Sequence::new(vec![
            PreTokenizerWrapper::Split(split),
            PreTokenizerWrapper::ByteLevel(bytes),
        ])));
        inner.with_decoder(Some(bytes));
        let special_tokens = special.iter().map(|&text| AddedToken::from(text, true)).collect();
        let trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size)
            .min_frequency(2)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(special_tokens)
            .build();
        inner.train(&mut TrainerWrapper::from(trainer), texts.iter()).map_err(refused)?;
        Ok(Tokenizer { inner, config: token_config(special[0]), template: None })
    }

    /// Token ids of a text; special tokens written in it become their ids.
    ///
    /// # Errors
    /// The tokenizer refused.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.inner.encode(text, false).map_err(refused)?.get_ids().to_vec())
    }

    /// The text of token ids, with or without the special ones; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// The tokenizer refused.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.inner.decode(ids, skip_special_tokens).map_err(refused)
    }

    /// The id of one token, special or not.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Number of ids, special tokens included. A model's `vocab_size` may be larger.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The end-of-text token's id, where `tokenizer_config.json` names one.
    pub fn eos_token_id(&self) -> Option<u32> {
        let eos = self.config.get("eos_token")?;
        self.token_id(eos.as_str().or_else(|| eos.get("content")?.as_str())?)
    }

    /// Whether an id is a special token's, which is no part of a text.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }

    /// The chat template's text and the file it is of: `chat_template.jinja`, else what `tokenizer_config.json` says
    /// (of several, the one called `default`).
    pub fn chat_template(&self) -> Option<(&Path, &str)> {
        if let Some(text) = &self.template {
            return Some((Path::new(TEMPLATE), text));
        }
        let of = |value: &'_ Value| value.get("name").and_then(Value::as_str) == Some("default");
        let text = match self.config.get("chat_template")? {
            Value::Array(named) => named.iter().find(|value| of(value))?.get("template")?.as_str()?,
            value => value.as_str()?,
        };
        Some((Path::new(CONFIG), text))
    }

    /// The tokens that `tokenizer_config.json` gives a part to, as `eos_token`, by that name.
    pub fn named_tokens(&self) -> BTreeMap<String, String> {
        let text =
            |value: &Value| value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned);
        let all = self.config.as_object().into_iter().flatten();
        let named = all.filter(|(name, _)| name.ends_with("_token"));
        named.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`, each whole or not at all.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).map_err(EngineError::io(directory))?;
        let text = self.inner.to_string(true).map_err(refused)?;
        replace(&directory.join("tokenizer.json"), text.as_bytes())?;
        let config = serde_json::to_string_pretty(&self.config).unwrap_or_default() + "\n";
        replace(&directory.join(CONFIG), config.as_bytes())?;
        match &self.template {
            Some(template) => replace(&directory.join(TEMPLATE), template.as_bytes()),
            None => Ok(()),
        }
    }
}

fn text_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EngineError::io(path)(error)),
    }
}

/// A `tokenizer_config.json` of our own.
fn token_config(end_of_text: &str) -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end_of_text,
        // Left out, readers of Qwen2 tokenizers add a token of their own choice to the vocabulary.
        "unk_token": end_of_text,
        "pad_token": end_of_text,
        "clean_up_tokenization_spaces": false,
    })
}

fn refused(error: tokenizers::Error) -> EngineError {
    EngineError::Tokenizer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_any_text_and_keeps_digits_apart() {
        let texts: Vec<String> = (0..200).map(|i| format!("Compute {i} + {} = ?\n", i * 7)).collect();
        let tokenizer = Tokenizer::train(&texts, 300, &["<|end|>", "<|user|>"]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        tokenizer.save(directory.path()).unwrap();
        let loaded = Tokenizer::load(directory.path()).unwrap();
        assert_eq!(loaded.eos_token_id(), Some(0));
        assert_eq!(loaded.token_id("<|user|>"), Some(1));
        assert!(loaded.vocab_size() <= 300 && loaded.vocab_size() > 258);
        for text in [
            "Compute 123 + 7 = ?\n",
            "",
            "  two  spaces",
            "\u{1f600} \u{e9}\u{4e2d}",
            "\0\t\r\n",
            "a<|end|>b",
        ] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(ids, loaded.encode(text).unwrap());
            assert_eq!(loaded.decode(&ids, false).unwrap(), text);
        }
        assert_eq!(tokenizer.encode("123").unwrap().len(), 3);
        assert_eq!(tokenizer.encode("<|end|>").unwrap(), [0]);
        let ids = tokenizer.encode("5<|end|>").unwrap();
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), "5");
        // The merges are learned: a word of the texts is one token.
        assert_eq!(tokenizer.encode("Compute").unwrap().len(), 1);
    }

    #[test]
    fn the_same_texts_give_the_same_tokenizer() {
        let texts: Vec<String> = (0..50).map(|i| format!("def f(x): return x + {i}")).collect();
        let train = || Tokenizer::train(&texts, 290, &["<|end|>"]).unwrap().inner.to_string(false).unwrap();
        assert_eq!(train(), train());
    }

    #[test]
    fn says_what_it_needs() {
        assert!(Tokenizer::train(&[], 100, &["<|end|>"]).unwrap_err().to_string().contains("at least 257"));
        let directory = tempfile::tempdir().unwrap();
        let missing = Tokenizer::load(directory.path()).unwrap_err().to_string();
        assert!(missing.contains("tokenizer.json"), "{missing}");
        std::fs::write(directory.path().join("tokenizer.json"), "{}").unwrap();
        let wrong = Tokenizer::load(directory.path()).unwrap_err().to_string();
        assert!(wrong.contains("expected a tokenizer"), "{wrong}");
    }
}

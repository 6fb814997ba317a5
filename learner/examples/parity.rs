//! Our side of `scripts/parity.py`: reads one JSON request on standard input, writes one JSON answer.
//!
//! Request: `model` (directory), and any of `adapter` (directory of one on it), `ids` (lists of token ids: answers their
//! `logits`), `texts` (answers their `encoded` ids and the `decoded` text), `save` (directory to write the model and
//! tokenizer to), `train_tokenizer` (`{texts, vocab_size}`: use a tokenizer learned from these instead of the model's),
//! `compare` (true: `model` also holds the other side's figures; answers how far ours are from them), `template` and
//! `messages` (answers the `rendered` conversation).

#[path = "../tests/parity/compare.rs"]
mod compare;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use assay_learner::adapter;
use assay_learner::chat::{Message, Template};
use assay_learner::model::Precision;
use assay_learner::tokenizer::Tokenizer;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Request {
    model: PathBuf,
    adapter: Option<PathBuf>,
    #[serde(default)]
    ids: Vec<Vec<u32>>,
    #[serde(default)]
    texts: Vec<String>,
    save: Option<PathBuf>,
    train_tokenizer: Option<Training>,
    #[serde(default)]
    compare: bool,
    template: Option<String>,
    #[serde(default)]
    messages: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    role: String,
    content: String,
}

#[derive(Deserialize)]
struct Training {
    texts: Vec<String>,
    vocab_size: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let request: Request = serde_json::from_reader(std::io::stdin().lock())?;
    if let Some(template) = request.template {
        let template = Template::parse(Path::new("template"), template, BTreeMap::new())?;
        let messages: Vec<Message> =
            request.messages.iter().map(|said| Message::new(&said.role, &said.content)).collect();
        println!("{}", json!({"rendered": template.render(&messages, true)?}));
        return Ok(());
    }
    if request.compare {
        println!("{}", json!(compare::compare(&request.model)?));
        return Ok(());
    }
    let (model, _) = adapter::open(Some(&request.model), request.adapter.as_deref())?;
    let tokenizer = match &request.train_tokenizer {
        Some(training) => Some(Tokenizer::train(&training.texts, training.vocab_size, &["<|endoftext|>"])?),
        None if request.model.join("tokenizer.json").exists() => Some(Tokenizer::load(&request.model)?),
        None => None,
    };
    if let Some(directory) = &request.save {
        model.save(directory, Precision::F32)?;
        if let Some(tokenizer) = &tokenizer {
            tokenizer.save(directory)?;
        }
    }
    let logits = request.ids.iter().map(|ids| model.logits(ids)).collect::<Result<Vec<_>, _>>()?;
    let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
    for text in &request.texts {
        let tokenizer = tokenizer.as_ref().ok_or("the model's directory has no tokenizer.json")?;
        let ids = tokenizer.encode(text)?;
        decoded.push(tokenizer.decode(&ids, false)?);
        encoded.push(ids);
    }
    println!("{}", json!({"logits": logits, "encoded": encoded, "decoded": decoded}));
    Ok(())
}

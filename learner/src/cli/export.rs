//! `assay-train export`: a model with an adapter as one model.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum as _};
use serde_json::json;

use crate::error::EngineError;
use crate::model::Precision;
use crate::tokenizer::Tokenizer;
use crate::train::TrainError;
use crate::{adapter, checkpoint};

#[derive(Debug, Args)]
#[command(after_help = "It needs memory for the whole model in 32 bits: 4 bytes a parameter.")]
pub(super) struct Export {
    /// The adapter's base: an HF directory or a .gguf file [default: where the adapter says it is]
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// The adapter: a directory as the peft package writes it, as DIR/rl of a run with a [lora] table is one
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Where the merged model goes; a new or an empty directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How numbers are stored [default: as in the base's files; f32 where these are f16 or quantised]
    #[arg(long)]
    dtype: Option<Precision>,
    /// Print the result as one JSON value
    #[arg(long)]
    json: bool,
}

/// Merges `W + (alpha / rank) B A` into a directory that any reader of models takes.
pub(super) fn run(args: &Export) -> Result<(String, u8), TrainError> {
    let out = &args.out;
    refuse_used(out)?;
    let (mut model, base) = adapter::open(args.model.as_deref(), Some(&args.adapter))?;
    let tokenizer = Tokenizer::load(&base)?;
    let precision = args.dtype.map_or_else(|| checkpoint::precision(&base), Ok)?;
    model.merge_adapter()?;
    model.save(out, precision)?;
    tokenizer.save(out)?;
    let name = precision.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let text = format!("the merged model is in {}, its numbers as {name}\n", out.display());
    let value = json!({ "model": out, "base": base, "adapter": args.adapter, "dtype": name });
    Ok((if args.json { super::line(&value) } else { text }, 0))
}

/// Nothing is replaced: the directory may hold someone's model.
fn refuse_used(out: &Path) -> Result<(), TrainError> {
    let used = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(EngineError::io(out)(error).into()),
    };
    match used {
        true => Err(TrainError::Recipe(format!("{} holds files; choose another --out", out.display()))),
        false => Ok(()),
    }
}

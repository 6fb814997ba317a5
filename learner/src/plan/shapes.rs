//! The shapes of models by their names, for a recipe whose model is not on this machine: a plan is made before 15 GB are
//! fetched. Where the model is there, its own files say its shape.

use std::path::Path;

use crate::error::Result;
use crate::gguf::{self, Gguf};
use crate::model::Config;
use crate::recipe::ModelSource;
use crate::tasks::VOCABULARY;

/// A shape, and where it comes from, for people.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) config: Config,
    pub(super) from: String,
}

/// The Qwen2.5 family, largest first: size in its name; width, MLP, layers, query heads, key/value heads, vocabulary, tied.
/// Their Math and Coder models and what was distilled into them have the same.
const QWEN: [(&str, [usize; 6], bool); 6] = [
    ("32b", [5120, 27648, 64, 40, 8, 152_064], false),
    ("14b", [5120, 13824, 48, 40, 8, 152_064], false),
    ("7b", [3584, 18944, 28, 28, 4, 152_064], false),
    ("3b", [2048, 11008, 36, 16, 2, 151_936], true),
    ("1.5b", [1536, 8960, 28, 12, 2, 151_936], true),
    ("0.5b", [896, 4864, 24, 14, 2, 151_936], true),
];

/// The sizes of the family, largest first.
pub(super) fn family() -> impl Iterator<Item = (&'static str, Config)> {
    QWEN.iter().map(|(name, [d, inner, layers, heads, kv, vocabulary], tied)| {
        let mut config = Config::tiny(*vocabulary, *d, *layers, *heads, *kv);
        (config.intermediate_size, config.tie_word_embeddings) = (*inner, *tied);
        config.max_position_embeddings = 32_768;
        (*name, config)
    })
}

/// SmolLM2-135M, of which a recipe is here.
fn smollm2_135m() -> Config {
    let mut config = Config::tiny(49_152, 576, 30, 9, 3);
    config.intermediate_size = 1536;
    config.max_position_embeddings = 8192;
    (config.model_type, config.attention_bias) = ("llama".to_owned(), false);
    config
}

/// The shape that such a name stands for.
fn named(path: &Path) -> Option<Config> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    if name.starts_with("smollm2-135m") {
        return Some(smollm2_135m());
    }
    if !["qwen2.5", "acereason", "openmath", "r1-distill-qwen"].iter().any(|family| name.contains(family)) {
        return None;
    }
    let size = name.rsplit(['-', '_']).find_map(|part| family().find(|(size, _)| part == *size));
    size.map(|(_, config)| config)
}

impl Shape {
    /// The shape of a recipe's model.
    ///
    /// # Errors
    /// Its files are there and cannot be read, or they are not there and its name says nothing: in words.
    pub(super) fn of(source: &ModelSource) -> std::result::Result<Shape, String> {
        let mut shape = match &source.load {
            None => Shape { config: source.config(VOCABULARY), from: "the sizes in [model]".to_owned() },
            Some(path) if path.exists() => {
                let config = read(path).map_err(|error| error.to_string())?;
                Shape { config, from: path.display().to_string() }
            }
            Some(path) => match named(path) {
                Some(config) => {
                    Shape { config, from: format!("its name, as {} is not there", path.display()) }
                }
                None => {
                    return Err(format!(
                        "model.load is {}, which is not there, and no known model is named so (as Qwen2.5-7B is): put it there, \
                         or correct the path",
                        path.display()
                    ));
                }
            },
        };
        let config = &mut shape.config;
        config.max_position_embeddings =
            source.max_position_embeddings.unwrap_or(config.max_position_embeddings);
        Ok(shape)
    }
}

fn read(path: &Path) -> Result<Config> {
    if gguf::is_one(path) { Gguf::open(path)?.config() } else { Config::load(&path.join("config.json")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Billions of parameters as their makers give them.
    #[test]
    fn the_shapes_have_the_parameters_of_their_names() {
        let billions =
            [("32b", 32.76), ("14b", 14.77), ("7b", 7.616), ("3b", 3.086), ("1.5b", 1.544), ("0.5b", 0.494)];
        for ((name, config), (size, expected)) in family().zip(billions) {
            let count = config.parameter_count() as f64 / 1e9;
            assert!(name == size && (count / expected - 1.0).abs() < 2e-3, "{name}: {count}");
            config.check().unwrap();
        }
        assert_eq!(smollm2_135m().parameter_count(), 134_515_008);
        smollm2_135m().check().unwrap();
    }

    #[test]
    fn names_are_read_by_their_sizes() {
        let rows = [
            ("Qwen2.5-Math-7B", Some(3584)),
            ("models/AceReason-Nemotron-1.1-7B", Some(3584)),
            ("DeepSeek-R1-Distill-Qwen-1.5B", Some(1536)),
            ("qwen2.5-0.5b-instruct", Some(896)),
            ("smollm2-135m-instruct.gguf", Some(576)),
            ("Llama-3-8B", None),
            ("Qwen2.5-72B", None),
        ];
        for (name, width) in rows {
            assert_eq!(named(Path::new(name)).map(|config| config.hidden_size), width, "{name}");
        }
    }
}

//! `config.json`: the shape of a Qwen2 or Llama checkpoint, in the words of that file.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{EngineError, Result};

/// The shape of the model; fields are named as in `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `qwen2` or `llama`.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key/value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Number of token ids, those without a token included.
    pub vocab_size: usize,
    /// Greatest number of positions.
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have a bias: qwen2 always has, the llama checkpoints computed here never have.
    pub attention_bias: bool,
    /// Begin-of-text id, if the checkpoint names one.
    pub bos_token_id: Option<u32>,
    /// End-of-text ids.
    pub eos_token_id: Vec<u32>,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
}

impl Config {
    /// A Qwen2-type model of the given shape with tied embeddings, the way the quickstart starts.
    pub fn tiny(
        vocab_size: usize,
        hidden_size: usize,
        layers: usize,
        heads: usize,
        kv_heads: usize,
    ) -> Config {
        Config {
            model_type: "qwen2".to_owned(),
            hidden_size,
            intermediate_size: hidden_size * 3,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim: hidden_size / heads.max(1),
            vocab_size,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
            attention_bias: true,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            initializer_range: 0.02,
        }
    }

    /// Number of trained numbers.
    pub fn parameter_count(&self) -> usize {
        let (d, q, kv) = (self.hidden_size, self.query_size(), self.key_value_size());
        let bias = if self.attention_bias { q + 2 * kv } else { 0 };
        let layer = 2 * d + d * (q + 2 * kv) + bias + q * d + 3 * d * self.intermediate_size;
        let embeddings = self.vocab_size * d * if self.tie_word_embeddings { 1 } else { 2 };
        embeddings + self.num_hidden_layers * layer + d
    }

    /// Width of all query heads together.
    pub(crate) fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub(crate) fn key_value_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// The file is missing, is no JSON, lacks a field, or describes a model this engine does not compute.
    pub fn load(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(EngineError::part(path))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| EngineError::checkpoint(path, format!("expected JSON: {error}")))?;
        Config::from_json(&value).map_err(|what| EngineError::checkpoint(path, what))
    }

    fn from_json(value: &Value) -> Result<Config, String> {
        let map = value.as_object().ok_or("expected a JSON object")?;
        let model_type = map.get("model_type").and_then(Value::as_str).unwrap_or("none").to_owned();
        if !["qwen2", "llama"].contains(&model_type.as_str()) {
            return Err(format!("model_type is {model_type}; this engine computes qwen2 and llama"));
        }
        refuse_unknown_mathematics(map)?;
        let hidden_size = size(map, "hidden_size")?;
        let num_attention_heads = size(map, "num_attention_heads")?;
        let qwen2 = model_type == "qwen2";
        let config = Config {
            hidden_size,
            intermediate_size: size(map, "intermediate_size")?,
            num_hidden_layers: size(map, "num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: optional(map, "num_key_value_heads")?.unwrap_or(num_attention_heads),
            head_dim: optional(map, "head_dim")?.unwrap_or(hidden_size / num_attention_heads.max(1)),
            vocab_size: size(map, "vocab_size")?,
            max_position_embeddings: size(map, "max_position_embeddings")?,
            rms_norm_eps: number(map, "rms_norm_eps")?.unwrap_or(1e-6) as f32,
            rope_theta: rope_theta(map)? as f32,
            tie_word_embeddings: flag(map, "tie_word_embeddings").unwrap_or(false),
            attention_bias: qwen2,
            bos_token_id: token_ids(map.get("bos_token_id"))?.first().copied(),
            eos_token_id: token_ids(map.get("eos_token_id"))?,
            initializer_range: number(map, "initializer_range")?.unwrap_or(0.02) as f32,
            model_type,
        };
        config.check()?;
        Ok(config)
    }

    /// Whether the numbers fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        // The upper ends are far beyond any model; they keep products of sizes from overflowing.
        let sizes = [
            ("hidden_size", self.hidden_size, 1 << 16),
            ("intermediate_size", self.intermediate_size, 1 << 20),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("num_key_value_heads", self.num_key_value_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 16),
            ("vocab_size", self.vocab_size, 1 << 24),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 24),
        ];
        if let Some((name, value, most)) = sizes.iter().find(|(_, value, most)| !(1..=*most).contains(value))
        {
            return Err(format!("{name} is {value}; it must be from 1 to {most}"));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(format!(
                "num_attention_heads ({}) must be a multiple of num_key_value_heads ({})",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta.is_finite()) {
            return Err(format!("rope_theta is {}; it must be at least 1", self.rope_theta));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps.is_finite()) {
            return Err(format!(
                "rms_norm_eps is {}; it must be above 0, mostly 1e-6 or 1e-5",
                self.rms_norm_eps
            ));
        }
        if self.attention_bias != (self.model_type == "qwen2") {
            return Err(format!("attention_bias is {} in a {} model", self.attention_bias, self.model_type));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!("head_dim is {}; rotary positions need an even one", self.head_dim));
        }
        Ok(())
    }

    /// The `config.json` that `transformers` (5 and 4) reads.
    pub fn to_json(&self) -> Value {
        let architecture = if self.model_type == "llama" { "LlamaForCausalLM" } else { "Qwen2ForCausalLM" };
        let eos = match self.eos_token_id.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let mut value = json!({
            "architectures": [architecture],
            "model_type": self.model_type,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": shortest(self.rms_norm_eps),
            "rope_theta": shortest(self.rope_theta),
            "rope_parameters": {"rope_theta": shortest(self.rope_theta), "rope_type": "default"},
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_dropout": 0.0,
            "hidden_act": "silu",
            "use_sliding_window": false,
            "sliding_window": null,
            "use_cache": true,
            "initializer_range": shortest(self.initializer_range),
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
        });
        if self.model_type == "llama" {
            value["attention_bias"] = json!(self.attention_bias);
        }
        value
    }
}

/// What would change the numbers and is not computed here must be refused, not ignored.
fn refuse_unknown_mathematics(map: &Map<String, Value>) -> Result<(), String> {
    if let Some(activation) = map.get("hidden_act").and_then(Value::as_str)
        && activation != "silu"
    {
        return Err(format!("hidden_act is {activation}; this engine computes silu"));
    }
    if flag(map, "use_sliding_window") == Some(true) {
        return Err("use_sliding_window is true; this engine computes full attention".to_owned());
    }
    if flag(map, "mlp_bias") == Some(true) {
        return Err("mlp_bias is true; this engine computes an MLP without bias".to_owned());
    }
    if map.get("model_type").and_then(Value::as_str) == Some("llama")
        && flag(map, "attention_bias") == Some(true)
    {
        return Err(
            "attention_bias is true in a llama model, which also biases o_proj; not computed".to_owned()
        );
    }
    for key in ["rope_scaling", "rope_parameters"] {
        let kind = map.get(key).and_then(|rope| rope.get("rope_type").or_else(|| rope.get("type")));
        if let Some(kind) = kind.and_then(Value::as_str)
            && kind != "default"
        {
            return Err(format!(
                "{key} is of type {kind}; this engine computes the default rotary positions"
            ));
        }
    }
    Ok(())
}

/// The decimal a person would write for an f32: 1e-6, not 9.999999974752427e-7.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn rope_theta(map: &Map<String, Value>) -> Result<f64, String> {
    let nested = match map.get("rope_parameters").and_then(Value::as_object) {
        Some(rope) => number(rope, "rope_theta").map_err(|what| format!("rope_parameters.{what}"))?,
        None => None,
    };
    Ok(nested.or(number(map, "rope_theta")?).unwrap_or(10_000.0))
}

fn size(map: &Map<String, Value>, key: &str) -> Result<usize, String> {
    optional(map, key)?.ok_or_else(|| format!("{key} is missing; expected a positive integer"))
}

fn optional(map: &Map<String, Value>, key: &str) -> Result<Option<usize>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number as usize)),
            None => Err(format!("{key} is {value}; expected a positive integer")),
        },
    }
}

fn number(map: &Map<String, Value>, key: &str) -> Result<Option<f64>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| format!("{key} is {value}; expected a number")),
    }
}

fn flag(map: &Map<String, Value>, key: &str) -> Option<bool> {
    map.get(key).and_then(Value::as_bool)
}

fn token_ids(value: Option<&Value>) -> Result<Vec<u32>, String> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| format!("a token id is {value}; expected an integer from 0"))
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(many)) => many.iter().map(id).collect(),
        Some(one) => Ok(vec![id(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_ways_of_writing_the_rotary_base_and_refuses_what_it_does_not_compute() {
        let base = Config::tiny(100, 64, 2, 4, 2).to_json();
        let with = |key: &str, value: Value| {
            let mut changed = base.clone();
            changed[key] = value;
            Config::from_json(&changed)
        };
        assert_eq!(Config::from_json(&base).unwrap(), Config::tiny(100, 64, 2, 4, 2));
        let nested = with("rope_parameters", json!({"rope_theta": 1e6, "rope_type": "default"})).unwrap();
        assert_eq!(nested.rope_theta, 1e6);
        let mut flat = base.clone();
        flat.as_object_mut().unwrap().remove("rope_parameters");
        flat["rope_theta"] = json!(5e5);
        assert_eq!(Config::from_json(&flat).unwrap().rope_theta, 5e5);
        flat["rope_theta"] = Value::Null;
        assert_eq!(Config::from_json(&flat).unwrap().rope_theta, 10_000.0);
        assert_eq!(with("eos_token_id", json!([3, 4])).unwrap().eos_token_id, [3, 4]);

        for (key, value, says) in [
            ("model_type", json!("gpt2"), "model_type is gpt2"),
            ("hidden_act", json!("gelu"), "hidden_act is gelu"),
            ("use_sliding_window", json!(true), "use_sliding_window"),
            ("mlp_bias", json!(true), "mlp_bias"),
            ("rope_parameters", json!({"rope_type": "yarn"}), "of type yarn"),
            ("rope_parameters", json!({"rope_theta": 0.0}), "rope_theta is 0; it must be at least 1"),
            // Each of these became the default, another model than the file's, without a word.
            (
                "rope_parameters",
                json!({"rope_theta": "1000000"}),
                "rope_parameters.rope_theta is \"1000000\"; expected a number",
            ),
            ("rope_theta", json!("1000000"), "rope_theta is \"1000000\"; expected a number"),
            ("rope_theta", json!([1e6]), "rope_theta is [1000000.0]; expected a number"),
            ("rms_norm_eps", json!("1e-5"), "rms_norm_eps is \"1e-5\"; expected a number"),
            ("rms_norm_eps", json!(true), "rms_norm_eps is true; expected a number"),
            ("rms_norm_eps", json!(0.0), "rms_norm_eps is 0; it must be above 0"),
            ("rms_norm_eps", json!(-1e-6), "it must be above 0"),
            ("rms_norm_eps", json!(1e300), "rms_norm_eps is inf; it must be above 0"),
            ("initializer_range", json!("0.02"), "initializer_range is \"0.02\"; expected a number"),
            ("hidden_size", json!("wide"), "hidden_size is \"wide\""),
            ("hidden_size", Value::Null, "hidden_size is missing"),
            ("num_key_value_heads", json!(3), "multiple of num_key_value_heads"),
            ("num_key_value_heads", json!(0), "num_key_value_heads is 0"),
            ("head_dim", json!(5), "head_dim is 5"),
            (
                "num_hidden_layers",
                json!(1_000_000_000),
                "num_hidden_layers is 1000000000; it must be from 1 to",
            ),
            ("eos_token_id", json!(-1), "a token id is -1"),
        ] {
            let said = with(key, value.clone()).unwrap_err();
            assert!(said.contains(says), "{key}={value}: {said}");
        }
    }
}

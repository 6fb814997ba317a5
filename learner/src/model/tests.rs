//! The model against itself written plainly: f64, one loop per sum, no blocks, no cache, and its gradients
//! against finite differences of that.

mod lora;

use std::collections::HashMap;

use super::*;
use crate::checkpoint::Stored;

/// The three kinds of checkpoint: tied with shared key/value heads, untied without, llama with one.
fn configs() -> Vec<Config> {
    let tied = Config { intermediate_size: 24, ..Config::tiny(29, 16, 2, 4, 2) };
    let untied = Config { tie_word_embeddings: false, num_key_value_heads: 4, ..tied.clone() };
    let llama = Config {
        model_type: "llama".to_owned(),
        attention_bias: false,
        tie_word_embeddings: false,
        num_key_value_heads: 1,
        ..tied.clone()
    };
    // Large enough weights that every path of the model carries some of the loss.
    [tied, untied, llama].map(|config| Config { initializer_range: 0.3, ..config }).to_vec()
}

/// A model whose norms and biases are not at their starting values either.
fn model(config: &Config, seed: u64) -> Model {
    let model = Model::random(config, seed).unwrap();
    for (slot, (name, value)) in model.parameters().enumerate() {
        if name.ends_with("bias") || name.ends_with("norm.weight") {
            let shift =
                |(i, value): (usize, &mut f32)| *value += ((i * 31 + slot * 17) % 13) as f32 / 26.0 - 0.2;
            ops::write(value, |values| values.iter_mut().enumerate().for_each(shift)).unwrap();
        }
    }
    model
}

fn tokens(length: usize, seed: usize) -> Vec<u32> {
    (0..length).map(|i| ((i * i * 7 + i * 3 + seed * 11) % 29) as u32).collect()
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    batch.push(&tokens(3, 1), &tokens(6, 2)).unwrap();
    batch.push(&tokens(1, 3), &tokens(4, 4)).unwrap();
    batch.push_sequence(&tokens(8, 5), &[2, 3, 7]).unwrap();
    batch
}

type Values = HashMap<String, Vec<f64>>;

fn values(model: &Model) -> Values {
    let wide = |value: &Tensor| ops::read(value).unwrap().iter().map(|&v| f64::from(v)).collect();
    model.parameters().map(|(name, value)| (name.to_owned(), wide(value))).collect()
}

/// Logits of each position, plainly.
fn plain_logits(config: &Config, values: &Values, tokens: &[u32]) -> Vec<Vec<f64>> {
    let (d, width) = (config.hidden_size, config.head_dim);
    let get = |name: &str| &values[name];
    let apply = |weight: &[f64], bias: Option<&Vec<f64>>, x: &[f64]| -> Vec<f64> {
        let row = |(o, row): (usize, &[f64])| {
            row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias.map_or(0.0, |bias| bias[o])
        };
        weight.chunks(x.len()).enumerate().map(row).collect()
    };
    let norm = |weight: &[f64], x: &[f64]| -> Vec<f64> {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + f64::from(config.rms_norm_eps);
        x.iter().zip(weight).map(|(v, w)| v * w / mean.sqrt()).collect()
    };
    let rope = |x: &mut [f64], position: usize| {
        for head in x.chunks_mut(width) {
            for i in 0..width / 2 {
                let angle =
                    position as f64 * f64::from(config.rope_theta).powf(-2.0 * i as f64 / width as f64);
                let (a, b) = (head[i], head[i + width / 2]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[i + width / 2] = b * angle.cos() + a * angle.sin();
            }
        }
    };
    let embedding = get("model.embed_tokens.weight");
    let mut x: Vec<Vec<f64>> = tokens.iter().map(|&t| embedding[t as usize * d..][..d].to_vec()).collect();
    for layer in 0..config.num_hidden_layers {
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        let project = |which: &str, x: &[f64]| {
            let bias = values.get(&name(&format!("self_attn.{which}_proj.bias")));
            apply(get(&name(&format!("self_attn.{which}_proj.weight"))), bias, x)
        };
        let normed: Vec<_> = x.iter().map(|x| norm(get(&name("input_layernorm.weight")), x)).collect();
        let turned = |which: &str| -> Vec<Vec<f64>> {
            let turn = |(at, x): (usize, &Vec<f64>)| {
                let mut row = project(which, x);
                rope(&mut row, at);
                row
            };
            normed.iter().enumerate().map(turn).collect()
        };
        let (q, k) = (turned("q"), turned("k"));
        let v: Vec<_> = normed.iter().map(|x| project("v", x)).collect();
        for at in 0..tokens.len() {
            let mut attended = vec![0.0; config.query_size()];
            for head in 0..config.num_attention_heads {
                let kv = head / (config.num_attention_heads / config.num_key_value_heads);
                let part = |row: &Vec<f64>, head: usize| row[head * width..][..width].to_vec();
                let score = |other: usize| {
                    let (q, k) = (part(&q[at], head), part(&k[other], kv));
                    (q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (width as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = (0..=at).map(score).collect();
                let total: f64 = scores.iter().sum();
                for (other, score) in scores.iter().enumerate() {
                    for (i, value) in part(&v[other], kv).iter().enumerate() {
                        attended[head * width + i] += score / total * value;
                    }
                }
            }
            let out = apply(get(&name("self_attn.o_proj.weight")), None, &attended);
            x[at].iter_mut().zip(out).for_each(|(x, out)| *x += out);
        }
        for x in &mut x {
            let normed = norm(get(&name("post_attention_layernorm.weight")), x);
            let gate = apply(get(&name("mlp.gate_proj.weight")), None, &normed);
            let up = apply(get(&name("mlp.up_proj.weight")), None, &normed);
            let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            let out = apply(get(&name("mlp.down_proj.weight")), None, &inner);
            x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
        }
    }
    let head = values.get("lm_head.weight").unwrap_or(embedding);
    x.iter().map(|x| apply(head, None, &norm(get("model.norm.weight"), x))).collect()
}

/// Log-probability, entropy and variance of each response token, plainly.
fn plain_stats(config: &Config, values: &Values, batch: &Batch, temperature: f64) -> Vec<[f64; 3]> {
    let mut stats = Vec::new();
    for index in 0..batch.sequences() {
        let range = batch.sequence(index);
        let logits = plain_logits(config, values, &batch.tokens()[range.clone()]);
        for &at in &batch.targets()[batch.response(index)] {
            let z: Vec<f64> = logits[at - 1 - range.start].iter().map(|z| z / temperature).collect();
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
            let entropy = -p.iter().map(|p| p * p.ln()).sum::<f64>();
            let mean: f64 = p.iter().zip(&z).map(|(p, z)| p * z).sum();
            let variance = p.iter().zip(&z).map(|(p, z)| p * (z - mean) * (z - mean)).sum();
            stats.push([p[batch.tokens()[at] as usize].ln(), entropy, variance]);
        }
    }
    stats
}

const TEMPERATURE: f32 = 0.8;

/// dLoss/dlogprob of the tests' loss: sum of w_i logprob_i.
fn weights(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 5) % 7) as f32 / 3.0 - 1.1).collect()
}

fn backward(model: &Model, batch: &Batch) -> Gradients {
    model.loss_backward(batch, TEMPERATURE, &|stats| weights(stats.logprob.len())).unwrap().1
}

fn assert_close(ours: &Gradients, theirs: &Gradients, model: &Model, tolerance: f32, story: &str) {
    for ((name, _), (a, b)) in model.trained().zip(ours.tensors().iter().zip(theirs.tensors())) {
        let (a, b) = (ops::read(a).unwrap(), ops::read(b).unwrap());
        let scale = b.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-3);
        let worst = a.iter().zip(&*b).fold(0.0f32, |worst, (a, b)| worse(worst, (a - b).abs()));
        assert!(worst <= tolerance * scale, "{story}: {name} differs by {worst} of {scale}");
    }
}

/// The greater of two, or NaN where one is: `f32::max` would drop it, and whatever is no number would pass.
fn worse(a: f32, b: f32) -> f32 {
    if a.is_nan() || a >= b { a } else { b }
}

#[test]
#[should_panic(expected = "differs by NaN")]
fn gradients_that_are_no_numbers_are_close_to_none() {
    let model = model(&configs()[0], 16);
    let right = backward(&model, &batch());
    let mut wrong = backward(&model, &batch());
    wrong.scale(f32::NAN).unwrap();
    assert_close(&wrong, &right, &model, 1e-5, "NaN throughout");
}

#[test]
fn logits_and_statistics_equal_the_plain_model() {
    for config in configs() {
        let model = model(&config, 5);
        let values = values(&model);
        // Longer than a block of the attention, so several blocks meet.
        let long = tokens(150, 9);
        for (ours, plain) in model.logits(&long).unwrap().iter().zip(plain_logits(&config, &values, &long)) {
            ours.iter().zip(plain).for_each(|(a, b)| assert!((f64::from(*a) - b).abs() < 1e-4, "{a} {b}"));
        }
        let ours = model.score(&batch(), TEMPERATURE).unwrap();
        let plain = plain_stats(&config, &values, &batch(), f64::from(TEMPERATURE));
        assert_eq!(plain.len(), ours.logprob.len());
        for (i, [logprob, entropy, variance]) in plain.into_iter().enumerate() {
            assert!((f64::from(ours.logprob[i]) - logprob).abs() < 1e-4);
            assert!((f64::from(ours.entropy[i]) - entropy).abs() < 1e-4);
            assert!((f64::from(ours.variance[i]) - variance).abs() < 2e-4, "{} {variance}", ours.variance[i]);
        }
    }
}

#[test]
fn gradients_equal_finite_differences_of_the_plain_model() {
    for config in configs() {
        let model = model(&config, 6);
        let mut long = batch();
        long.push(&tokens(60, 6), &tokens(12, 7)).unwrap();
        for (batch, entries) in [(batch(), 12), (long, 3)] {
            let gradients = backward(&model, &batch);
            let mut values = values(&model);
            let weights = weights(batch.response_tokens());
            let loss = |values: &Values| {
                let stats = plain_stats(&config, values, &batch, f64::from(TEMPERATURE));
                stats.iter().zip(&weights).map(|(stat, &w)| f64::from(w) * stat[0]).sum::<f64>()
            };
            for ((name, _), gradient) in model.parameters().zip(gradients.tensors()) {
                let gradient = ops::read(gradient).unwrap();
                let scale = gradient.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(0.05);
                for entry in (0..gradient.len()).step_by((gradient.len() / entries).max(1)) {
                    let step = 1e-5;
                    let mut at = |shift: f64| {
                        values.get_mut(name).unwrap()[entry] += shift;
                        loss(&values)
                    };
                    let slope = (at(step) - at(-2.0 * step)) / (2.0 * step);
                    at(step);
                    let off = (f64::from(gradient[entry]) - slope).abs();
                    assert!(off < 2e-4 * f64::from(scale), "{name}[{entry}]: {} {slope}", gradient[entry]);
                }
            }
        }
    }
}

/// The story: a model put together from ready-made operations trained, and some of its parameters never
/// moved, because the operations cut the gradient without a word. This test is never dropped.
#[test]
fn after_one_backward_every_parameter_has_a_gradient() {
    for config in configs() {
        for activation_bytes in [usize::MAX, 0] {
            let mut model = model(&config, 7);
            model.set_activation_bytes(activation_bytes);
            let gradients = backward(&model, &batch());
            assert_eq!(gradients.tensors().len(), model.parameters().len());
            for ((name, value), gradient) in model.parameters().zip(gradients.tensors()) {
                assert_eq!(value.shape(), gradient.shape(), "{name}");
                let gradient = ops::read(gradient).unwrap();
                assert!(gradient.iter().all(|v| v.is_finite()), "{name}");
                let width = if gradient.len() > config.hidden_size { config.hidden_size } else { 1 };
                let touched = gradient.chunks(width).filter(|row| row.iter().any(|v| v.abs() > 1e-9)).count();
                // A key's bias shifts all scores of a query alike, but for the turn of the positions.
                let all = gradient.len() / width;
                let least =
                    if name.contains("embed_tokens") && !config.tie_word_embeddings { 5 } else { all };
                assert!(touched >= least, "{name}: {touched} of {all} rows have a gradient");
            }
        }
    }
}

#[test]
fn packing_order_splitting_and_recomputing_change_nothing() {
    for config in configs() {
        let mut model = model(&config, 8);
        let whole = batch();
        let (stats, gradients) =
            model.loss_backward(&whole, TEMPERATURE, &|s| weights(s.logprob.len())).unwrap();
        assert_eq!(stats, model.score(&whole, TEMPERATURE).unwrap());

        // One sequence at a time, in the opposite order.
        let mut sum = Gradients::zeros(&model).unwrap();
        let all = weights(whole.response_tokens());
        let parts = whole.split(1);
        assert_eq!(parts.len(), whole.sequences());
        for (index, part) in parts.iter().enumerate().rev() {
            let range = whole.response(index);
            let (alone, gradients) =
                model.loss_backward(part, TEMPERATURE, &|_| all[range.clone()].to_vec()).unwrap();
            for (a, b) in alone.logprob.iter().zip(&stats.logprob[range.clone()]) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
            sum.add(&gradients).unwrap();
        }
        assert_close(&sum, &gradients, &model, 1e-5, "one by one");
        let mut sum = Gradients::zeros(&model).unwrap();
        for (index, part) in parts.iter().enumerate() {
            let of_part = |_: &TokenStats| all[whole.response(index)].to_vec();
            model.add_loss_backward(part, TEMPERATURE, &of_part, &mut sum).unwrap();
        }
        assert_close(&sum, &gradients, &model, 1e-5, "added up in place");
        assert_eq!(whole.split(1000), std::slice::from_ref(&whole));

        // The states of no layer, of some, and of all kept.
        for bytes in [0, 30_000, 60_000, 90_000, usize::MAX] {
            model.set_activation_bytes(bytes);
            assert_close(&backward(&model, &whole), &gradients, &model, 0.0, "recomputed");
        }
    }
}

#[test]
fn a_sequence_does_not_see_its_neighbours_or_its_future() {
    let config = &configs()[0];
    let model = model(config, 9);
    let (mut one, mut two) = (tokens(20, 1), tokens(20, 1));
    (one[19], two[19]) = (3, 4);
    let (one, two) = (model.logits(&one).unwrap(), model.logits(&two).unwrap());
    assert_eq!(one[..19], two[..19]);
    assert_ne!(one[19], two[19]);
}

#[test]
fn gradients_add_scale_and_clip() {
    let model = model(&configs()[0], 10);
    let mut gradients = backward(&model, &batch());
    let norm = gradients.global_norm().unwrap();
    let again = backward(&model, &batch());
    gradients.add(&again).unwrap();
    assert!((gradients.global_norm().unwrap() / norm - 2.0).abs() < 1e-6);
    gradients.scale(0.5).unwrap();
    assert_close(&gradients, &again, &model, 0.0, "twice and halved");
    assert_eq!(crate::optim::clip_global_norm(&mut gradients, norm * 2.0).unwrap(), norm);
    assert_close(&gradients, &again, &model, 0.0, "below the bound");
    crate::optim::clip_global_norm(&mut gradients, norm / 4.0).unwrap();
    assert!((gradients.global_norm().unwrap() / norm - 0.25).abs() < 1e-6);
}

#[test]
fn bad_input_gets_one_clear_line() {
    let model = model(&configs()[0], 11);
    let refused = |batch: &Batch, temperature| model.score(batch, temperature).unwrap_err().to_string();
    let mut batch = Batch::new();
    batch.push(&[1, 2], &[29]).unwrap();
    assert!(refused(&batch, 1.0).contains("token id 29 is not below vocab_size 29"));
    assert!(refused(&self::batch(), 0.0).contains("temperature is 0"));
    assert!(refused(&self::batch(), f32::NAN).contains("temperature is NaN"));
    let mut batch = Batch::new();
    batch.push(&tokens(2048, 1), &[1]).unwrap();
    assert!(refused(&batch, 1.0).contains("2049 tokens; max_position_embeddings is 2048"));
    assert!(Batch::new().push(&[], &[1]).is_err());
    for response in [&[0][..], &[3], &[2, 1], &[1, 1]] {
        assert!(Batch::new().push_sequence(&[1, 2, 3], response).is_err(), "{response:?}");
    }
    let wrong = model.loss_backward(&self::batch(), 1.0, &|_| vec![1.0]).unwrap_err().to_string();
    assert!(wrong.contains("1 gradients for 13 response tokens"), "{wrong}");
    // Nothing to learn is no error: a group may be all prompt.
    let mut batch = Batch::new();
    batch.push(&[1, 2], &[]).unwrap();
    let (stats, gradients) = model.loss_backward(&batch, 1.0, &|_| Vec::new()).unwrap();
    assert_eq!((stats.logprob.len(), gradients.global_norm().unwrap()), (0, 0.0));
    assert_eq!(model.score(&Batch::new(), 1.0).unwrap().logprob.len(), 0);
}

#[test]
fn saved_and_loaded_bit_for_bit_and_sharded_too() {
    for config in configs() {
        let model = model(&config, 12);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/checkpoint");
        model.save(&path, Precision::F32).unwrap();
        let loaded = Model::load(&path).unwrap();
        assert_eq!(loaded.config(), model.config());
        assert_eq!(values(&loaded), values(&model));
        let names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "nothing half-written is left: {names:?}");

        // As bf16 each number is the nearest of 8 bits, and stays it.
        model.save(&path, Precision::Bf16).unwrap();
        let rounded = Model::load(&path).unwrap();
        for (name, wide) in values(&model) {
            for (a, b) in wide.iter().zip(&values(&rounded)[&name]) {
                assert!((a - b).abs() <= a.abs() / 256.0, "{name}: {a} {b}");
            }
        }
        rounded.save(&path, Precision::Bf16).unwrap();
        assert_eq!(values(&Model::load(&path).unwrap()), values(&rounded));
    }
}

/// Names of the files of a directory, sorted.
fn files(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_checkpoint_is_cut_into_shards_of_the_size_asked_for_and_read_back() {
    let model = model(&configs()[1], 12);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let all: u64 = model.parameters().map(|(_, value)| value.elem_count() as u64 * 4).sum();
    // Larger, then smaller parts, then one file: what was there before goes each time.
    for (precision, max_shard_bytes, least) in
        [(Precision::F32, all / 2, 3), (Precision::Bf16, all / 8, 4), (Precision::F32, 1, model.names.len())]
    {
        model.save_in_shards(path, precision, max_shard_bytes).unwrap();
        let names = files(path);
        let shards: Vec<&String> = names.iter().filter(|name| name.starts_with("model-")).collect();
        assert!(shards.len() >= least, "{names:?}");
        assert_eq!(names.len(), shards.len() + 2, "{names:?}");
        assert_eq!(*shards[1], format!("model-00002-of-{:05}.safetensors", shards.len()));
        let text = std::fs::read_to_string(path.join("model.safetensors.index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&text).unwrap();
        let width = if precision == Precision::F32 { 1 } else { 2 };
        assert_eq!(index["metadata"]["total_size"], all / width);
        assert_eq!(index["weight_map"].as_object().unwrap().len(), model.names.len());
        for shard in shards {
            let (tensors, metadata) = checkpoint::read_tensors(&path.join(shard)).unwrap();
            assert_eq!(metadata["format"], "pt");
            let bytes: u64 = tensors.values().map(|value| value.elem_count() as u64 * 4 / width).sum();
            assert!(bytes <= max_shard_bytes || tensors.len() == 1, "{shard} holds {bytes} bytes");
            assert!(tensors.keys().all(|name| index["weight_map"][name] == **shard));
        }
        if precision == Precision::F32 {
            assert_eq!(values(&Model::load(path).unwrap()), values(&model));
        }
    }
    model.save(path, Precision::F32).unwrap();
    assert_eq!(files(path), ["config.json", "model.safetensors"]);
    // A file that only sounds like one of ours stays.
    std::fs::write(path.join("model-a-of-b.safetensors"), "").unwrap();
    model.save_in_shards(path, Precision::F32, all).unwrap();
    assert_eq!(files(path).len(), 3);
    assert_eq!(values(&Model::load(path).unwrap()), values(&model));

    model.save_in_shards(path, Precision::F32, all / 2).unwrap();
    std::fs::remove_file(path.join(&files(path)[2])).unwrap();
    let said = Model::load(path).unwrap_err().to_string();
    assert!(said.contains("-of-") && said.contains("No such file") && !said.contains('\n'), "{said}");
}

/// A checkpoint whose two ends were not the same loaded as if they were, and one that kept only the head did not load.
#[test]
fn tied_ends_are_one_matrix_whichever_of_them_a_file_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let model = model(&configs()[0], 13);
    model.save(path, Precision::F32).unwrap();
    let (written, _) = checkpoint::read_tensors(&path.join("model.safetensors")).unwrap();
    assert!(!written.contains_key("lm_head.weight"), "a tied head is written once");
    let all: Vec<(&str, &Tensor)> = model.parameters().collect();
    let write = |embedding: Option<&Tensor>, head: Option<&Tensor>| {
        let ends = [("model.embed_tokens.weight", embedding), ("lm_head.weight", head)];
        let ends = ends.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let tensors = ends.chain(all[1..].iter().copied());
        let stored = tensors.map(|(name, value)| (name, Stored::f32(value)));
        checkpoint::write_tensors(&path.join("model.safetensors"), stored, &[]).unwrap();
        Model::load(path).map(|model| values(&model)).map_err(|error| error.to_string())
    };
    let (embedding, other) = (all[0].1, all[0].1.affine(2.0, 0.0).unwrap());
    for (embedding, head) in
        [(Some(embedding), None), (Some(embedding), Some(embedding)), (None, Some(embedding))]
    {
        assert_eq!(write(embedding, head).unwrap(), values(&model));
    }
    let said = write(Some(embedding), Some(&other)).unwrap_err();
    assert!(said.contains("lm_head.weight is not model.embed_tokens.weight"), "{said}");
    assert!(said.contains("set tie_word_embeddings to false"), "{said}");

    // Untied, the two are two, and both must be there.
    let untied = self::model(&configs()[1], 14);
    untied.save(path, Precision::F32).unwrap();
    let loaded = values(&Model::load(path).unwrap());
    assert_ne!(loaded["lm_head.weight"], loaded["model.embed_tokens.weight"]);
    let ours = untied.parameters().filter(|(name, _)| *name != "lm_head.weight");
    let ours = ours.map(|(name, value)| (name, Stored::f32(value)));
    checkpoint::write_tensors(&path.join("model.safetensors"), ours, &[]).unwrap();
    let said = Model::load(path).unwrap_err().to_string();
    assert!(said.contains("no file holds tensor lm_head.weight; if the head is the embedding"), "{said}");
}

#[test]
fn a_checkpoint_goes_on_with_another_rotary_base_and_context() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = model(&configs()[0], 15);
    let short = model.logits(&tokens(40, 1)).unwrap();
    model.set_positions(Some(1e6), Some(4096)).unwrap();
    assert_eq!((model.config().rope_theta, model.config().max_position_embeddings), (1e6, 4096));
    let plain = plain_logits(model.config(), &values(&model), &tokens(40, 1));
    let long = model.logits(&tokens(40, 1)).unwrap();
    for (ours, plain) in long.iter().flatten().zip(plain.iter().flatten()) {
        assert!((f64::from(*ours) - plain).abs() < 1e-4, "{ours} {plain}");
    }
    assert_ne!(long, short);
    model.save(directory.path(), Precision::F32).unwrap();
    let text = std::fs::read_to_string(directory.path().join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Both spellings: transformers 4 reads the first, 5 the second.
    assert_eq!(config["rope_theta"], 1e6);
    assert_eq!(config["rope_parameters"], serde_json::json!({"rope_theta": 1e6, "rope_type": "default"}));
    assert_eq!(Model::load(directory.path()).unwrap().logits(&tokens(40, 1)).unwrap(), long);
    let before = model.config().clone();
    assert!(model.set_positions(Some(f32::NAN), None).unwrap_err().to_string().contains("rope_theta is NaN"));
    assert!(model.set_positions(None, Some(0)).is_err());
    assert_eq!(*model.config(), before);
}

/// The disk is full while the new file is written beside the old one: the old one stays, and nothing is left behind.
#[test]
fn a_full_disk_is_said_in_one_line_and_the_old_checkpoint_stays() {
    if !Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: no /dev/full on this host");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let old = model(&configs()[0], 1);
    for (max_shard_bytes, file) in
        [(u64::MAX, "model.safetensors"), (4000, "model-00002-of-00006.safetensors")]
    {
        old.save_in_shards(path, Precision::F32, max_shard_bytes).unwrap();
        let before = files(path);
        assert!(before.iter().any(|name| name == file), "{before:?}");
        let beside = path.join(format!("{file}.{}.new", std::process::id()));
        std::os::unix::fs::symlink("/dev/full", beside).unwrap();
        let said = old.save_in_shards(path, Precision::F32, max_shard_bytes).unwrap_err().to_string();
        assert_eq!(
            said,
            format!(
                "{}: No space left on device; free some space or choose another --out",
                path.join(file).display()
            )
        );
        assert_eq!(files(path), before);
        assert_eq!(values(&Model::load(path).unwrap()), values(&old));
    }
}

#[test]
fn a_wrong_checkpoint_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let model = model(&configs()[0], 13);
    let refused = || Model::load(path).unwrap_err().to_string();
    assert!(refused().contains("config.json"));
    model.save(path, Precision::F32).unwrap();

    let write = |tensors: Vec<(&str, &Tensor)>| {
        let stored = tensors.into_iter().map(|(name, value)| (name, Stored::f32(value)));
        checkpoint::write_tensors(&path.join("model.safetensors"), stored, &[]).unwrap();
    };
    let all: Vec<(&str, &Tensor)> = model.parameters().collect();
    write(all[1..].to_vec());
    assert!(refused().contains("no file holds tensor model.embed_tokens.weight"), "{}", refused());
    let mut swapped = all.clone();
    swapped[0].1 = all[1].1;
    write(swapped);
    assert!(
        refused().contains("model.embed_tokens.weight is [16]; config.json makes it [29, 16]"),
        "{}",
        refused()
    );
    let mut more = all.clone();
    more.push(("model.layers.7.extra", all[1].1));
    write(more);
    assert!(refused().contains("model.layers.7.extra is not part of the model"), "{}", refused());
    std::fs::write(path.join("model.safetensors"), b"garbage").unwrap();
    assert!(refused().contains("expected a safetensors file"), "{}", refused());
    // A copy that stopped early: in the length of the header, in the header, in the numbers.
    model.save(path, Precision::F32).unwrap();
    let whole = std::fs::read(path.join("model.safetensors")).unwrap();
    for (length, says) in
        [(0, "it has 0 bytes"), (100, "its header would have"), (whole.len() - 1, "was cut off")]
    {
        std::fs::write(path.join("model.safetensors"), &whole[..length]).unwrap();
        assert!(refused().contains(says) && !refused().contains('\n'), "{length}: {}", refused());
    }
    std::fs::remove_file(path.join("model.safetensors")).unwrap();
    assert!(refused().contains("model.safetensors: No such file"), "{}", refused());
}

#[test]
fn fresh_weights_depend_on_the_seed_alone() {
    let config = Config::tiny(300, 32, 1, 2, 1);
    let draw = |seed| values(&Model::random(&config, seed).unwrap());
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let weight = &draw(1)["model.embed_tokens.weight"];
    let deviation = (weight.iter().map(|v| v * v).sum::<f64>() / weight.len() as f64).sqrt();
    assert!((deviation / 0.02 - 1.0).abs() < 0.05, "{deviation}");
    let counted: usize = draw(1).values().map(Vec::len).sum();
    assert_eq!(counted, config.parameter_count());
}

/// What `plan` counts from the shape is what tensors hold.
#[test]
fn activations_are_as_large_as_their_shape_says() {
    for config in [Config::tiny(50, 32, 3, 4, 2), Config::tiny(50, 24, 2, 2, 2)] {
        let model = Model::random(&config, 1).unwrap();
        let mut batch = Batch::new();
        batch.push(&[1, 2, 3], &[4, 5, 6, 7]).unwrap();
        batch.push(&[1], &[4, 5]).unwrap();
        let mut held = Vec::new();
        model.forward(&batch, |_, activations| held.push(activations.bytes())).unwrap();
        let counted = Activations::bytes_of(&config, batch.tokens().len(), 4);
        assert_eq!(held, vec![counted; config.num_hidden_layers]);
        let numbers: usize = shapes(&config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(numbers, config.parameter_count());
    }
}

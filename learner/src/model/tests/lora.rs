//! Adapters: against the plain model with W + s B A in W's place, and against the model they are on.

use std::collections::BTreeSet;

use super::*;
use crate::optim::{AdamW, Moments};
use crate::sampler::{Sampler, SamplingParams};

fn lora(target_modules: &[Target]) -> Lora {
    Lora { rank: 3, alpha: 4.5, target_modules: target_modules.iter().copied().collect() }
}

/// On all linears, and on two of them, as others' adapters often are.
fn forms() -> [Lora; 2] {
    [lora(&Target::ALL), lora(&[Target::QProj, Target::VProj])]
}

/// A model with an adapter as training leaves it: B is not zero.
fn adapted(config: &Config, seed: u64, lora: &Lora) -> Model {
    let mut model = model(config, seed);
    model.adapt(lora, seed + 100).unwrap();
    for (slot, (_, value)) in
        model.trained().enumerate().filter(|(_, (name, _))| name.ends_with("lora_B.weight"))
    {
        let number = |(i, value): (usize, &mut f32)| *value = ((i * 37 + slot * 17) % 19) as f32 / 40.0 - 0.2;
        ops::write(value, |values| values.iter_mut().enumerate().for_each(number)).unwrap();
    }
    model
}

fn trained(model: &Model) -> Values {
    model.trained().map(|(name, value)| (name.to_owned(), wide(value))).collect()
}

fn wide(value: &Tensor) -> Vec<f64> {
    ops::read(value).unwrap().iter().map(|&v| f64::from(v)).collect()
}

/// The base's values with every adapter added to its weight.
fn merged(base: &Values, adapter: &Values, lora: &Lora) -> Values {
    let mut all = base.clone();
    for (name, a) in adapter.iter().filter(|(name, _)| name.ends_with("lora_A.weight")) {
        let b = &adapter[&name.replace("lora_A", "lora_B")];
        let weight = name.replace("base_model.model.", "").replace(".lora_A", "");
        let weight = all.get_mut(&weight).unwrap();
        let (inputs, scale) = (a.len() / lora.rank, lora.alpha / lora.rank as f64);
        for (at, value) in weight.iter_mut().enumerate() {
            let (output, input) = (at / inputs, at % inputs);
            let row = (0..lora.rank).map(|r| b[output * lora.rank + r] * a[r * inputs + input]);
            *value += scale * row.sum::<f64>();
        }
    }
    all
}

#[test]
fn logits_and_gradients_equal_the_plain_model_with_the_adapter_in_its_weights() {
    for (config, lora) in configs().iter().flat_map(|config| forms().map(|lora| (config.clone(), lora))) {
        let model = adapted(&config, 21, &lora);
        let (base, mut adapter) = (values(&model), trained(&model));
        let long = tokens(90, 3);
        let plain = plain_logits(&config, &merged(&base, &adapter, &lora), &long);
        for (ours, plain) in model.logits(&long).unwrap().iter().flatten().zip(plain.iter().flatten()) {
            assert!((f64::from(*ours) - plain).abs() < 1e-4, "{ours} {plain}");
        }

        let (batch, gradients) = (batch(), backward(&model, &batch()));
        let weights = weights(batch.response_tokens());
        let loss = |adapter: &Values| {
            let stats = plain_stats(&config, &merged(&base, adapter, &lora), &batch, f64::from(TEMPERATURE));
            stats.iter().zip(&weights).map(|(stat, &w)| f64::from(w) * stat[0]).sum::<f64>()
        };
        for ((name, _), gradient) in model.trained().zip(gradients.tensors()) {
            let gradient = wide(gradient);
            let scale = gradient.iter().fold(0.05f64, |m, v| m.max(v.abs()));
            for entry in (0..gradient.len()).step_by((gradient.len() / 4).max(1)) {
                let step = 1e-5;
                let mut at = |shift: f64| {
                    adapter.get_mut(name).unwrap()[entry] += shift;
                    loss(&adapter)
                };
                let slope = (at(step) - at(-2.0 * step)) / (2.0 * step);
                at(step);
                let off = (gradient[entry] - slope).abs();
                assert!(off < 2e-4 * scale, "{name}[{entry}]: {} {slope}", gradient[entry]);
            }
        }
    }
}

/// dA = s B' dW and dB = s dW A', of the whole model's gradient at the same point.
#[test]
fn gradients_are_those_of_the_merged_weights_seen_through_the_adapter() {
    let (config, lora) = (&configs()[0], &forms()[0]);
    let model = adapted(config, 22, lora);
    let (gradients, adapter) = (backward(&model, &batch()), trained(&model));
    let mut whole = adapted(config, 22, lora);
    whole.merge_adapter().unwrap();
    let of_whole = backward(&whole, &batch());
    let d_weights: Values = whole
        .parameters()
        .zip(of_whole.tensors())
        .map(|((name, _), gradient)| (name.to_owned(), wide(gradient)))
        .collect();
    let s = lora.alpha / lora.rank as f64;
    for ((name, value), gradient) in model.trained().zip(gradients.tensors()) {
        let linear = name.replace("base_model.model.", "").replace(".lora_A", "").replace(".lora_B", "");
        let (d_weight, of_a) = (&d_weights[&linear], name.ends_with("lora_A.weight"));
        let other =
            &adapter[&if of_a { name.replace("lora_A", "lora_B") } else { name.replace("lora_B", "lora_A") }];
        let width = value.dim(1).unwrap();
        let inputs = if of_a { width } else { other.len() / lora.rank };
        let outputs = d_weight.len() / inputs;
        let ours = wide(gradient);
        let scale = ours.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
        for (at, ours) in ours.iter().enumerate() {
            let (row, column) = (at / width, at % width);
            let expected: f64 = match of_a {
                true => {
                    (0..outputs).map(|o| other[o * lora.rank + row] * d_weight[o * inputs + column]).sum()
                }
                false => (0..inputs).map(|i| d_weight[row * inputs + i] * other[column * inputs + i]).sum(),
            };
            assert!((ours - s * expected).abs() < 1e-4 * scale, "{name}[{at}]: {ours} {}", s * expected);
        }
    }
}

#[test]
fn a_fresh_adapter_changes_no_bit_and_has_kaimings_bound() {
    for config in configs() {
        let base = model(&config, 23);
        let mut adapted = model(&config, 23);
        adapted.adapt(&lora(&Target::ALL), 5).unwrap();
        let long = tokens(70, 2);
        assert_eq!(base.logits(&long).unwrap(), adapted.logits(&long).unwrap());
        assert_eq!(base.score(&batch(), 0.8).unwrap(), adapted.score(&batch(), 0.8).unwrap());
        for (name, value) in adapted.trained() {
            let (values, bound) = (wide(value), (value.dim(1).unwrap() as f64).sqrt().recip());
            let greatest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            match name.ends_with("lora_B.weight") {
                true => assert_eq!(greatest, 0.0, "{name}"),
                false => assert!(greatest <= bound && greatest > 0.8 * bound, "{name}: {greatest} {bound}"),
            }
        }
        // The same for the same seed; another for another.
        let mut again = model(&config, 1);
        again.adapt(&lora(&Target::ALL), 5).unwrap();
        assert_eq!(trained(&again), trained(&adapted));
        again.adapt(&lora(&Target::ALL), 6).unwrap();
        assert_ne!(trained(&again), trained(&adapted));
        assert_eq!(again.trained().len(), 7 * 2 * 2, "an adapter replaces the one before");
    }
}

/// As of the parameters of a whole model: no edge is cut without a word.
#[test]
fn every_row_of_every_adapter_has_a_gradient_and_the_base_has_none() {
    for config in configs() {
        for lora in forms() {
            let model = adapted(&config, 24, &lora);
            let gradients = backward(&model, &batch());
            let numbers: usize = gradients.tensors().iter().map(Tensor::elem_count).sum();
            assert_eq!(numbers, lora.parameter_count(&config));
            assert_eq!(gradients.tensors().len(), config.num_hidden_layers * lora.target_modules.len() * 2);
            for ((name, value), gradient) in model.trained().zip(gradients.tensors()) {
                assert_eq!(value.shape(), gradient.shape(), "{name}");
                let dead = wide(gradient)
                    .chunks(value.dim(1).unwrap())
                    .any(|row| row.iter().all(|v| v.abs() < 1e-9));
                assert!(!dead && wide(gradient).iter().all(|v| v.is_finite()), "{name}");
            }
        }
    }
}

#[test]
fn merged_computes_the_same_and_is_trained_whole() {
    for (config, lora) in configs().iter().zip(forms().iter().cycle()) {
        let mut model = adapted(config, 25, lora);
        let (base, adapter, long) = (values(&model), trained(&model), tokens(60, 4));
        let apart = model.logits(&long).unwrap();
        model.merge_adapter().unwrap();
        assert!(model.adapter().is_none() && model.trained().len() == model.parameters().len());
        for (a, b) in apart.iter().flatten().zip(model.logits(&long).unwrap().iter().flatten()) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
        for (name, exact) in merged(&base, &adapter, lora) {
            for (a, b) in exact.iter().zip(&values(&model)[&name]) {
                assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
            }
        }
    }
}

#[test]
fn packing_splitting_and_recomputing_change_nothing_with_an_adapter() {
    let (config, lora) = (&configs()[0], &forms()[0]);
    let mut model = adapted(config, 26, lora);
    let whole = batch();
    let (stats, gradients) = model.loss_backward(&whole, TEMPERATURE, &|s| weights(s.logprob.len())).unwrap();
    let (all, mut sum) = (weights(whole.response_tokens()), Gradients::zeros(&model).unwrap());
    for (index, part) in whole.split(1).iter().enumerate().rev() {
        let range = whole.response(index);
        let of_part = |_: &TokenStats| all[range.clone()].to_vec();
        let alone = model.add_loss_backward(part, TEMPERATURE, &of_part, &mut sum).unwrap();
        alone
            .logprob
            .iter()
            .zip(&stats.logprob[range.clone()])
            .for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
    }
    assert_close(&sum, &gradients, &model, 1e-5, "one by one");
    for bytes in [0, 40_000, usize::MAX] {
        model.set_activation_bytes(bytes);
        assert_close(&backward(&model, &whole), &gradients, &model, 0.0, "recomputed");
    }
}

#[test]
fn the_sampler_computes_what_the_trainer_does() {
    let (config, lora) = (&configs()[0], &forms()[0]);
    let model = adapted(config, 27, lora);
    let prompts: Vec<Vec<u32>> = (1..4).map(|seed| tokens(seed * 7, seed)).collect();
    let params = SamplingParams {
        rollouts: 3,
        max_new_tokens: 24,
        temperature: 0.8,
        seed: 4,
        ..SamplingParams::default()
    };
    let drawn = Sampler::new(&model).generate(&prompts, &params).unwrap();
    // Who shares the batch changes no bit, as without an adapter.
    let alike = |max_batch| {
        let params = SamplingParams { batch_invariant: true, max_batch, ..params.clone() };
        Sampler::new(&model).generate(&prompts, &params).unwrap()
    };
    assert_eq!(alike(1), alike(9));
    let mut base = adapted(config, 27, lora);
    base.drop_adapter();
    let mut seen = 0.0f32;
    for (index, rollout) in drawn.iter().enumerate() {
        let mut batch = Batch::new();
        batch.push(&prompts[index / 3], &rollout.completion_ids).unwrap();
        let scored = model.score(&batch, 0.8).unwrap().logprob;
        scored.iter().zip(&rollout.logprobs).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} {b}"));
        let without = base.score(&batch, 0.8).unwrap().logprob;
        seen = without.iter().zip(&rollout.logprobs).fold(seen, |m, (a, b)| m.max((a - b).abs()));
    }
    assert!(seen > 0.1, "the adapter moves nothing, and the test is blind: {seen}");
}

/// A step moves the adapter and not a bit of the base, and keeps no state for the base.
#[test]
fn a_step_is_of_the_adapter_alone() {
    let config = Config { intermediate_size: 48, ..Config::tiny(29, 32, 2, 4, 2) };
    let lora = Lora { rank: 96, ..lora(&Target::ALL) };
    for moments in [Moments::F32, Moments::Blocks] {
        let mut model = adapted(&config, 28, &lora);
        let (base, before) = (values(&model), trained(&model));
        let mut optimizer = AdamW::new(&model).unwrap();
        optimizer.moments = moments;
        let mut gradients = backward(&model, &batch());
        let squares: f64 = gradients.tensors().iter().flat_map(wide).map(|v| v * v).sum();
        assert!((gradients.global_norm().unwrap() - squares.sqrt()).abs() < 1e-6 * squares.sqrt());
        crate::optim::clip_global_norm(&mut gradients, 1.0).unwrap();
        optimizer.update(&mut model, &gradients, 1e-2).unwrap();
        assert_eq!(values(&model), base);
        for (name, value) in trained(&model) {
            assert_ne!(value, before[&name], "{name}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("optimizer.safetensors");
        optimizer.save(&model, &path).unwrap();
        let (state, _) = checkpoint::read_tensors(&path).unwrap();
        let of: BTreeSet<&str> = state.keys().map(|key| &key[2..key.find(".weight").unwrap()]).collect();
        assert_eq!(of.len(), before.len());
        assert!(of.iter().all(|name| name.contains(".lora_")), "{of:?}");
        let blocks = state.keys().any(|key| key.ends_with(".codes"));
        assert_eq!(blocks, moments == Moments::Blocks, "{:?}", state.keys());
        let mut whole = super::model(&config, 28);
        let refused =
            AdamW::new(&whole).unwrap().update(&mut whole, &gradients, 1e-2).unwrap_err().to_string();
        assert!(refused.contains("belongs to another model"), "{refused}");
    }
}

//! The sampler against the trainer, and against itself with other batches, pages and room.

use super::*;
use crate::model::{Batch, Config};
use crate::ops;

fn model(layers: usize, heads: usize, kv_heads: usize) -> Model {
    let config = Config { initializer_range: 0.2, ..Config::tiny(31, 32, layers, heads, kv_heads) };
    Model::random(&config, 21).unwrap()
}

fn prompts() -> Vec<Vec<u32>> {
    (1..=7).map(|length| (0..length * 3 % 11 + 1).map(|i| ((i * 5 + length) % 31) as u32).collect()).collect()
}

fn params() -> SamplingParams {
    SamplingParams {
        temperature: 0.7,
        max_new_tokens: 20,
        eos_token_ids: vec![4, 9],
        rollouts: 5,
        seed: 17,
        ..SamplingParams::default()
    }
}

/// The sampler's cache, shared prompts and batches against the trainer's packed forward pass.
#[test]
fn logprobs_are_the_trainers() {
    for model in [model(2, 4, 2), model(1, 2, 2), model(3, 4, 1)] {
        let generated = Sampler::new(&model).generate(&prompts(), &params()).unwrap();
        let mut batch = Batch::new();
        for (index, one) in generated.iter().enumerate() {
            batch.push(&prompts()[index / 5], &one.completion_ids).unwrap();
        }
        let scored = model.score(&batch, 0.7).unwrap().logprob;
        let sampled: Vec<f32> = generated.iter().flat_map(|one| one.logprobs.clone()).collect();
        assert_eq!(sampled.len(), scored.len());
        for (sampled, scored) in sampled.iter().zip(scored) {
            assert!((sampled - scored).abs() < 1e-5, "{sampled} {scored}");
        }
        for one in generated {
            let last = one.completion_ids.last().copied().unwrap();
            let stops = one.completion_ids.iter().filter(|&&id| id == 4 || id == 9).count();
            match one.finish_reason {
                FinishReason::Stop => assert!(stops == 1 && (last == 4 || last == 9)),
                FinishReason::Length => assert!(stops == 0 && one.completion_ids.len() == 20),
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_rollouts_whoever_shares_the_batch() {
    let model = model(2, 4, 2);
    let sampler = Sampler::new(&model);
    let ids = |generated: Vec<Generated>| -> Vec<Vec<u32>> {
        generated.into_iter().map(|one| one.completion_ids).collect()
    };
    let first = sampler.generate(&prompts(), &params()).unwrap();
    assert_eq!(first, sampler.generate(&prompts(), &params()).unwrap());
    let first = ids(first);
    for max_batch in [1, 3, 8] {
        let narrow = SamplingParams { max_batch, ..params() };
        assert_eq!(ids(sampler.generate(&prompts(), &narrow).unwrap()), first, "{max_batch} rows");
    }
    let fewer = SamplingParams { rollouts: 2, ..params() };
    let fewer = ids(sampler.generate(&prompts()[..3], &fewer).unwrap());
    for (index, ids) in fewer.iter().enumerate() {
        assert_eq!(ids, &first[index / 2 * 5 + index % 2]);
    }
    let other = SamplingParams { seed: 18, ..params() };
    assert_ne!(ids(sampler.generate(&prompts(), &other).unwrap()), first);
    assert!(first[..5].windows(2).any(|pair| pair[0] != pair[1]), "rollouts of a prompt differ");
}

#[test]
fn batch_invariant_rollouts_are_the_same_to_the_last_bit() {
    let model = model(2, 4, 2);
    let alone = |max_batch| SamplingParams { batch_invariant: true, max_batch, ..params() };
    let all = Sampler::new(&model).generate(&prompts(), &alone(512)).unwrap();
    for max_batch in [1, 3, 8] {
        assert_eq!(Sampler::new(&model).generate(&prompts(), &alone(max_batch)).unwrap(), all, "{max_batch}");
    }
    let fewer = Sampler::new(&model).generate(&prompts()[..2], &alone(512)).unwrap();
    assert_eq!(fewer, all[..10]);
    // And the same tokens as without.
    let together = Sampler::new(&model).generate(&prompts(), &params()).unwrap();
    let ids = |all: &[Generated]| all.iter().map(|one| one.completion_ids.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&together), ids(&all));
}

#[test]
fn filtered_tokens_are_never_drawn_and_log_probabilities_stay_the_trainers() {
    let model = model(2, 4, 2);
    let filters = Filters { top_k: 3, ..Filters::default() };
    let few = SamplingParams { filters, temperature: 1.5, ..params() };
    for (index, one) in Sampler::new(&model).generate(&prompts(), &few).unwrap().iter().enumerate() {
        let mut tokens = prompts()[index / 5].clone();
        let mut batch = Batch::new();
        batch.push(&tokens, &one.completion_ids).unwrap();
        let scored = model.score(&batch, 1.5).unwrap().logprob;
        for (id, (logprob, scored)) in one.completion_ids.iter().zip(one.logprobs.iter().zip(scored)) {
            let logits = model.logits(&tokens).unwrap().pop().unwrap();
            let better = logits.iter().filter(|&&z| z > logits[*id as usize] + 1e-4).count();
            assert!(better < 3 && (logprob - scored).abs() < 1e-4, "{better} {logprob} {scored}");
            tokens.push(*id);
        }
    }
}

#[test]
fn greedy_takes_the_best_token_of_the_full_forward_pass() {
    let model = model(2, 4, 2);
    let greedy = SamplingParams { greedy: true, rollouts: 1, ..params() };
    for (prompt, one) in prompts().iter().zip(Sampler::new(&model).generate(&prompts(), &greedy).unwrap()) {
        let mut tokens = prompt.clone();
        for id in one.completion_ids {
            let logits = model.logits(&tokens).unwrap().pop().unwrap();
            let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(logits[id as usize] >= best - 1e-4);
            tokens.push(id);
        }
    }
}

#[test]
fn frequencies_are_the_probabilities() {
    let model = model(1, 2, 1);
    let many = SamplingParams { rollouts: 20_000, max_new_tokens: 1, temperature: 1.5, ..params() };
    let prompt = vec![1, 2, 3];
    let mut counts = [0usize; 31];
    for one in Sampler::new(&model).generate(std::slice::from_ref(&prompt), &many).unwrap() {
        counts[one.completion_ids[0] as usize] += 1;
    }
    for (id, &count) in counts.iter().enumerate() {
        let mut batch = Batch::new();
        batch.push(&prompt, &[id as u32]).unwrap();
        let p = f64::from(model.score(&batch, 1.5).unwrap().logprob[0]).exp();
        let deviation = (p * (1.0 - p) / 20_000.0).sqrt();
        assert!((count as f64 / 20_000.0 - p).abs() < 5.0 * deviation, "{id}: {count} of 20000, p {p}");
    }
}

#[test]
fn bad_input_gets_one_clear_line() {
    let model = model(1, 2, 1);
    let refused = |prompts: &[Vec<u32>], params: SamplingParams| {
        Sampler::new(&model).generate(prompts, &params).unwrap_err().to_string()
    };
    assert!(refused(&[vec![]], params()).contains("prompt 0 has no tokens"));
    assert!(refused(&[vec![1], vec![31]], params()).contains("prompt 1 has token id 31"));
    assert!(
        refused(&[vec![1]], SamplingParams { temperature: 0.0, ..params() }).contains("temperature is 0")
    );
    assert!(refused(&[vec![1]], SamplingParams { max_new_tokens: 0, ..params() }).contains("max_new_tokens"));
    assert!(refused(&[vec![1]], SamplingParams { max_new_tokens: 2048, ..params() }).contains("is 2048"));
    let filters = Filters { top_p: 1.5, ..Filters::default() };
    assert!(refused(&[vec![1]], SamplingParams { filters, ..params() }).contains("top_p is 1.5"));
    assert_eq!(Sampler::new(&model).generate(&[], &params()).unwrap(), []);

    let broken = self::model(1, 2, 1);
    let (_, norm) = broken.parameters().find(|(name, _)| *name == "model.norm.weight").unwrap();
    ops::write(norm, |norm| norm[0] = f32::NAN).unwrap();
    let said = Sampler::new(&broken).generate(&[vec![1]], &params()).unwrap_err().to_string();
    assert!(said.contains("not finite"), "{said}");
}

fn ids(all: &[Generated]) -> Vec<Vec<u32>> {
    all.iter().map(|one| one.completion_ids.clone()).collect()
}

/// All rollouts with a cache, and what was done for them; in the end every page has come back.
fn through(model: &Model, params: &SamplingParams, cache: Cache) -> (Vec<Generated>, scheduler::Counts) {
    let sampler = Sampler::new(model).with_cache(cache);
    let lengths = vec![params.max_new_tokens; prompts().len()];
    let mut scheduler = sampler.scheduler(&prompts(), &lengths, params, false).unwrap();
    let (mut events, mut most_used) = (Vec::new(), 0);
    while scheduler.advance(&mut events).unwrap() {
        most_used = most_used.max(scheduler.pages().0);
    }
    assert!(most_used > 0 && most_used <= cache.tokens.div_ceil(cache.page));
    assert_eq!((scheduler.pages().0, scheduler.load()), (0, (0, 0)));
    let mut done = vec![None; prompts().len() * params.rollouts];
    for event in events {
        let Event::End { key, rollout, generated } = event else { panic!("nobody asked for tokens") };
        assert!(done[key as usize * params.rollouts + rollout].replace(generated).is_none());
    }
    (done.into_iter().map(Option::unwrap).collect(), scheduler.counts)
}

/// Dense: one page holds a whole sequence.
const DENSE: Cache = Cache { page: 2048, tokens: usize::MAX };

#[test]
fn paged_is_dense_to_the_last_bit() {
    for model in [model(2, 4, 2), model(3, 4, 1)] {
        for batch_invariant in [false, true] {
            let params = SamplingParams { batch_invariant, ..params() };
            let (dense, counts) = through(&model, &params, DENSE);
            for page in [1, 2, 3, 16] {
                let paged = through(&model, &params, Cache { page, ..DENSE });
                assert_eq!(paged, (dense.clone(), counts), "pages of {page} tokens");
            }
            assert_eq!(counts.preempted, 0);
        }
    }
}

#[test]
fn a_prompt_is_computed_once_for_its_group_and_free_rows_are_filled() {
    let model = model(2, 4, 2);
    let tokens: usize = prompts().iter().map(Vec::len).sum();
    for max_batch in [1, 3, 8, 512] {
        let (all, counts) = through(&model, &SamplingParams { max_batch, ..params() }, Cache::default());
        assert_eq!(counts.prefilled, tokens as u64, "{max_batch} rows");
        // The first token comes with the prompt; each other one is a row of a step.
        let drawn: u64 = all.iter().map(|one| one.completion_ids.len() as u64 - 1).sum();
        assert_eq!(counts.rows, drawn);
        // Only the rollouts that end last leave rows empty.
        let longest = all.iter().map(|one| one.completion_ids.len() as u64).max().unwrap();
        assert!(counts.steps <= drawn / max_batch.min(all.len()) as u64 + longest, "{counts:?}");
        let lengths: std::collections::BTreeSet<_> = all.iter().map(|one| one.completion_ids.len()).collect();
        assert!(lengths.len() > 5, "lengths are mixed: {lengths:?}");
    }
}

/// Too few pages for all: the youngest make room and are computed again, and nothing else changes.
#[test]
fn rollouts_that_made_room_end_as_they_would_have() {
    let model = model(2, 4, 2);
    let (plenty, _) = through(&model, &params(), Cache::default());
    let alone = SamplingParams { batch_invariant: true, ..params() };
    let (plenty_alone, _) = through(&model, &alone, Cache::default());
    let longest = prompts().iter().map(Vec::len).max().unwrap() + params().max_new_tokens;
    for (page, tokens) in [(1, longest), (4, longest + 3), (4, 2 * longest), (16, 48), (1, 4 * longest)] {
        let cache = Cache { page, tokens };
        let (starved, counts) = through(&model, &params(), cache);
        assert!(counts.preempted > 0, "{cache:?}: {counts:?}");
        assert_eq!(ids(&starved), ids(&plenty), "{cache:?}");
        for (a, b) in starved.iter().zip(&plenty) {
            assert_eq!(a.finish_reason, b.finish_reason);
            assert!(a.logprobs.iter().zip(&b.logprobs).all(|(a, b)| (a - b).abs() < 1e-5), "{cache:?}");
        }
        assert_eq!(through(&model, &params(), cache), (starved, counts), "the same seed, the same bits");
        let (starved, counts) = through(&model, &alone, cache);
        assert!(counts.preempted > 0);
        assert_eq!(starved, plenty_alone, "batch invariant, {cache:?}");
    }
    let small = Sampler::new(&model).with_cache(Cache { page: 4, tokens: longest - 4 });
    let said = small.generate(&prompts(), &params()).unwrap_err().to_string();
    assert!(said.contains("more than the cache holds") && !said.contains('\n'), "{said}");
}

#[test]
fn a_request_that_is_forgotten_gives_its_pages_back_and_changes_no_other() {
    let model = model(2, 4, 2);
    let (whole, _) = through(&model, &params(), Cache::default());
    let few = SamplingParams { max_batch: 9, ..params() };
    for after in [0, 1, 4, 9] {
        let mut scheduler = Sampler::new(&model).scheduler(&prompts(), &[20; 7], &few, false).unwrap();
        let mut events = Vec::new();
        (0..after).for_each(|_| assert!(scheduler.advance(&mut events).unwrap()));
        // One that runs by now, and one that waits.
        [0, 5].into_iter().for_each(|key| scheduler.forget(key));
        while scheduler.advance(&mut events).unwrap() {}
        assert_eq!((scheduler.pages().0, scheduler.load()), (0, (0, 0)));
        let mut kept = 0;
        for event in events {
            let Event::End { key, rollout, generated } = event else { panic!("nobody asked for tokens") };
            assert_eq!(generated.completion_ids, whole[key as usize * 5 + rollout].completion_ids);
            kept += usize::from(![0, 5].contains(&key));
        }
        assert_eq!(kept, 25);
    }
}

#[test]
fn a_stop_string_ends_a_completion_and_is_cut_from_its_text() {
    let tokenizer = Tokenizer::train(&["ab abc \u{e9}".to_owned()], 270, &["<|end|>"]).unwrap();
    let config = Config { initializer_range: 0.2, ..Config::tiny(tokenizer.vocab_size(), 32, 2, 4, 2) };
    let model = Model::random(&config, 3).unwrap();
    let sampler = Sampler::new(&model).with_tokenizer(&tokenizer);
    let free = SamplingParams { eos_token_ids: vec![0], max_new_tokens: 60, ..params() };
    let whole = sampler.generate(&prompts(), &free).unwrap();
    assert!(whole.iter().all(|one| one.text.is_none()));
    let stop = vec!["a".to_owned(), "\u{e9}".to_owned(), "ZQ".to_owned(), "b".to_owned()];
    let stopped =
        sampler.generate(&prompts(), &SamplingParams { stop: stop.clone(), ..free.clone() }).unwrap();
    let mut cut = 0;
    for (whole, one) in whole.iter().zip(&stopped) {
        let text = tokenizer.decode(&whole.completion_ids, true).unwrap();
        let at = stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
        assert_eq!(one.text.as_deref(), Some(&text[..at.unwrap_or(text.len())]));
        let same = &whole.completion_ids[..one.completion_ids.len()];
        assert_eq!(one.completion_ids, same, "the same tokens, as far as they go");
        if at.is_some() {
            cut += 1;
            assert_eq!(one.finish_reason, FinishReason::Stop);
            // It ended with the token that completed the stop string.
            let before = tokenizer.decode(&same[..same.len() - 1], true).unwrap();
            assert!(stop.iter().all(|stop| !before.contains(stop.as_str())), "{before:?}");
        } else {
            assert_eq!(one.completion_ids.len(), whole.completion_ids.len());
        }
    }
    assert!(cut > 5, "{cut} of {} completions were cut", stopped.len());
    let said = Sampler::new(&model).generate(&prompts(), &SamplingParams { stop, ..free.clone() });
    assert!(said.unwrap_err().to_string().contains("need a tokenizer"));
    let said = sampler.generate(&prompts(), &SamplingParams { stop: vec![String::new()], ..free });
    assert!(said.unwrap_err().to_string().contains("a stop string is empty"));
}

#[test]
fn each_prompt_may_have_a_length_of_its_own() {
    let model = model(2, 4, 2);
    let sampler = Sampler::new(&model);
    let whole = sampler.generate(&prompts(), &params()).unwrap();
    let lengths: Vec<usize> = (1..=7).map(|index| index * 3 - 2).collect();
    let some = sampler.generate_up_to(&prompts(), &lengths, &params()).unwrap();
    for (index, (one, whole)) in some.iter().zip(&whole).enumerate() {
        let length = lengths[index / 5].min(whole.completion_ids.len());
        assert_eq!(one.completion_ids, whole.completion_ids[..length]);
    }
    assert!(sampler.generate_up_to(&prompts(), &[1], &params()).is_err());
    assert!(sampler.generate_up_to(&prompts()[..1], &[0], &params()).is_err());
}

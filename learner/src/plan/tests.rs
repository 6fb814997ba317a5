use std::path::Path;

use super::machine::GpuModel;
use super::*;
use crate::cuda::Stored;

fn recipes() -> Vec<(String, Recipe)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    names.iter().map(|path| (name(path), Recipe::load(path).unwrap())).collect()
}

fn recipe_of(name: &str) -> Recipe {
    recipes().into_iter().find(|(found, _)| found == name).unwrap().1
}

fn gpu(size: &str) -> Machine {
    Machine::gpu(&size.parse::<GpuModel>().unwrap(), Stored::Bf16)
}

fn refused(recipe: &Recipe, machine: &Machine) -> Option<String> {
    plan(recipe, machine, None).unwrap().refused
}

#[test]
fn every_recipe_of_the_folder_is_read_and_fits_a_machine_that_is_large_enough() {
    let names: Vec<String> = recipes().into_iter().map(|(name, _)| name).collect();
    for (name, recipe) in recipes() {
        let plan = plan(&recipe, &Machine::cpu(Some(1 << 42)), None).unwrap();
        assert_eq!(plan.refused, None, "{name}");
    }
    assert!(
        ["acereason-7b.toml", "acereason-7b-lora.toml", "smollm2-cpu.toml", "tiny-cpu.toml"]
            .iter()
            .all(|name| names.iter().any(|n| n == name))
    );
}

#[test]
fn the_papers_run_fits_one_gpu_of_80_or_141_gb_and_not_one_of_16() {
    let recipe = recipe_of("acereason-7b.toml");
    for (size, fits) in
        [("80GB", true), ("h100", true), ("141GB", true), ("h200", true), ("16GB", false), ("l4", false)]
    {
        assert_eq!(
            refused(&recipe, &gpu(size)).is_none(),
            fits,
            "{size}: {:?}",
            refused(&recipe, &gpu(size))
        );
    }
    // An adapter leaves room, and needs nothing of the host.
    let lora = recipe_of("acereason-7b-lora.toml");
    for (size, fits) in [("80GB", true), ("h200", true), ("48GiB", true), ("16GB", false)] {
        assert_eq!(refused(&lora, &gpu(size)).is_none(), fits, "{size}: {:?}", refused(&lora, &gpu(size)));
    }
    assert!(plan(&lora, &gpu("80GB"), None).unwrap().host_bytes() < 10 << 30);
    // 12 bytes a parameter of states are no longer on the GPU, but in its host.
    let mut on_gpu = recipe.clone();
    on_gpu.adamw.moments = crate::optim::Moments::F32;
    assert!(
        refused(&on_gpu, &gpu("80GB")).unwrap().contains("update"),
        "{:?}",
        refused(&on_gpu, &gpu("80GB"))
    );
    let host = plan(&recipe, &gpu("80GB"), None).unwrap().host_bytes() as f64 / f64::from(1 << 30);
    assert!((85.0..110.0).contains(&host), "{host}");
    let bound = Machine { host_bytes: Some(64 << 30), ..gpu("80GB") };
    assert!(refused(&recipe, &bound).unwrap().contains("host's memory, which has 64.0 GiB"));
    // f32 parameters and activations do not fit there.
    let whole = Machine::gpu(&"80GB".parse::<GpuModel>().unwrap(), Stored::F32);
    assert!(refused(&recipe, &whole).is_some());
}

/// What is named does fit when it is done, and is the mildest of what does.
#[test]
fn what_does_not_fit_is_answered_with_what_does() {
    let seven = recipe_of("acereason-7b.toml");
    let mut on_gpu = seven.clone();
    on_gpu.adamw.moments = crate::optim::Moments::F32;
    let f32 = |size: &str| Machine::gpu(&size.parse::<GpuModel>().unwrap(), Stored::F32);
    let (tiny, lora) = (recipe_of("tiny-cpu.toml"), recipe_of("acereason-7b-lora.toml"));
    let rows = [
        (&on_gpu, gpu("80GB"), "adamw.moments = \"host\""),
        (&seven, f32("80GB"), "--precision bf16"),
        (&on_gpu, f32("80GB"), "--precision bf16, adamw.moments = \"host\""),
        (&seven, gpu("53GiB"), "a [lora] table and a learning rate for it"),
        (&lora, gpu("30GiB"), "max_completion_length = 16384 at most"),
        (&seven, gpu("16GB"), "a model of the size of Qwen2.5-0.5B"),
    ];
    for (recipe, machine, words) in rows {
        let found = nearest(recipe, &machine).unwrap_or_default();
        assert!(found.starts_with(words), "{}: {found:?}, not {words:?}", machine.name);
    }
    assert_eq!(nearest(&tiny, &Machine::cpu(Some(20 << 20))), None);
}

/// By hand, of 7.616 billion parameters and a completion of 32,768 tokens after 1,024 of prompt, in bf16.
#[test]
fn the_sizes_of_a_billion_parameters_are_those_on_paper() {
    let plan = plan(&recipe_of("acereason-7b.toml"), &gpu("80GB"), None).unwrap();
    let stage = plan.parts.iter().find(|part| part.name == "math-32k").unwrap();
    let of = |phase: &str, name: &str| {
        let phase = stage.phases.iter().find(|found| found.name == phase).unwrap();
        phase.consumers.iter().find(|found| found.name == name).unwrap().bytes as f64 / f64::from(1 << 30)
    };
    let rows = [
        (of("sampling", "weights"), 14.19),
        (of("update: layers", "gradients"), 28.37),
        // 30 states of 3,584 numbers, no layer whole: each is 3.1 GiB, above the 2 that layers may keep.
        (of("update: layers", "activations kept"), 6.77),
        (of("update: optimizer", "a tensor on its way"), 2.03),
        // 0.8 of what is free, 56 KiB a token.
        (of("sampling", "keys and values"), (74.5 - 14.19 - 1.0) * 0.8),
    ];
    for (ours, paper) in rows {
        assert!((ours / paper - 1.0).abs() < 0.01, "{ours} {paper}");
    }
    assert!(
        (stage.cache_tokens as f64 * 56.0 * 1024.0 / f64::from(1 << 30) / of("sampling", "keys and values")
            - 1.0)
            .abs()
            < 1e-6
    );
    let floor = stage.floor.unwrap();
    // 2,048 rollouts of 32K at about 2 petaflops and more each, and decoding of a few at once.
    assert!(floor.seconds_update > 3600.0 && floor.seconds_rollout > floor.seconds_update, "{floor:?}");
}

/// The first update refused them, after a whole step was sampled and graded.
#[test]
fn moments_of_8_bits_are_refused_on_a_gpu_however_large_it_is() {
    let mut recipe = recipe_of("acereason-7b.toml");
    recipe.adamw.moments = crate::optim::Moments::Blocks;
    for (size, words) in [("9000GB", "adamw.moments = \"f32\""), ("80GB", "adamw.moments = \"host\"")] {
        let why = refused(&recipe, &gpu(size)).unwrap();
        assert!(why.contains("8 bits") && why.contains("adamw.moments = \"host\" or \"f32\""), "{why}");
        assert_eq!(nearest(&recipe, &gpu(size)).as_deref(), Some(words), "{size}");
    }
    assert_eq!(refused(&recipe, &Machine::cpu(Some(1 << 42))), None);
}

/// Bytes of a consumer in a phase of the SFT, 0 where it has none.
fn of_sft(plan: &Plan, phase: &str, name: &str) -> usize {
    let phase = plan.parts[0].phases.iter().find(|found| found.name == phase).unwrap();
    phase.consumers.iter().find(|found| found.name == name).map_or(0, |found| found.bytes as usize)
}

/// A row was taken to have 16,384 tokens at most, and its file to be in nobody's memory.
#[test]
fn a_row_longer_than_a_pass_counts_whole_and_the_rows_are_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe_of("acereason-7b.toml");
    let path = folder.path().join("rows.jsonl");
    recipe.sft.as_mut().unwrap().file = Some(path.clone());
    let planned = |recipe: &Recipe, machine: &Machine| plan(recipe, machine, None).unwrap();
    let cpu = Machine::cpu(Some(1 << 42));
    // Thirty states of 3,584 numbers a token, and of no layer more.
    let mut measured = Vec::new();
    for bytes in [300, 90_000, 150_000] {
        let row = format!("{{\"input\": \"1+1=\", \"output\": \"{}\"}}\n", "2".repeat(bytes));
        std::fs::write(&path, &row).unwrap();
        let there = planned(&recipe, &gpu("80GB"));
        let tokens = (bytes + 4_usize).div_ceil(3) + 16;
        assert_eq!(there.row, Some(Prompt { tokens, from: "the file, three bytes a token" }));
        measured.push(of_sft(&there, "update: layers", "activations kept"));
        let here = planned(&recipe, &cpu);
        assert_eq!(of_sft(&here, "update: layers", ROWS), bytes + 4 + ROW);
        assert_eq!(of_sft(&there, "update: layers", ROWS), 0);
        let host = there.host.iter().find(|found| found.name == ROWS).unwrap();
        assert_eq!(host.bytes as usize, bytes + 4 + ROW);
    }
    // Longer ones are left out where the recipe says so.
    recipe.sft.as_mut().unwrap().max_length = Some(1000);
    assert_eq!(planned(&recipe, &cpu).row.unwrap().tokens, 1000);
    recipe.sft.as_mut().unwrap().max_length = None;
    let (a_pass, longer) = (16 * 1024, 150_004_usize.div_ceil(3) + 16);
    assert_eq!(measured[2], longer * 30 * 3584 * 2);
    assert!(measured[1] == (90_004_usize.div_ceil(3) + 16) * 30 * 3584 * 2 && measured[0] < measured[1]);
    // Short rows fill a pass, of which some layers keep all.
    assert!(measured[0] >= a_pass * 30 * 3584 * 2);
    // Of a file that is not there nothing is known, and nothing is held.
    std::fs::remove_file(&path).unwrap();
    let there = planned(&recipe, &gpu("80GB"));
    assert!(there.row.unwrap().tokens == 32_768 && there.host.iter().all(|found| found.name != ROWS));
}

/// The recipe's bound is what is counted: nothing of a layer beside its input, or all of every layer.
#[test]
fn activations_are_counted_by_the_recipes_bound() {
    let kept = |bytes: usize| {
        let mut recipe = recipe_of("acereason-7b.toml");
        recipe.model.max_activation_bytes = bytes;
        let plan = plan(&recipe, &gpu("9000GB"), None).unwrap();
        let stage = plan.parts.last().unwrap();
        let phase = stage.phases.iter().find(|phase| phase.name == "update: layers").unwrap();
        let kept = phase.consumers.iter().find(|found| found.name == "activations kept").unwrap().bytes;
        (kept as usize, stage.floor.unwrap().seconds_update)
    };
    let ((inputs, slow), (all, fast)) = (kept(0), kept(1 << 50));
    let tokens = 32_768 + 1024;
    assert_eq!(inputs, tokens * 30 * 3584 * 2);
    // Keys and values have 512 numbers; three statistics of f32, one of them for each of 28 heads.
    let layer = tokens * ((2 * 3584 + 2 * 512 + 3584 + 2 * 18_944) * 2 + (2 + 28) * 4);
    assert_eq!(all, inputs + 28 * layer);
    assert!(slow > fast);
}

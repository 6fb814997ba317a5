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

//! Compiles the CUDA kernels into one module, for the feature `cuda`; without it there is nothing to do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Machine code for these, and PTX of the last, which newer GPUs compile when the module is loaded.
const ARCHITECTURES: [&str; 2] = ["80", "90"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a directory for what is built"));
    let source = out.join("kernels.cu");
    fs::write(&source, sources()).expect("the directory for what is built can be written");
    let nvcc = env::var_os("CUDA_HOME").map_or("nvcc".into(), |home| Path::new(&home).join("bin/nvcc"));
    let mut command = Command::new(&nvcc);
    command.args(["-fatbin", "-Werror", "all-warnings", "-o"]).arg(out.join("kernels.fatbin")).arg(&source);
    for architecture in ARCHITECTURES {
        command.arg("-gencode").arg(format!("arch=compute_{architecture},code=sm_{architecture}"));
    }
    let last = ARCHITECTURES[ARCHITECTURES.len() - 1];
    command.arg("-gencode").arg(format!("arch=compute_{last},code=compute_{last}"));
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{} did not compile {}: {status}", nvcc.display(), source.display()),
        Err(error) => {
            let nvcc = nvcc.display();
            panic!(
                "the feature `cuda` needs NVIDIA's compiler ({nvcc}: {error}); learner/cuda-build.sh fetches and sets it"
            )
        }
    }
}

/// The kernels as one text: they include nothing.
fn sources() -> String {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let entries = fs::read_dir("kernels").expect("the kernels lie beside this file");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry of a directory").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    files.sort();
    let prelude = read(Path::new("kernels/prelude.cuh").to_owned());
    files.into_iter().fold(prelude, |text, path| text + &read(path))
}

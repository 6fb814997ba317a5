//! The binary `assay-train`.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay_verifier::init();
    assay_learner::cli::main()
}

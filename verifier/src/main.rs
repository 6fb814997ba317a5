//! The binary `assay`: the process roles first (they never return), then the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    assay_verifier::init();
    cli::main()
}

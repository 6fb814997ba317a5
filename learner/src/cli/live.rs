//! `assay-train live`: a run's directory as a page.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::train::TrainError;

#[derive(Debug, Args)]
pub(super) struct Live {
    /// The run's directory
    #[arg(long, value_name = "DIR", env = "ASSAY_OUT")]
    out: PathBuf,
    /// Address to listen on, of this machine alone; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
}

/// Serves until a signal.
pub(super) fn run(args: &Live) -> Result<(String, u8), TrainError> {
    if !args.listen.ip().is_loopback() {
        return Err(TrainError::Recipe(format!(
            "--listen {} is reachable by others, and the page asks nobody who they are: listen on 127.0.0.1, and reach it \
             from elsewhere by `ssh -L`",
            args.listen
        )));
    }
    if !args.out.join(crate::run::RECIPE).exists() {
        return Err(TrainError::Recipe(format!(
            "{} holds no run (no {}); check --out",
            args.out.display(),
            crate::run::RECIPE
        )));
    }
    let ready = |address: SocketAddr| {
        let mut stdout = std::io::stdout().lock();
        // Whoever started this and does not listen needs no address.
        let _ = writeln!(stdout, "http://{address}").and_then(|()| stdout.flush());
    };
    crate::run::live::serve(&args.out, args.listen, ready).map_err(|error| {
        TrainError::Recipe(format!("cannot listen at {}: {error}; give another --listen", args.listen))
    })?;
    Ok((String::new(), 0))
}

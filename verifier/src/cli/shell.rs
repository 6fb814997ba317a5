//! `assay completions` and `assay man`: what a package puts beside the binary, made from the same definitions as `--help`.

use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, CliError, Status, output};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

const COMPLETIONS: &str = "\
Examples:
  assay completions bash > /usr/share/bash-completion/completions/assay
  assay completions zsh > ~/.zfunc/_assay
  assay completions fish > ~/.config/fish/completions/assay.fish";

/// Print the manual page, or write those of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = MAN)]
pub(crate) struct ManArgs {
    /// The page of this command
    command: Option<String>,
    /// Write a page for assay and one for each command into this directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    out: Option<PathBuf>,
}

const MAN: &str = "\
Examples:
  assay man serve | man -l -
  assay man --out /usr/share/man/man1";

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Status, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "assay", &mut text);
    output::print(&text)?;
    Ok(Status::Fine)
}

pub(crate) fn man(args: &ManArgs) -> Result<Status, CliError> {
    let mut whole = Cli::command();
    whole.build();
    if let Some(directory) = &args.out {
        let written = |path: PathBuf, page: Vec<u8>| {
            std::fs::write(&path, page).map_err(|error| CliError::write("the manual page", &path, &error))
        };
        std::fs::create_dir_all(directory)
            .map_err(|error| CliError::write("the manual pages in", directory, &error))?;
        written(directory.join("assay.1"), page(&whole, "assay")?)?;
        for command in whole.get_subcommands() {
            let name = format!("assay-{}", command.get_name());
            written(directory.join(format!("{name}.1")), page(command, &name)?)?;
        }
        return Ok(Status::Fine);
    }
    let page = match &args.command {
        None => page(&whole, "assay")?,
        Some(name) => {
            let command = whole.find_subcommand(name).ok_or_else(|| {
                let names: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
                CliError::no_command(name, &names)
            })?;
            page(command, &format!("assay-{name}"))?
        }
    };
    output::print(&page)?;
    Ok(Status::Fine)
}

fn page(command: &Command, title: &str) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    let command = command.clone().display_name(title.to_owned());
    Man::new(command)
        .title(title.to_ascii_uppercase())
        .render(&mut text)
        .map_err(|error| CliError::failure(format!("cannot write the manual page: {error}")))?;
    Ok(text)
}

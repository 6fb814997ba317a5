//! `assay config`: whether the settings are right, and what they come to.
//!
//! Both take the settings the way every command does: `--config FILE` or `ASSAY_CONFIG`, and the environment.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory};
use serde_json::{Map, Value, json};

use super::{Cli, CliError, Status, output, serve, settings, usage_error};

/// Check the settings of all commands, or show them
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const EPILOGUE: &str = "\
Examples:
  assay --config assay.toml config check         before a restart, or before SIGHUP
  assay --config assay.toml config dump serve    every setting of `assay serve`, and where it comes from
  assay config dump > assay.toml                 a file to start from";

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Read the settings as each command would, and the files that `assay serve` needs; exit code 2 and the line if something is
    /// wrong
    Check,
    /// Print the settings as a file that could be given with --config, each with where it comes from
    Dump {
        /// Of this command alone
        command: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    // `parse` has read the file already, to get here; its errors are told from there.
    let settings = Settings::load(std::env::args_os().collect())?;
    match args.action {
        Action::Check => {
            for name in settings.commands() {
                settings.values(&name)?;
            }
            serve::check(&settings.parsed("serve")?)?;
            output::print(format!("{}\n", settings.praise()).as_bytes())?;
        }
        Action::Dump { command, json } => {
            let names = settings.commands();
            let wanted = match command {
                Some(name) if names.contains(&name) => vec![name],
                Some(name) => return Err(CliError::no_command(&name, &names)),
                None => names,
            };
            let tables: Vec<(String, Vec<Setting>)> = wanted
                .into_iter()
                .map(|name| Ok((name.clone(), settings.values(&name)?)))
                .collect::<Result<_, CliError>>()?;
            if json {
                output::print_json(&as_json(&tables))?
            } else {
                output::print(as_toml(&tables).as_bytes())?
            }
        }
    }
    Ok(Status::Fine)
}

struct Settings {
    file: Option<settings::File>,
    command: Command,
}

/// One option's value.
struct Setting {
    name: String,
    /// `None` where it is not set and has no default.
    value: Option<String>,
    /// Whether it can be on or off only.
    switch: bool,
    origin: String,
}

impl Settings {
    fn load(arguments: Vec<OsString>) -> Result<Settings, CliError> {
        let file = settings::load(&arguments)?;
        let command = settings::layer(Cli::command(), file.as_ref())?;
        Ok(Settings { file, command })
    }

    /// Those with options.
    fn commands(&self) -> Vec<String> {
        let commands =
            self.command.get_subcommands().filter(|command| settings::options(command).next().is_some());
        commands.map(|command| command.get_name().to_owned()).collect()
    }

    /// What clap makes of the environment, the file and the defaults. What a command needs beyond its settings, such as files, is
    /// missing here, and no fault: clap looks at values first.
    fn parsed(&self, name: &str) -> Result<ArgMatches, CliError> {
        let arguments: [OsString; 2] = ["assay".into(), name.into()];
        let bad = |error: clap::Error| usage_error(&error, &arguments, self.file.as_ref());
        let matches = match self.command.clone().try_get_matches_from(&arguments) {
            Err(error) if is_incomplete(error.kind()) => {
                self.command.clone().ignore_errors(true).try_get_matches_from(&arguments).map_err(bad)?
            }
            matches => matches.map_err(bad)?,
        };
        let own = matches.subcommand_matches(name).cloned();
        own.ok_or_else(|| CliError::failure(format!("the settings of {name} cannot be read")))
    }

    fn values(&self, name: &str) -> Result<Vec<Setting>, CliError> {
        let matches = self.parsed(name)?;
        let command = self.command.find_subcommand(name).into_iter();
        let setting = |option: &clap::Arg| {
            let long = option.get_long().unwrap_or_default();
            let raw = matches.get_raw(option.get_id().as_str());
            let value =
                raw.map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","));
            let origin = match matches.value_source(option.get_id().as_str()) {
                Some(ValueSource::EnvVariable) => settings::variable(long),
                _ => self
                    .file
                    .as_ref()
                    .and_then(|file| file.place(name, long))
                    .unwrap_or_else(|| "default".into()),
            };
            let switch = matches!(option.get_action(), ArgAction::SetTrue);
            Setting { name: long.to_owned(), value, switch, origin }
        };
        Ok(command.flat_map(settings::options).map(setting).collect())
    }

    fn praise(&self) -> String {
        match &self.file {
            Some(file) => format!("{}: fine", file.name()),
            None => "no settings file; the environment and the defaults are fine".into(),
        }
    }
}

fn is_incomplete(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
}

fn as_toml(tables: &[(String, Vec<Setting>)]) -> String {
    let mut text = String::new();
    for (name, settings) in tables {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{name}]\n"));
        for setting in settings {
            let line = match &setting.value {
                None => format!("# {} is not set", setting.name),
                Some(value) if setting.switch || value.parse::<i64>().is_ok() => {
                    format!("{} = {value}", setting.name)
                }
                Some(value) => format!("{} = {}", setting.name, toml::Value::from(value.as_str())),
            };
            let origin =
                if setting.value.is_some() { format!("  # {}", setting.origin) } else { String::new() };
            text.push_str(&format!("{line}{origin}\n"));
        }
    }
    text
}

fn as_json(tables: &[(String, Vec<Setting>)]) -> Value {
    let table = |settings: &Vec<Setting>| {
        let entry = |setting: &Setting| {
            (setting.name.clone(), json!({ "value": setting.value, "from": setting.origin }))
        };
        Value::Object(settings.iter().map(entry).collect::<Map<_, _>>())
    };
    Value::Object(tables.iter().map(|(name, settings)| (name.clone(), table(settings))).collect())
}

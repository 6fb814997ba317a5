//! The layers under the flags: environment, TOML file, defaults.
//!
//! clap already prefers a flag to an environment variable and that to a default. So each option gets the
//! variable `ASSAY_<OPTION>`, and a value from the file simply becomes the option's default: it goes through
//! the same parser, with the same errors, and `--help` shows what the file says. A table or key that no
//! command knows is refused.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

use super::values::NUMERIC;
use super::{CliError, read_file};

/// The variable that stands for `--config`.
pub(crate) const CONFIG_VARIABLE: &str = "ASSAY_CONFIG";

/// A settings file: `(table, key, value, line)` in file order.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    table: String,
    key: String,
    value: &'static str,
    line: usize,
}

impl File {
    /// Its path, for people.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Where it sets an option of a command.
    pub(crate) fn place(&self, table: &str, key: &str) -> Option<String> {
        let entry = self.entries.iter().find(|entry| entry.table == table && entry.key == key)?;
        Some(format!("{}, line {}", self.path.display(), entry.line))
    }
}

/// The options of a command that are settings.
pub(crate) fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    let beside = ["help", "version", "config"];
    command
        .get_arguments()
        .filter(move |option| option.get_long().is_some_and(|long| !beside.contains(&long)))
}

/// Loads the file named by `--config` or `ASSAY_CONFIG`, if any.
pub(crate) fn load(arguments: &[OsString]) -> Result<Option<File>, CliError> {
    let Some(path) = path(arguments) else { return Ok(None) };
    let bytes = read_file("the settings file", &path)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        CliError::usage(format!("settings file {} is not UTF-8; save it as such", path.display()))
    })?;
    let entries = entries(&text).map_err(|(line, what)| {
        CliError::usage(format!("settings file {}, line {line}: {what}", path.display()))
    })?;
    Ok(Some(File { path, entries }))
}

/// Gives every option its variable and its default from the file.
pub(crate) fn layer(command: Command, file: Option<&File>) -> Result<Command, CliError> {
    if let Some(file) = file {
        refuse_unknown(&command, file)?;
    }
    Ok(command.mut_subcommands(|subcommand| {
        let table = subcommand.get_name().to_owned();
        subcommand.mut_args(|option| layer_option(option, &table, file))
    }))
}

/// Where the value of `argument` (as clap shows it: `--cpu-time <DURATION>`) came from, when not from a flag.
pub(crate) fn origin(argument: &str, arguments: &[OsString], file: Option<&File>) -> Option<String> {
    let long = argument.strip_prefix("--")?.split_whitespace().next()?;
    let is_flag = |text: &OsString| {
        text.to_str()
            .and_then(|text| text.strip_prefix("--"))
            .is_some_and(|text| text.split('=').next().is_some_and(|name| name == long))
    };
    if arguments.iter().any(is_flag) {
        return None;
    }
    let variable = variable(long);
    if env::var_os(&variable).is_some() {
        return Some(variable);
    }
    let file = file?;
    let is_table = |name: &str| arguments.iter().any(|argument| argument == OsStr::new(name));
    let entry = file.entries.iter().find(|entry| entry.key == long && is_table(&entry.table))?;
    file.place(&entry.table, long)
}

fn layer_option(option: Arg, table: &str, file: Option<&File>) -> Arg {
    let Some(long) = option.get_long().map(str::to_owned) else { return option };
    // Leaked once per option and process: clap keeps such names as `&'static str`.
    let mut option = option.env(&*variable(&long).leak()).hide_env(true);
    if matches!(option.get_action(), ArgAction::SetTrue) {
        option = option.value_parser(BoolishValueParser::new());
    }
    let names = option.get_value_names().unwrap_or_default();
    if names.iter().any(|name| NUMERIC.contains(&name.as_str())) {
        option = option.allow_hyphen_values(true);
    }
    let value = file.and_then(|file| {
        file.entries.iter().find(|entry| entry.table == table && entry.key == long).map(|entry| entry.value)
    });
    match value {
        Some(value) => option.default_value(value).required(false),
        None => option,
    }
}

/// The variable of an option. `ASSAY_CACHE` is the sandbox's own, a directory for what compilers made; a service that had it
/// took it for its `--cache N`, and did not start.
pub(crate) fn variable(long: &str) -> String {
    let long = if long == "cache" { "results-cache" } else { long };
    format!("ASSAY_{}", long.replace('-', "_").to_ascii_uppercase())
}

/// `--config` before `--`, else the variable. clap reads it too; this look-ahead is what makes the file a
/// layer below.
fn path(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = argument.to_str().and_then(|argument| argument.strip_prefix("--config=")) {
            return Some(path.into());
        }
    }
    env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// All `key = value` of all tables, or the line and what is wrong there.
fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line_at = |offset: usize| text[..offset].matches('\n').count() + 1;
    let tables = DeTable::parse(text).map_err(|error| {
        let line = line_at(error.span().map_or(0, |span| span.start.min(text.len())));
        (line, format!("{}; the file must be TOML", error.message().replace('\n', " ")))
    })?;
    let mut entries = Vec::new();
    for (table, value) in tables.get_ref() {
        let DeValue::Table(keys) = value.get_ref() else {
            let what = format!(
                "key `{}` stands outside a table; write it under [run] or another command's name",
                table.get_ref()
            );
            return Err((line_at(table.span().start), what));
        };
        for (key, value) in keys {
            let line = line_at(key.span().start);
            let value = scalar(value.get_ref()).ok_or_else(|| {
                (line, format!("key `{}` must be a string, a number or a boolean", key.get_ref()))
            })?;
            let (table, key) = (table.get_ref().to_string(), key.get_ref().to_string());
            entries.push(Entry { table, key, value: value.leak(), line });
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn refuse_unknown(command: &Command, file: &File) -> Result<(), CliError> {
    for Entry { table, key, line, .. } in &file.entries {
        let place = format!("settings file {}, line {line}", file.path.display());
        let Some(subcommand) = command.find_subcommand(table) else {
            let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let known = known.join(", ");
            return Err(CliError::usage(format!("{place}: unknown table [{table}]; the tables are {known}")));
        };
        let mut known: Vec<&str> = subcommand.get_arguments().filter_map(Arg::get_long).collect();
        if !known.contains(&key.as_str()) {
            known.sort_unstable();
            let known = known.join(", ");
            return Err(CliError::usage(format!(
                "{place}: unknown key `{key}` in [{table}]; it knows {known}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let cpu_time = Arg::new("cpu_time").long("cpu-time").default_value("2s");
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
        let file = Arg::new("file").required(true);
        Command::new("assay").subcommand(Command::new("run").arg(cpu_time).arg(json).arg(file))
    }

    fn file(text: &str) -> File {
        File { path: "a.toml".into(), entries: entries(text).unwrap() }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let settings = file("[run]\ncpu-time = \"3s\"\njson = true\n");
        let rows: [(Option<&File>, &[&str], &str, bool); 3] = [
            (None, &["assay", "run", "x"], "2s", false),
            (Some(&settings), &["assay", "run", "x"], "3s", true),
            (Some(&settings), &["assay", "run", "x", "--cpu-time", "4s"], "4s", true),
        ];
        for (file, arguments, cpu_time, json) in rows {
            let matches = layer(command(), file).unwrap().get_matches_from(arguments);
            let run = matches.subcommand_matches("run").unwrap();
            assert_eq!(run.get_one::<String>("cpu_time").unwrap(), cpu_time);
            assert_eq!(run.get_flag("json"), json);
        }
    }

    #[test]
    fn unknown_names_are_refused_with_their_line() {
        let rows = [
            (
                "[run]\n\ncpu-tme = \"2s\"",
                "settings file a.toml, line 3: unknown key `cpu-tme` in [run]; it knows cpu-time, json",
            ),
            (
                "[rum]\ncpu-time = \"2s\"",
                "settings file a.toml, line 2: unknown table [rum]; the tables are run",
            ),
        ];
        for (text, message) in rows {
            assert_eq!(layer(command(), Some(&file(text))).unwrap_err(), CliError::usage(message));
        }
    }

    #[test]
    fn what_is_no_settings_file_is_refused_with_its_line() {
        let rows = [
            ("x = 1", 1, "outside a table"),
            ("[run]\ny = [1]", 2, "must be a string"),
            ("[run]\nz =", 2, "TOML"),
        ];
        for (text, line, what) in rows {
            let error = entries(text).unwrap_err();
            assert!(error.0 == line && error.1.contains(what), "{text:?}: {error:?}");
        }
    }
}

//! Languages are data: `languages.toml` beside this file, and files of the same form that users add. A [`Language`] is
//! the number of an entry in this process's table, which only grows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{Limits, SandboxError};

/// The environment variable that names a file with more languages.
pub(crate) const FILE_VARIABLE: &str = "ASSAY_LANGUAGES";
/// What a program of the python engine finds itself called; see `zygote.py`.
const PYTHON_SOURCE: &str = "main.py";
/// Entries of one process at most; more is a mistake.
const MOST: usize = 1000;

/// A language the sandbox can run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(u16);

#[expect(
    non_upper_case_globals,
    reason = "values of a set that users extend, written like the variants of a closed one"
)]
impl Language {
    /// CPython 3, a real `__main__` per run.
    pub const Python3: Language = Language(0);
    /// C++17, compiled by g++ inside the walls.
    pub const Cpp17: Language = Language(1);
    /// A WebAssembly module with WASI preview 1, run by wasmtime.
    pub const Wasm: Language = Language(2);
}

impl Language {
    /// All languages this process knows, in the order they are listed to people.
    pub fn all() -> Vec<Language> {
        (0..table().len()).map(|number| Language(number as u16)).collect()
    }

    /// The name used on the command line, in records and in reports.
    pub fn name(self) -> &'static str {
        &self.entry().name
    }

    /// Reads a name people use, such as `python3`, `python`, `py`, `cpp17`, `c++`; upper and lower case are the same.
    pub fn from_name(name: &str) -> Option<Language> {
        let name = name.to_ascii_lowercase();
        find(|entry| entry.name == name || entry.aliases.contains(&name))
    }

    /// The language of files with this extension (`py`, without a dot).
    pub fn from_extension(extension: &str) -> Option<Language> {
        find(|entry| entry.extensions.iter().any(|known| known == extension))
    }

    /// Whether this is `other`, or its entry says that it is like it: C++20 is like C++17, another interpreter of Python
    /// like the usual one.
    pub fn is_like(self, other: Language) -> bool {
        self == other || self.entry().like.is_some_and(|base| base.is_like(other))
    }

    /// Whether a compiler has to accept the source before the program can run; otherwise the run does that itself.
    pub fn is_compiled(self) -> bool {
        self.entry().compiler.is_some() || self.entry().is_interpreted_module()
    }

    /// Whether [`Doctor::ok`](crate::Doctor::ok) asks for it.
    pub fn is_needed(self) -> bool {
        self.entry().needed
    }

    /// Adds the languages of a file of the same form as the sandbox's own. Adding them once more changes nothing.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] with file, line and key when the file cannot be read or is wrong, or names a language
    /// that this process knows with other contents.
    pub fn load(file: &Path) -> Result<(), SandboxError> {
        let invalid = |text: String| SandboxError::Invalid(format!("{}: {text}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
        let mut known = registry().write().unwrap_or_else(PoisonError::into_inner);
        // All or nothing: a language of a file with a mistake further down is not there.
        let mut more = known.clone();
        add(&mut more, &text).map_err(invalid)?;
        *known = more;
        Ok(())
    }

    /// Adds the languages of the file that the environment names, if it names one.
    ///
    /// # Errors
    /// As [`Language::load`].
    pub fn load_configured() -> Result<(), SandboxError> {
        std::env::var_os(FILE_VARIABLE).map_or(Ok(()), |file| Language::load(Path::new(&file)))
    }

    pub(crate) fn entry(self) -> &'static Entry {
        registry().read().unwrap_or_else(PoisonError::into_inner)[usize::from(self.0)]
    }

    /// The language whose slots this one shares.
    pub(crate) fn room(self, work: Work) -> Language {
        self.entry().rooms[work as usize]
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a tool is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Work {
    Compile,
    Run,
}

/// How a program of a language comes to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// Forked from a warm interpreter.
    Python,
    /// A binary, executed.
    Native,
    /// An interpreter or virtual machine of its own for each run, of the cold class.
    Runtime,
    /// A module of the second engine.
    Wasm,
}

/// One language.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    like: Option<Language>,
    aliases: Vec<String>,
    extensions: Vec<String>,
    pub(crate) engine: Engine,
    needed: bool,
    pub(crate) source: String,
    compiler: Option<Tool>,
    pub(crate) compile: Vec<String>,
    /// The compiler takes precompiled headers as g++ does.
    pub(crate) header: bool,
    /// What the compiler leaves in /tmp.
    pub(crate) product: String,
    /// What that, or a source that needs no compiler, is called in the box.
    pub(crate) image: String,
    interpreter: Option<Tool>,
    /// How a module that is an interpreter looks at a source.
    pub(crate) check: Vec<String>,
    pub(crate) run: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) compiler_environment: Vec<String>,
    pub(crate) needs: Needs,
    pub(crate) compiler_needs: Needs,
    /// By work, the language whose slots this one shares.
    rooms: [Language; 2],
}

impl Entry {
    /// Whether programs are run by an interpreter that is a WebAssembly module.
    pub(crate) fn is_interpreted_module(&self) -> bool {
        self.engine == Engine::Wasm && self.interpreter.is_some()
    }

    /// Whether the source is the module.
    pub(crate) fn is_module(&self) -> bool {
        self.engine == Engine::Wasm && self.compiler.is_none() && self.interpreter.is_none()
    }

    /// What does this for programs of the language.
    pub(crate) fn tool(&self, work: Work) -> Option<&Tool> {
        match work {
            Work::Compile => self.compiler.as_ref(),
            Work::Run => self.interpreter.as_ref(),
        }
    }
}

/// What a tool takes for itself, added to the limits of its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Needs {
    memory_mib: u64,
    address_space_gib: u64,
    processes: u32,
    open_files: u32,
}

impl Needs {
    /// The limits with what the tool needs.
    pub(crate) fn added_to(self, limits: &Limits) -> Limits {
        Limits {
            memory: limits.memory.saturating_add(self.memory_mib << 20),
            processes: limits.processes.saturating_add(self.processes),
            open_files: limits.open_files.saturating_add(self.open_files),
            ..limits.clone()
        }
    }

    /// Beyond what follows from the memory limit, in bytes.
    pub(crate) fn address_space(self) -> u64 {
        self.address_space_gib << 30
    }
}

/// A program of the host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tool {
    pub(crate) commands: Vec<String>,
    pub(crate) variable: Option<String>,
    pub(crate) home: Vec<String>,
    pub(crate) stands_for: Vec<PathBuf>,
    pub(crate) show: Vec<String>,
    pub(crate) version: Vec<String>,
    pub(crate) label: String,
    #[serde(rename = "static")]
    pub(crate) static_libraries: Vec<String>,
    pub(crate) install: String,
}

/// An entry as it is written: what it does not say comes from the one it is like.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    like: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    extensions: Vec<String>,
    engine: Option<Engine>,
    #[serde(default)]
    needed: bool,
    source: Option<String>,
    compiler: Option<WrittenTool>,
    compile: Option<Vec<String>>,
    header: Option<bool>,
    product: Option<String>,
    image: Option<String>,
    interpreter: Option<WrittenTool>,
    check: Option<Vec<String>>,
    run: Option<Vec<String>>,
    environment: Option<Vec<String>>,
    compiler_environment: Option<Vec<String>>,
    needs: Option<Needs>,
    compiler_needs: Option<Needs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    language: Vec<Spanned<Written>>,
}

/// A tool in full, or only where it is.
enum WrittenTool {
    Path(String),
    Tool(Tool),
}

impl<'de> Deserialize<'de> for WrittenTool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WrittenTool, D::Error> {
        struct PathOrTool;
        impl<'de> Visitor<'de> for PathOrTool {
            type Value = WrittenTool;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the tool's path, or a table that describes it")
            }
            fn visit_str<E: de::Error>(self, path: &str) -> Result<WrittenTool, E> {
                Ok(WrittenTool::Path(path.into()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<WrittenTool, M::Error> {
                Tool::deserialize(MapAccessDeserializer::new(map)).map(WrittenTool::Tool)
            }
        }
        deserializer.deserialize_any(PathOrTool)
    }
}

impl WrittenTool {
    /// A path alone leaves the rest as it was.
    fn over(self, base: Option<Tool>) -> Tool {
        match self {
            WrittenTool::Tool(tool) => tool,
            WrittenTool::Path(path) => Tool {
                install: format!("it, or name another one instead of {path}"),
                commands: vec![path],
                variable: None,
                ..base.unwrap_or_default()
            },
        }
    }
}

impl Written {
    fn over(self, base: Option<(Language, &Entry)>) -> Result<Entry, String> {
        let (like, base) = base.unzip();
        let tool = |written: Option<WrittenTool>, base: Option<&Tool>| match written {
            Some(written) => Some(written.over(base.cloned())),
            None => base.cloned(),
        };
        let missing =
            |key: &str| format!("the key `{key}` is missing (or `like`, to take it from another language)");
        let engine = self.engine.or(base.map(|base| base.engine)).ok_or_else(|| missing("engine"))?;
        let source = self.source.or(base.map(|base| base.source.clone())).ok_or_else(|| missing("source"))?;
        Ok(Entry {
            name: self.name,
            like,
            aliases: self.aliases,
            extensions: self.extensions,
            engine,
            needed: self.needed,
            compiler: tool(self.compiler, base.and_then(|base| base.compiler.as_ref())),
            compile: self.compile.or(base.map(|base| base.compile.clone())).unwrap_or_default(),
            header: self.header.or(base.map(|base| base.header)).unwrap_or_default(),
            product: self.product.or(base.map(|base| base.product.clone())).unwrap_or("main".into()),
            image: self.image.or(base.map(|base| base.image.clone())).unwrap_or(source.clone()),
            source,
            check: self.check.or(base.map(|base| base.check.clone())).unwrap_or_default(),
            run: self.run.or(base.map(|base| base.run.clone())).unwrap_or_default(),
            environment: self.environment.or(base.map(|base| base.environment.clone())).unwrap_or_default(),
            compiler_environment: self
                .compiler_environment
                .or(base.map(|base| base.compiler_environment.clone()))
                .unwrap_or_default(),
            needs: self.needs.or(base.map(|base| base.needs)).unwrap_or_default(),
            compiler_needs: self.compiler_needs.or(base.map(|base| base.compiler_needs)).unwrap_or_default(),
            interpreter: tool(self.interpreter, base.and_then(|base| base.interpreter.as_ref())),
            rooms: [Language::Python3; 2],
        })
    }
}

type Table = Vec<&'static Entry>;

fn registry() -> &'static RwLock<Table> {
    static TABLE: OnceLock<RwLock<Table>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table::new();
        // A test reads it; a mistake in it leaves those before.
        let read = add(&mut table, include_str!("languages.toml"));
        debug_assert_eq!(read, Ok(()));
        RwLock::new(table)
    })
}

fn table() -> Table {
    registry().read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn find(is_it: impl Fn(&Entry) -> bool) -> Option<Language> {
    table().iter().position(|entry| is_it(entry)).map(|number| Language(number as u16))
}

/// Adds the entries of a text. Entries live as long as the process, as handles to them do.
fn add(table: &mut Table, text: &str) -> Result<(), String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    for written in file.language {
        let line = text[..written.span().start].matches('\n').count() + 1;
        let written = written.into_inner();
        let name = written.name.clone();
        add_one(table, written).map_err(|error| format!("line {line}: language `{name}`: {error}"))?;
    }
    Ok(())
}

fn add_one(table: &mut Table, written: Written) -> Result<(), String> {
    let by_name = |name: &str| {
        let number = table.iter().position(|entry| entry.name == name)?;
        Some((Language(number as u16), table[number]))
    };
    let base = written.like.as_ref().map(|name| {
        by_name(name).ok_or_else(|| format!("`like` names {name:?}, which is no language above it"))
    });
    let base = base.transpose()?;
    let mut entry = written.over(base)?;
    check(&entry)?;
    entry.rooms = [Work::Compile, Work::Run].map(|work| room(table, &entry, work));
    if let Some((_, known)) = by_name(&entry.name) {
        return if *known == entry { Ok(()) } else { Err("there is one of this `name` already".into()) };
    }
    let taken = |name: &String| table.iter().any(|other| other.name == *name || other.aliases.contains(name));
    if let Some(name) = [&entry.name].into_iter().chain(&entry.aliases).find(|name| taken(name)) {
        return Err(format!("{name:?} is another language's name or alias"));
    }
    if table.len() == MOST {
        return Err(format!("more than {MOST} languages"));
    }
    table.push(Box::leak(Box::new(entry)));
    Ok(())
}

/// The first language with the same tool. Native programs need nothing but the loader, and run where Python does.
fn room(table: &Table, entry: &Entry, work: Work) -> Language {
    if work == Work::Run && entry.engine == Engine::Native {
        return Language::Python3;
    }
    let same = |other: &&Entry| other.engine == entry.engine && other.tool(work) == entry.tool(work);
    Language(table.iter().position(same).unwrap_or(table.len()) as u16)
}

/// What the types do not say.
fn check(entry: &Entry) -> Result<(), String> {
    let plain = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-_.#".contains(&b))
    };
    if let Some(name) = [&entry.name].into_iter().chain(&entry.aliases).find(|name| !plain(name)) {
        return Err(format!(
            "`name` and `aliases` are lower-case letters, digits and + - _ . #, not {name:?}"
        ));
    }
    for (key, name) in [("source", &entry.source), ("product", &entry.product), ("image", &entry.image)] {
        if name.contains(['/', '\0']) || name.starts_with('.') || name.is_empty() {
            return Err(format!("`{key}` must be a plain file name, not {name:?}"));
        }
    }
    let needs = |key: &str, tool: &Option<Tool>| match tool {
        Some(tool) if !tool.commands.is_empty() => Ok(()),
        Some(_) => Err(format!("`{key}` has no `commands`")),
        None => Err(format!("this engine needs the key `{key}`")),
    };
    match entry.engine {
        Engine::Python if entry.source != PYTHON_SOURCE => {
            Err(format!("`source` is {PYTHON_SOURCE} where the engine is python"))
        }
        Engine::Python => needs("interpreter", &entry.interpreter),
        Engine::Native => needs("compiler", &entry.compiler),
        Engine::Runtime => needs("interpreter", &entry.interpreter),
        Engine::Wasm if entry.interpreter.is_none() => Ok(()),
        Engine::Wasm if entry.compiler.is_some() => {
            Err("`compiler` and `interpreter` are not both for the engine wasm".into())
        }
        Engine::Wasm if entry.check.is_empty() => {
            Err("an interpreter of the engine wasm needs the key `check`".into())
        }
        Engine::Wasm => needs("interpreter", &entry.interpreter),
    }
}

/// The name of the class that holds a Java program: the public one's, else the first one's, else Main. Comments and
/// texts are left out; generic classes, records, enums and interfaces count as classes.
pub(crate) fn main_class(source: &[u8]) -> String {
    let text = String::from_utf8_lossy(source);
    let words = java_words(&text);
    let kinds = ["class", "interface", "enum", "record"];
    let modifiers = ["final", "abstract", "strictfp", "sealed"];
    let mut first = None;
    for (at, pair) in words.windows(2).enumerate() {
        // `record` and `sealed` are words like others elsewhere; `.class` is an expression.
        let starts = at == 0
            || [";", "}", "public", ")"].contains(&words[at - 1])
            || modifiers.contains(&words[at - 1]);
        if !kinds.contains(&pair[0])
            || !starts
            || !pair[1].starts_with(|c: char| c.is_alphabetic() || c == '_')
        {
            continue;
        }
        if words[..at].iter().rev().find(|word| !modifiers.contains(word)) == Some(&"public") {
            return pair[1].into();
        }
        first = first.or(Some(pair[1]));
    }
    first.unwrap_or("Main").into()
}

/// The words outside of comments, texts and braces; of other signs only `;`, `}`, `)` and `.`.
fn java_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(sign) = rest.chars().next() {
        let skip =
            |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
        let length = match sign {
            '/' if rest.starts_with("//") => skip("\n", 2),
            '/' if rest.starts_with("/*") => skip("*/", 2),
            '"' if rest.starts_with("\"\"\"") => skip("\"\"\"", 3),
            '"' | '\'' => quoted(rest, sign),
            '{' | '}' => {
                depth = if sign == '{' { depth + 1 } else { depth.saturating_sub(1) };
                1
            }
            _ if sign.is_alphanumeric() || sign == '_' || sign == '$' => {
                let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                rest.find(|c| !inside(c)).unwrap_or(rest.len())
            }
            _ => sign.len_utf8(),
        };
        let word = &rest[..length];
        if depth == 0
            && (word.starts_with(|c: char| c.is_alphabetic() || c == '_')
                || [";", "}", ")", "."].contains(&word))
        {
            words.push(word);
        }
        rest = &rest[length..];
    }
    words
}

/// The length of a text in quotes, with escapes in it.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote || sign == '\n' => return at + sign.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_ones_are_where_their_numbers_say() {
        for (language, name) in
            [(Language::Python3, "python3"), (Language::Cpp17, "cpp17"), (Language::Wasm, "wasm")]
        {
            assert_eq!((language.name(), Language::from_name(name)), (name, Some(language)));
            assert!(language.is_needed());
        }
        assert_eq!(Language::from_name("C++"), Some(Language::Cpp17));
        assert_eq!(Language::from_extension("cc"), Some(Language::Cpp17));
        assert_eq!(Language::all().iter().filter(|language| language.is_needed()).count(), 3);
    }

    #[test]
    fn one_tool_is_one_room() {
        let cpp20 = Language::from_name("cpp20").unwrap();
        assert_eq!(cpp20.room(Work::Compile), Language::Cpp17);
        assert_eq!(cpp20.room(Work::Run), Language::Python3);
        assert_ne!(Language::from_name("c").unwrap().room(Work::Compile), Language::Cpp17);
    }

    #[test]
    fn a_java_programs_class_is_found() {
        for (source, class) in [
            ("", "Main"),
            ("class A {}", "A"),
            ("import java.util.*;\nclass A {} public class B { }", "B"),
            (
                "// public class X\n/* public class Y */ public final class Solution<T> extends Z {}",
                "Solution",
            ),
            (
                "class A { public class Inner {} String s = \"} public class T {\"; char c = '\\''; } class B {}",
                "A",
            ),
            ("@Deprecated() public abstract class C {}", "C"),
            ("public record P(int x) {} class A {}", "P"),
            ("class Q { Class<?> c = String.class; }", "Q"),
            ("class A { String s = \"\"\"\n} public class T {\"\"\"; }\npublic interface I {}", "I"),
            ("class A", "A"),
            ("\"", "Main"),
        ] {
            assert_eq!(main_class(source.as_bytes()), class, "{source}");
        }
    }

    /// A text added to the sandbox's own, and what is said of it.
    fn added(text: &str) -> Result<Table, String> {
        let mut table = table();
        add(&mut table, text).map(|()| table)
    }

    #[test]
    fn a_tool_is_exchanged_by_its_path() {
        let text =
            "[[language]]\nname = 'python3-torch'\nlike = 'python3'\ninterpreter = '/opt/venv/bin/python'";
        let table = added(text).unwrap();
        let entry = table.last().unwrap();
        let tool = entry.tool(Work::Run).unwrap();
        assert_eq!(
            (tool.commands.as_slice(), &tool.variable),
            (&["/opt/venv/bin/python".to_string()][..], &None)
        );
        assert!(!entry.needed && entry.aliases.is_empty() && entry.engine == Engine::Python);
        let mut again = table.clone();
        add(&mut again, text).unwrap();
        assert_eq!(again.len(), table.len());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, parts) in [
            ("x = 1", &["line 1", "`x`"][..]),
            ("[[language]]\nname = 'a'\nengin = 'native'", &["line 3", "`engin`"]),
            ("[[language]]\nname = 'a'\nengine = 'jit'", &["line 3", "`jit`"]),
            ("[[language]]\nname = 'a'\nlike = 'cpp17'\ncompiler = 3", &["line 4", "the tool's path"]),
            ("\n[[language]]\nname = 'a'\nlike = 'b'", &["line 2", "`a`", "`like`", "\"b\""]),
            ("[[language]]\nname = 'a'", &["line 1", "`engine`"]),
            ("[[language]]\nname = 'a'\nengine = 'native'\nsource = 'a'", &["`compiler`"]),
            ("[[language]]\nname = 'a'\nlike = 'cpp17'\nsource = '../a'", &["`source`", "\"../a\""]),
            ("[[language]]\nname = 'python3'\nlike = 'cpp17'", &["`name`"]),
            ("[[language]]\nname = 'a'\naliases = ['py']\nlike = 'cpp17'", &["\"py\""]),
            ("[[language]]\nname = 'A'\nlike = 'cpp17'", &["`name`", "\"A\""]),
        ] {
            let error = added(text).expect_err(text);
            for part in parts {
                assert!(error.contains(part), "{part:?} is not in {error:?}");
            }
        }
    }
}

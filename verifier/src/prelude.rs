//! The forgiving prelude that LiveCodeBench's runner puts before a program in Python: star imports of eighteen modules,
//! the modules themselves, and two wider limits of the interpreter.
//!
//! Whole, it binds some 900 names. Each binding writes to an object that a forked program shares with the interpreter it
//! was forked from, so a page is copied, and all of them cost as much as everything else about a run. So a program gets
//! those of the names that it mentions, each from the module that would have won. Which module exports what, the
//! interpreter is asked once ([`Preludes`]). What a program does not mention it cannot miss, unless it makes names at
//! run time or asks which there are: one with a word of [`LOOKS_AROUND`] gets all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use assay_sandbox::{Language, Limits, Prepared, Program, Sandbox, Termination};

/// The star imports a LiveCodeBench program may rely on, in the order that decides which name wins.
const STAR_IMPORTS: [&str; 18] = [
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "builtins",
    "typing",
];

/// The limits that lcb_runner widens.
const LIMITS: &str = "sys.setrecursionlimit(50000); sys.set_int_max_str_digits(50000)";

/// Words of programs that may reach a name without writing it.
const LOOKS_AROUND: [&str; 20] = [
    "eval",
    "exec",
    "compile",
    "globals",
    "locals",
    "vars",
    "dir",
    "modules",
    "importlib",
    "runpy",
    "inspect",
    "pickle",
    "get_type_hints",
    "f_globals",
    "f_locals",
    "__import__",
    "__dict__",
    "__globals__",
    "__builtins__",
    "__getattribute__",
];

/// Prints each module's name and what a star import of it brings.
const ASK: &str = "
for module in map(__import__, @MODULES@):
    names = getattr(module, '__all__', None)
    if names is None: names = [name for name in vars(module) if name[0] != '_']
    print(module.__name__, *names)
";

/// The preludes of the interpreters that were asked so far.
#[derive(Debug, Default)]
pub(crate) struct Preludes(Mutex<HashMap<Language, Arc<Prelude>>>);

impl Preludes {
    /// The prelude of a language like Python. Where the interpreter cannot be asked just now, it is the whole one.
    pub(crate) fn of(&self, language: Language, sandbox: &Sandbox) -> Arc<Prelude> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prelude) = kept().get(&language) {
            return prelude.clone();
        }
        let Some(prelude) = Prelude::ask(language, sandbox) else { return Arc::default() };
        kept().entry(language).or_insert(Arc::new(prelude)).clone()
    }
}

/// What can be put before a program. The default knows only the whole prelude.
#[derive(Debug, Default)]
pub(crate) struct Prelude {
    /// Of each name that star imports bring, the module that wins; empty where that is not known.
    exports: HashMap<String, &'static str>,
}

impl Prelude {
    /// `None` where there was no answer, as on a machine in distress or when the client of the program that this was asked
    /// for hung up: the next program asks again.
    fn ask(language: Language, sandbox: &Sandbox) -> Option<Prelude> {
        let source = ASK.replace("@MODULES@", &format!("{STAR_IMPORTS:?}"));
        let prepared = sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).ok()?;
        let Prepared::Ready(executable) = prepared else { return Some(Prelude::default()) };
        let outcome = sandbox.run(&executable, b"", &Limits::COMPILE).ok()?;
        match outcome.termination {
            Termination::Exited(0) => Some(Prelude::read(&String::from_utf8_lossy(&outcome.stdout))),
            Termination::Exited(_) => Some(Prelude::default()),
            _ => None,
        }
    }

    fn read(answer: &str) -> Prelude {
        let lines = answer.lines().zip(STAR_IMPORTS);
        if answer.lines().map(|line| line.split(' ').next().unwrap_or_default()).ne(STAR_IMPORTS) {
            return Prelude::default();
        }
        let pairs = lines
            .flat_map(|(line, module)| line.split(' ').skip(1).map(move |name| (name.to_owned(), module)));
        Prelude { exports: pairs.collect() }
    }

    /// One line of simple statements: what `source` may need of the prelude.
    pub(crate) fn of(&self, source: &str) -> String {
        if self.exports.is_empty() || looks_around(source) {
            return whole();
        }
        let mut modules = BTreeSet::from(["sys"]);
        let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for word in words(source) {
            match plain_imports().find(|module| *module == word) {
                Some(module) => drop(modules.insert(module)),
                None => match self.exports.get(word) {
                    // Found without an import.
                    None | Some(&"builtins") => {}
                    Some(module) => drop(names.entry(module).or_default().insert(word)),
                },
            }
        }
        let mut line = String::new();
        for (module, names) in names {
            let names: Vec<&str> = names.into_iter().collect();
            let _ = write!(line, "from {module} import {}; ", names.join(", "));
        }
        let modules: Vec<&str> = modules.into_iter().collect();
        line + &format!("import {}; {LIMITS}", modules.join(", "))
    }

    /// The source with the prelude in front of its first statement that is neither docstring nor `from __future__`.
    ///
    /// The prelude shares that statement's line where Python's grammar allows it (a simple statement at column 0),
    /// so line numbers stay; else it takes a line of its own.
    pub(crate) fn before(&self, source: &str) -> String {
        let source = source.trim_start_matches('\u{feff}');
        let (before, after) = source.split_at(position(source));
        if after.is_empty() {
            return source.to_owned();
        }
        let word = after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let compound = ["def", "class", "if", "for", "while", "with", "try", "async", "match"];
        let own_line = compound.contains(&word) || after.starts_with(['@', ' ', '\t', '\u{c}']);
        format!("{before}{}{}{after}", self.of(source), if own_line { "\n" } else { "; " })
    }
}

/// The prelude as lcb_runner has it, as one line of simple statements.
pub(crate) fn whole() -> String {
    let stars: Vec<String> = STAR_IMPORTS.iter().map(|name| format!("from {name} import *")).collect();
    format!("{}; import {}; {LIMITS}", stars.join("; "), plain_imports().collect::<Vec<_>>().join(", "))
}

/// The modules that are imported by their names too.
fn plain_imports() -> impl Iterator<Item = &'static str> {
    STAR_IMPORTS.into_iter().filter(|&name| name != "builtins" && name != "typing")
}

/// What may be names. Others than those of ASCII are told apart by [`looks_around`].
fn words(source: &str) -> impl Iterator<Item = &str> {
    source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Whether the program may want a name that it does not write, or writes it in letters that Python takes for others.
fn looks_around(source: &str) -> bool {
    let quoted = source.matches("\"__main__\"").count() + source.matches("'__main__'").count();
    source.matches("__main__").count() > quoted
        || source.chars().any(|c| !c.is_ascii() && c.is_alphanumeric())
        || words(source).any(|word| LOOKS_AROUND.contains(&word))
}

/// Where the line of the first statement begins that is neither docstring nor `from __future__` import.
fn position(source: &str) -> usize {
    let mut at = skip_comments(source, 0);
    at = skip_comments(source, skip_docstring(source, at));
    while source[at..].starts_with("from __future__ import") {
        at = skip_comments(source, skip_import(source, at));
    }
    at
}

fn skip_comments(source: &str, at: usize) -> usize {
    let idle = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    at + source[at..].split_inclusive('\n').take_while(idle).map(str::len).sum::<usize>()
}

/// Behind a statement that is only a string literal, or `at` if there is none.
fn skip_docstring(source: &str, at: usize) -> usize {
    let text = source[at..].trim_start_matches(['r', 'R', 'u', 'U']);
    let Some(quote) = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text.starts_with(quote)) else {
        return at;
    };
    let bytes = text.as_bytes();
    let mut end = quote.len();
    while end < bytes.len() && !bytes[end..].starts_with(quote.as_bytes()) {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let Some(rest) = text.get(end + quote.len()..) else { return at };
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    let alone = line.trim().is_empty() || line.trim_start().starts_with('#');
    if alone { source.len() - rest.len() + line.len() } else { at }
}

/// Behind an import that may go on in brackets or after a backslash.
fn skip_import(source: &str, at: usize) -> usize {
    let mut end = at;
    let mut open = false;
    for line in source[at..].split_inclusive('\n') {
        end += line.len();
        open = (open || line.contains('(')) && !line.contains(')');
        if !open && !line.trim_end().ends_with('\\') {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The prelude neither moves lines nor stands before what must come first.
    #[test]
    fn the_prelude_finds_its_place() {
        let rows = [
            ("import sys\nx", "%; import sys\nx"),
            ("# c\n\nx = 1\n", "# c\n\n%; x = 1\n"),
            ("def f(): pass\n", "%\ndef f(): pass\n"),
            ("@d\ndef f(): pass\n", "%\n@d\ndef f(): pass\n"),
            ("\"\"\"doc\n\"\"\"\nx\n", "\"\"\"doc\n\"\"\"\n%; x\n"),
            ("'doc' # c\nx\n", "'doc' # c\n%; x\n"),
            ("r'''d\\''''\nx\n", "r'''d\\''''\n%; x\n"),
            ("'a'.b()\nx\n", "%; 'a'.b()\nx\n"),
            ("from __future__ import annotations\nx\n", "from __future__ import annotations\n%; x\n"),
            (
                "'d'\n# c\nfrom __future__ import (a,\n  b)\n\nfrom __future__ import c, \\\n d\nclass A: 1\n",
                "'d'\n# c\nfrom __future__ import (a,\n  b)\n\nfrom __future__ import c, \\\n d\n%\nclass A: 1\n",
            ),
            ("from __future__ import a", "from __future__ import a"),
            ("  x\n", "%\n  x\n"),
            ("\u{feff}x", "%; x"),
            ("'unclosed\\", "%; 'unclosed\\"),
            ("'''unclosed", "%; '''unclosed"),
            ("ifx = 1", "%; ifx = 1"),
            ("if x: y", "%\nif x: y"),
            ("# only", "# only"),
            ("", ""),
        ];
        for (source, expected) in rows {
            assert_eq!(Prelude::default().before(source), expected.replacen('%', &whole(), 1), "{source:?}");
        }
    }

    #[test]
    fn a_program_gets_what_it_mentions() {
        let answer: Vec<String> = STAR_IMPORTS
            .iter()
            .map(|module| match *module {
                "datetime" => "datetime datetime date".to_owned(),
                "math" => "math pow gcd sqrt".to_owned(),
                "re" => "re Match sub".to_owned(),
                "builtins" => "builtins pow print".to_owned(),
                "typing" => "typing List Match".to_owned(),
                other => other.to_owned(),
            })
            .collect();
        let prelude = Prelude::read(&answer.join("\n"));
        let rows = [
            ("print(pow(1, 2))", "import sys"),
            (
                "gcd(1, 2), math.sqrt(x.sub)",
                "from math import gcd, sqrt; from re import sub; import math, sys",
            ),
            (
                "datetime.date; a: 'List[Match]'",
                "from datetime import date; from typing import List, Match; import datetime, sys",
            ),
            ("if __name__ == '__main__': 1", "import sys"),
        ];
        for (source, expected) in rows {
            assert_eq!(prelude.of(source), format!("{expected}; {LIMITS}"), "{source}");
        }
        for source in ["eval(input())", "import __main__", "\u{ff47}cd(1, 2)", "f.__globals__['g' 'cd']"] {
            assert_eq!(prelude.of(source), whole(), "{source}");
        }
        for unreadable in ["", "string\nmath", "Traceback"] {
            let short = Prelude::read(unreadable);
            assert!(short.exports.is_empty(), "{unreadable}");
        }
    }
}

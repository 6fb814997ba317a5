//! What reaches us inside a request and not in a file: one record, packed tests, an assertion.

use crate::error::{Misfit, Place};
use crate::literal;
use crate::load::{Format, convert};
use crate::packed::unpack;
use crate::pickle::{Pickle, PickleError, whole};
use crate::problem::{Problem, TestCase, TestType};

/// Reads one record as [`load`](crate::load()) reads a file's. `cap` bounds what is unpacked, in bytes.
///
/// # Errors
/// When it is not a record of that format.
pub fn read_problem(text: &[u8], format: Format, cap: usize) -> Result<Problem, Misfit> {
    convert(format, cap, Place { line: 1, record: 1 }, text)
}

/// The text of packed tests: base64 of zlib of a pickled `str`. Only that one opcode sequence is read; nothing a pickle
/// could import or call is. More than `cap` bytes of it are an error.
///
/// # Errors
/// When it is not that.
pub fn unpack_text(packed: &str, cap: usize) -> Result<String, Misfit> {
    Pickle::new(unpack(packed, "tests", cap)).str(whole).map_err(|error| match error {
        PickleError::Other(misfit) => misfit,
        error => {
            let hint = "send the tests as JSON: a pickle with other opcodes can run code and is not read";
            Misfit::new("a pickled string", error.to_string(), hint)
        }
    })
}

/// One assertion of the form `assert function(literal, ...) == literal` as a test, and the function it calls. `None` for every
/// other code.
pub fn call_of_assertion(text: &str) -> Option<(String, TestCase)> {
    let mut calls = literal::calls(text)?;
    let call = calls.pop().filter(|_| calls.is_empty())?;
    let input = call.arguments.join("\n");
    Some((call.function, TestCase { input, output: call.result, test_type: TestType::Call }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_one_call_or_nothing() {
        let (function, test) = call_of_assertion("assert f((1, 2)) == [3], 'said'").expect("a call");
        assert_eq!((function.as_str(), test.test_type), ("f", TestType::Call));
        for other in
            ["", "assert True", "assert f(1) in (2, 3)", "assert f(1) == 2\nassert f(2) == 3", "f(1)"]
        {
            assert!(call_of_assertion(other).is_none(), "{other:?}");
        }
    }
}

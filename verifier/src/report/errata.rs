//! Problems known to be at fault, by `errata.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    problem: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    fault: String,
    ids: Vec<String>,
}

static FAULTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let data: Data = toml::from_str(include_str!("errata.toml")).expect("errata.toml, which a test reads");
    let each = |fault: Fault| fault.ids.into_iter().map(move |id| (id, fault.fault.clone()));
    data.problem.into_iter().flat_map(each).collect()
});

/// What is wrong with a problem's published tests, where it is known.
pub fn known_fault(question_id: &str) -> Option<&'static str> {
    FAULTS.get(question_id).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        assert_eq!(FAULTS.len(), 17);
        assert_eq!(known_fault("abc337_e"), Some("interactive"));
        assert_eq!(known_fault("abc337_d"), None);
    }
}

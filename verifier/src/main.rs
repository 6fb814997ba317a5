//! The binary `assay`.

fn main() {}

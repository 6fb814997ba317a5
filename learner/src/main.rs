//! The binary `assay-train`.

fn main() {}

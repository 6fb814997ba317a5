//! Our side of `scripts/grpo_vs_trl.py`: a JSON list of cases on standard input, a list of answers on standard output.

#[path = "../tests/grpo/evaluate.rs"]
mod evaluate;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let cases: Vec<evaluate::Case> = serde_json::from_reader(std::io::stdin().lock())?;
    let answers: Vec<evaluate::Answer> = cases.iter().map(evaluate::evaluate).collect();
    println!("{}", serde_json::to_string(&answers)?);
    Ok(())
}

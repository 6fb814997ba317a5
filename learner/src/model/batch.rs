//! Ragged sequences, packed: no padding is stored, so none is computed.

use std::ops::Range;

use crate::error::{EngineError, Result};

/// Sequences of token ids laid end to end, and which of their tokens are response tokens: those whose
/// log-probability counts. A sequence attends to itself only and starts at position 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    tokens: Vec<u32>,
    /// Sequence i is `tokens[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// Index into `tokens` of each response token, rising.
    targets: Vec<usize>,
    /// The response tokens of sequence i are `targets[target_starts[i]..target_starts[i + 1]]`.
    target_starts: Vec<usize>,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// A batch without sequences.
    pub fn new() -> Batch {
        Batch { tokens: Vec::new(), starts: vec![0], targets: Vec::new(), target_starts: vec![0] }
    }

    /// Adds prompt + completion as one sequence; every token of the completion is a response token.
    ///
    /// # Errors
    /// An empty prompt: nothing would predict the first token of the completion.
    pub fn push(&mut self, prompt: &[u32], completion: &[u32]) -> Result<()> {
        if prompt.is_empty() {
            return Err(EngineError::Input("a sequence needs at least one prompt token".to_owned()));
        }
        let start = self.tokens.len();
        self.tokens.extend_from_slice(prompt);
        self.tokens.extend_from_slice(completion);
        self.targets.extend(start + prompt.len()..self.tokens.len());
        self.close();
        Ok(())
    }

    /// Adds one sequence in which the tokens at `response` (rising indices into `tokens`, from 1) count.
    ///
    /// # Errors
    /// An empty sequence, or indices out of order or out of `1..tokens.len()`.
    pub fn push_sequence(&mut self, tokens: &[u32], response: &[usize]) -> Result<()> {
        let rising = response.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = response.iter().all(|&at| (1..tokens.len()).contains(&at));
        if tokens.is_empty() || !rising || !inside {
            let what = format!(
                "response tokens must be rising indices in 1..{}, in a sequence that is not empty",
                tokens.len()
            );
            return Err(EngineError::Input(what));
        }
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.targets.extend(response.iter().map(|at| start + at));
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.starts.push(self.tokens.len());
        self.target_starts.push(self.targets.len());
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.starts.len() - 1
    }

    /// All token ids, sequence after sequence.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Where sequence `index` lies in `tokens()`.
    pub fn sequence(&self, index: usize) -> Range<usize> {
        self.starts[index]..self.starts[index + 1]
    }

    /// Number of response tokens: the length of each vector of a `TokenStats`.
    pub fn response_tokens(&self) -> usize {
        self.targets.len()
    }

    /// Where the response tokens of sequence `index` lie in a `TokenStats`.
    pub fn response(&self, index: usize) -> Range<usize> {
        self.target_starts[index]..self.target_starts[index + 1]
    }

    pub(crate) fn starts(&self) -> &[usize] {
        &self.starts
    }

    pub(crate) fn targets(&self) -> &[usize] {
        &self.targets
    }

    /// Cuts the batch into consecutive batches of at most `max_tokens` tokens each (a longer sequence makes
    /// a batch of its own). The response tokens of the parts, one part after the other, are those of the whole.
    pub fn split(&self, max_tokens: usize) -> Vec<Batch> {
        let mut parts: Vec<Batch> = Vec::new();
        for index in 0..self.sequences() {
            let range = self.sequence(index);
            let fits = parts.last().is_some_and(|part| part.tokens.len() + range.len() <= max_tokens);
            if !fits {
                parts.push(Batch::new());
            }
            let part = parts.last_mut().expect("one was pushed");
            let shift = part.tokens.len();
            part.tokens.extend_from_slice(&self.tokens[range.clone()]);
            part.targets.extend(self.targets[self.response(index)].iter().map(|at| at - range.start + shift));
            part.close();
        }
        parts
    }
}

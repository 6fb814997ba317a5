//! The policies of a run by the names of their directories.

use std::path::Path;

use super::Run;
use crate::policy::{Policy, best, kept, present};
use crate::sft;
use crate::train::{self, TrainError};

/// What the recipe's own model is called.
const MODEL: &str = "model";

impl Run<'_> {
    /// The policy of a checkpoint that a person names, with its name; where none is named, the furthest.
    ///
    /// # Errors
    /// The run has none of that name; the message has those it has.
    pub fn policy_named(&self, name: Option<&str>) -> Result<(Policy, String), TrainError> {
        let Some(name) = name else {
            return self.latest_policy().map(|(policy, name)| (policy, name.to_owned()));
        };
        if !self.checkpoints().iter().any(|there| there == name) {
            return Err(self.unknown(name));
        }
        let policy = match name {
            MODEL => Policy::create(&self.recipe)?,
            name => self.policy(name)?,
        };
        self.fits(&policy)?;
        Ok((policy, name.to_owned()))
    }

    /// What `--checkpoint` takes in this run, the furthest first.
    fn checkpoints(&self) -> Vec<String> {
        let newest = self.out.join(train::CHECKPOINT);
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let mut names = Vec::new();
        names.extend(present(&newest).then(|| train::CHECKPOINT.to_owned()));
        names.extend(best(&newest).exists().then(|| name(&best(&newest))));
        let mut steps = kept(&newest);
        steps.sort_unstable_by(|a, b| b.cmp(a));
        names.extend(steps.iter().map(|step| format!("{}.step-{step}", train::CHECKPOINT)));
        names.extend(present(&self.out.join(sft::CHECKPOINT)).then(|| sft::CHECKPOINT.to_owned()));
        names.extend(self.recipe.model.load.is_some().then(|| MODEL.to_owned()));
        names
    }

    fn unknown(&self, name: &str) -> TrainError {
        let (out, there) = (self.out.display(), self.checkpoints());
        TrainError::Recipe(match there.is_empty() {
            true => {
                format!("{out} holds no checkpoint `{name}`, and no other; train first with `assay-train rl`")
            }
            false => format!("{out} holds no checkpoint `{name}`; it has {}", there.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use crate::recipe::Recipe;

    #[test]
    fn what_a_run_has_is_listed_the_furthest_first() {
        let out = tempfile::tempdir().unwrap();
        let refused = |recipe: &str| {
            let recipe = Recipe::parse("r.toml", recipe).unwrap();
            let run = Run::start(recipe, out.path(), Progress::quiet()).unwrap();
            run.policy_named(Some("../rl")).unwrap_err().to_string()
        };
        let said = refused("[model]\n");
        assert!(said.contains("`../rl`, and no other; train first"), "{said}");
        for name in ["rl.step-5", "rl.step-10", "sft", "rl", "rl.best", "rl.new"] {
            std::fs::create_dir(out.path().join(name)).unwrap();
        }
        let said = refused("[model]\nload = 'base'\n");
        assert!(said.ends_with("`../rl`; it has rl, rl.best, rl.step-10, rl.step-5, sft, model"), "{said}");
    }
}

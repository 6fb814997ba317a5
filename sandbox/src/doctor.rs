//! What the host gives: every wall with its state, every language with its version.

use crate::{Language, Tier};

/// The report of `Sandbox::doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// The tier found; `None` when the host allows none and runs are refused.
    pub tier: Option<Tier>,
    /// Every wall, outermost first.
    pub walls: Vec<Wall>,
    /// Every language; the version comes from running it inside the box.
    pub languages: Vec<LanguageState>,
}

impl Doctor {
    /// Whether there is a tier and every needed language works.
    pub fn ok(&self) -> bool {
        self.tier.is_some() && self.languages.iter().all(|state| state.ok || !state.language.is_needed())
    }
}

/// One wall of the list in `DESIGN.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// The step's name, as in [`SandboxError::Step`](crate::SandboxError::Step).
    pub name: String,
    /// Whether it stands.
    pub state: WallState,
}

/// Whether a wall stands on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WallState {
    /// Stands; the text says how where there are several ways (empty otherwise).
    Up(String),
    /// Replaced by something weaker; the text says by what, and what would provide the real one.
    Weaker(String),
    /// Missing; the text says what would provide it.
    Missing(String),
}

impl WallState {
    /// `up`, `weaker: ...` or `missing: ...`, for people and for records.
    pub fn describe(&self) -> String {
        match self {
            WallState::Up(how) if how.is_empty() => "up".into(),
            WallState::Up(how) => format!("up: {how}"),
            WallState::Weaker(why) => format!("weaker: {why}"),
            WallState::Missing(why) => format!("missing: {why}"),
        }
    }
}

/// One language of [`Language::all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageState {
    /// Which.
    pub language: Language,
    /// What it says of itself inside the box (`3.11.7`, `g++ 12.2.0`); empty when it does not run.
    pub version: String,
    /// Whether it ran.
    pub ok: bool,
    /// What to install or change when it did not run; empty otherwise.
    pub hint: String,
}

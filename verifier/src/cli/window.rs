//! The options that choose problems by the date of their contest.

use assay_verifier::window::Window;

/// Which problems are asked.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WindowArgs {
    /// Grade only the problems of a window that published figures are about: lcb-v5 (contests from 2024-08-01 to 2025-02-01) or
    /// lcb-v6 (2025-02-01 to 2025-05-01)
    #[arg(long, value_name = "NAME", value_parser = Window::named)]
    window: Option<Window>,
    /// Grade only the problems of a LiveCodeBench release, v1 to v6, or of what several added, such as v4_v5, by the dates
    /// of their contests
    #[arg(long, value_name = "RELEASE", value_parser = Window::release)]
    release: Option<Window>,
    /// Grade only problems of contests on or after this day, such as 2024-08-01
    #[arg(long, value_name = "DATE", value_parser = date)]
    start_date: Option<String>,
    /// Grade only problems of contests before this day or at its midnight, as lcb_runner takes it
    #[arg(long, value_name = "DATE", value_parser = date)]
    end_date: Option<String>,
}

impl WindowArgs {
    /// What is inside all that was given.
    pub(crate) fn window(&self) -> Window {
        let named = |window: &Option<Window>| window.clone().unwrap_or_default();
        let dates = Window { from: self.start_date.clone(), to: self.end_date.clone(), ..Window::default() };
        named(&self.release).and(named(&self.window)).and(dates)
    }
}

fn date(text: &str) -> Result<String, String> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let right = text.len() == 10 && digits(0..4) && digits(5..7) && digits(8..10);
    match right && text[4..].starts_with('-') && text[7..].starts_with('-') {
        true => Ok(text.to_owned()),
        false => Err("a date is written as 2024-08-01".to_owned()),
    }
}

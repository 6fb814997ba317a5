//! A run as a page: what its directory says, drawn while it goes on. It only reads, so it may be started before, beside or
//! after the run, and nothing of the run depends on it.
//!
//! `GET /` is a document with its style and script inside; `GET /run.json?after=STEP` is what it asks for every two
//! seconds: the steps behind STEP, all looks at held-out problems, and some rollouts of the newest step.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use assay_verifier::http::Page;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::interrupt::interrupted;
use crate::metrics::{self, HeldOutAccuracy, StepMetrics};
use crate::recipe::Recipe;
use crate::run::RECIPE;
use crate::train::dump::{self, Dumped};
use crate::train::{HELD_OUT, METRICS};

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    Page::new(include_str!("live/page.html"), include_str!("live/page.css"), include_str!("live/page.js"))
});

/// Characters shown of a prompt or a completion.
const SHOWN: usize = 20_000;
/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Shows the run in `out` until a signal; `ready` is told where.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve(out: &Path, listen: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        ready(listener.local_addr()?);
        let router = Router::new()
            .route("/", get(|| async { PAGE.response() }))
            .route("/run.json", get(run))
            .with_state(Arc::new(out.to_owned()));
        let stop = async {
            while !interrupted() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // A page that asks every two seconds is not waited for.
        tokio::select! {
            served = axum::serve(listener, router).into_future() => served,
            () = stop => Ok(()),
        }
    })
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn run(State(out): State<Arc<PathBuf>>, Query(After { after }): Query<After>) -> Response {
    let (status, value) = match figures(&out, after) {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() })),
    };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, value.to_string()).into_response()
}

/// What the page draws, of the steps behind `after`.
fn figures(out: &Path, after: u64) -> io::Result<Value> {
    let recipe = Recipe::load(&out.join(RECIPE)).map_err(io::Error::other)?;
    let path = out.join(METRICS);
    let steps: Vec<StepMetrics> = lines(&path)?;
    let held_out: Vec<HeldOutAccuracy> = lines(&out.join(HELD_OUT))?;
    let last = steps.last();
    let stage = last.and_then(|line| recipe.rl.iter().find(|stage| stage.name == line.stage));
    let step = last.map_or(0, |line| line.step);
    // A step that is repeated just now has its file before its line.
    let shown = dump::steps(out).into_iter().rfind(|at| *at <= step);
    let rollouts: Vec<Dumped> = shown.map_or(Ok(Vec::new()), |at| lines(&dump::file(out, at)))?;
    let since = path.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
    let findings = last.map_or(Vec::new(), |line| {
        line.diagnosis.iter().map(|finding| format!("step {step}: {}", finding.words(line))).collect()
    });
    Ok(json!({
        "out": out.display().to_string(),
        "total": recipe.rl.iter().map(|stage| stage.steps).sum::<u64>(),
        "target": stage.or(recipe.rl.first()).map_or(0.3, |stage| stage.temperature.target),
        "last": step,
        "seconds_since_step": since.map_or(0.0, |since| since.as_secs_f64()),
        "findings": findings,
        "held_out": held_out,
        "rollouts_step": shown,
        "rollouts": rollouts.into_iter().map(shortened).collect::<Vec<_>>(),
        "steps": steps.iter().filter(|line| line.step > after).collect::<Vec<_>>(),
    }))
}

/// The lines of a file that may not be there yet.
fn lines<L: DeserializeOwned>(path: &Path) -> io::Result<Vec<L>> {
    match metrics::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn shortened(rollout: Dumped) -> Dumped {
    let short = |text: String| match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} [and {} bytes more]", &text[..end], text.len() - end),
        None => text,
    };
    Dumped { prompt: short(rollout.prompt), completion: short(rollout.completion), ..rollout }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::line;

    #[test]
    fn a_page_gets_what_is_new_and_what_is_there() {
        let out = tempfile::tempdir().unwrap();
        let path = |name: &str| out.path().join(name);
        let refused = figures(out.path(), 0).unwrap_err().to_string();
        assert!(refused.contains("recipe.toml"), "{refused}");
        let stage = |name: &str, target: f64| {
            format!(
                "[[rl]]\nname = '{name}'\nprompts = {{ arithmetic = 4 }}\nrollouts = 4\nsteps = 5\n\
                 max_completion_length = 8\nlearning_rate = 1e-4\ntemperature = {{ target = {target} }}\n"
            )
        };
        let recipe = format!("[model]\n{}{}", stage("math-0", 0.2), stage("math-1", 0.4));
        std::fs::write(path(RECIPE), recipe).unwrap();
        let none = figures(out.path(), 0).unwrap();
        assert_eq!((&none["last"], &none["steps"], &none["total"]), (&json!(0), &json!([]), &json!(10)));

        let text: String = (1..=3).map(|step| serde_json::to_string(&line(step)).unwrap() + "\n").collect();
        std::fs::write(path(METRICS), text + "{\"step\":4").unwrap();
        std::fs::create_dir(path(dump::DIRECTORY)).unwrap();
        let rollout = |text: &str| Dumped {
            question_id: "q".to_owned(),
            prompt: text.to_owned(),
            completion: "x".repeat(SHOWN + 7),
            tokens: 3,
            truncated: false,
            reward: None,
            verdict: "infra_error: gone".to_owned(),
        };
        for step in [2, 3, 4] {
            let text = serde_json::to_string(&rollout(&format!("{step}"))).unwrap() + "\n";
            std::fs::write(dump::file(out.path(), step), text).unwrap();
        }
        let two = figures(out.path(), 1).unwrap();
        let steps: Vec<u64> =
            two["steps"].as_array().unwrap().iter().filter_map(|line| line["step"].as_u64()).collect();
        assert_eq!(steps, [2, 3]);
        assert_eq!((&two["last"], &two["target"]), (&json!(3), &json!(0.4)));
        assert_eq!((&two["rollouts_step"], &two["rollouts"][0]["prompt"]), (&json!(3), &json!("3")));
        let shown = two["rollouts"][0]["completion"].as_str().unwrap();
        assert!(shown.ends_with("[and 7 bytes more]"), "{}", &shown[SHOWN..]);
    }
}

//! A run as a page: what its directory says, drawn while it goes on. It only reads, so it may be started before, beside or
//! after the run, and nothing of the run depends on it.
//!
//! `GET /` is a document with its style and script inside; `GET /run.json?after=STEP` is what it asks for every two
//! seconds: the steps behind STEP, all looks at held-out problems, some rollouts of the newest step, and the SFT's curve in as
//! many points as a page can show. Whether the run is over is what its checkpoints say: a stage may end before its steps do.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::metrics::{self, HeldOutAccuracy, SftMetrics, StepMetrics};
use crate::policy;
use crate::recipe::Recipe;
use crate::run::RECIPE;
use crate::sft;
use crate::train::dump::{self, Dumped};
use crate::train::{self, CHECKPOINT, HELD_OUT, METRICS};

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    Page::new(include_str!("live/page.html"), include_str!("live/page.css"), include_str!("live/page.js"))
});

/// Characters shown of a prompt or a completion.
const SHOWN: usize = 20_000;
/// Points of the SFT's curves; a greater part of the steps is one point, their mean.
const POINTS: usize = 240;
/// Steps by whose pace the time that is left is told.
const PACE: usize = 20;
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
    let sft = sft_figures(out, &recipe)?;
    let last = steps.last();
    let stage = last.and_then(|line| recipe.rl.iter().find(|stage| stage.name == line.stage));
    let step = last.map_or(0, |line| line.step);
    // A step that is repeated just now has its file before its line.
    let shown = dump::steps(out).into_iter().rfind(|at| *at <= step);
    let rollouts: Vec<Dumped> = shown.map_or(Ok(Vec::new()), |at| lines(&dump::file(out, at)))?;
    let since = [path, out.join(sft::METRICS)].iter().filter_map(|path| since_written(path)).min();
    let stages_over = stages_over(out, &recipe, last);
    let left = steps_left(&recipe, &steps, stages_over);
    let sft_over = sft.as_ref().is_none_or(|sft| sft["over"] == true);
    let findings = last.map_or(Vec::new(), |line| {
        line.diagnosis.iter().map(|finding| format!("step {step}: {}", finding.words(line))).collect()
    });
    Ok(json!({
        "out": out.display().to_string(),
        "sft": sft,
        "over": sft_over && stages_over == recipe.rl.len(),
        "total": step + left,
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

/// How many stages are over: those before the one of the last step, and those behind which the checkpoint stands.
fn stages_over(out: &Path, recipe: &Recipe, last: Option<&StepMetrics>) -> usize {
    let under_way = last.and_then(|line| recipe.rl.iter().position(|stage| stage.name == line.stage));
    // One that is swapped just now, or is not there yet, says nothing.
    let saved = policy::state::<train::State>(&out.join(CHECKPOINT)).map_or(0, |state| state.stage);
    under_way.unwrap_or(0).max(saved).min(recipe.rl.len())
}

/// The steps of the stages that are not over, but for those done of them.
fn steps_left(recipe: &Recipe, steps: &[StepMetrics], stages_over: usize) -> u64 {
    let done = |name: &str| steps.iter().filter(|line| line.stage == name).count() as u64;
    recipe.rl[stages_over..].iter().map(|stage| stage.steps.saturating_sub(done(&stage.name))).sum()
}

/// What the page draws of the SFT, where there was a step of it.
fn sft_figures(out: &Path, recipe: &Recipe) -> io::Result<Option<Value>> {
    let steps: Vec<SftMetrics> = lines(&out.join(sft::METRICS))?;
    let (Some(part), Some(last)) = (&recipe.sft, steps.last()) else { return Ok(None) };
    let over = policy::state::<sft::State>(&out.join(sft::CHECKPOINT)).is_ok_and(|state| state.done);
    let recent = &steps[steps.len().saturating_sub(PACE)..];
    let pace = recent.iter().map(|line| line.seconds).sum::<f64>() / recent.len() as f64;
    let accuracy = |family: &str| {
        let points = steps.iter().filter_map(|line| Some([line.step as f64, *line.accuracies.get(family)?]));
        means(&points.collect::<Vec<_>>())
    };
    let families: BTreeSet<&String> = steps.iter().flat_map(|line| line.accuracies.keys()).collect();
    Ok(Some(json!({
        "last": last.step,
        "total": if over { last.step } else { part.steps },
        "over": over,
        "seconds_left": if over { 0.0 } else { pace * part.steps.saturating_sub(last.step) as f64 },
        "loss": means(&steps.iter().map(|line| [line.step as f64, line.loss]).collect::<Vec<_>>()),
        "accuracies": families.into_iter().map(|name| (name, accuracy(name))).collect::<BTreeMap<_, _>>(),
    })))
}

/// Points in as many means as are drawn.
fn means(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mean = |part: &[[f64; 2]]| {
        [0, 1].map(|of| part.iter().map(|point| point[of]).sum::<f64>() / part.len() as f64)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

fn since_written(path: &Path) -> Option<Duration> {
    path.metadata().ok()?.modified().ok()?.elapsed().ok()
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
        // The last step is of the second stage: three of its five are done, and the first is over, however short it was.
        assert_eq!((&two["total"], &two["over"]), (&json!(5), &json!(false)));
        assert_eq!((&two["rollouts_step"], &two["rollouts"][0]["prompt"]), (&json!(3), &json!("3")));
        let shown = two["rollouts"][0]["completion"].as_str().unwrap();
        assert!(shown.ends_with("[and 7 bytes more]"), "{}", &shown[SHOWN..]);
        // A run is over when its checkpoint is behind the last stage, and not when all steps of the recipe are done.
        for (stage, total, over) in [(1, 5, false), (2, 3, true)] {
            std::fs::create_dir_all(path(CHECKPOINT)).unwrap();
            let state = train::State { step: 3, stage, ..train::State::default() };
            std::fs::write(path("rl/trainer.json"), serde_json::to_string(&state).unwrap()).unwrap();
            let ended = figures(out.path(), 0).unwrap();
            assert_eq!((&ended["total"], &ended["over"]), (&json!(total), &json!(over)));
        }
    }

    #[test]
    fn an_sft_is_shown_until_it_is_done_and_after() {
        let out = tempfile::tempdir().unwrap();
        let path = |name: &str| out.path().join(name);
        let recipe = "[model]\n[sft]\nrows = { arithmetic = 4 }\nsteps = 1000\nlearning_rate = 1e-3\n";
        std::fs::write(path(RECIPE), recipe).unwrap();
        assert_eq!(figures(out.path(), 0).unwrap()["sft"], Value::Null);
        let step = |step: u64| SftMetrics {
            step,
            loss: step as f64,
            learning_rate: 1e-3,
            grad_norm: 1.0,
            tokens: 30,
            num_tokens: 100 * step,
            seconds: 0.5,
            skipped_updates: 0,
            accuracies: step
                .is_multiple_of(200)
                .then(|| ("arithmetic".to_owned(), 0.25))
                .into_iter()
                .collect(),
        };
        let text: String = (1..=600).map(|at| serde_json::to_string(&step(at)).unwrap() + "\n").collect();
        std::fs::write(path(sft::METRICS), text).unwrap();
        let shown = figures(out.path(), 0).unwrap();
        let sft = &shown["sft"];
        assert_eq!(
            (&sft["last"], &sft["total"], &sft["seconds_left"]),
            (&json!(600), &json!(1000), &json!(200.0))
        );
        assert_eq!((sft["loss"].as_array().unwrap().len(), &sft["loss"][0]), (200, &json!([2.0, 2.0])));
        assert_eq!(sft["accuracies"], json!({ "arithmetic": [[200.0, 0.25], [400.0, 0.25], [600.0, 0.25]] }));
        assert_eq!((&sft["over"], &shown["over"]), (&json!(false), &json!(false)));
        // It ended by its accuracy; without stages that is the run.
        std::fs::create_dir(path("sft")).unwrap();
        let state = sft::State { step: 600, done: true, enough: Vec::new() };
        std::fs::write(path("sft/trainer.json"), serde_json::to_string(&state).unwrap()).unwrap();
        let shown = figures(out.path(), 0).unwrap();
        assert_eq!((&shown["sft"]["total"], &shown["over"]), (&json!(600), &json!(true)));
    }
}

//! `GET /live/events`: what the service does, second by second, as server-sent events for the page at `/live`.
//!
//! Once a second [`sample`] takes the gauges and what the counters have gained, and keeps the last [`KEPT`] such samples as
//! the text that goes out. Who listens first gets all of them and then each new one: a page just opened shows five minutes.
//! A listener that reads slowly misses what has been thrown away meanwhile and holds nobody up. When the service stops, the
//! streams end, since it would wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Service;

/// Samples kept, one a second.
const KEPT: usize = 300;
/// Over so many seconds percentiles are taken.
const WINDOW: usize = 60;

/// What is kept for those who look.
pub(super) struct Live {
    kept: Mutex<Kept>,
    news: watch::Sender<News>,
}

/// How many samples there have been, and whether these were all.
#[derive(Debug, Clone, Copy, Default)]
struct News {
    count: u64,
    closed: bool,
}

#[derive(Default)]
struct Kept {
    /// Each sample's text with its number, the first of which is 1.
    events: VecDeque<(u64, String)>,
    totals: Totals,
    /// Times of the second that is not over yet, and of those before it.
    current: Times,
    past: VecDeque<Times>,
}

/// What has been counted since the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    /// Requests answered.
    pub(super) requests: u64,
    /// Of those, with a 5xx.
    pub(super) failed: u64,
    /// Judged items by verdict, or by outcome where there is none, and programs run for their output by how they ended.
    pub(super) verdicts: BTreeMap<&'static str, u64>,
    pub(super) infra_errors: u64,
    pub(super) cache_hits: u64,
    pub(super) cache_misses: u64,
}

/// How long answers took, and waits in line.
#[derive(Clone, Default)]
struct Times {
    answers: Spread,
    waits: Spread,
}

impl Default for Live {
    fn default() -> Live {
        Live { kept: Mutex::default(), news: watch::Sender::new(News::default()) }
    }
}

impl Live {
    /// One request that asked for work was answered.
    pub(super) fn answered(&self, took: Duration) {
        self.locked().current.answers.add(took);
    }

    /// One item got a judge.
    pub(super) fn waited(&self, waited: Duration) {
        self.locked().current.waits.add(waited);
    }

    /// Ends all streams.
    pub(super) fn close(&self) {
        self.news.send_modify(|news| news.closed = true);
    }

    fn add(&self, now: &Value, totals: Totals) {
        let mut kept = self.locked();
        let number = self.news.borrow().count + 1;
        let times = std::mem::take(&mut kept.current);
        kept.past.push_back(times);
        if kept.past.len() > WINDOW {
            kept.past.pop_front();
        }
        let before = std::mem::replace(&mut kept.totals, totals);
        let sample = json!({
            "now": now,
            "gained": kept.totals.since(&before).to_json(),
            "totals": kept.totals.to_json(),
            "answers": Spread::sum(kept.past.iter().map(|times| &times.answers)).to_json(),
            "waits": Spread::sum(kept.past.iter().map(|times| &times.waits)).to_json(),
        });
        kept.events.push_back((number, format!("id: {number}\ndata: {sample}\n\n")));
        if kept.events.len() > KEPT {
            kept.events.pop_front();
        }
        drop(kept);
        self.news.send_modify(|news| news.count = number);
    }

    /// The text of all kept samples behind a number.
    fn after(&self, number: u64) -> String {
        let kept = self.locked();
        kept.events.iter().filter(|(at, _)| *at > number).map(|(_, text)| text.as_str()).collect()
    }

    /// Every change under this lock is whole before it is given up.
    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a sample every second until the streams are closed.
pub(super) async fn sample(service: Arc<Service>) {
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !service.live.news.borrow().closed {
        clock.tick().await;
        let queue = &service.queue;
        let now = json!({
            "time": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "ready": service.health.last_passed(),
            "tier": service.health.tier(),
            "waiting": queue.depth(),
            "running": queue.running(),
            "asleep": queue.asleep(),
            "slots": service.config().slots,
            "sleepers": service.config().sleepers,
            "queue": service.config().queue,
            "cache": service.cache.is_on(),
        });
        let (cache_hits, cache_misses) = service.cache.counts();
        service.live.add(&now, Totals { cache_hits, cache_misses, ..service.metrics.totals() });
    }
}

/// `GET /live/events`.
pub(super) async fn events(State(service): State<Arc<Service>>) -> Response {
    let (send, receive) = mpsc::channel(1);
    let mut feeder = JoinSet::new();
    feeder.spawn(feed(service, send));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(Events { receive, _feeder: feeder })).into_response()
}

/// A page asks again after three seconds when its stream ends.
const RETRY: &str = "retry: 3000\n\n";

async fn feed(service: Arc<Service>, send: mpsc::Sender<String>) {
    let mut watched = service.live.news.subscribe();
    let (mut seen, mut text) = (0, RETRY.to_owned());
    loop {
        let news = *watched.borrow_and_update();
        text.push_str(&service.live.after(seen));
        seen = news.count.max(seen);
        if !text.is_empty() && send.send(std::mem::take(&mut text)).await.is_err() {
            return;
        }
        if news.closed || watched.changed().await.is_err() {
            return;
        }
    }
}

/// The stream; dropping it ends its feeder.
struct Events {
    receive: mpsc::Receiver<String>,
    _feeder: JoinSet<()>,
}

impl Stream for Events {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receive.poll_recv(context).map(|next| next.map(|text| Ok(text.into())))
    }
}

impl Totals {
    fn since(&self, before: &Totals) -> Totals {
        let gained = |key: &&'static str, count: u64| count - before.verdicts.get(key).unwrap_or(&0);
        Totals {
            requests: self.requests - before.requests,
            failed: self.failed - before.failed,
            verdicts: self.verdicts.iter().map(|(key, count)| (*key, gained(key, *count))).collect(),
            infra_errors: self.infra_errors - before.infra_errors,
            cache_hits: self.cache_hits - before.cache_hits,
            cache_misses: self.cache_misses - before.cache_misses,
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "requests": self.requests,
            "failed": self.failed,
            "verdicts": self.verdicts,
            "infra_errors": self.infra_errors,
            "cache_hits": self.cache_hits,
            "cache_misses": self.cache_misses,
        })
    }
}

/// Buckets a factor of ten.
const PER_DECADE: f64 = 20.0;
/// From a microsecond to beyond an hour.
const BUCKETS: usize = 200;

/// Durations counted in buckets, each an eighth wider than the one before, so a percentile is right to 12 %.
#[derive(Clone)]
struct Spread([u32; BUCKETS]);

impl Default for Spread {
    fn default() -> Spread {
        Spread([0; BUCKETS])
    }
}

impl Spread {
    fn add(&mut self, took: Duration) {
        let micros = (took.as_secs_f64() * 1e6).max(1.0);
        // The log of what is at least 1 is not negative, and the cast saturates.
        let index = (micros.log10() * PER_DECADE) as usize;
        self.0[index.min(BUCKETS - 1)] += 1;
    }

    fn sum<'a>(spreads: impl Iterator<Item = &'a Spread>) -> Spread {
        spreads.fold(Spread::default(), |mut sum, spread| {
            sum.0.iter_mut().zip(&spread.0).for_each(|(sum, count)| *sum += count);
            sum
        })
    }

    /// Seconds that this share of all took at most; nothing where there are none.
    fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().copied().map(u64::from).sum();
        let wanted = (share * total as f64).ceil().max(1.0);
        let mut below = 0;
        let index = self.0.iter().position(|count| {
            below += u64::from(*count);
            below as f64 >= wanted
        })?;
        Some(10_f64.powf((index as f64 + 1.0) / PER_DECADE) / 1e6)
    }

    fn to_json(&self) -> Value {
        let quantile = |share| self.quantile(share).map(|seconds| (seconds * 1e6).round() / 1e6);
        json!({ "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_right_to_an_eighth() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile(0.5), None);
        for millis in 1..=1000 {
            spread.add(Duration::from_millis(millis));
        }
        for (share, seconds) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0), (0.0, 0.001)] {
            let found = spread.quantile(share).unwrap();
            assert!(found >= seconds * 0.999 && found < seconds * 1.13, "{share}: {found}");
        }
        let mut extremes = Spread::default();
        extremes.add(Duration::ZERO);
        extremes.add(Duration::from_secs(1_000_000));
        assert!(extremes.quantile(0.5).unwrap() < 2e-6 && extremes.quantile(1.0).unwrap() > 3600.0);
    }

    #[test]
    fn the_last_samples_are_kept_and_say_what_was_gained() {
        let live = Live::default();
        let rounds = KEPT as u64 + 5;
        for round in 1..=rounds {
            live.answered(Duration::from_millis(7));
            let verdicts = BTreeMap::from([("accepted", round * 2)]);
            live.add(&json!({}), Totals { requests: round * 3, verdicts, ..Totals::default() });
        }
        assert_eq!(live.after(0).matches("data: ").count(), KEPT);
        let last = live.after(rounds - 1);
        let sample: Value = serde_json::from_str(last.split("data: ").nth(1).unwrap()).unwrap();
        assert!(last.starts_with(&format!("id: {rounds}\n")), "{last}");
        assert_eq!(
            (&sample["gained"]["requests"], &sample["gained"]["verdicts"]["accepted"]),
            (&json!(3), &json!(2))
        );
        assert_eq!(sample["totals"]["requests"], json!(rounds * 3));
        assert!(
            sample["answers"]["p50"].as_f64().unwrap() < 0.008 && sample["waits"]["p50"].is_null(),
            "{sample}"
        );
    }
}

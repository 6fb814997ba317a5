//! Counters and histograms in Prometheus text. Labels have few values each: never an id, never a path as
//! the client wrote it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::live::Totals;

/// Everything counted. One per service.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Counters<(&'static str, u16)>,
    request_time: Mutex<BTreeMap<&'static str, Histogram>>,
    grades: Counters<(&'static str, &'static str, &'static str)>,
    rejected: Counters<&'static str>,
    programs: Counters<&'static str>,
    infra_errors: AtomicU64,
    queue_wait: Histogram,
    compile: Histogram,
    run: Histogram,
}

/// What is true now, given by the service when asked.
pub(crate) struct Gauges {
    pub(crate) queue_depth: usize,
    pub(crate) in_flight: usize,
    /// Items whose client hung up while a judge was at them.
    pub(crate) left: u64,
    /// Whether SIGHUP did last what it should.
    pub(crate) reloaded: bool,
    /// Hits and misses of the kept results.
    pub(crate) cache: (u64, u64),
    pub(crate) ready: bool,
    pub(crate) tier: String,
}

impl Metrics {
    /// One answered request.
    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.add((route, status));
        let mut times = self.request_time.lock().unwrap_or_else(PoisonError::into_inner);
        times.entry(route).or_default().observe(took);
    }

    /// One judged item, of whatever route; `verdict` is empty when there is none.
    pub(crate) fn grade(&self, kind: &'static str, outcome: &'static str, verdict: &'static str) {
        self.grades.add((kind, outcome, verdict));
    }

    /// One program that a drop-in route ran for its output, by how it ended.
    pub(crate) fn program(&self, end: &'static str) {
        self.programs.add(end);
    }

    /// One request turned away before it ran.
    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.add(reason);
    }

    /// One failure of ours.
    pub(crate) fn infra_error(&self) {
        self.infra_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// One job's wait for a judge.
    pub(crate) fn queue_wait(&self, waited: Duration) {
        self.queue_wait.observe(waited);
    }

    /// Where a judge's time went.
    pub(crate) fn times(&self, compile: Duration, run: Duration) {
        self.compile.observe(compile);
        self.run.observe(run);
    }

    /// The sums that the live page shows; what is kept of results is not counted here.
    pub(super) fn totals(&self) -> Totals {
        let mut totals =
            Totals { infra_errors: self.infra_errors.load(Ordering::Relaxed), ..Totals::default() };
        for ((_, status), count) in self.requests.all() {
            totals.requests += count;
            totals.failed += if status >= 500 { count } else { 0 };
        }
        let items = self.grades.all().into_iter().map(|((_, outcome, verdict), count)| match verdict {
            "" => (outcome, count),
            verdict => (verdict, count),
        });
        for (name, count) in items.chain(self.programs.all()) {
            *totals.verdicts.entry(name).or_default() += count;
        }
        totals
    }

    /// The text of `/metrics`.
    pub(crate) fn render(&self, now: &Gauges) -> String {
        let mut text = Text(String::new());
        text.head("assay_build_info", "gauge", "Always 1; what is running.");
        text.line(
            "assay_build_info",
            &format!("version=\"{}\",tier=\"{}\"", env!("CARGO_PKG_VERSION"), now.tier),
            1,
        );
        text.head(
            "assay_ready",
            "gauge",
            "1 when the last self-test passed and the service is not draining.",
        );
        text.line("assay_ready", "", u64::from(now.ready));
        let reloaded = "assay_config_last_reload_successful";
        text.head(
            reloaded,
            "gauge",
            "0 when SIGHUP met settings or files that cannot be used, and changed nothing.",
        );
        text.line(reloaded, "", u64::from(now.reloaded));
        text.head("assay_queue_depth", "gauge", "Items waiting for a judge.");
        text.line("assay_queue_depth", "", now.queue_depth as u64);
        text.head("assay_in_flight", "gauge", "Items a judge is working on.");
        text.line("assay_in_flight", "", now.in_flight as u64);
        text.head("assay_infra_errors_total", "counter", "Failures of ours; none of them became a reward.");
        text.line("assay_infra_errors_total", "", self.infra_errors.load(Ordering::Relaxed));
        for (name, help, count) in [
            ("assay_abandoned_total", "Items whose client hung up while a judge was at them.", now.left),
            ("assay_cache_hits_total", "Items whose result was known.", now.cache.0),
            ("assay_cache_misses_total", "Items that were judged to be kept.", now.cache.1),
        ] {
            text.head(name, "counter", help);
            text.line(name, "", count);
        }
        text.head("assay_http_requests_total", "counter", "Requests answered.");
        for ((route, code), count) in self.requests.all() {
            text.line("assay_http_requests_total", &format!("route=\"{route}\",code=\"{code}\""), count);
        }
        text.head("assay_grade_total", "counter", "Items judged, on whatever route.");
        for ((kind, outcome, verdict), count) in self.grades.all() {
            let labels = format!("kind=\"{kind}\",outcome=\"{outcome}\",verdict=\"{verdict}\"");
            text.line("assay_grade_total", &labels, count);
        }
        text.head(
            "assay_programs_total",
            "counter",
            "Programs run for their output alone, on drop-in routes.",
        );
        for (end, count) in self.programs.all() {
            text.line("assay_programs_total", &format!("end=\"{end}\""), count);
        }
        text.head("assay_queue_rejected_total", "counter", "Requests turned away before they ran.");
        for (reason, count) in self.rejected.all() {
            text.line("assay_queue_rejected_total", &format!("reason=\"{reason}\""), count);
        }
        text.head(
            "assay_http_request_duration_seconds",
            "histogram",
            "From the request's head to its answer.",
        );
        for (route, histogram) in self.request_time.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            text.histogram("assay_http_request_duration_seconds", &format!("route=\"{route}\","), histogram);
        }
        for (name, help, histogram) in [
            ("assay_queue_wait_seconds", "From admission to a free judge.", &self.queue_wait),
            ("assay_compile_seconds", "Making the program.", &self.compile),
            ("assay_run_seconds", "Tests and comparison, or the math.", &self.run),
        ] {
            text.head(name, "histogram", help);
            text.histogram(name, "", histogram);
        }
        text.0
    }
}

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(index) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[index].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

struct Counters<K>(Mutex<BTreeMap<K, u64>>);

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Counters(Mutex::new(BTreeMap::new()))
    }
}

impl<K: Ord + Clone> Counters<K> {
    fn add(&self, key: K) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    fn all(&self) -> Vec<(K, u64)> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

struct Text(String);

// Writing to a String cannot fail, hence the ignored results.
impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// `labels` is empty or ends in a comma.
    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let count = histogram.count.load(Ordering::Relaxed);
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&histogram.buckets) {
            below += bucket.load(Ordering::Relaxed);
            self.line(&format!("{name}_bucket"), &format!("{labels}le=\"{bound}\""), below);
        }
        self.line(&format!("{name}_bucket"), &format!("{labels}le=\"+Inf\""), count);
        let sum = histogram.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let labels = labels.trim_end_matches(',');
        let _ = match labels {
            "" => writeln!(self.0, "{name}_sum {sum}"),
            _ => writeln!(self.0, "{name}_sum{{{labels}}} {sum}"),
        };
        self.line(&format!("{name}_count"), labels, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_in_the_count() {
        let metrics = Metrics::default();
        for millis in [0, 3, 3, 700, 100_000] {
            metrics.queue_wait(Duration::from_millis(millis));
        }
        metrics.request("/v1/grade", 200, Duration::from_millis(3));
        let gauges = Gauges {
            queue_depth: 2,
            in_flight: 1,
            left: 0,
            reloaded: true,
            cache: (3, 4),
            ready: true,
            tier: "A".into(),
        };
        let text = metrics.render(&gauges);
        for line in [
            "assay_queue_wait_seconds_bucket{le=\"0.0005\"} 1",
            "assay_queue_wait_seconds_bucket{le=\"0.005\"} 3",
            "assay_queue_wait_seconds_bucket{le=\"1\"} 4",
            "assay_queue_wait_seconds_bucket{le=\"60\"} 4",
            "assay_queue_wait_seconds_bucket{le=\"+Inf\"} 5",
            "assay_queue_wait_seconds_count 5",
            "assay_queue_wait_seconds_sum 100.706",
            "assay_http_requests_total{route=\"/v1/grade\",code=\"200\"} 1",
            "assay_http_request_duration_seconds_count{route=\"/v1/grade\"} 1",
            "assay_queue_depth 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
    }
}

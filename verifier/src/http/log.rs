//! One line per event on standard error, as JSON or as text for people. Bodies, tokens and completions are
//! never written.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// `time level event key=value ...`.
    Text,
}

/// How much a line matters, and from where on lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, clap::ValueEnum)]
pub enum LogLevel {
    /// Every request.
    #[default]
    Info,
    /// Failures of ours.
    Error,
}

/// Where events go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    format: LogFormat,
    least: LogLevel,
}

impl Log {
    pub(crate) fn new(format: LogFormat, least: LogLevel) -> Log {
        Log { format, least }
    }

    /// Writes one event. A closed standard error loses the line and nothing else.
    pub(crate) fn event(&self, level: LogLevel, event: &str, fields: &[(&str, Value)]) {
        if level < self.least {
            return;
        }
        let line = self.line(SystemTime::now(), level, event, fields);
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn line(&self, at: SystemTime, level: LogLevel, event: &str, fields: &[(&str, Value)]) -> String {
        let (time, level) = (rfc3339(at), if level == LogLevel::Info { "info" } else { "error" });
        match self.format {
            LogFormat::Json => {
                let mut object = Map::new();
                object.insert("time".into(), time.into());
                object.insert("level".into(), level.into());
                object.insert("event".into(), event.into());
                object.extend(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
                format!("{}\n", Value::Object(object))
            }
            LogFormat::Text => {
                let fields: String = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
                format!("{time} {level} {event}{fields}\n")
            }
        }
    }
}

/// UTC with milliseconds.
fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a count of days since 1970-01-01, walking whole years and months.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// The trace id in a `traceparent` header of the W3C's form, so that a request's line is found from its trace.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let whole = version.len() == 2 && trace.len() == 32 && parts.next()?.len() == 16;
    (whole && hex(version) && hex(trace) && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_trace_id_is_read_or_left_out() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(&format!("00-{trace}-00f067aa0ba902b7-01")), Some(trace));
        for bad in ["", "00", "00-1-2-3", "zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
        assert_eq!(trace_id(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))), None);
    }

    #[test]
    fn dates_are_civil() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ];
        for (seconds, want) in rows {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn a_value_cannot_break_the_line() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = Log::new(format, LogLevel::Info).line(
                UNIX_EPOCH,
                LogLevel::Error,
                "x",
                &[("why", Value::from("a\nb\"c"))],
            );
            assert_eq!(line.matches('\n').count(), 1, "{line}");
        }
    }
}

//! SIGHUP: the configuration is read again, and what can change while the service runs does.
//!
//! All or nothing: where a file cannot be read or a value is wrong, the old configuration stays and the log says why. What is
//! built at the start (the listener, threads, slots, the stores) keeps its value, and the log names it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde_json::Value;

use super::{Config, LogLevel, Service, refuse_open_address};

impl Service {
    /// Takes the new configuration, or says in the log why not.
    pub(super) fn reload(&self, read: Result<Config, String>) {
        let old = self.config();
        let checked = read.and_then(|new| {
            let (new, fixed) = merged(&old, new);
            refuse_open_address(&new).map(|()| (new, fixed))
        });
        self.reloaded.store(checked.is_ok(), Ordering::Relaxed);
        let (new, fixed) = match checked {
            Ok(merged) => merged,
            Err(reason) => {
                let fields = [("reason", reason.into()), ("advice", "the old configuration stays".into())];
                return self.log.event(LogLevel::Error, "reload_failed", &fields);
            }
        };
        let fields = [("tokens", new.tokens.len().into()), ("needs_restart", Value::from(fixed))];
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        self.log.event(LogLevel::Info, "reloaded", &fields);
    }
}

/// The new configuration with the old one's values where nothing can change, and the names of those that would have.
fn merged(old: &Config, mut new: Config) -> (Config, Vec<&'static str>) {
    let mut fixed = Vec::new();
    macro_rules! keep {
        ($($field:ident),*) => {$(
            if new.$field != old.$field {
                fixed.push(stringify!($field));
                new.$field.clone_from(&old.$field);
            }
        )*};
    }
    keep!(
        listen,
        slots,
        sleepers,
        queue,
        max_bodies,
        problems,
        problems_size,
        cache,
        cache_dir,
        otlp,
        head_timeout,
        log,
        log_level,
        until_stdin_closes
    );
    if new.tls.is_some() != old.tls.is_some() {
        fixed.push("tls");
        new.tls.clone_from(&old.tls);
    }
    (new, fixed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_built_at_the_start_keeps_its_value() {
        let old = Config::default();
        let wanted = Config {
            slots: old.slots + 1,
            cache: 7,
            grace: Duration::from_secs(1),
            max_body: 5,
            ..old.clone()
        };
        let (new, fixed) = merged(&old, wanted);
        assert_eq!(fixed, ["slots", "cache"]);
        assert_eq!(
            (new.slots, new.cache, new.grace, new.max_body),
            (old.slots, 0, Duration::from_secs(1), 5)
        );
    }
}

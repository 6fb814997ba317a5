//! The thread that computes: requests join the scheduler as they come, tokens go back to whoever asked, and a request whose
//! asker has gone is dropped with all its rollouts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::EngineError;
use crate::policy::Writer;
use crate::sampler::scheduler::{Drawn, Event, Key, Scheduler};
use crate::sampler::{Cache, Generated, Request};

/// How rollouts are computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) cache: Cache,
    pub(super) max_batch: usize,
    pub(super) batch_invariant: bool,
    /// Greatest number of rollouts that wait or run.
    pub(super) queue: usize,
}

/// What an asker hears.
#[derive(Debug)]
pub(super) enum Reply {
    /// It is in the queue.
    Accepted,
    /// It cannot be done: the asker's fault.
    Refused(String),
    /// A rollout drew a token: prompt, rollout, the text that is certain by now.
    Token { prompt: usize, rollout: usize, text: String, token: Drawn },
    /// A rollout ended.
    End { prompt: usize, rollout: usize, generated: Generated },
    /// Ours to answer for.
    Failed(String),
}

/// Why a request was not even given to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unable {
    Full,
    Gone,
}

struct Ask {
    prompts: Vec<Request>,
    replies: UnboundedSender<Reply>,
}

/// The engine, as those who ask see it.
#[derive(Debug)]
pub(super) struct Engine {
    asks: Sender<Ask>,
    load: Arc<Load>,
    queue: usize,
}

/// What the engine is busy with.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Rollouts asked for and not ended.
    pub(super) rollouts: AtomicUsize,
    /// Of those, the ones that advance.
    pub(super) running: AtomicUsize,
    /// Pages in use.
    pub(super) pages: AtomicUsize,
    /// Requests asked for in all.
    pub(super) asked: AtomicUsize,
    /// Requests dropped because their asker had gone.
    pub(super) dropped: AtomicUsize,
}

impl Engine {
    /// Starts the thread. It ends once the engine is dropped and nothing is left to do.
    pub(super) fn start(
        weights: Arc<Writer>,
        settings: Settings,
    ) -> std::io::Result<(Engine, JoinHandle<()>)> {
        let (asks, asked) = channel();
        let load = Arc::new(Load::default());
        let seen = load.clone();
        let thread = std::thread::Builder::new().name("engine".to_owned());
        let thread = thread.spawn(move || Thread::new(&weights, settings, &seen).run(&asked))?;
        Ok((Engine { asks, load, queue: settings.queue }, thread))
    }

    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    /// Gives a request's prompts to the engine. Dropping what is returned drops the request.
    pub(super) fn ask(&self, prompts: Vec<Request>) -> Result<UnboundedReceiver<Reply>, Unable> {
        let rollouts: usize = prompts.iter().map(|request| request.rollouts).sum();
        let before = self.load.rollouts.fetch_add(rollouts, Ordering::SeqCst);
        // One request may be larger than the queue, or it would never be answered.
        if before > 0 && before + rollouts > self.queue {
            self.load.rollouts.fetch_sub(rollouts, Ordering::SeqCst);
            return Err(Unable::Full);
        }
        let (replies, heard) = unbounded_channel();
        self.asks.send(Ask { prompts, replies }).map_err(|_| Unable::Gone)?;
        Ok(heard)
    }
}

/// A prompt's asker.
struct Client {
    replies: UnboundedSender<Reply>,
    prompt: usize,
    /// Rollouts that have not ended.
    left: usize,
}

struct Thread<'a> {
    weights: &'a Writer,
    settings: Settings,
    load: &'a Load,
    scheduler: Scheduler<'a>,
    clients: BTreeMap<Key, Client>,
    next: Key,
}

impl<'a> Thread<'a> {
    fn new(weights: &'a Writer, settings: Settings, load: &'a Load) -> Thread<'a> {
        let scheduler = scheduler(weights, settings);
        Thread { weights, settings, load, scheduler, clients: BTreeMap::new(), next: 0 }
    }

    fn run(&mut self, asked: &Receiver<Ask>) {
        let mut events = Vec::new();
        loop {
            if self.clients.is_empty() {
                let Ok(ask) = asked.recv() else { return };
                self.add(ask);
            }
            while let Ok(ask) = asked.try_recv() {
                self.add(ask);
            }
            self.drop_the_gone();
            match self.scheduler.advance(&mut events) {
                Ok(_) => events.drain(..).for_each(|event| self.deliver(event)),
                Err(error) => self.fail(&error),
            }
            self.load.running.store(self.scheduler.load().1, Ordering::Relaxed);
            self.load.pages.store(self.scheduler.pages().0, Ordering::Relaxed);
        }
    }

    fn add(&mut self, ask: Ask) {
        let first = self.next;
        let mut refused = None;
        let rollouts: usize = ask.prompts.iter().map(|request| request.rollouts).sum();
        for (prompt, request) in ask.prompts.into_iter().enumerate() {
            let left = request.rollouts;
            match self.scheduler.add(self.next, request) {
                Ok(()) => {
                    let replies = ask.replies.clone();
                    self.clients.insert(self.next, Client { replies, prompt, left });
                    self.next += 1;
                }
                Err(error) => refused = refused.or(Some(error.to_string())),
            }
        }
        let reply = match refused {
            None => Reply::Accepted,
            Some(what) => {
                // One prompt that cannot be is the whole request's end.
                (first..self.next).for_each(|key| {
                    self.clients.remove(&key);
                    self.scheduler.forget(key);
                });
                self.load.rollouts.fetch_sub(rollouts, Ordering::SeqCst);
                Reply::Refused(what)
            }
        };
        // Whoever has gone is found out before the next step.
        let _ = ask.replies.send(reply);
    }

    fn drop_the_gone(&mut self) {
        let gone: Vec<Key> = self
            .clients
            .iter()
            .filter(|(_, client)| client.replies.is_closed())
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.scheduler.forget(key);
            self.forget(key);
            self.load.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forget(&mut self, key: Key) {
        let left = self.clients.remove(&key).map_or(0, |client| client.left);
        self.load.rollouts.fetch_sub(left, Ordering::SeqCst);
    }

    fn deliver(&mut self, event: Event) {
        let (Event::Token { key, .. } | Event::End { key, .. }) = &event;
        let key = *key;
        let Some(client) = self.clients.get_mut(&key) else { return };
        let prompt = client.prompt;
        let reply = match event {
            Event::Token { rollout, text, token, .. } => Reply::Token { prompt, rollout, text, token },
            Event::End { rollout, generated, .. } => {
                client.left -= 1;
                self.load.rollouts.fetch_sub(1, Ordering::SeqCst);
                Reply::End { prompt, rollout, generated }
            }
        };
        let _ = client.replies.send(reply);
        if client.left == 0 {
            self.clients.remove(&key);
        }
    }

    /// The model broke: all who asked are told, and the next ones get a scheduler of their own.
    fn fail(&mut self, error: &EngineError) {
        for key in self.clients.keys().copied().collect::<Vec<_>>() {
            if let Some(client) = self.clients.get(&key) {
                let _ = client.replies.send(Reply::Failed(error.to_string()));
            }
            self.forget(key);
        }
        self.scheduler = scheduler(self.weights, self.settings);
    }
}

fn scheduler(weights: &Writer, settings: Settings) -> Scheduler<'_> {
    let Settings { cache, max_batch, batch_invariant, .. } = settings;
    Scheduler::new(&weights.model, Some(&weights.tokenizer), cache, max_batch, batch_invariant)
}

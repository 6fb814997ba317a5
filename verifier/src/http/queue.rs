//! The bounded queue between async requests and blocking judge threads.
//!
//! A request first gets a [`Ticket`] (there are `slots + capacity` of them: that is the bound), then hands
//! over a closure. `slots` threads take closures in order of arrival. The future that waits for the answer
//! owns the queued job: when it is dropped because the client hung up, or when its deadline passes, a job
//! that no thread has taken yet is taken out and never runs. A closure that panics costs its own request a
//! failure and nobody else anything.
//!
//! There are more threads than jobs may work at once: `cores` jobs work, and a job whose program only sleeps, which the
//! sandbox says through [`note_idle`], does not count as working. So programs that wait for nothing keep no others
//! waiting, and programs that compute are not slowed by each other. One that wakes up is not stopped; until another one
//! ends, more work than there are cores, and no new job is taken.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Handle to the queue and its threads; clones share them. The threads end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Queue {
    shared: Arc<Shared>,
    tickets: Arc<Semaphore>,
    _stop: Arc<StopOnDrop>,
}

/// The right to have one job queued or running.
pub(crate) struct Ticket {
    _permit: OwnedSemaphorePermit,
}

/// Why a job gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// Its deadline passed before a thread was free; it never ran.
    Expired,
    /// It panicked.
    Panicked,
}

/// Where in line a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind what is there.
    Back,
    /// Before everything: the self-test, which must not wait for a full queue.
    Front,
}

struct Shared {
    /// Jobs that may work at once.
    cores: usize,
    state: Mutex<State>,
    /// There may be a job that can be taken.
    changed: Condvar,
}

thread_local! {
    /// On a judge thread, whose it is.
    static MINE: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
    /// Whether nobody waits any more for what the judge thread is at.
    static LEFT: RefCell<Arc<AtomicBool>> = RefCell::default();
}

/// Called on a judge thread: whether whoever asked for the present job has gone. On other threads nobody has.
pub(crate) fn unwanted() -> bool {
    LEFT.with_borrow(|left| left.load(Ordering::Relaxed))
}

/// Called on a judge thread when the program it waits for begins to be idle, and when it is so no more. On other threads it
/// says nothing.
pub(crate) fn note_idle(idle: bool) {
    MINE.with_borrow(|mine| {
        if let Some(shared) = mine {
            shared.note_idle(idle);
        }
    });
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    next_id: u64,
    running: usize,
    /// How many of those only wait.
    idle: usize,
    /// How many ended with nobody there any more.
    left: u64,
    stopping: bool,
}

struct Job {
    id: u64,
    work: Work,
}

/// Does the work; what it gives back hands the result to whoever waits for it. Two steps, so that a job whose result
/// is there counts as running no more.
type Work = Box<dyn FnOnce() -> Box<dyn FnOnce()> + Send>;

impl Queue {
    /// Starts `cores + sleepers` threads, of which `cores` work at once; at most `capacity` tickets more than there are
    /// threads are out at once.
    pub(crate) fn start(cores: usize, sleepers: usize, capacity: usize) -> io::Result<Queue> {
        let slots = cores + sleepers;
        let shared = Arc::new(Shared { cores, state: Mutex::default(), changed: Condvar::new() });
        let stop = Arc::new(StopOnDrop(shared.clone()));
        for slot in 0..slots {
            let shared = shared.clone();
            std::thread::Builder::new().name(format!("judge-{slot}")).spawn(move || shared.take_jobs())?;
        }
        let tickets = Arc::new(Semaphore::new((slots + capacity).min(Semaphore::MAX_PERMITS)));
        Ok(Queue { shared, tickets, _stop: stop })
    }

    /// A ticket at once, or `None` when the queue is full.
    pub(crate) fn try_admit(&self) -> Option<Ticket> {
        self.tickets.clone().try_acquire_owned().ok().map(|_permit| Ticket { _permit })
    }

    /// A ticket as soon as there is one, in order of asking.
    pub(crate) async fn admit(&self, deadline: Instant) -> Result<Ticket, NotDone> {
        let permit = self.tickets.clone().acquire_owned();
        match tokio::time::timeout_at(deadline.into(), permit).await {
            Ok(Ok(_permit)) => Ok(Ticket { _permit }),
            Ok(Err(_closed)) => Err(NotDone::Expired),
            Err(_elapsed) => Err(NotDone::Expired),
        }
    }

    /// Runs `work` on a judge thread and gives its result with the time it waited in line. The ticket is
    /// held until the work ends, also when nobody waits for the result any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        ticket: Ticket,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Duration), NotDone> {
        self.run_at(Place::Back, Some(ticket), deadline, work).await
    }

    /// As [`run`](Queue::run), at a place of one's choice and with or without a ticket.
    pub(crate) async fn run_at<T: Send + 'static>(
        &self,
        place: Place,
        ticket: Option<Ticket>,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Duration), NotDone> {
        let (send, mut receive) = oneshot::channel();
        let queued_at = Instant::now();
        let left = Arc::new(AtomicBool::new(false));
        let (shared, has_left) = (self.shared.clone(), left.clone());
        let job: Work = Box::new(move || {
            let waited = queued_at.elapsed();
            LEFT.set(has_left.clone());
            let result = catch_unwind(AssertUnwindSafe(work)).map_err(|_panic| NotDone::Panicked);
            if has_left.load(Ordering::Relaxed) {
                shared.lock().left += 1;
            }
            drop(ticket);
            // Nobody listens when the client went away while we worked; that is fine.
            Box::new(move || _ = send.send(result.map(|value| (value, waited))))
        });
        let queued = self.push(place, job, left);
        tokio::select! {
            biased;
            answer = &mut receive => return answer.unwrap_or(Err(NotDone::Panicked)),
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        if queued.take_out() {
            return Err(NotDone::Expired);
        }
        receive.await.unwrap_or(Err(NotDone::Panicked))
    }

    /// Jobs no thread has taken yet.
    pub(crate) fn depth(&self) -> usize {
        self.shared.lock().jobs.len()
    }

    /// Jobs being worked on.
    pub(crate) fn running(&self) -> usize {
        self.shared.lock().running
    }

    /// Of those, jobs whose program only sleeps.
    pub(crate) fn asleep(&self) -> usize {
        self.shared.lock().idle
    }

    /// Jobs that ended with nobody there any more.
    pub(crate) fn left(&self) -> u64 {
        self.shared.lock().left
    }

    fn push(&self, place: Place, work: Work, left: Arc<AtomicBool>) -> Queued {
        let mut state = self.shared.lock();
        let id = state.next_id;
        state.next_id += 1;
        let job = Job { id, work };
        match place {
            Place::Back => state.jobs.push_back(job),
            Place::Front => state.jobs.push_front(job),
        }
        drop(state);
        self.shared.changed.notify_one();
        Queued { shared: self.shared.clone(), id, left }
    }
}

impl Shared {
    /// A judge thread's life.
    fn take_jobs(self: Arc<Shared>) {
        MINE.set(Some(self.clone()));
        let mut state = self.lock();
        loop {
            let room = state.running.saturating_sub(state.idle) < self.cores;
            if let Some(job) = room.then(|| state.jobs.pop_front()).flatten() {
                state.running += 1;
                drop(state);
                let answer = (job.work)();
                self.lock().running -= 1;
                answer();
                state = self.lock();
            } else if state.stopping && state.jobs.is_empty() {
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn note_idle(&self, idle: bool) {
        let mut state = self.lock();
        if idle {
            state.idle += 1;
            drop(state);
            self.changed.notify_one();
        } else {
            state.idle = state.idle.saturating_sub(1);
        }
    }

    /// No code that can panic runs under this lock, so a poisoned one is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waiting future's hold on its job.
struct Queued {
    shared: Arc<Shared>,
    id: u64,
    left: Arc<AtomicBool>,
}

impl Queued {
    /// Takes the job out of the line; false if a thread has it already.
    fn take_out(&self) -> bool {
        let mut state = self.shared.lock();
        let found = state.jobs.iter().position(|job| job.id == self.id);
        let job = found.and_then(|index| state.jobs.remove(index));
        drop(state);
        job.is_some()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Relaxed);
        self.take_out();
    }
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.lock().stopping = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    fn in_runtime<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Occupies a one-slot queue until the sender is dropped.
    fn block(queue: &Queue) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, wait) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let (queue, ticket) = (queue.clone(), queue.try_admit().unwrap());
        let handle = tokio::spawn(async move {
            let work = move || {
                started.send(()).unwrap();
                let _ = wait.recv();
            };
            queue.run(ticket, later(), work).await.unwrap();
        });
        tokio::task::block_in_place(|| has_started.recv().unwrap());
        (release, handle)
    }

    #[test]
    fn the_bound_is_slots_and_capacity() {
        let queue = Queue::start(1, 0, 2).unwrap();
        let tickets: Vec<_> = std::iter::from_fn(|| queue.try_admit()).collect();
        assert_eq!(tickets.len(), 3);
        drop(tickets);
        assert!(queue.try_admit().is_some());
    }

    #[test]
    fn a_panic_is_one_failure_and_the_thread_lives() {
        in_runtime(async {
            let queue = Queue::start(1, 0, 1).unwrap();
            let ticket = queue.try_admit().unwrap();
            let panicked = queue.run(ticket, later(), || -> u8 { panic!("a test's panic") }).await;
            assert_eq!(panicked.unwrap_err(), NotDone::Panicked);
            let ticket = queue.try_admit().unwrap();
            assert_eq!(queue.run(ticket, later(), || 7).await.unwrap().0, 7);
            assert_eq!((queue.depth(), queue.running()), (0, 0));
        });
    }

    #[test]
    fn an_expired_or_abandoned_job_never_runs() {
        in_runtime(async {
            let queue = Queue::start(1, 0, 3).unwrap();
            let (release, blocker) = block(&queue);
            let ran = Arc::new(AtomicUsize::new(0));
            let count = |ran: &Arc<AtomicUsize>| {
                let ran = ran.clone();
                move || ran.fetch_add(1, Ordering::SeqCst)
            };
            let ticket = queue.try_admit().unwrap();
            let soon = Instant::now() + Duration::from_millis(10);
            assert_eq!(queue.run(ticket, soon, count(&ran)).await.unwrap_err(), NotDone::Expired);

            let (other, ticket, work) = (queue.clone(), queue.try_admit().unwrap(), count(&ran));
            let abandoned = tokio::spawn(async move { other.run(ticket, later(), work).await });
            while queue.depth() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            abandoned.abort();
            assert!(abandoned.await.unwrap_err().is_cancelled());
            assert_eq!(queue.depth(), 0);

            drop(release);
            blocker.await.unwrap();
            let ticket = queue.try_admit().unwrap();
            queue.run(ticket, later(), count(&ran)).await.unwrap();
            assert_eq!(ran.load(Ordering::SeqCst), 1, "only the last one ran");
        });
    }

    #[test]
    fn a_job_is_told_that_nobody_waits_for_it() {
        in_runtime(async {
            let queue = Queue::start(1, 0, 1).unwrap();
            let (started, has_started) = mpsc::channel();
            let (other, ticket) = (queue.clone(), queue.try_admit().unwrap());
            let work = move || {
                started.send(unwanted()).unwrap();
                while !unwanted() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            let leaver = tokio::spawn(async move { other.run(ticket, later(), work).await });
            assert!(!tokio::task::block_in_place(|| has_started.recv().unwrap()));
            leaver.abort();
            let ticket = queue.try_admit().unwrap();
            assert!(!queue.run(ticket, later(), unwanted).await.unwrap().0, "the next one is wanted");
            assert_eq!(queue.left(), 1);
        });
    }

    #[test]
    fn the_front_place_overtakes() {
        in_runtime(async {
            let queue = Queue::start(1, 0, 3).unwrap();
            let (release, blocker) = block(&queue);
            let order = Arc::new(Mutex::new(Vec::new()));
            let note = |name: &'static str| {
                let order = order.clone();
                move || order.lock().unwrap().push(name)
            };
            let back = queue.run_at(Place::Back, None, later(), note("back"));
            let front = queue.run_at(Place::Front, None, later(), note("front"));
            let both = async { tokio::join!(back, front) };
            tokio::pin!(both);
            assert!(tokio::time::timeout(Duration::from_millis(20), &mut both).await.is_err());
            drop(release);
            let (back, front) = both.await;
            back.unwrap();
            front.unwrap();
            blocker.await.unwrap();
            assert_eq!(*order.lock().unwrap(), ["front", "back"]);
        });
    }

    /// Two sleepers sat on both judges of a two-core service, and forty right programs waited for their time limit.
    #[test]
    fn a_job_that_sleeps_keeps_nobody_waiting() {
        in_runtime(async {
            let queue = Queue::start(1, 2, 3).unwrap();
            let (release, wait) = mpsc::channel::<()>();
            let (sleeper, ticket) = (queue.clone(), queue.try_admit().unwrap());
            let sleeps = tokio::spawn(async move {
                let work = move || {
                    note_idle(true);
                    let _ = wait.recv();
                    note_idle(false);
                };
                sleeper.run(ticket, later(), work).await.unwrap();
            });
            while queue.shared.lock().idle == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let ticket = queue.try_admit().unwrap();
            assert_eq!(queue.run(ticket, later(), || 7).await.unwrap().0, 7, "though one is asleep");
            // One that works leaves no room for another, though a thread is free.
            let (busy, blocker) = block(&queue);
            let ticket = queue.try_admit().unwrap();
            let soon = Instant::now() + Duration::from_millis(20);
            assert_eq!(queue.run(ticket, soon, || 8).await.unwrap_err(), NotDone::Expired);
            drop((busy, release));
            blocker.await.unwrap();
            sleeps.await.unwrap();
            assert_eq!(queue.shared.lock().idle, 0);
        });
    }

    #[test]
    fn waiting_for_a_ticket_ends_at_the_deadline() {
        in_runtime(async {
            let queue = Queue::start(1, 0, 0).unwrap();
            let held = queue.try_admit().unwrap();
            let soon = Instant::now() + Duration::from_millis(10);
            assert_eq!(queue.admit(soon).await.err(), Some(NotDone::Expired));
            drop(held);
            assert!(queue.admit(later()).await.is_ok());
        });
    }
}

//! Problems stored once and referred to by id: LiveCodeBench's tests are megabytes, and a trainer asks for the same problem
//! a group's size of times in every step.
//!
//! A problem's id is the SHA-256 of its JSON, keys sorted, without white space: the same problem has one id everywhere, and
//! what comes back under an id is what was stored. With a directory each is a file of that name, written beside and renamed,
//! so a crash leaves a whole one or none, and a restart finds them all; what is read is hashed again. Without a directory they
//! live as long as the process. Read problems are kept in memory up to [`IN_MEMORY`] bytes of their JSON.
//!
//! Two bounds: `most` bytes of all problems together, past which nothing more is taken (507), and memory as above, past which
//! the one longest unused is read again when it is next asked for.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assay_testsets::Problem;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::wire::ProblemForm;

/// Most bytes of JSON whose problems are kept read, where there is a directory to read them from again.
const IN_MEMORY: u64 = 256 << 20;

/// All stored problems.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Option<PathBuf>,
    most: u64,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    entries: HashMap<String, Entry>,
    bytes: u64,
    in_memory: u64,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    read: Option<Arc<Problem>>,
    used: u64,
}

/// Why a problem was not stored, or not found.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The caller's: it is no problem.
    Invalid(String),
    /// There is no room for it.
    Full { most: u64 },
    /// Ours: the disk.
    Failed(String),
}

/// What there is.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Ids and bytes, by id.
    pub(crate) problems: Vec<(String, u64)>,
    /// Bytes of all.
    pub(crate) bytes: u64,
    /// Most bytes of all.
    pub(crate) most: u64,
}

impl Store {
    /// A store of at most `most` bytes, in `directory` where one is given; it is made if need be.
    pub(crate) fn open(directory: Option<&Path>, most: u64) -> io::Result<Store> {
        let mut shelf = Shelf::default();
        if let Some(directory) = directory {
            fs::create_dir_all(directory)?;
            for file in fs::read_dir(directory)? {
                let file = file?;
                let name = file.file_name();
                let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
                if is_id(id) {
                    let bytes = file.metadata()?.len();
                    shelf.bytes += bytes;
                    shelf.entries.insert(id.to_owned(), Entry { bytes, read: None, used: 0 });
                }
            }
        }
        Ok(Store { directory: directory.map(Path::to_owned), most, shelf: Mutex::new(shelf) })
    }

    /// Stores a problem; its id, and whether it is new.
    pub(crate) fn put(&self, problem: &Value) -> Result<(String, bool), StoreError> {
        let read = read(problem)?;
        let text = canonical(problem).to_string();
        let id = id_of(text.as_bytes());
        let bytes = text.len() as u64;
        // The lock is held over the write: two that bring the same problem write it once.
        let mut shelf = self.locked();
        if shelf.entries.contains_key(&id) {
            return Ok((id, false));
        }
        if shelf.bytes + bytes > self.most {
            return Err(StoreError::Full { most: self.most });
        }
        if let Some(directory) = &self.directory {
            write_whole(directory, &id, text.as_bytes())
                .map_err(|error| StoreError::Failed(format!("cannot store a problem: {error}")))?;
        }
        shelf.bytes += bytes;
        shelf.entries.insert(id.clone(), Entry { bytes, read: None, used: 0 });
        self.keep(&mut shelf, &id, Arc::new(read));
        Ok((id, true))
    }

    /// The problem of an id, if it is stored.
    pub(crate) fn get(&self, id: &str) -> Result<Option<Arc<Problem>>, StoreError> {
        let mut shelf = self.locked();
        shelf.clock += 1;
        let now = shelf.clock;
        match shelf.entries.get_mut(id) {
            None => return Ok(None),
            Some(entry) => {
                entry.used = now;
                if let Some(problem) = &entry.read {
                    return Ok(Some(problem.clone()));
                }
            }
        }
        drop(shelf);
        // Others go on while this one is read.
        let problem = Arc::new(self.read_again(id)?);
        self.keep(&mut self.locked(), id, problem.clone());
        Ok(Some(problem))
    }

    /// Removes a problem; whether there was one.
    pub(crate) fn remove(&self, id: &str) -> Result<bool, StoreError> {
        let mut shelf = self.locked();
        let Some(entry) = shelf.entries.remove(id) else { return Ok(false) };
        shelf.bytes -= entry.bytes;
        shelf.in_memory -= if entry.read.is_some() { entry.bytes } else { 0 };
        if let Some(directory) = &self.directory {
            fs::remove_file(path(directory, id))
                .map_err(|error| StoreError::Failed(format!("cannot remove a problem: {error}")))?;
        }
        Ok(true)
    }

    /// What is stored.
    pub(crate) fn list(&self) -> Listing {
        let shelf = self.locked();
        let mut problems: Vec<_> =
            shelf.entries.iter().map(|(id, entry)| (id.clone(), entry.bytes)).collect();
        problems.sort();
        Listing { problems, bytes: shelf.bytes, most: self.most }
    }

    /// Keeps a read problem; where there is a directory, those longest unused make room.
    fn keep(&self, shelf: &mut Shelf, id: &str, problem: Arc<Problem>) {
        let Some(entry) = shelf.entries.get_mut(id).filter(|entry| entry.read.is_none()) else { return };
        entry.read = Some(problem);
        shelf.in_memory += entry.bytes;
        while self.directory.is_some() && shelf.in_memory > IN_MEMORY {
            let kept = shelf.entries.iter_mut().filter(|(known, entry)| *known != id && entry.read.is_some());
            let Some((_, oldest)) = kept.min_by_key(|(_, entry)| entry.used) else { break };
            oldest.read = None;
            shelf.in_memory -= oldest.bytes;
        }
    }

    fn read_again(&self, id: &str) -> Result<Problem, StoreError> {
        let failed = |why: String| StoreError::Failed(format!("cannot read the stored problem {id}: {why}"));
        let directory = self.directory.as_deref().ok_or_else(|| failed("it was in memory alone".into()))?;
        let text = fs::read(path(directory, id)).map_err(|error| failed(error.to_string()))?;
        if id_of(&text) != id {
            return Err(failed("its file has been changed; remove the problem and store it again".into()));
        }
        let problem = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
        read(&problem)
    }

    /// Every change under this lock is whole before it is given up.
    fn locked(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(problem: &Value) -> Result<Problem, StoreError> {
    let form: ProblemForm =
        serde_json::from_value(problem.clone()).map_err(|error| StoreError::Invalid(error.to_string()))?;
    form.into_problem().map_err(StoreError::Invalid)
}

/// With the keys of every object in order.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            Value::Object(
                sorted.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(values) => values.iter().map(canonical).collect(),
        value => value.clone(),
    }
}

/// Lower-case hex.
fn id_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Only for what [`is_id`]: nothing else names a file.
fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.json"))
}

fn write_whole(directory: &Path, id: &str, text: &[u8]) -> io::Result<()> {
    let beside = directory.join(format!("{id}.{}.new", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path(directory, id))?;
        fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn math(answer: &str) -> Value {
        json!({ "question_id": "q", "task": { "type": "math", "ground_truth": answer } })
    }

    #[test]
    fn the_same_problem_has_one_id_however_it_is_written() {
        let store = Store::open(None, 1 << 20).unwrap();
        let (id, new) = store.put(&math("1")).unwrap();
        assert!(new && is_id(&id));
        let other: Value =
            serde_json::from_str(r#"{"task": {"ground_truth": "1", "type": "math"}, "question_id": "q"}"#)
                .unwrap();
        assert_eq!(store.put(&other).unwrap(), (id.clone(), false));
        assert_ne!(store.put(&math("2")).unwrap().0, id);
        assert_eq!(store.list().problems.len(), 2);
        assert!(store.get(&id).unwrap().is_some());
        assert!(store.remove(&id).unwrap() && !store.remove(&id).unwrap());
        assert!(store.get(&id).unwrap().is_none());
        assert!(matches!(store.put(&json!({ "task": 1 })), Err(StoreError::Invalid(_))));
    }

    #[test]
    fn a_restart_finds_them_all_and_damage_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(Some(directory.path()), 1 << 20).unwrap();
        let id = open().put(&math("1")).unwrap().0;
        let other = open().put(&math("2")).unwrap().0;
        // Left behind by a crash, and by somebody else.
        fs::write(directory.path().join(format!("{id}.1.new")), "{").unwrap();
        fs::write(directory.path().join("notes.json"), "{}").unwrap();
        let store = open();
        assert_eq!(store.list().problems.len(), 2);
        assert_eq!(store.list().bytes, 2 * canonical(&math("1")).to_string().len() as u64);
        assert!(store.get(&id).unwrap().is_some());
        assert!(store.get("../notes").unwrap().is_none() && !store.remove("notes").unwrap());
        fs::write(path(directory.path(), &other), canonical(&math("3")).to_string()).unwrap();
        assert!(matches!(store.get(&other), Err(StoreError::Failed(_))));
        assert!(store.remove(&other).unwrap());
        assert_eq!(open().list().problems.len(), 1);
    }

    #[test]
    fn what_is_full_takes_no_more() {
        let size = canonical(&math("1")).to_string().len() as u64;
        let store = Store::open(None, size + 1).unwrap();
        let id = store.put(&math("1")).unwrap().0;
        assert!(matches!(store.put(&math("2")), Err(StoreError::Full { most }) if most == size + 1));
        assert!(!store.put(&math("1")).unwrap().1, "what is there is no news");
        store.remove(&id).unwrap();
        assert!(store.put(&math("2")).unwrap().1);
    }
}

//! Results in files, so that what was judged once is not judged again by a later process.
//!
//! A file's name is the SHA-256 of two things: the conditions under which it was judged (program, interpreters, rules), and
//! the key of what was judged. Other conditions find nothing. A file is written beside its place and renamed, so a reader sees
//! a whole one or none; what cannot be read is judged again. Nothing is ever removed: to have less, remove the directory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What was judged, as a SHA-256.
pub type Key = [u8; 32];

/// A directory of results.
#[derive(Debug)]
pub struct Kept {
    directory: PathBuf,
    conditions: Key,
    /// Files written by this process, so that no two threads write one draft.
    written: AtomicU64,
}

impl Kept {
    /// The results in `directory` that were judged under these conditions. The directory is made if need be, for this user
    /// alone.
    ///
    /// # Errors
    /// When it cannot be made, or when others may write there: who can, decides verdicts.
    pub fn open(directory: &Path, conditions: &Value) -> io::Result<Kept> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        if fs::metadata(directory)?.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "others may write there, and who can, decides verdicts; take their right away (chmod go-w)",
            ));
        }
        let conditions = Sha256::digest(conditions.to_string()).into();
        Ok(Kept { directory: directory.to_owned(), conditions, written: AtomicU64::new(0) })
    }

    /// What is there under a key, and whole.
    pub fn read<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(key)).ok()?).ok()
    }

    /// Keeps a result.
    ///
    /// # Errors
    /// When the file cannot be written: that costs time later, and no verdict now.
    pub fn write<T: Serialize>(&self, key: &Key, result: &T) -> io::Result<()> {
        let file = self.file(key);
        fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let draft = file.with_extension(format!("{}-{number}", process::id()));
        let text = serde_json::to_vec(result)?;
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &file)).inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })
    }

    fn file(&self, key: &Key) -> PathBuf {
        let name = Sha256::new().chain_update(self.conditions).chain_update(key).finalize();
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(&name[..2]).join(format!("{}.json", &name[2..]))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_same_conditions_find_what_was_kept() {
        let place = tempfile::tempdir().unwrap();
        let open = |version: u32| Kept::open(&place.path().join("kept"), &json!({ "v": version })).unwrap();
        open(1).write(&[7; 32], &json!([1.5])).unwrap();
        assert_eq!(open(1).read::<Value>(&[7; 32]), Some(json!([1.5])));
        assert_eq!(open(2).read::<Value>(&[7; 32]), None);
        assert_eq!(open(1).read::<Value>(&[8; 32]), None);
        fs::write(open(1).file(&[7; 32]), "[1.").unwrap();
        assert_eq!(open(1).read::<Value>(&[7; 32]), None);
    }

    #[test]
    fn a_directory_of_everybodys_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Kept::open(place.path(), &json!({})).unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let kept = Kept::open(place.path(), &json!({})).unwrap();
        let file = kept.file(&[1; 32]);
        // In the way of the rename, for root as well.
        fs::create_dir_all(file.join("x")).unwrap();
        assert!(kept.write(&[1; 32], &json!(1)).is_err());
        let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "a draft was left");
    }
}

//! Machine code of the user's own modules, kept between processes in a directory that this user alone can write. It is
//! loaded as it is, so it is believed only where nobody else can have put or changed it; a sum over it tells a file that
//! a full disk or a crash left damaged. Whatever is wrong with a file, the module is compiled anew.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::shelves::shrink;

/// Modules kept at most; the one kept longest ago goes. An interpreter has some 40 MB.
const MOST: usize = 4;
/// Bytes of the sum before the machine code.
const SUM: usize = 32;

/// The directory.
#[derive(Debug)]
pub(crate) struct Shelf(PathBuf);

impl Shelf {
    /// In a directory that is known to be this user's alone.
    pub(crate) fn new(directory: PathBuf) -> Shelf {
        Shelf(directory)
    }

    pub(super) fn find(&self, name: &str) -> Option<Vec<u8>> {
        let file =
            OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(self.0.join(name)).ok()?;
        let metadata = file.metadata().ok()?;
        let own = metadata.uid() == nix::unistd::geteuid().as_raw();
        if !own || !metadata.is_file() || metadata.mode() & 0o022 != 0 {
            return None;
        }
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).ok()?;
        let (sum, code) = bytes.split_at_checked(SUM)?;
        (Sha256::digest(code).as_slice() == sum).then(|| code.to_vec())
    }

    pub(super) fn keep(&self, name: &str, code: &[u8]) -> io::Result<()> {
        // Whole or not at all, whoever else keeps the same one.
        let unfinished = self.0.join(format!(".{}", std::process::id()));
        let mut file = File::create(&unfinished)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        fs::rename(&unfinished, self.0.join(name))?;
        shrink(&self.0, name, MOST, |path| fs::remove_file(path))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_damaged_or_may_be_another_users_is_not_there() {
        let place = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(place.path().into());
        let path = place.path().join("a");
        type Damage = fn(&Path);
        let damage: [(&str, Damage); 5] = [
            ("cut", |path| fs::write(path, &fs::read(path).unwrap()[..40]).unwrap()),
            ("empty", |path| fs::write(path, "").unwrap()),
            ("changed", |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[SUM] ^= 1;
                fs::write(path, bytes).unwrap();
            }),
            ("writable", |path| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap()),
            ("a link", |path| {
                let other = path.with_file_name("other");
                fs::rename(path, &other).unwrap();
                std::os::unix::fs::symlink(other, path).unwrap();
            }),
        ];
        for (name, damage) in damage {
            let _ = fs::remove_file(&path);
            assert_eq!(shelf.find("a"), None, "{name}");
            shelf.keep("a", b"machine code").unwrap();
            assert_eq!(shelf.find("a").as_deref(), Some(&b"machine code"[..]), "{name}");
            damage(&path);
            assert_eq!(shelf.find("a"), None, "{name}");
        }
    }

    #[test]
    fn few_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(place.path().into());
        (0..MOST + 3).for_each(|number| shelf.keep(&number.to_string(), b"code").unwrap());
        assert_eq!(place.path().read_dir().unwrap().count(), MOST);
        assert!(shelf.find(&(MOST + 2).to_string()).is_some());
    }
}

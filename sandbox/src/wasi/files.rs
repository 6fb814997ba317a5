//! The files of one run, as preview 1 shows them: a preopened root that holds them and nothing else, `/box` as another
//! name for it, all in memory that the caller lends. They are read; there is nothing to write, and no path to anywhere.

use crate::InputFile;
use crate::sys::Lent;

use super::Errno;

/// The root's descriptor; those of what is opened follow.
pub(super) const FIRST: u32 = 3;
/// The root's name: programs look for relative and for absolute paths below it.
pub(super) const ROOT: &[u8] = b"/";
/// What native programs find as their working directory.
const BOX: &[u8] = b"box";
/// Longest path, as on Linux.
pub(super) const MAX_PATH: usize = 4096;

const TYPE_DIRECTORY: u8 = 3;
const TYPE_FILE: u8 = 4;
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_SEEK: u64 = 1 << 2;
const RIGHT_TELL: u64 = 1 << 5;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_PATH_OPEN: u64 = 1 << 13;
const RIGHT_LIST: u64 = 1 << 14;
const RIGHT_PATH_STAT: u64 = 1 << 18;
const RIGHT_STAT: u64 = 1 << 21;
const RIGHTS_OF_FILES: u64 = RIGHT_READ | RIGHT_SEEK | RIGHT_TELL | RIGHT_STAT;
const RIGHTS_OF_DIRECTORIES: u64 = RIGHT_PATH_OPEN | RIGHT_LIST | RIGHT_PATH_STAT | RIGHT_STAT;
/// `path_open` flags.
const CREATE: u32 = 1;
const MUST_BE_DIRECTORY: u32 = 2;
const EXCLUSIVE: u32 = 4;
const TRUNCATE: u32 = 8;

/// What a program without files has: no such descriptor, as if this were not here.
#[derive(Debug, Default)]
pub(super) struct Files {
    shown: Vec<(String, Lent)>,
    /// By descriptor, from [`FIRST`].
    opened: Vec<Option<Opened>>,
    /// Opened at once, at most.
    most: usize,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Root,
    Box,
    File(usize),
}

#[derive(Debug)]
struct Opened {
    node: Node,
    at: u64,
}

impl Files {
    /// `open_files` counts the three streams and the root too.
    pub(super) fn new(shown: Vec<(String, Lent)>, open_files: u32) -> Files {
        let root = Opened { node: Node::Root, at: 0 };
        Files { shown, opened: vec![Some(root)], most: open_files.saturating_sub(FIRST) as usize }
    }

    pub(super) fn count(&self) -> usize {
        self.shown.len()
    }

    /// Whether the descriptor is open, and one of these.
    pub(super) fn has(&self, fd: u32) -> bool {
        self.opened(fd).is_ok()
    }

    pub(super) fn is_directory(&self, fd: u32) -> bool {
        self.opened(fd).is_ok_and(|opened| !matches!(opened.node, Node::File(_)))
    }

    pub(super) fn close(&mut self, fd: u32) {
        if let Some(opened) = index(fd).and_then(|index| self.opened.get_mut(index)) {
            *opened = None;
        }
    }

    /// Opens what the path leads to from a directory; the lowest free descriptor.
    pub(super) fn open(&mut self, from: u32, path: &[u8], flags: u32, rights: u64) -> Result<u32, Errno> {
        let found = self.find(from, path);
        let node = match found {
            Ok(_) if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE => return Err(Errno::Exist),
            Err(Errno::Noent) if flags & CREATE != 0 => return Err(Errno::Rofs),
            Ok(_) if flags & TRUNCATE != 0 || rights & RIGHT_WRITE != 0 => return Err(Errno::Rofs),
            Ok(Node::File(_)) if flags & MUST_BE_DIRECTORY != 0 => return Err(Errno::Notdir),
            other => other?,
        };
        let free = self.opened.iter().position(Option::is_none).unwrap_or(self.opened.len());
        if free >= self.most {
            return Err(Errno::Mfile);
        }
        let opened = Some(Opened { node, at: 0 });
        match self.opened.get_mut(free) {
            Some(place) => *place = opened,
            None => self.opened.push(opened),
        }
        Ok(FIRST + free as u32)
    }

    /// A file's bytes, and how far it was read.
    pub(super) fn content(&self, fd: u32) -> Result<(Lent, u64), Errno> {
        let (file, at) = self.file(fd)?;
        Ok((self.shown[file].1.clone(), at))
    }

    /// Moves the position on.
    pub(super) fn advance(&mut self, fd: u32, by: usize) {
        if let Some(Some(opened)) = index(fd).and_then(|index| self.opened.get_mut(index)) {
            opened.at = opened.at.saturating_add(by as u64);
        }
    }

    /// Sets the position; `whence` 0, 1, 2: from the start, from here, from the end. Returns it.
    pub(super) fn seek(&mut self, fd: u32, by: i64, whence: u32) -> Result<u64, Errno> {
        let (file, at) = self.file(fd)?;
        let from = match whence {
            0 => 0,
            1 => at,
            2 => self.shown[file].1.bytes().len() as u64,
            _ => return Err(Errno::Inval),
        };
        let to = from.checked_add_signed(by).filter(|&to| i64::try_from(to).is_ok()).ok_or(Errno::Inval)?;
        if let Some(Some(opened)) = index(fd).and_then(|index| self.opened.get_mut(index)) {
            opened.at = to;
        }
        Ok(to)
    }

    /// The record of `fd_fdstat_get`.
    pub(super) fn status(&self, fd: u32) -> [u8; 24] {
        // Told that nobody may write, the C library would ask for less than the program wants, and get it.
        let (kind, rights, inherited) = match self.is_directory(fd) {
            true => {
                (TYPE_DIRECTORY, RIGHTS_OF_DIRECTORIES, RIGHTS_OF_DIRECTORIES | RIGHTS_OF_FILES | RIGHT_WRITE)
            }
            false => (TYPE_FILE, RIGHTS_OF_FILES, 0),
        };
        let mut record = [0; 24];
        record[0] = kind;
        record[8..16].copy_from_slice(&rights.to_le_bytes());
        record[16..24].copy_from_slice(&inherited.to_le_bytes());
        record
    }

    /// The record of `fd_filestat_get`.
    pub(super) fn record(&self, fd: u32) -> Result<[u8; 64], Errno> {
        Ok(self.record_of(self.opened(fd)?.node))
    }

    /// The record of `path_filestat_get`.
    pub(super) fn record_at(&self, from: u32, path: &[u8]) -> Result<[u8; 64], Errno> {
        Ok(self.record_of(self.find(from, path)?))
    }

    /// The records of `fd_readdir`, from that place in the list on.
    pub(super) fn list(&self, fd: u32, from: u64) -> Result<Vec<u8>, Errno> {
        let opened = self.opened(fd)?;
        if matches!(opened.node, Node::File(_)) {
            return Err(Errno::Notdir);
        }
        let dots = [".", ".."].map(|name| (name, opened.node));
        let files = self.shown.iter().enumerate().map(|(file, (name, _))| (name.as_str(), Node::File(file)));
        let mut records = Vec::new();
        for (place, (name, node)) in dots.into_iter().chain(files).enumerate().skip(position(from)) {
            let (kind, inode) = identity(node);
            records.extend_from_slice(&(place as u64 + 1).to_le_bytes());
            records.extend_from_slice(&inode.to_le_bytes());
            records.extend_from_slice(&(name.len() as u32).to_le_bytes());
            records.extend_from_slice(&[kind, 0, 0, 0]);
            records.extend_from_slice(name.as_bytes());
        }
        Ok(records)
    }

    fn record_of(&self, node: Node) -> [u8; 64] {
        let (kind, inode) = identity(node);
        let size = if let Node::File(file) = node { self.shown[file].1.bytes().len() as u64 } else { 0 };
        let mut record = [0; 64];
        record[8..16].copy_from_slice(&inode.to_le_bytes());
        record[16] = kind;
        record[24..32].copy_from_slice(&1_u64.to_le_bytes()); // links
        record[32..40].copy_from_slice(&size.to_le_bytes());
        record
    }

    /// Follows a path from an open directory; a file called `box` is the file, and `box/...` still the directory.
    fn find(&self, from: u32, path: &[u8]) -> Result<Node, Errno> {
        if path.len() > MAX_PATH {
            return Err(Errno::Nametoolong);
        }
        if path.starts_with(b"/") {
            return Err(Errno::Notcapable);
        }
        let mut node = self.opened(from)?.node;
        let mut parts = path.split(|&byte| byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let file = || self.shown.iter().position(|(name, _)| name.as_bytes() == part).map(Node::File);
            node = match (node, part) {
                (Node::File(_), _) => return Err(Errno::Notdir),
                (_, b"" | b".") => node,
                (Node::Box, b"..") => Node::Root,
                (Node::Root, b"..") => return Err(Errno::Notcapable),
                (Node::Root, BOX) if !last => Node::Box,
                (Node::Root, BOX) => file().unwrap_or(Node::Box),
                _ => file().ok_or(Errno::Noent)?,
            };
        }
        Ok(node)
    }

    fn opened(&self, fd: u32) -> Result<&Opened, Errno> {
        index(fd).and_then(|index| self.opened.get(index)?.as_ref()).ok_or(Errno::Badf)
    }

    fn file(&self, fd: u32) -> Result<(usize, u64), Errno> {
        let opened = self.opened(fd)?;
        if let Node::File(file) = opened.node { Ok((file, opened.at)) } else { Err(Errno::Isdir) }
    }
}

/// Shows files as a judge's are shown.
pub(super) fn named(files: &[InputFile<'_>], lent: &[Lent]) -> Vec<(String, Lent)> {
    files.iter().zip(lent).map(|(file, lent)| (file.name.to_string(), lent.clone())).collect()
}

fn index(fd: u32) -> Option<usize> {
    Some(fd.checked_sub(FIRST)? as usize)
}

fn position(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Type and inode.
fn identity(node: Node) -> (u8, u64) {
    match node {
        Node::Root => (TYPE_DIRECTORY, u64::from(FIRST)),
        Node::Box => (TYPE_DIRECTORY, u64::from(FIRST) + 1),
        Node::File(file) => (TYPE_FILE, u64::from(FIRST) + 2 + file as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::lend;

    fn with_two_files(test: impl FnOnce(Files)) {
        let shown = |lent: &[Lent]| {
            ["input", "answer"].map(String::from).into_iter().zip(lent.iter().cloned()).collect()
        };
        lend(&[b"0123456789", b""], |lent| test(Files::new(shown(&lent), 8)));
    }

    #[test]
    fn only_what_is_shown_is_opened() {
        use Errno::{Badf, Exist, Mfile, Nametoolong, Noent, Notcapable, Notdir, Rofs};
        let long = "x".repeat(MAX_PATH + 1);
        with_two_files(|mut files| {
            for (from, path, flags, rights, expected) in [
                (3, "input", 0, RIGHT_READ, Ok(4)),
                (3, "./answer", 0, RIGHT_READ, Ok(5)),
                (3, "box//./answer", 0, RIGHT_READ, Ok(6)),
                (3, "inpu", 0, RIGHT_READ, Err(Noent)),
                (3, "input\0", 0, RIGHT_READ, Err(Noent)),
                (3, "../input", 0, RIGHT_READ, Err(Notcapable)),
                (3, "box/../../input", 0, RIGHT_READ, Err(Notcapable)),
                (3, "/input", 0, RIGHT_READ, Err(Notcapable)),
                (3, "input/..", 0, RIGHT_READ, Err(Notdir)),
                (3, "input/", 0, RIGHT_READ, Err(Notdir)),
                (3, "etc/passwd", 0, RIGHT_READ, Err(Noent)),
                (3, "box/box/input", 0, RIGHT_READ, Err(Noent)),
                (3, &long, 0, RIGHT_READ, Err(Nametoolong)),
                (3, "input", MUST_BE_DIRECTORY, RIGHT_READ, Err(Notdir)),
                (3, "input", TRUNCATE, RIGHT_READ, Err(Rofs)),
                (3, "input", CREATE | EXCLUSIVE, RIGHT_READ, Err(Exist)),
                (3, "new", CREATE, RIGHT_READ, Err(Rofs)),
                (3, "input", 0, RIGHT_READ | RIGHT_WRITE, Err(Rofs)),
                (4, "input", 0, RIGHT_READ, Err(Notdir)),
                (9, "input", 0, RIGHT_READ, Err(Badf)),
                (0, "input", 0, RIGHT_READ, Err(Badf)),
                (3, "box", MUST_BE_DIRECTORY, RIGHT_READ, Ok(7)),
                (7, "../input", 0, RIGHT_READ, Err(Mfile)),
            ] {
                assert_eq!(
                    files.open(from, path.as_bytes(), flags, rights),
                    expected,
                    "{path} {flags} {rights}"
                );
            }
            files.close(5);
            assert_eq!(
                (files.has(5), files.open(7, b"../input", 0, RIGHT_READ)),
                (false, Ok(5)),
                "the lowest free one"
            );
            files.close(FIRST);
            assert!(!files.has(FIRST) && files.has(4));
        });
    }

    #[test]
    fn each_descriptor_has_its_position() {
        with_two_files(|mut files| {
            let (one, two) = (files.open(3, b"input", 0, 0).unwrap(), files.open(3, b"input", 0, 0).unwrap());
            files.advance(one, 4);
            let at = |files: &Files, fd| files.content(fd).map(|(_, at)| at);
            assert_eq!((at(&files, one), at(&files, two)), (Ok(4), Ok(0)));
            for (by, whence, expected) in [
                (2, 0, Ok(2)),
                (3, 1, Ok(5)),
                (-1, 2, Ok(9)),
                (-20, 1, Err(Errno::Inval)),
                (0, 3, Err(Errno::Inval)),
                (0, 1, Ok(9)),
                (i64::MAX, 0, Ok(i64::MAX as u64)),
                (1, 1, Err(Errno::Inval)),
            ] {
                assert_eq!(files.seek(one, by, whence), expected, "{by} {whence}");
            }
            assert_eq!((at(&files, FIRST), at(&files, 9)), (Err(Errno::Isdir), Err(Errno::Badf)));
        });
    }

    #[test]
    fn a_list_goes_on_where_it_was_left() {
        with_two_files(|mut files| {
            let names = |records: &[u8]| {
                let mut names = Vec::new();
                let mut rest = records;
                while rest.len() >= 24 {
                    let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
                    names.push(String::from_utf8_lossy(&rest[24..24 + length]).into_owned());
                    rest = &rest[24 + length..];
                }
                names
            };
            for (from, expected) in
                [(0, &[".", "..", "input", "answer"][..]), (3, &["answer"]), (4, &[]), (u64::MAX, &[])]
            {
                assert_eq!(names(&files.list(FIRST, from).unwrap()), expected, "{from}");
            }
            let file = files.open(FIRST, b"input", 0, 0).unwrap();
            assert_eq!(files.list(file, 0), Err(Errno::Notdir));
        });
    }

    #[test]
    fn without_files_there_is_no_directory() {
        let mut files = Files::default();
        assert!(!files.has(FIRST));
        assert_eq!(files.open(FIRST, b"input", 0, 0), Err(Errno::Badf));
    }
}

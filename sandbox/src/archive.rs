//! What a compiler left in a directory, as one file: a zip archive whose members are stored as they are, which a Java
//! runtime reads as a jar. Every process that could write in the directory is dead; its names and contents are data of
//! the guest's, so nothing is opened but beneath it, no link is followed, and everything is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;

use crate::{image, sys};

/// Most members, largest sum of their sizes in bytes, and deepest directory.
const MEMBERS: usize = 4000;
const BYTES: usize = 32 << 20;
const DEPTH: usize = 8;

/// Packs a directory into a sealed memory file.
pub(crate) fn pack(directory: OwnedFd) -> io::Result<OwnedFd> {
    let mut members = Vec::new();
    let mut room = BYTES;
    collect(directory, &[], DEPTH, &mut members, &mut room)?;
    // The order of a directory says what was made when.
    members.sort();
    image::sealed(zip(&members).as_slice())
}

struct TooMuch;

impl From<TooMuch> for io::Error {
    fn from(_: TooMuch) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, "the compiler left too many or too large files")
    }
}

/// Names and contents of the regular files below a directory. Whatever else lies there is left out.
fn collect(
    directory: OwnedFd,
    prefix: &[u8],
    depth: usize,
    members: &mut Vec<(Vec<u8>, Vec<u8>)>,
    room: &mut usize,
) -> io::Result<()> {
    let mut listing = Dir::from_fd(directory.try_clone()?)?;
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        let Ok(file) = sys::open_beneath(directory.as_fd(), name).map(File::from) else { continue };
        let metadata = file.metadata()?;
        let path = [prefix, name.to_bytes()].concat();
        if metadata.is_dir() {
            let depth = depth.checked_sub(1).ok_or(TooMuch)?;
            collect(file.into(), &[&path[..], b"/"].concat(), depth, members, room)?;
        } else if metadata.is_file() {
            let mut bytes = Vec::new();
            file.take(*room as u64 + 1).read_to_end(&mut bytes)?;
            *room = room.checked_sub(bytes.len()).ok_or(TooMuch)?;
            members.push((path, bytes));
        }
        if members.len() > MEMBERS {
            return Err(TooMuch.into());
        }
    }
    Ok(())
}

/// The archive: each member behind its header, then the directory of them, then where that begins.
fn zip(members: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    const VERSION: u16 = 20;
    /// Names are UTF-8.
    const FLAGS: u16 = 1 << 11;
    /// The first of January 1980, midnight.
    const DATE: u32 = 0x0021_0000;
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in members {
        let offset = archive.len() as u32;
        let length = content.len() as u32;
        let mut common = Vec::new();
        common.extend([VERSION, FLAGS, 0].map(u16::to_le_bytes).as_flattened());
        common.extend([DATE, checksum(content), length, length].map(u32::to_le_bytes).as_flattened());
        common.extend([name.len() as u16, 0].map(u16::to_le_bytes).as_flattened());
        archive.extend([b"PK\x03\x04", &common[..], name, content].concat());
        directory.extend([b"PK\x01\x02", &VERSION.to_le_bytes()[..], &common].concat());
        directory.extend([0_u8; 10]);
        directory.extend([&offset.to_le_bytes()[..], name].concat());
    }
    let (count, start) = (members.len() as u16, archive.len() as u32);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06");
    archive.extend([0, 0, count, count].map(u16::to_le_bytes).as_flattened());
    archive.extend([directory.len() as u32, start].map(u32::to_le_bytes).as_flattened());
    archive.extend([0; 2]);
    archive
}

/// CRC-32 as zip has it.
fn checksum(bytes: &[u8]) -> u32 {
    let mix = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 * (sum & 1)))
    };
    !bytes.iter().fold(!0, mix)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_checksum_is_zips() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
    }

    /// Python's reader checks headers and checksums.
    #[test]
    fn files_are_packed_and_links_are_not() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("a")).unwrap();
        std::fs::write(place.path().join("a/b$1.class"), b"inner").unwrap();
        std::fs::write(place.path().join("main.class"), [7; 1000]).unwrap();
        symlink("/etc/passwd", place.path().join("link")).unwrap();
        symlink("/etc", place.path().join("c")).unwrap();
        let archive = pack(File::open(place.path()).unwrap().into()).unwrap();
        let copy = tempfile::NamedTempFile::new().unwrap();
        image::copy(&archive, &mut copy.reopen().unwrap()).unwrap();
        let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(z.testzip(), z.namelist(), \
                      z.read('a/b$1.class'), len(z.read('main.class')))";
        let output = Command::new("python3").args(["-c", script]).arg(copy.path()).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "None ['a/b$1.class', 'main.class'] b'inner' 1000\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    fn too_deep_or_too_large_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("x/".repeat(DEPTH + 1))).unwrap();
        assert!(pack(File::open(place.path()).unwrap().into()).is_err());
        let place = tempfile::tempdir().unwrap();
        File::create(place.path().join("x")).unwrap().set_len(BYTES as u64 + 1).unwrap();
        assert!(pack(File::open(place.path()).unwrap().into()).is_err());
    }
}

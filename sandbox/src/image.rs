//! Sources and binaries as sealed memory files: made once, handed to any number of runs, changed by nobody.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// How much is copied at once, in bytes.
const PIECE: usize = 64 << 10;

/// A memory file with these bytes that can neither be written, grown nor shrunk.
pub(crate) fn sealed(mut bytes: impl Read) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"assay", flags)?);
    io::copy(&mut bytes, &mut file)?;
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// An empty memory file, to be written by a process of ours.
pub(crate) fn empty() -> io::Result<File> {
    Ok(memfd_create(c"assay", MFdFlags::MFD_CLOEXEC)?.into())
}

/// The bytes of a memory file, `most` of them at most.
pub(crate) fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min(most);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A memory file with the same bytes.
pub(crate) fn duplicate(image: &OwnedFd) -> io::Result<OwnedFd> {
    struct FromStart(File, u64);
    impl Read for FromStart {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.read_at(buffer, self.1)?;
            self.1 += length as u64;
            Ok(length)
        }
    }
    sealed(FromStart(File::from(image.try_clone()?), 0))
}

/// Copies a memory file from its start; its position, shared with other holders, is not touched.
pub(crate) fn copy(image: &OwnedFd, target: &mut File) -> io::Result<()> {
    let image = File::from(image.try_clone()?);
    let (mut buffer, mut at) = (vec![0; PIECE], 0);
    loop {
        let length = image.read_at(&mut buffer, at)?;
        if length == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..length])?;
        at += length as u64;
    }
}

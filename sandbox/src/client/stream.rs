//! The read end of a pipe of a guest: drained at once, kept up to a cap.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// How much is read from a pipe at once.
const CHUNK: usize = 256 << 10;

thread_local! {
    /// What a read fills, to be copied from: most reads bring a few bytes, and a fresh buffer would be cleared for each.
    static CHUNK_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// The read end of a pipe and what came out of it.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: Option<File>,
    pub(super) bytes: Vec<u8>,
    /// Bytes that came and were not kept, for they went elsewhere.
    passed: usize,
    /// One byte more than may come is kept, to know that more came.
    cap: usize,
}

impl Stream {
    pub(super) fn new(pipe: OwnedFd, cap: usize) -> io::Result<Stream> {
        nonblocking(&pipe)?;
        Ok(Stream { pipe: Some(pipe.into()), bytes: Vec::new(), passed: 0, cap })
    }

    /// Reads what is there; beyond the cap it is read and dropped, so that the guest is not blocked by us.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let room = self.cap - self.bytes.len();
        let result: io::Result<usize> = CHUNK_BUFFER.with_borrow_mut(|chunk| {
            let length = pipe.read(chunk)?;
            self.bytes.extend_from_slice(&chunk[..length.min(room)]);
            Ok(length)
        });
        match result {
            Ok(0) => self.pipe = None,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads what is there and keeps nothing. Returns how many bytes of it were still within the cap.
    pub(super) fn pass(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Ok(0) };
        match pipe.read(buffer) {
            Ok(0) => self.pipe = None,
            Ok(length) => {
                let room = (self.cap - 1).saturating_sub(self.passed);
                self.passed = self.passed.saturating_add(length);
                return Ok(length.min(room));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    /// More came than may come.
    pub(super) fn overflown(&self) -> bool {
        self.bytes.len().max(self.passed) >= self.cap
    }

    /// The read end, while more can come.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Nothing more can come.
    pub(super) fn ended(&self) -> bool {
        self.pipe.is_none()
    }
}

pub(super) fn nonblocking(pipe: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(pipe, FcntlArg::F_GETFL)?);
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

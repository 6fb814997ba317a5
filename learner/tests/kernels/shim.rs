//! The kernels on the CPU: `kernels/shim.cpp`, compiled once per run and spoken to over pipes.

use std::cell::{Cell, RefCell};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use assay_learner::kernels::{Argument, Device, Launch};

/// The program, of the sources as they are now.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let fresh = folder.join(format!("kernels.{}", std::process::id()));
        // Contracting a * b + c would compute something else than what the kernels' text says.
        let compiled = Command::new("g++")
            .args(["-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Werror", "-Wno-unknown-pragmas"])
            .arg(sources.join("shim.cpp"))
            .arg("-o")
            .arg(&fresh)
            .output()
            .expect("g++ must be there: install the package g++");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let place = folder.join("kernels");
        std::fs::rename(&fresh, &place).expect("a program beside its place can be put there");
        place
    })
}

/// A running program. Its errors go to this test's.
pub(crate) struct Shim {
    child: RefCell<Child>,
    requests: RefCell<BufWriter<ChildStdin>>,
    buffers: Cell<u32>,
    /// In which order a block's threads take their turns; see `kernels/shim.h`.
    pub(crate) order: Cell<u32>,
}

/// A buffer's number and its size.
pub(crate) struct Memory {
    number: u32,
    bytes: usize,
}

impl Shim {
    pub(crate) fn start() -> Shim {
        let mut command = Command::new(program());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the shim starts");
        let requests = RefCell::new(BufWriter::new(child.stdin.take().expect("a pipe")));
        Shim { child: RefCell::new(child), requests, buffers: Cell::new(0), order: Cell::new(0) }
    }

    /// Sends a request, which is not waited for: what fails shows at the next answer.
    fn send(&self, request: &[u8]) {
        // A program that ended takes none; its words, and the answer that does not come, say why.
        let _ = self.requests.borrow_mut().write_all(request);
    }

    fn receive(&self, bytes: usize) -> Vec<u8> {
        let _ = self.requests.borrow_mut().flush();
        let mut answer = vec![0; bytes];
        let mut child = self.child.borrow_mut();
        let read = child.stdout.as_mut().expect("a pipe").read_exact(&mut answer);
        if read.is_err() {
            panic!("the shim ended, {}; see its words above", child.wait().expect("it ended"));
        }
        answer
    }

    pub(crate) fn buffer(&self, data: &[u8]) -> Memory {
        let mut request = vec![b'B'];
        request.extend((data.len() as u64).to_le_bytes());
        request.extend(data);
        self.send(&request);
        let number = self.buffers.replace(self.buffers.get() + 1);
        Memory { number, bytes: data.len() }
    }

    pub(crate) fn read(&self, memory: &Memory) -> Vec<u8> {
        let mut request = vec![b'R'];
        request.extend(memory.number.to_le_bytes());
        self.send(&request);
        self.receive(memory.bytes)
    }

    pub(crate) fn free_all(&self) {
        self.send(b"F");
        self.buffers.set(0);
    }

    /// Names of the kernels that were not launched.
    pub(crate) fn not_launched(&self) -> String {
        self.send(b"U");
        let bytes = u32::from_le_bytes(self.receive(4).try_into().expect("four bytes"));
        String::from_utf8(self.receive(bytes as usize)).expect("names are ASCII")
    }
}

impl Drop for Shim {
    /// It has no state worth an orderly end.
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Device for Shim {
    type Buffer = Memory;
    type Error = std::convert::Infallible;

    /// Full of NaN: what is read before it is written shows.
    fn uninitialised(&self, bytes: usize) -> Result<Memory, Self::Error> {
        Ok(self.buffer(&vec![0xff; bytes]))
    }

    fn upload(&self, values: &[u32]) -> Result<Memory, Self::Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(self.buffer(&bytes))
    }

    fn launch(&self, launch: &Launch<'_, Memory>) -> Result<(), Self::Error> {
        let mut request = vec![b'L'];
        request.extend((launch.kernel.len() as u32).to_le_bytes());
        request.extend(launch.kernel.bytes());
        let [x, y] = launch.grid;
        let count = launch.arguments.len() as u32;
        for number in [x, y, launch.block, launch.shared_bytes, self.order.get(), count] {
            request.extend(number.to_le_bytes());
        }
        for argument in &launch.arguments {
            let (kind, bits) = match argument {
                Argument::Buffer(memory) => (b'b', memory.number),
                Argument::U32(value) => (b'u', *value),
                Argument::F32(value) => (b'f', value.to_bits()),
            };
            request.push(kind);
            request.extend(bits.to_le_bytes());
        }
        self.send(&request);
        Ok(())
    }
}

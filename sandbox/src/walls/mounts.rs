//! Wall: the root file system. A small tmpfs holds read-only, nosuid, nodev copies of just the trees the
//! interpreter or compiler needs, at the paths they have on the host; a tiny /dev; no procfs, no sysfs, nothing
//! to write. The host's root is left by `pivot_root` and detached.
//!
//! Without procfs there is no /proc/self/fd, so /dev/stdin, /dev/stdout, /dev/stderr (and /dev/fd/0..2, hard links
//! to the same) are named pipes, and the guest's fd 0, 1, 2 are opened from them: opening the name again
//! gives the same stream, as it would through procfs.
//!
//! /proc is a plain directory with empty `environ` and `cmdline` files, no procfs. For tools it has the link `exe` as
//! well: the loader and runtimes find their libraries from there.
//!
//! /box holds the source and other input files of the present run, and nothing between two runs. Guests see it
//! read-only; slot-init writes through another mount of the same tmpfs that is attached nowhere.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pivot_root};

use crate::InputFile;
use crate::protocol::{Class, Root};
use crate::sys;

/// Where the new root is put together; sources below it are cloned before it is covered.
const STAGE: &str = "/tmp";
/// The guest's directory with its source.
pub(crate) const BOX: &str = "/box";
/// A guest's own directory, in the classes that have one.
pub(crate) const TMP: &str = "/tmp";
/// Room for source and files, in bytes. It is charged when it is used.
const BOX_BYTES: u64 = (4 << 20) + InputFile::MAX_BYTES as u64;
/// Room for what a compiler writes, and for a runtime's scratch files. Charged to the memory limit as well, where there
/// is a control group.
const COMPILER_BYTES: u64 = 512 << 20;
const SCRATCH_BYTES: u64 = 16 << 20;
const DEVICES: [&str; 4] = ["null", "zero", "random", "urandom"];
const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// The named pipes, with the mode that lets a guest read the one and write the others.
pub(crate) const PIPES: [(&str, u32); 3] =
    [("/dev/stdin", 0o444), ("/dev/stdout", 0o222), ("/dev/stderr", 0o222)];

/// Builds the root and moves into it. Returns the writable directory behind [`BOX`].
pub(crate) fn build(root: &Root, class: Class, program: Option<&Path>) -> io::Result<OwnedFd> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let trees = root
        .binds
        .iter()
        .map(|(source, target)| Ok((sys::clone_tree(source).map_err(at(source))?, target, source.is_dir())))
        .collect::<io::Result<Vec<_>>>()?;
    let devices = DEVICES
        .iter()
        .map(|name| Ok((sys::clone_tree(&Path::new("/dev").join(name))?, *name)))
        .collect::<io::Result<Vec<_>>>()?;

    tmpfs(STAGE, "size=4m,nr_inodes=4096,mode=0755")?;
    std::env::set_current_dir(STAGE)?;
    for (tree, target, is_directory) in trees {
        let target = inside(target);
        sys::restrict_tree(tree.as_fd(), READ_ONLY)?;
        if !target.exists() {
            place(&target, is_directory)?;
        }
        sys::attach_tree(&tree, &target).map_err(at(&target))?;
    }
    for (link, to) in &root.links {
        let link = inside(link);
        fs::create_dir_all(link.parent().unwrap_or(Path::new(".")))?;
        symlink(to, &link).map_err(at(&link))?;
    }
    hide(&root.masks)?;
    build_dev(devices)?;
    build_proc()?;
    if let Some(program) = program.filter(|_| class != Class::Run) {
        symlink(program, "proc/self/exe")?;
    }
    let source_directory = build_box()?;
    if class != Class::Run {
        fs::create_dir_all("tmp")?;
    }

    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")?;
    // A bind onto itself so that the root's own mount can be made read-only without the trees in it.
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        None::<&str>,
    )?;
    Ok(source_directory)
}

/// Gives a guest its /tmp: new for each run, removed by [`drop_tmp`]. `shared`: slot-init puts files there.
pub(crate) fn fresh_tmp(class: Class, user: Option<u32>, shared: bool) -> io::Result<OwnedFd> {
    let bytes = if class == Class::Compile { COMPILER_BYTES } else { SCRATCH_BYTES };
    let owner = user.map_or(String::new(), |user| format!(",uid={user},gid={user}"));
    let mode = if shared { "0777" } else { "0700" };
    tmpfs(TMP, &format!("size={bytes},nr_inodes=4096,mode={mode}{owner}"))?;
    Ok(fs::File::open(TMP)?.into())
}

/// Takes a guest's /tmp away, with all that is in it.
pub(crate) fn drop_tmp() -> io::Result<()> {
    Ok(umount2(TMP, MntFlags::MNT_DETACH)?)
}

fn tmpfs(target: &str, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))?)
}

/// Shows an empty file at each path. Start-up files of site-packages (`*.pth`) run code in every interpreter and
/// cost more than the interpreter itself.
fn hide(masks: &[PathBuf]) -> io::Result<()> {
    if masks.is_empty() {
        return Ok(());
    }
    fs::write(".empty", "")?;
    for path in masks {
        let path = inside(path);
        if path.exists() {
            let empty = sys::clone_tree(Path::new(".empty"))?;
            sys::restrict_tree(empty.as_fd(), READ_ONLY)?;
            sys::attach_tree(&empty, &path).map_err(at(&path))?;
        }
    }
    fs::remove_file(".empty")
}

fn build_dev(devices: Vec<(OwnedFd, &str)>) -> io::Result<()> {
    fs::create_dir_all("dev/fd")?;
    for (device, name) in devices {
        let target = Path::new("dev").join(name);
        place(&target, false)?;
        sys::restrict_tree(device.as_fd(), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
        sys::attach_tree(&device, &target)?;
    }
    for (number, (path, mode)) in PIPES.into_iter().enumerate() {
        let path = inside(Path::new(path));
        mkfifo(&path, Mode::from_bits_truncate(mode))?;
        // The umask may have taken bits away.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        fs::hard_link(&path, format!("dev/fd/{number}"))?;
    }
    Ok(())
}

/// Not a procfs: a directory with what a process without environment and arguments would show. A program that
/// looks there finds nothing, and is judged by what it prints.
fn build_proc() -> io::Result<()> {
    for process in ["proc/1", "proc/self"] {
        fs::create_dir_all(process)?;
        for file in ["environ", "cmdline"] {
            fs::write(Path::new(process).join(file), "")?;
        }
    }
    Ok(())
}

fn build_box() -> io::Result<OwnedFd> {
    let target = inside(Path::new(BOX));
    fs::create_dir(&target)?;
    tmpfs("box", &format!("size={BOX_BYTES},nr_inodes=64,mode=0755"))?;
    let writable = fs::File::open(&target)?.into();
    let shown = sys::clone_tree(&target)?;
    sys::restrict_tree(shown.as_fd(), READ_ONLY | libc::MOUNT_ATTR_NOSYMFOLLOW)?;
    umount2(&target, MntFlags::MNT_DETACH)?;
    sys::attach_tree(&shown, &target)?;
    Ok(writable)
}

/// An empty file or directory to mount on.
fn place(target: &Path, is_directory: bool) -> io::Result<()> {
    if is_directory {
        return fs::create_dir_all(target).map_err(at(target));
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    fs::write(target, "").map_err(at(target))
}

/// The path below the stage.
fn inside(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {error}"))
}

//! A small real file system in memory whose power can be cut.
//!
//! The disk is a memory file under a loop device. Sealing the file against writing is the power cut:
//! what the device had taken by then is there, every later write fails. Each [`Disk`] is mounted in
//! a mount namespace of the calling thread, which the kernel takes down with the thread, however it
//! ends; a loop device detaches itself with its last mount. So nothing can be left behind.

use killpoint_model::Profile;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Large enough for the smallest xfs and btrfs; the memory file has holes.
const DISK_BYTES: u64 = 320 << 20;

/// The command that makes a file system, its arguments, and the package that has it.
fn maker(profile: Profile) -> (&'static str, &'static [&'static str], &'static str) {
    match profile {
        Profile::Ext4 => ("mkfs.ext4", &["-q", "-F"], "e2fsprogs"),
        Profile::Xfs => ("mkfs.xfs", &["-q", "-f"], "xfsprogs"),
        Profile::Btrfs => ("mkfs.btrfs", &["-q", "-f"], "btrfs-progs"),
        Profile::Strict => unreachable!("no file system is called strict"),
    }
}

/// Why these tests cannot run here.
#[derive(Debug)]
pub struct Missing(pub String);

fn missing(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Missing {
    move |error| Missing(format!("{what}: {error}"))
}

/// Gives the calling thread mounts of its own.
pub fn own_mounts() -> Result<PathBuf, Missing> {
    let enter = || -> nix::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
    };
    enter().map_err(|error| {
        Missing(format!("a mount namespace of its own cannot be had (root is needed): {error}"))
    })?;
    // Mount points stand in a file system that only this thread sees.
    let place = PathBuf::from("/mnt");
    mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .map_err(|error| Missing(format!("a tmpfs cannot be mounted on /mnt: {error}")))?;
    Ok(place)
}

/// A disk without power, or before it is mounted.
#[derive(Debug)]
pub struct Image {
    file: File,
    profile: Profile,
}

fn path_of(file: &File) -> PathBuf {
    // Not /proc/self: the commands that read it are other processes.
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}

impl Image {
    fn empty(profile: Profile) -> io::Result<Image> {
        let descriptor = rustix::fs::memfd_create(
            "killpoint-disk",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        let file = File::from(descriptor);
        file.set_len(DISK_BYTES)?;
        Ok(Image { file, profile })
    }

    /// A new file system.
    pub fn make(profile: Profile) -> Result<Image, Missing> {
        let (program, arguments, package) = maker(profile);
        let image = Image::empty(profile).map_err(missing("a memory file cannot be made"))?;
        let made = Command::new(program)
            .args(arguments)
            .arg(path_of(&image.file))
            .stdout(Stdio::null())
            .output()
            .map_err(missing(format!("{program} cannot be run; install the package {package}")))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Missing(format!("{program} failed: {said}")));
        }
        Ok(image)
    }

    /// Of which file system.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// A copy that is not sealed.
    pub fn copy(&self) -> io::Result<Image> {
        let copy = Image::empty(self.profile)?;
        let mut offset = 0;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(start) = rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start))?;
            let mut at = start;
            while at < end {
                let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
                self.file.read_exact_at(&mut buffer[..length], at)?;
                copy.file.write_all_at(&buffer[..length], at)?;
                at += length as u64;
            }
            offset = end;
        }
        Ok(copy)
    }

    /// Mounts it; journals are replayed now.
    pub fn mount(self, at: &Path) -> Result<Disk, Missing> {
        std::fs::create_dir_all(at).map_err(missing("a mount point cannot be made"))?;
        let mounted = Command::new("mount")
            .args(["-t", self.profile.name(), "-o", "loop"])
            .arg(path_of(&self.file))
            .arg(at)
            .output()
            .map_err(missing("mount cannot be run; install the package mount"))?;
        if !mounted.status.success() {
            let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
            return Err(Missing(format!("{} cannot be mounted: {said}", self.profile)));
        }
        Ok(Disk { image: Some(self), at: at.to_owned() })
    }
}

/// A mounted disk.
#[derive(Debug)]
pub struct Disk {
    image: Option<Image>,
    at: PathBuf,
}

impl Disk {
    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Cuts its power: nothing is written any more from here on.
    pub fn cut_power(&self) -> io::Result<()> {
        let image = self.image.as_ref().expect("there until it is taken out");
        Ok(rustix::fs::fcntl_add_seals(&image.file, SealFlags::WRITE)?)
    }

    /// Takes the disk out of the machine.
    pub fn take_out(mut self) -> Image {
        let _ = umount2(&self.at, MntFlags::empty());
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        self.image.take().expect("there until it is taken out")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

//! What a worker mounts, once it has namespaces of its own.

use super::sockets::Sockets;
use super::{ArenaError, Containment, Plan, fail, open_directory, process_ids, through};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A worker's own surroundings.
#[derive(Debug)]
pub struct Arena {
    containment: Containment,
    run: OwnedFd,
    scratch: OwnedFd,
    /// The path of the scratch space as the target sees it.
    scratch_path: PathBuf,
    views: Vec<View>,
    sockets: Sockets,
    notes: Vec<String>,
}

#[derive(Debug)]
struct View {
    path: PathBuf,
    layer: PathBuf,
}

impl Arena {
    /// `sockets` are those that somebody listens at below the views.
    pub(super) fn set_up(plan: &Plan, sockets: &[PathBuf]) -> Result<Self, ArenaError> {
        let run = open_directory(&plan.run).map_err(fail("open the folder of the run"))?;
        let contained = plan.containment != Containment::Redirect;
        let mut notes = Vec::new();
        if !contained {
            empty_directory(&plan.scratch).map_err(fail("empty the scratch space"))?;
        }
        if contained {
            mount_flags("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)
                .map_err(fail("make the mounts private"))?;
            // A PID namespace has its own /proc; the old one still shows the harness's.
            mount_new("proc", Path::new("/proc"), "").map_err(fail("mount /proc"))?;
            let options = format!("mode=0755,size={}", plan.scratch_bytes);
            mount_new("tmpfs", &plan.scratch, &options).map_err(fail("mount a tmpfs"))?;
            if let Err(error) = loopback_up() {
                notes.push(format!("the loopback interface could not be brought up: {error}"));
            }
            if let Some(name) = &plan.host_name
                && let Err(error) = rustix::system::sethostname(name.as_bytes())
            {
                notes.push(format!("the host name is this machine's: {error}"));
            }
        }
        let above = plan.process_ids_above.max(process_ids::last().unwrap_or(0));
        if let Err(error) = process_ids::start_above(above) {
            notes.push(format!(
                "process ids that a crash state holds may be in use again while it is read, so that \
                 a stale pid file can seem alive: where they start cannot be set ({error})"
            ));
        }
        let scratch = open_directory(&plan.scratch).map_err(fail("open the scratch space"))?;
        let mut arena = Arena {
            containment: plan.containment,
            run,
            scratch,
            scratch_path: plan.scratch.clone(),
            views: Vec::new(),
            sockets: Sockets::open(sockets),
            notes,
        };
        if contained {
            for (index, path) in outermost(&plan.views).into_iter().enumerate() {
                arena.add_view(index, path);
            }
            arena.show_scratch().map_err(fail("mount the scratch space again"))?;
        }
        Ok(arena)
    }

    /// Remarks for the report: what could not be set up and is not needed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Directories of which the target sees copies, besides its state; none without namespaces.
    pub fn contained(&self) -> Vec<PathBuf> {
        if !self.keeps_paths() {
            return Vec::new();
        }
        let views = self.views.iter().map(|view| view.path.clone());
        views.chain([through(&self.scratch)]).collect()
    }

    /// Whether the target sees its state at its own path.
    pub fn keeps_paths(&self) -> bool {
        self.containment != Containment::Redirect
    }

    /// A path in the folder of the run, reachable whatever is mounted.
    pub fn in_run(&self, name: &str) -> PathBuf {
        through(&self.run).join(name)
    }

    /// A path in the scratch space, reachable whatever is mounted.
    pub fn in_scratch(&self, name: &str) -> PathBuf {
        through(&self.scratch).join(name)
    }

    /// A path in the scratch space as the target sees it.
    pub fn shown(&self, name: &str) -> PathBuf {
        self.scratch_path.join(name)
    }

    fn show_scratch(&self) -> io::Result<()> {
        if self.views.iter().any(|view| self.scratch_path.starts_with(&view.path)) {
            bind(&through(&self.scratch), &self.scratch_path)?;
        }
        Ok(())
    }

    fn add_view(&mut self, index: usize, path: PathBuf) {
        let layer = self.in_scratch(&format!("views/{index}"));
        let mounted = fs::create_dir_all(&layer).and_then(|()| self.overlay(&path, &layer, &path));
        match mounted {
            Ok(()) => {
                if let Err(error) = self.sockets.show_below(&path) {
                    self.notes
                        .push(format!("sockets in {} cannot be reached: {error}", path.display()));
                }
                self.views.push(View { path, layer });
            }
            Err(error) => self.notes.push(format!(
                "{} is not copy-on-write ({error}): what the target writes there, outside its \
                 state, stays",
                path.display()
            )),
        }
    }

    /// Mounts `lower` copy-on-write at `target`; what is written lands in `layer`.
    ///
    /// # Errors
    /// What the system says.
    pub fn overlay(&self, lower: &Path, layer: &Path, target: &Path) -> io::Result<()> {
        for name in ["upper", "work"] {
            match fs::create_dir(layer.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // The root of an overlay has the upper directory's owner and mode.
        let metadata = fs::metadata(lower)?;
        let upper = layer.join("upper");
        if nix::unistd::geteuid().is_root() {
            use std::os::unix::fs::MetadataExt;
            let _ = std::os::unix::fs::lchown(&upper, Some(metadata.uid()), Some(metadata.gid()));
        }
        fs::set_permissions(&upper, metadata.permissions())?;
        let modified = fs::FileTimes::new().set_modified(metadata.modified()?);
        fs::File::open(&upper)?.set_times(modified)?;
        let mut options = b"lowerdir=".to_vec();
        options.extend(escaped(lower));
        options.extend(b",upperdir=");
        options.extend(escaped(&upper));
        options.extend(b",workdir=");
        options.extend(escaped(&layer.join("work")));
        options.extend(b",xino=off");
        if let Containment::Namespaces { user: true } = self.containment {
            options.extend(b",userxattr");
        }
        let options = std::ffi::OsStr::from_bytes(&options);
        Ok(mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options))?)
    }

    /// Mounts a directory of the scratch space over a path.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(&self, source: &Path, target: &Path) -> io::Result<()> {
        bind(source, target)
    }

    /// Undoes the last mount at a path, also where something in it is still open.
    ///
    /// # Errors
    /// What the system says.
    pub fn unmount(&self, target: &Path) -> io::Result<()> {
        Ok(umount2(target, MntFlags::MNT_DETACH)?)
    }

    /// Whether something was written in a view since it was mounted.
    pub fn views_touched(&self) -> bool {
        self.views.iter().any(|view| {
            fs::read_dir(view.layer.join("upper")).is_ok_and(|mut entries| entries.next().is_some())
        })
    }

    /// Forgets what was written in the views. Nothing else may be mounted inside them.
    ///
    /// # Errors
    /// What the system says.
    pub fn renew_views(&mut self) -> io::Result<()> {
        for view in self.views.iter().rev() {
            if self.scratch_path.starts_with(&view.path) {
                self.unmount(&self.scratch_path)?;
            }
            self.unmount(&view.path)?;
        }
        for view in &self.views {
            empty_directory(&view.layer)?;
            self.overlay(&view.path, &view.layer, &view.path)?;
            // Where that fails it has failed, and been noted, before.
            let _ = self.sockets.show_below(&view.path);
        }
        self.show_scratch()
    }
}

/// Removes what is in a directory.
///
/// # Errors
/// The first thing that cannot be removed.
pub fn empty_directory(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The directories that lie in no other of the list, each once, without `/`.
fn outermost(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut real: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| path.is_dir() && path.parent().is_some())
        .collect();
    real.sort();
    real.dedup();
    let all = real.clone();
    real.retain(|path| !all.iter().any(|other| other != path && path.starts_with(other)));
    real
}

fn escaped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    bytes
}

fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

fn mount_flags(target: &str, flags: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, target, None::<&str>, flags, None::<&str>)?)
}

fn mount_new(kind: &str, target: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some(kind), target, Some(kind), flags, Some(options))?)
}

/// Brings up `lo`, so that a program's own network traffic works as always.
#[expect(unsafe_code, reason = "an ioctl without a safe wrapper")]
fn loopback_up() -> io::Result<()> {
    let socket = rustix_socket()?;
    // SAFETY: zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the request, which lives for the call.
    let status = unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SIOCSIFFLAGS,
            std::ptr::from_ref(&request),
        )
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn rustix_socket() -> io::Result<std::net::UdpSocket> {
    // Binding to any address needs no interface; it is only a handle for the ioctl.
    std::net::UdpSocket::bind(("0.0.0.0", 0))
}

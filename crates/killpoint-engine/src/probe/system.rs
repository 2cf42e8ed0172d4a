//! Probes of cgroups, settings, file systems and loop devices.

use super::{Answer, in_child, last_error, saying};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;

/// A setting below `/proc/sys`; none where the kernel does not have it.
pub fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// Makes a cgroup (version 2) below this process's own and sees whether it can be killed and frozen.
///
/// # Errors
/// Why it cannot be made, or what it lacks.
pub fn cgroup_v2() -> Answer {
    let cgroup = own_cgroup("cgroup2", "")?;
    in_new_directory(&cgroup, |made| {
        let has = |name: &str| made.join(name).exists();
        match (has("cgroup.kill"), has("cgroup.freeze")) {
            (true, true) => Ok("one was made; it has cgroup.kill and cgroup.freeze".to_owned()),
            (false, true) => Ok("one was made; it has cgroup.freeze, not cgroup.kill".to_owned()),
            _ => Err("one was made, but it has no cgroup.freeze".to_owned()),
        }
    })
}

/// Makes a cgroup (version 1) of the freezer below this process's own.
///
/// # Errors
/// Why it cannot be made.
pub fn cgroup_v1_freezer() -> Answer {
    let cgroup = own_cgroup("cgroup", "freezer")?;
    in_new_directory(&cgroup, |made| match made.join("freezer.state").exists() {
        true => Ok("one was made; it has freezer.state".to_owned()),
        false => Err("one was made, but it has no freezer.state".to_owned()),
    })
}

/// The directory of this process's cgroup in the hierarchy of a mount's type and controller.
fn own_cgroup(kind: &str, controller: &str) -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(saying("/proc/self/mounts"))?;
    let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| {
        let options = fields.get(3).copied().unwrap_or_default();
        fields.get(2) == Some(&kind)
            && (controller.is_empty() || options.split(',').any(|option| option == controller))
    });
    let Some(mount) = mount else { return Err(format!("no {kind} {controller} is mounted")) };
    let own = fs::read_to_string("/proc/self/cgroup").map_err(saying("/proc/self/cgroup"))?;
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let right = match controller {
            "" => controllers.is_empty(),
            name => controllers.split(',').any(|other| other == name),
        };
        right.then(|| path.trim_start_matches('/').to_owned())
    });
    let path = path.ok_or_else(|| "this process is in none".to_owned())?;
    let below = Path::new(mount[1]).join(&path);
    // In a container the path may be the host's, which is not mounted here.
    Ok(if below.exists() { below } else { PathBuf::from(mount[1]) })
}

fn in_new_directory(parent: &Path, look: impl FnOnce(&Path) -> Answer) -> Answer {
    let made = parent.join(format!("killpoint-doctor-{}", std::process::id()));
    fs::create_dir(&made).map_err(|error| format!("mkdir {}: {error}", made.display()))?;
    let answer = look(&made);
    let _ = fs::remove_dir(&made);
    answer
}

/// The type of the file system that holds a path.
///
/// # Errors
/// If the path cannot be looked at.
pub fn file_system(path: &Path) -> Answer {
    let status = rustix::fs::statfs(path).map_err(saying("statfs"))?;
    // The field's type differs between platforms; magic numbers fit 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "magic numbers have 32 bits")]
    let magic = status.f_type as u32;
    Ok(match magic {
        0xEF53 => "ext4 (or ext2, ext3)".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683E => "btrfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794C_7630 => "overlay".to_owned(),
        0x6969 => "nfs".to_owned(),
        0x2FC1_2FC1 => "zfs".to_owned(),
        0xF2F5_2010 => "f2fs".to_owned(),
        0x6573_5546 => "fuse".to_owned(),
        0x0102_1997 => "9p".to_owned(),
        other => format!("of the type {other:#x}"),
    })
}

/// Asks for a free loop device, and which of these file systems the kernel and the tools here know.
///
/// # Errors
/// Why there is none.
#[expect(unsafe_code, reason = "an ioctl without a safe wrapper")]
pub fn loop_device(systems: &[&str]) -> Answer {
    in_child(|| {
        let control = fs::OpenOptions::new().read(true).write(true).open("/dev/loop-control");
        let control = control.map_err(saying("/dev/loop-control"))?;
        // SAFETY: the request takes no memory.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(last_error("asking for a loop device"));
        }
        if !Path::new(&format!("/dev/loop{number}")).exists() {
            return Err(format!("/dev/loop{number} is not there"));
        }
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let usable = |system: &&&str| {
            let directories = ["/sbin", "/usr/sbin", "/usr/local/sbin"];
            known.lines().any(|line| line.split_whitespace().last() == Some(**system))
                && directories
                    .iter()
                    .any(|at| Path::new(at).join(format!("mkfs.{system}")).exists())
        };
        let usable: Vec<&str> = systems.iter().filter(usable).copied().collect();
        Ok(match usable.is_empty() {
            true => format!("loop{number} is free, but no mkfs for {}", systems.join(", ")),
            false => format!("loop{number} is free; {} can be made", usable.join(", ")),
        })
    })
}

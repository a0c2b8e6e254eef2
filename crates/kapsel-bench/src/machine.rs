//! What a run was made on. A figure without its machine says nothing.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::proc::memory;

/// The machine, as far as it bears on the figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The model of its processor.
    pub(crate) processor: String,
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// Its memory.
    pub(crate) memory_bytes: Option<u64>,
    /// The folder that data folders are made in.
    pub(crate) data_folder: String,
    /// The file system of that folder. In a `tmpfs`, nothing is ever written to a disk.
    pub(crate) file_system: String,
    /// What that file system is on.
    pub(crate) device: String,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn look(data_folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let folder = data_folder.canonicalize().unwrap_or_else(|_| data_folder.to_owned());
        let (file_system, device) =
            mount_of(&read("/proc/self/mountinfo"), &folder).unwrap_or_else(|| (unknown(), unknown()));
        Machine {
            processor: processor(&read("/proc/cpuinfo")).unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: memory::machine_bytes(),
            data_folder: folder.display().to_string(),
            file_system,
            device,
        }
    }

    /// In one line.
    pub(crate) fn words(&self) -> String {
        let memory =
            self.memory_bytes.map_or_else(unknown, |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)));
        format!(
            "{} with {} cores, {memory}, Linux {}; data in {} ({} on {})",
            self.processor, self.cores, self.kernel, self.data_folder, self.file_system, self.device
        )
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn processor(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The kind and the device of the file system that a folder is on: the mount with the longest path that leads to it, and
/// among mounts over each other the last (proc(5), `mountinfo`).
fn mount_of(text: &str, folder: &Path) -> Option<(String, String)> {
    let mounts = text.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?.replace("\\040", " ");
        let mut kind = kind.split(' ');
        folder.starts_with(&point).then_some((point.len(), kind.next()?.to_owned(), kind.next()?.to_owned()))
    });
    let nearest = mounts.enumerate().max_by_key(|(order, (length, ..))| (*length, *order))?;
    let (_, (_, file_system, device)) = nearest;
    Some((file_system, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                          30 22 0:25 / /tmp rw,nosuid - tmpfs tmpfs rw\n\
                          31 22 0:26 / /with\\040space rw - xfs /dev/vdb rw\n";

    #[test]
    fn the_nearest_mount_counts() {
        let mount = |folder: &str| mount_of(MOUNTS, Path::new(folder)).map(|(kind, device)| format!("{kind} {device}"));
        assert_eq!(mount("/tmp/a").as_deref(), Some("tmpfs tmpfs"));
        assert_eq!(mount("/tmpfoo").as_deref(), Some("ext4 /dev/vda"));
        assert_eq!(mount("/with space/a").as_deref(), Some("xfs /dev/vdb"));
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn the_processor_is_named() {
        let text = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R): fast\n";
        assert_eq!(processor(text).as_deref(), Some("Intel(R) Xeon(R): fast"));
    }
}

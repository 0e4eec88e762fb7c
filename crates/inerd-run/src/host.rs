//! What this machine is called, and what it has.

use std::fs;
use std::sync::OnceLock;

fn once(cell: &'static OnceLock<String>, path: &str) -> &'static str {
    cell.get_or_init(|| fs::read_to_string(path).unwrap_or_default().trim().to_owned())
}

pub(crate) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    once(&NAME, "/proc/sys/kernel/hostname")
}

/// An id that changes when the machine starts anew.
pub(crate) fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    once(&BOOT, "/proc/sys/kernel/random/boot_id")
}

/// Operating system and its version.
pub(crate) fn system() -> String {
    static RELEASE: OnceLock<String> = OnceLock::new();
    format!("{} {}", std::env::consts::OS, once(&RELEASE, "/proc/sys/kernel/osrelease"))
}

/// The processor's model, and how many of its cores this process may use.
pub(crate) fn processor() -> &'static str {
    static PROCESSOR: OnceLock<String> = OnceLock::new();
    PROCESSOR.get_or_init(|| {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        format!("{} × {cores}", model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()))
    })
}

/// Bytes of memory that this process has had at most so far.
pub(crate) fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kilobytes| 1024.0 * kilobytes)
}

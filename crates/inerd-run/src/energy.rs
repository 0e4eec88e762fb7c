//! Energy that a stage took, where the device tells it: NVML's counter of an NVIDIA GPU, or the CPU packages' counters
//! that Linux shows (RAPL, as a rule to root only). Counters are the whole device's: what else runs on it is counted too.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where Linux lists its power domains.
const POWERCAP: &str = "/sys/class/powercap";
/// RAPL counters wrap at some 65 kJ: at 500 W after two minutes.
const EVERY: Duration = Duration::from_secs(30);

/// Counts from its start.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Dropped to end the thread.
    stop: Sender<()>,
    reader: JoinHandle<Option<f64>>,
}

impl Meter {
    /// Starts to count the energy of a device (`cpu`, `cuda:0`); `None` where nobody tells it.
    pub(crate) fn start(device: &str) -> Option<Self> {
        let counter = Counter::of(device)?;
        let (stop, stopped) = channel();
        let reader = std::thread::Builder::new().name("energy".into()).spawn(move || count(counter, &stopped));
        Some(Self { stop, reader: reader.ok()? })
    }

    /// Joules since the start; `None` where the counter failed on the way.
    pub(crate) fn joules(self) -> Option<f64> {
        drop(self.stop);
        self.reader.join().ok()?
    }
}

fn count(mut counter: Counter, stopped: &Receiver<()>) -> Option<f64> {
    let mut joules = 0.0;
    loop {
        let goes_on = matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout));
        joules += counter.since_last()?;
        if !goes_on {
            return Some(joules);
        }
    }
}

/// A counter that only grows, but for its wrapping.
#[derive(Debug)]
enum Counter {
    Packages(Vec<Package>),
    #[cfg(feature = "cuda")]
    Gpu {
        library: Box<nvml_wrapper::Nvml>,
        index: u32,
        /// Millijoules.
        last: u64,
    },
}

/// One RAPL package.
#[derive(Debug)]
struct Package {
    file: PathBuf,
    /// Microjoules at which the counter begins again.
    range: u64,
    last: u64,
}

impl Counter {
    fn of(device: &str) -> Option<Self> {
        match device.strip_prefix("cuda:") {
            None => Self::packages(Path::new(POWERCAP)),
            Some(index) => Self::gpu(index.parse().ok()?),
        }
    }

    /// The CPU packages below `powercap`; their cores and memory are parts of them and not counted again.
    fn packages(powercap: &Path) -> Option<Self> {
        let folders = std::fs::read_dir(powercap).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let is_package = |folder: &PathBuf| {
            // `intel-rapl-mmio` shows the same packages once more.
            let known = folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with("intel-rapl:"));
            known && text(&folder.join("name")).is_some_and(|n| n.starts_with("package"))
        };
        let packages = folders.filter(is_package);
        let package = |folder: PathBuf| {
            let (file, range) = (folder.join("energy_uj"), number(&folder.join("max_energy_range_uj"))?);
            Some(Package { last: number(&file)?, file, range })
        };
        let packages: Option<Vec<Package>> = packages.map(package).collect();
        packages.filter(|p| !p.is_empty()).map(Self::Packages)
    }

    #[cfg(feature = "cuda")]
    fn gpu(index: u32) -> Option<Self> {
        let library = Box::new(nvml_wrapper::Nvml::init().ok()?);
        let last = library.device_by_index(index).ok()?.total_energy_consumption().ok()?;
        Some(Self::Gpu { library, index, last })
    }

    #[cfg(not(feature = "cuda"))]
    fn gpu(_: u32) -> Option<Self> {
        None
    }

    /// Joules since the last look.
    fn since_last(&mut self) -> Option<f64> {
        match self {
            Self::Packages(packages) => {
                let mut joules = 0.0;
                for package in packages {
                    let now = number(&package.file)?;
                    let wrapped = if now < package.last { package.range } else { 0 };
                    joules += (now + wrapped).saturating_sub(package.last) as f64 / 1e6;
                    package.last = now;
                }
                Some(joules)
            }
            #[cfg(feature = "cuda")]
            Self::Gpu { library, index, last } => {
                let now = library.device_by_index(*index).ok()?.total_energy_consumption().ok()?;
                let joules = now.saturating_sub(*last) as f64 / 1e3;
                *last = now;
                Some(joules)
            }
        }
    }
}

fn text(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

fn number(file: &Path) -> Option<u64> {
    text(file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(root: &Path, folder: &str, name: &str, energy: u64) -> PathBuf {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        std::fs::write(folder.join("max_energy_range_uj"), "1000000000\n").unwrap();
        std::fs::write(folder.join("energy_uj"), format!("{energy}\n")).unwrap();
        folder.join("energy_uj")
    }

    #[test]
    fn packages_are_summed_and_wrap() {
        let root = tempfile::tempdir().unwrap();
        let one = domain(root.path(), "intel-rapl:0", "package-0", 999_000_000);
        let two = domain(root.path(), "intel-rapl:1", "package-1", 5_000_000);
        domain(root.path(), "intel-rapl:0:0", "core", 7);
        domain(root.path(), "intel-rapl-mmio:0", "package-0", 999_000_000);
        let mut counter = Counter::packages(root.path()).unwrap();
        std::fs::write(one, "2000000").unwrap();
        std::fs::write(&two, "9000000").unwrap();
        // 3 J across the wrap, and 4 J.
        assert_eq!(counter.since_last(), Some(7.0));
        assert_eq!(counter.since_last(), Some(0.0));
        std::fs::remove_file(two).unwrap();
        assert_eq!(counter.since_last(), None, "a part of the energy is not the energy");
    }

    #[test]
    fn where_nobody_tells_there_is_no_meter() {
        let root = tempfile::tempdir().unwrap();
        domain(root.path(), "intel-rapl:0:0", "core", 7);
        assert!(Counter::packages(root.path()).is_none());
        assert!(Counter::of("cuda:x").is_none());
    }

    #[test]
    fn a_meter_reads_once_more_at_its_end() {
        let root = tempfile::tempdir().unwrap();
        let file = domain(root.path(), "intel-rapl:0", "package-0", 1_000_000);
        let counter = Counter::packages(root.path()).unwrap();
        let (stop, stopped) = channel();
        let reader = std::thread::spawn(move || count(counter, &stopped));
        std::fs::write(file, "3500000").unwrap();
        assert_eq!(Meter { stop, reader }.joules(), Some(2.5));
    }
}

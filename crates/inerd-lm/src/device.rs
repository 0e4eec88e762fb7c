use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// Where tensors live, as the user names it: `auto`, `cpu`, `cuda` or `cuda:1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
}

/// A device that doesn't exist here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDevice {
    #[error("`{0}` is no device: use auto, cpu, cuda or cuda:N")]
    Unknown(String),
    #[error(
        "cuda:{index} was asked for, but {found} CUDA devices were found: check the driver (nvidia-smi), or use --device cpu"
    )]
    Absent { index: usize, found: usize },
    #[error(
        "cuda was asked for, but this binary was built without it: build with --features cuda, or use --device cpu"
    )]
    NotBuilt,
}

impl FromStr for DeviceChoice {
    type Err = InvalidDevice;

    fn from_str(text: &str) -> Result<Self, InvalidDevice> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => (text.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda))
                .ok_or_else(|| InvalidDevice::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// Whether this choice is a CUDA device here.
    pub fn is_cuda(self) -> Result<bool, InvalidDevice> {
        match self {
            Self::Cpu => Ok(false),
            Self::Auto => Ok(cuda_devices() > 0),
            Self::Cuda(_) => self.resolve().map(|_| true),
        }
    }

    /// Finds the device. Counts CUDA devices before it touches one: a missing driver is an error here, not a panic later.
    pub fn resolve(self) -> Result<Device, InvalidDevice> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Auto => Ok(if cuda_devices() > 0 { cuda(0) } else { Device::flex() }),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(InvalidDevice::NotBuilt),
            Self::Cuda(index) => {
                let found = cuda_devices();
                if index < found { Ok(cuda(index)) } else { Err(InvalidDevice::Absent { index, found }) }
            }
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> usize {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec().len()
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Device {
    Device::cuda(index)
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> usize {
    0
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Device {
    Device::flex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nonsense_is_refused() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for name in ["gpu", "cuda:", "cuda:x", ""] {
            assert!(matches!(name.parse::<DeviceChoice>(), Err(InvalidDevice::Unknown(_))), "{name}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_not_a_panic() {
        let error = DeviceChoice::Cuda(99).resolve().unwrap_err().to_string();
        assert!(error.contains("--device cpu"), "{error}");
    }
}

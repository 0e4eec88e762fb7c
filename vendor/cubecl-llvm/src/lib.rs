//! Takes the place of `cubecl-llvm` in builds with CUDA.
//!
//! CubeCL's CUDA runtime has two ways to machine code: through LLVM, or as CUDA C++ through NVRTC, the compiler that
//! comes with NVIDIA's toolkit. The choice is made when it is compiled (feature `cuda-cpp` of `cubecl`), but the crate
//! for LLVM is built either way, and its build script fetches a compiler of some hundred megabytes from the network.
//!
//! We take the second way. So this crate holds the names that the runtime mentions and nothing behind them: what would
//! compile says that it can't. Without the feature `cuda` it is not built at all.

use core::ffi::c_char;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_runtime::compiler::CompilationError;
use cubecl_runtime::kernel::BufferIOAttr;

/// The machine that code is made for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum LlvmTarget {
    #[default]
    Nvptx,
}

/// Compiles nothing.
#[derive(Debug, Default, Clone)]
pub struct PlironCompiler {
    pub target: LlvmTarget,
}

/// What the runtime tells a compilation.
#[derive(Debug, Default, Clone)]
pub struct PlironOptions {
    pub arch: Option<()>,
    pub sm_arch: Option<SmArch>,
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    pub grid_constants: bool,
    /// Keeps the runtime's `..Default::default()` meaningful.
    pub others: (),
}

/// A compiled kernel.
#[derive(Debug, Clone)]
pub struct NvptxModule {
    pub ptx: Vec<c_char>,
    pub entrypoint: String,
    pub ir: String,
    /// In bytes.
    pub shared_memory_size: usize,
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation would give.
#[derive(Debug, Clone)]
pub enum PlironArtifact {
    NvptxCode(NvptxModule),
    /// Keeps the runtime's catch-all arm reachable.
    Nothing,
}

impl PlironCompiler {
    pub fn compile(&mut self, _: KernelDefinition, _: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM: kernels are compiled through NVRTC (feature `cuda-cpp` of cubecl)".into(),
            backtrace: cubecl_environment::backtrace::BackTrace::capture(),
        })
    }

    pub fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

pub mod nvptx {
    pub mod ptx_version {
        use core::fmt;

        /// The language version of PTX that a driver understands; none without LLVM.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct PtxVersion {
            number: u32,
        }

        impl PtxVersion {
            pub fn for_driver(_: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "ptx{}", self.number)
            }
        }
    }
}

pub mod shared {
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum GpuTarget {
            Nvptx,
        }

        /// What LLVM can't lower, the runtime may not use. NVRTC lowers everything.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}

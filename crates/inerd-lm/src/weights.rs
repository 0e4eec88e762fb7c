//! Where parameters come from and go to: a seeded stream, or a `safetensors` checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use rand_distr::{Distribution, Normal, Uniform};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde::Serialize;

use crate::{Error, random};

/// How a parameter starts when no checkpoint gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    Zeros,
    Ones,
    /// Normal with mean zero and this standard deviation.
    Normal(f32),
    /// Uniform between minus and plus this bound.
    Uniform(f32),
}

/// Hands out parameters by name while a model is constructed. The same constructor thus serves a fresh model and a
/// checkpoint; what is missing or misshapen is collected and reported all at once by [`Builder::finish`].
pub(crate) struct Builder<'a> {
    source: Source<'a>,
    device: Device,
    /// Part of every parameter's identity: parameters of the same name in two adapters are two parameters.
    space: String,
    used: BTreeMap<String, Origin>,
    /// Stored tensors that repeat a used one.
    copies: BTreeSet<String>,
    problems: Vec<String>,
}

enum Source<'a> {
    Random(u64),
    /// A checkpoint, and what its names may have in front of the model's own.
    Checkpoint(&'a Checkpoint, &'static str),
}

/// How a checkpoint stores a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
}

impl<'a> Builder<'a> {
    pub(crate) fn random(seed: u64, device: &Device) -> Self {
        Self::new(Source::Random(seed), device)
    }

    /// Parameters of a checkpoint. Exports differ in whether they keep the `prefix` of the class that wrapped them.
    pub(crate) fn checkpoint(checkpoint: &'a Checkpoint, prefix: &'static str, device: &Device) -> Self {
        Self::new(Source::Checkpoint(checkpoint, prefix), device)
    }

    fn new(source: Source<'a>, device: &Device) -> Self {
        let device = device.clone();
        let (used, copies, problems) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { source, device, space: String::new(), used, copies, problems }
    }

    /// The same, with every parameter's identity (and its random start) belonging to `space`.
    pub(crate) fn within(self, space: &str) -> Self {
        Self { space: format!("{space}."), ..self }
    }

    pub(crate) fn param<const D: usize>(&mut self, name: &str, shape: [usize; D], init: Init) -> Param<Tensor<D>> {
        self.param_under(&[name], shape, init)
    }

    /// A parameter that checkpoints call by one of several names; the first of them is its own.
    pub(crate) fn param_under<const D: usize>(
        &mut self,
        names: &[&str],
        shape: [usize; D],
        init: Init,
    ) -> Param<Tensor<D>> {
        let data = match &self.source {
            Source::Random(seed) => fresh(*seed, &format!("{}{}", self.space, names[0]), &shape, init),
            Source::Checkpoint(..) => self.read(names, &shape),
        };
        self.identified(names[0], Tensor::from_data(data, &self.device))
    }

    /// A parameter that starts as `start` where no checkpoint gives it.
    pub(crate) fn param_from<const D: usize>(&mut self, name: &str, start: Tensor<D>) -> Param<Tensor<D>> {
        let value = match &self.source {
            Source::Random(_) => start,
            Source::Checkpoint(..) => Tensor::from_data(self.read(&[name], &start.dims()), &self.device),
        };
        self.identified(name, value)
    }

    /// Whether there are values for a parameter.
    pub(crate) fn holds(&self, name: &str) -> bool {
        match &self.source {
            Source::Random(_) => true,
            Source::Checkpoint(checkpoint, prefix) => checkpoint.locate(name, prefix).is_some(),
        }
    }

    fn read(&mut self, names: &[&str], shape: &[usize]) -> TensorData {
        let Source::Checkpoint(checkpoint, prefix) = &self.source else { return TensorData::zeros::<f32, _>(shape) };
        let found = names.iter().find_map(|name| checkpoint.locate(name, prefix));
        let data = match found {
            Some(stored) => checkpoint.read(&stored, shape).map(|data| (stored, data)),
            None => Err(format!("`{}` is missing", names[0])),
        };
        match data {
            Ok((stored, (data, dtype))) => {
                // A tied matrix that is stored twice: the copies must agree.
                for other in names.iter().filter_map(|name| checkpoint.locate(name, prefix)) {
                    if other != stored && !checkpoint.same(&stored, &other) {
                        let problem = format!("`{other}` differs from `{stored}`, but config.json ties them");
                        self.problems.push(problem);
                    }
                    self.copies.insert(other);
                }
                self.used.insert(names[0].to_owned(), Origin { name: stored, dtype });
                data
            }
            Err(problem) => {
                self.problems.push(problem);
                TensorData::zeros::<f32, _>(shape)
            }
        }
    }

    /// The id is derived from the name, so that optimiser states saved by one process fit the next.
    fn identified<const D: usize>(&self, name: &str, value: Tensor<D>) -> Param<Tensor<D>> {
        let hash = blake3::hash(format!("{}{name}", self.space).as_bytes());
        let id = ParamId::from(u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default()));
        Param::initialized(id, value).set_require_grad(true)
    }

    /// Ends construction: an error where the checkpoint did not fit the model. Gives how each parameter was stored.
    pub(crate) fn finish(mut self) -> Result<BTreeMap<String, Origin>, Error> {
        let Source::Checkpoint(checkpoint, _) = &self.source else { return Ok(self.used) };
        let used: BTreeSet<&str> = self.used.values().map(|origin| origin.name.as_str()).collect();
        for name in checkpoint.names() {
            if !used.contains(name) && !self.copies.contains(name) && !is_buffer(name) {
                self.problems.push(format!("`{name}` belongs to no part of the model"));
            }
        }
        if self.problems.is_empty() {
            return Ok(self.used);
        }
        let more = self.problems.len().saturating_sub(8);
        self.problems.truncate(8);
        if more > 0 {
            self.problems.push(format!("and {more} more"));
        }
        Err(Error::Weights { path: checkpoint.path.clone(), problems: self.problems })
    }
}

/// Constants that old exports stored beside the parameters (causal masks, rotary frequencies).
fn is_buffer(name: &str) -> bool {
    [".attn.bias", ".attention.bias", ".masked_bias", "rotary_emb.inv_freq"].iter().any(|end| name.ends_with(end))
}

pub(crate) fn fresh(seed: u64, name: &str, shape: &[usize], init: Init) -> TensorData {
    let count = shape.iter().product();
    let values = match init {
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::Normal(deviation) => {
            let mut rng = random::stream(seed, name);
            Normal::new(0.0, deviation)
                .map_or_else(|_| vec![0.0; count], |normal| (0..count).map(|_| normal.sample(&mut rng)).collect())
        }
        Init::Uniform(bound) => {
            let mut rng = random::stream(seed, name);
            Uniform::new_inclusive(-bound, bound)
                .map_or_else(|_| vec![0.0; count], |uniform| (0..count).map(|_| uniform.sample(&mut rng)).collect())
        }
    };
    TensorData::new(values, shape.to_vec())
}

/// One or several memory-mapped `safetensors` files that make up a checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    files: Vec<memmap2::Mmap>,
    index: BTreeMap<String, Place>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Place {
    file: usize,
    /// Within the file.
    bytes: Range<usize>,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let single = dir.join("model.safetensors");
        let listing = dir.join("model.safetensors.index.json");
        if single.exists() || !listing.exists() { Self::file(&single) } else { Self::files(shards(&listing)?) }
    }

    /// Opens one file.
    pub(crate) fn file(path: &Path) -> Result<Self, Error> {
        Self::files(vec![path.to_owned()])
    }

    fn files(paths: Vec<PathBuf>) -> Result<Self, Error> {
        let mut checkpoint = Self { path: paths[0].clone(), files: Vec::new(), index: BTreeMap::new() };
        for path in paths {
            let file = File::open(&path).map_err(Error::read(&path))?;
            // SAFETY: the map is read-only and the store never changes a published file; a foreign process that
            // truncates the file while it is mapped would break any reader.
            #[expect(unsafe_code, reason = "memory-mapping has no safe interface")]
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::read(&path))?;
            let (header, metadata) = SafeTensors::read_metadata(&map)
                .map_err(|e| Error::Safetensors { path: path.clone(), reason: e.to_string() })?;
            // The tensors follow the header and the eight bytes of its length.
            let begin = header + 8;
            for (name, info) in metadata.tensors() {
                let (start, end) = info.data_offsets;
                let bytes = begin + start..begin + end;
                let place = Place { file: checkpoint.files.len(), bytes, dtype: info.dtype, shape: info.shape.clone() };
                checkpoint.index.insert(name, place);
            }
            checkpoint.files.push(map);
        }
        Ok(checkpoint)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The name under which a parameter is stored, with or without `prefix`.
    fn locate(&self, name: &str, prefix: &str) -> Option<String> {
        [name.to_owned(), format!("{prefix}{name}")].into_iter().find(|stored| self.index.contains_key(stored))
    }

    /// Whether two stored tensors hold the same.
    fn same(&self, one: &str, other: &str) -> bool {
        let bytes = |name: &str| self.index.get(name).map(|place| &self.files[place.file][place.bytes.clone()]);
        bytes(one) == bytes(other)
    }

    fn read(&self, stored: &str, shape: &[usize]) -> Result<(TensorData, Dtype), String> {
        let place = self.index.get(stored).ok_or_else(|| format!("`{stored}` is missing"))?;
        if place.shape != shape {
            return Err(format!("`{stored}` has shape {:?}, but config.json asks for {shape:?}", place.shape));
        }
        let bytes = &self.files[place.file][place.bytes.clone()];
        let values = to_f32(bytes, place.dtype)
            .ok_or_else(|| format!("`{stored}` has the unsupported type {:?}", place.dtype))?;
        Ok((TensorData::new(values, shape.to_vec()), place.dtype))
    }
}

pub(crate) fn shards(listing: &Path) -> Result<Vec<PathBuf>, Error> {
    #[derive(serde::Deserialize)]
    struct Listing {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(listing).map_err(Error::read(listing))?;
    let listed: Listing =
        serde_json::from_str(&text).map_err(|source| Error::Json { path: listing.to_owned(), source })?;
    let names: BTreeSet<String> = listed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(Error::Config { path: listing.to_owned(), reason: "`weight_map` lists no file".into() });
    }
    Ok(names.into_iter().map(|name| listing.with_file_name(name)).collect())
}

fn to_f32(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => return None,
    })
}

/// What a checkpoint holds, by its headers alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    pub files: usize,
    pub tensors: usize,
    /// Values in all tensors together.
    pub values: u64,
    pub bytes: u64,
    /// Tensors of each number format.
    pub formats: BTreeMap<String, usize>,
}

/// Looks into the weights of a model's folder without reading them.
pub fn contents(dir: &Path) -> Result<Contents, Error> {
    let checkpoint = Checkpoint::open(dir)?;
    let mut formats = BTreeMap::new();
    for place in checkpoint.index.values() {
        *formats.entry(format!("{:?}", place.dtype).to_lowercase()).or_default() += 1;
    }
    let places = || checkpoint.index.values();
    Ok(Contents {
        files: checkpoint.files.len(),
        tensors: checkpoint.index.len(),
        values: places().map(|place| place.shape.iter().product::<usize>() as u64).sum(),
        bytes: places().map(|place| place.bytes.len() as u64).sum(),
        formats,
    })
}

/// A tensor on its way into a file.
pub(crate) struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    pub(crate) fn f32<const D: usize>(name: String, value: Tensor<D>) -> Self {
        Self::new(name, value, Dtype::F32)
    }

    pub(crate) fn values(&self) -> usize {
        self.shape.iter().product()
    }

    fn new<const D: usize>(name: String, value: Tensor<D>, dtype: Dtype) -> Self {
        let (target, dtype) = match dtype {
            Dtype::F16 => (DType::F16, Dtype::F16),
            Dtype::BF16 => (DType::BF16, Dtype::BF16),
            _ => (DType::F32, Dtype::F32),
        };
        let data = value.into_data().convert_dtype(target);
        Self { name, dtype, shape: data.shape().to_vec(), bytes: data.as_bytes().to_vec() }
    }
}

/// Writes tensors into one file, ordered as every writer of the format orders them.
pub(crate) fn write(tensors: Vec<Stored>, path: &Path) -> Result<(), Error> {
    let failed =
        |e: safetensors::SafeTensorError| Error::Write { path: path.to_owned(), source: std::io::Error::other(e) };
    let views = tensors
        .iter()
        .map(|t| Ok((t.name.as_str(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    // "pt" tells readers that the row-major layout is meant.
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(views.map_err(failed)?, Some(metadata), path).map_err(failed)
}

/// Every parameter of `module` outside adapters; `origin` says under which name and in which type it is written.
pub(crate) fn collect<M: Module>(module: &M, origin: impl Fn(&str) -> Origin) -> Vec<Stored> {
    let mut collector = Collector { origin, path: Vec::new(), tensors: Vec::new() };
    module.visit(&mut collector);
    collector.tensors
}

struct Collector<F> {
    origin: F,
    path: Vec<String>,
    tensors: Vec<Stored>,
}

impl<F: Fn(&str) -> Origin> ModuleVisitor for Collector<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.path.iter().any(|part| part == "adapter" || part == "trained") {
            return;
        }
        // Burn's normalisation layers call their parameters by Greek letters.
        let path = self.path.join(".").replace(".gamma", ".weight").replace(".beta", ".bias");
        let Origin { name, dtype } = (self.origin)(&path);
        self.tensors.push(Stored::new(name, param.val(), dtype));
    }
}

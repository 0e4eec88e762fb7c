//! Where parameters come from and go to: a seeded stream, or a `safetensors` checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use rand_distr::{Distribution, Normal};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};

use crate::{Error, random};

/// How a parameter starts when no checkpoint gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    Zeros,
    Ones,
    /// Normal with mean zero and this standard deviation.
    Normal(f32),
}

/// Hands out parameters by name while a model is constructed. The same constructor thus serves a fresh model and a
/// checkpoint; what is missing or misshapen is collected and reported all at once by [`Builder::finish`].
pub(crate) struct Builder<'a> {
    source: Source<'a>,
    device: Device,
    used: BTreeSet<String>,
    problems: Vec<String>,
}

enum Source<'a> {
    Random(u64),
    Checkpoint(&'a Checkpoint),
}

impl<'a> Builder<'a> {
    pub(crate) fn random(seed: u64, device: &Device) -> Self {
        Self::new(Source::Random(seed), device)
    }

    pub(crate) fn checkpoint(checkpoint: &'a Checkpoint, device: &Device) -> Self {
        Self::new(Source::Checkpoint(checkpoint), device)
    }

    fn new(source: Source<'a>, device: &Device) -> Self {
        Self { source, device: device.clone(), used: BTreeSet::new(), problems: Vec::new() }
    }

    pub(crate) fn param<const D: usize>(&mut self, name: &str, shape: [usize; D], init: Init) -> Param<Tensor<D>> {
        let data = match &self.source {
            Source::Random(seed) => fresh(*seed, name, &shape, init),
            Source::Checkpoint(checkpoint) => match checkpoint.read(name, &shape) {
                Ok((stored_as, data)) => {
                    self.used.insert(stored_as);
                    data
                }
                Err(problem) => {
                    self.problems.push(problem);
                    TensorData::zeros::<f32, _>(shape)
                }
            },
        };
        // The id is derived from the name, so that optimiser states saved by one process fit the next.
        let id = ParamId::from(u64::from_le_bytes(
            blake3::hash(name.as_bytes()).as_bytes()[..8].try_into().unwrap_or_default(),
        ));
        Param::initialized(id, Tensor::from_data(data, &self.device)).set_require_grad(true)
    }

    /// Ends construction: an error where the checkpoint did not fit the model.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let Source::Checkpoint(checkpoint) = &self.source else { return Ok(()) };
        for name in checkpoint.names() {
            if !self.used.contains(name) && !is_buffer(name) {
                self.problems.push(format!("`{name}` belongs to no part of the model"));
            }
        }
        if self.problems.is_empty() {
            return Ok(());
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
    name.ends_with(".attn.bias") || name.ends_with(".masked_bias") || name.ends_with("rotary_emb.inv_freq")
}

fn fresh(seed: u64, name: &str, shape: &[usize], init: Init) -> TensorData {
    let count = shape.iter().product();
    let values = match init {
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::Normal(deviation) => {
            let mut rng = random::stream(seed, name);
            Normal::new(0.0, deviation)
                .map_or_else(|_| vec![0.0; count], |normal| (0..count).map(|_| normal.sample(&mut rng)).collect())
        }
    };
    TensorData::new(values, shape.to_vec())
}

/// One or several memory-mapped `safetensors` files that make up a checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    files: Vec<memmap2::Mmap>,
    /// Which file holds a tensor.
    index: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let single = dir.join("model.safetensors");
        let listing = dir.join("model.safetensors.index.json");
        let paths = if !single.exists() && listing.exists() { shards(&listing)? } else { vec![single] };
        let mut checkpoint = Self { path: paths[0].clone(), files: Vec::new(), index: BTreeMap::new() };
        for path in paths {
            let file = File::open(&path).map_err(Error::read(&path))?;
            // SAFETY: the map is read-only and the store never changes a published file; a foreign process that
            // truncates the file while it is mapped would break any reader.
            #[expect(unsafe_code, reason = "memory-mapping has no safe interface")]
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::read(&path))?;
            let tensors = SafeTensors::deserialize(&map)
                .map_err(|e| Error::Safetensors { path: path.clone(), reason: e.to_string() })?;
            for name in tensors.names() {
                checkpoint.index.insert(name.to_owned(), checkpoint.files.len());
            }
            checkpoint.files.push(map);
        }
        Ok(checkpoint)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The name under which a parameter is stored: exports differ in whether they keep the `transformer.` or
    /// `model.` prefix of the class that wrapped them.
    fn locate(&self, name: &str) -> Option<(String, usize)> {
        ["", "transformer.", "model."].iter().find_map(|prefix| {
            let stored = format!("{prefix}{name}");
            self.index.get(&stored).map(|&file| (stored, file))
        })
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<(String, TensorData), String> {
        let (stored_as, file) = self.locate(name).ok_or_else(|| format!("`{name}` is missing"))?;
        let tensors = SafeTensors::deserialize(&self.files[file]).map_err(|e| e.to_string())?;
        let view = tensors.tensor(&stored_as).map_err(|e| e.to_string())?;
        if view.shape() != shape {
            return Err(format!("`{stored_as}` has shape {:?}, but config.json asks for {shape:?}", view.shape()));
        }
        let values =
            to_f32(&view).ok_or_else(|| format!("`{stored_as}` has the unsupported type {:?}", view.dtype()))?;
        Ok((stored_as, TensorData::new(values, shape.to_vec())))
    }
}

fn shards(listing: &Path) -> Result<Vec<PathBuf>, Error> {
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

fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => return None,
    })
}

/// Writes every parameter of `module` as f32 under `prefix` + its path.
pub(crate) fn save<M: Module>(module: &M, prefix: &str, path: &Path) -> Result<(), Error> {
    let mut collector = Collector { prefix, path: Vec::new(), tensors: BTreeMap::new() };
    module.visit(&mut collector);
    let views = collector
        .tensors
        .iter()
        .map(|(name, (shape, bytes))| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let failed =
        |e: safetensors::SafeTensorError| Error::Write { path: path.to_owned(), source: std::io::Error::other(e) };
    // "pt" tells readers that the row-major layout is meant.
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(views.map_err(failed)?, Some(metadata), path).map_err(failed)
}

struct Collector<'a> {
    prefix: &'a str,
    path: Vec<String>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Burn's normalisation layers call their parameters by Greek letters.
        let path = self.path.join(".").replace(".gamma", ".weight").replace(".beta", ".bias");
        let data = param.val().into_data().convert_dtype(DType::F32);
        self.tensors.insert(format!("{}{path}", self.prefix), (data.shape().to_vec(), data.as_bytes().to_vec()));
    }
}

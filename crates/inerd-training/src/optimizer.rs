//! `AdamW` (Loshchilov & Hutter 2019) over all parameters of a model that have a gradient.
//!
//! Burn's own makes a dozen passes over every parameter; this makes one, and takes the scaling and clipping of the
//! gradients along.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use inerd_lm::fused::{self, AdamW};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};

use crate::Settings;

/// The moments of every parameter's gradient, and how many steps were taken.
#[derive(Debug, Clone)]
pub(crate) struct Optimizer {
    betas: (f32, f32),
    epsilon: f32,
    weight_decay: f32,
    step: usize,
    /// By the parameter's identity, which is derived from its name. Flattened, always f32.
    moments: BTreeMap<u64, Moments>,
}

#[derive(Debug, Clone)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

impl Optimizer {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            betas: settings.betas,
            epsilon: settings.epsilon,
            weight_decay: settings.weight_decay,
            step: 0,
            moments: BTreeMap::new(),
        }
    }

    /// One step on the gradients times `scale`. Call it with the only copy of `module`: then the parameters are updated
    /// where they are.
    pub(crate) fn step<M: Module>(
        &mut self,
        learning_rate: f64,
        scale: f32,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        self.step += 1;
        let coefficients = AdamW {
            learning_rate: learning_rate as f32,
            beta_1: self.betas.0,
            beta_2: self.betas.1,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            step: self.step,
            gradient_scale: scale,
        };
        module.map(&mut Update { coefficients, gradients, moments: &mut self.moments })
    }

    /// Writes the moments and the number of steps.
    pub(crate) fn save(&self, path: &Path) -> Result<(), String> {
        let mut stored: BTreeMap<String, (usize, Vec<u8>)> = BTreeMap::new();
        for (id, moments) in &self.moments {
            for (name, tensor) in [("first", &moments.first), ("second", &moments.second)] {
                let data = tensor.clone().into_data().convert_dtype(DType::F32);
                stored.insert(format!("{id}.{name}"), (data.num_elements(), data.as_bytes().to_vec()));
            }
        }
        let views: Result<Vec<_>, _> = stored
            .iter()
            .map(|(name, (count, bytes))| Ok((name.as_str(), TensorView::new(Dtype::F32, vec![*count], bytes)?)))
            .collect();
        let views = views.map_err(|e: safetensors::SafeTensorError| e.to_string())?;
        let metadata = [("step".to_owned(), self.step.to_string())].into();
        serialize_to_file(views, Some(metadata), path).map_err(|e| e.to_string())
    }

    /// Takes up what [`Optimizer::save`] wrote.
    pub(crate) fn load(mut self, path: &Path, device: &Device) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
        let step = header.metadata().as_ref().and_then(|metadata| metadata.get("step"));
        self.step = step.and_then(|step| step.parse().ok()).ok_or("the number of steps is missing")?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
        let read = |name: String| -> Result<Tensor<1>, String> {
            let view = tensors.tensor(&name).map_err(|e| e.to_string())?;
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let count = values.len();
            Ok(Tensor::from_data(TensorData::new(values, [count]), device))
        };
        for name in tensors.names() {
            let Some(id) = name.strip_suffix(".first") else { continue };
            let moments = Moments { first: read(name.to_owned())?, second: read(format!("{id}.second"))? };
            self.moments.insert(id.parse().map_err(|_| format!("`{name}` is no moment"))?, moments);
        }
        Ok(self)
    }
}

struct Update<'a> {
    coefficients: AdamW,
    gradients: GradientsParams,
    moments: &'a mut BTreeMap<u64, Moments>,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (id, value, mapper) = param.consume();
        let strategy = value.device().gradient_checkpointing_strategy();
        let value = value.inner();
        let shape = value.dims();
        let count = shape.iter().product::<usize>();
        let moments = self.moments.remove(&id.val()).unwrap_or_else(|| {
            let zeros = || Tensor::zeros([count], (&value.device(), DType::F32));
            Moments { first: zeros(), second: zeros() }
        });
        let [value, first, second] = fused::adamw(
            [value.reshape([count]), moments.first, moments.second],
            gradient.reshape([count]),
            self.coefficients,
        );
        self.moments.insert(id.val(), Moments { first, second });
        let mut value = Tensor::from_inner(value.reshape(shape));
        if let Some(strategy) = strategy {
            value = value.with_gradient_checkpointing_strategy(strategy);
        }
        Param::from_mapped_value(id, value.require_grad(), mapper)
    }
}

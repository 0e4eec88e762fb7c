//! Clipping by the norm of all gradients together; Burn's own clipping is per parameter.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Multiplies all gradients by `factor` (which turns a sum into a mean), and further so that their joint Euclidean norm
/// is at most `limit`; gives the norm before the limit (Pascanu et al. 2013, algorithm 1).
pub(crate) fn scale_and_clip<M: Module>(module: &M, gradients: &mut GradientsParams, factor: f32, limit: f32) -> f32 {
    let mut norm = SquaredNorm { gradients, sum: None };
    module.visit(&mut norm);
    let norm = factor * norm.sum.map_or(0.0, |sum| sum.into_scalar::<f32>().sqrt());
    let factor = if norm > limit { factor * limit / norm } else { factor };
    module.visit(&mut Scale { gradients, factor });
    norm
}

struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    /// Kept on the device, so that the host waits once and not once per parameter.
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let squared = gradient.powi_scalar(2).sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + squared,
                None => squared,
            });
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f32,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}

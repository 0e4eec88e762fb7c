//! The norm of all gradients together; Burn's own clipping is per parameter.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use inerd_lm::fused;

/// The joint Euclidean norm of all gradients of a module.
pub(crate) fn norm<M: Module>(module: &M, gradients: &GradientsParams) -> f32 {
    let mut squares = Squares { gradients, sum: 0.0 };
    module.visit(&mut squares);
    squares.sum.sqrt() as f32
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sum += fused::squared_norm(gradient);
        }
    }
}

//! The steps of a layer as one operation each, forwards and backwards.
//!
//! On the CPU they run the kernels of `inerd-kernels`: fewer passes over the activations than elementary operations
//! need, and gradients that recompute instead of storing. Everywhere else they are composed of Burn's own operations.
//! Model code calls these functions and doesn't know the difference.

mod cpu;

use std::sync::Arc;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData, module};
pub use inerd_kernels::activation::Activation;
pub use inerd_kernels::{AdamW, Pattern};

use crate::attention::HIDDEN;
use cpu::Kernels;

/// Whether the kernels can be used: `x` lies on the CPU in single precision.
pub(crate) fn on_cpu<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_cpu(&x.device())
}

/// Whether a device, with or without gradients, is the CPU.
pub fn is_cpu(device: &burn::tensor::Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// `x W + b`: `[…, inputs]` to `[…, outputs]` with `weight` `[inputs, outputs]` (or a transposed view of it).
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    if !on_cpu(&x) || weight.dtype() != DType::F32 {
        return module::linear(x, weight, bias);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        None => <Dispatch as Kernels>::linear(x, weight),
        Some(bias) => <Dispatch as Kernels>::biased_linear(x, weight, bias.into_dispatch()),
    })
}

/// Layer norm (Ba et al. 2016) over the last dimension; `gain` and `bias` are as wide as it.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    if !on_cpu(&x) {
        return module::layer_norm(x, gain, Some(bias), epsilon);
    }
    let (x, gain, bias) = (x.into_dispatch(), gain.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Kernels>::layer_norm(x, gain, bias, epsilon))
}

/// Root-mean-square norm (Zhang & Sennrich 2019) over the last dimension.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, epsilon: f64) -> Tensor<D> {
    if !on_cpu(&x) {
        let dtype = x.dtype();
        let wide = x.cast(DType::F32);
        let root = wide.clone().square().mean_dim(D - 1).add_scalar(epsilon).sqrt();
        return (wide / root).cast(dtype) * gain.unsqueeze();
    }
    Tensor::from_dispatch(<Dispatch as Kernels>::rms_norm(x.into_dispatch(), gain.into_dispatch(), epsilon))
}

/// An activation function, element by element.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    use burn::tensor::activation::{gelu, gelu_approximate, relu, silu};
    if on_cpu(&x) {
        return Tensor::from_dispatch(<Dispatch as Kernels>::activate(x.into_dispatch(), activation));
    }
    match activation {
        Activation::GeluTanh => gelu_approximate(x),
        Activation::Gelu => gelu(x),
        Activation::Silu => silu(x),
        Activation::Relu => relu(x),
    }
}

/// Attention of `query` `[rows, heads, queries, head width]` over `key` and `value`
/// `[rows, key-value heads, keys, head width]`, in the shape of `query`. `pattern` counts queries and keys over all rows,
/// row by row. On the CPU only.
pub(crate) fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, pattern: &Arc<Pattern>) -> Tensor<4> {
    let (query, key, value) = (query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Kernels>::attention(query, key, value, Arc::clone(pattern)))
}

/// As [`attention`], with queries, keys and values side by side: `[rows, length, 3 · heads · head width]` to
/// `[rows, length, heads · head width]`. Their gradient comes in one piece, too.
pub(crate) fn joined_attention(qkv: Tensor<3>, heads: usize, pattern: &Arc<Pattern>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as Kernels>::joined_attention(qkv.into_dispatch(), heads, Arc::clone(pattern)))
}

/// The summed cross-entropy (nats) of `targets` under the softmax over `hidden` `[targets, embedding]` times `output`
/// `[tokens, embedding]` transposed.
pub fn vocabulary_loss(hidden: Tensor<2>, output: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    if !on_cpu(&hidden) {
        return cross_entropy(linear(hidden, output.transpose(), None).cast(DType::F32), targets);
    }
    let (hidden, output) = (hidden.into_dispatch(), output.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Kernels>::vocabulary_loss(hidden, output, targets.to_vec()))
}

/// As [`vocabulary_loss`], where each target is chosen among few of the output's rows: `(target, allowed)`, the target
/// among them.
pub fn allowed_loss(hidden: Tensor<2>, output: Tensor<2>, targets: Vec<(u32, Vec<u32>)>) -> Tensor<1> {
    if !on_cpu(&hidden) {
        let (chosen, allowed): (Vec<u32>, Vec<Vec<u32>>) = targets.into_iter().unzip();
        return cross_entropy(allowed_logits(hidden, output, &allowed), &chosen);
    }
    let (hidden, output) = (hidden.into_dispatch(), output.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Kernels>::allowed_loss(hidden, output, targets))
}

/// `hidden` `[rows, embedding]` times `output` `[tokens, embedding]` transposed, with [`HIDDEN`] added wherever a row
/// doesn't allow the token.
pub(crate) fn allowed_logits(hidden: Tensor<2>, output: Tensor<2>, allowed: &[Vec<u32>]) -> Tensor<2> {
    let tokens = output.dims()[0];
    let mut hide = vec![HIDDEN; allowed.len() * tokens];
    for (allowed, hide) in allowed.iter().zip(hide.chunks_exact_mut(tokens)) {
        allowed.iter().for_each(|&token| hide[token as usize] = 0.0);
    }
    let hide = Tensor::<2>::from_data(TensorData::new(hide, [allowed.len(), tokens]), &hidden.device());
    linear(hidden, output.transpose(), None).cast(DType::F32) + hide
}

/// The summed cross-entropy (nats) of `targets` under logits `[targets, tokens]`, in elementary operations.
fn cross_entropy(logits: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let columns: Vec<i32> = targets.iter().map(|&t| t as i32).collect();
    let columns = Tensor::<2, Int>::from_data(TensorData::new(columns, [targets.len(), 1]), &logits.device());
    log_softmax(logits, 1).gather(1, columns).sum().neg()
}

/// Row `r` of `hidden` `[rows, embedding]` times the rows `wanted[r]` of `output` `[tokens, embedding]`. On the CPU, for
/// few tokens: nothing is gathered first.
pub(crate) fn selected_logits(hidden: Tensor<2>, output: Tensor<2>, wanted: &[&[u32]]) -> Vec<Vec<f32>> {
    cpu::selected_logits(&cpu::primitive(hidden), &cpu::primitive(output), wanted)
}

/// Writes the tokens of `new` `[1, heads, tokens, width]` at the given places of `room` `[places, heads, width]`; in
/// place, where no other tensor shares it. On the CPU.
pub(crate) fn write_tokens(room: Tensor<3>, places: &[usize], new: Tensor<4>) -> Tensor<3> {
    Tensor::from_primitive::<burn::backend::Flex>(cpu::write_tokens(cpu::primitive(room), places, cpu::primitive(new)))
}

/// Sum of squares of a tensor that is no part of a graph.
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> f64 {
    if on_cpu(&x) { cpu::squared_norm(&cpu::primitive(x)) } else { f64::from(x.square().sum().into_scalar::<f32>()) }
}

/// One step of `AdamW` on a flat parameter with its two moments; in place on the CPU, where no other tensor shares them.
pub fn adamw(parameter_and_moments: [Tensor<1>; 3], gradient: Tensor<1>, step: AdamW) -> [Tensor<1>; 3] {
    if on_cpu(&parameter_and_moments[0]) {
        let updated = cpu::adamw(parameter_and_moments.map(cpu::primitive), &cpu::primitive(gradient), step);
        return updated.map(Tensor::from_primitive::<burn::backend::Flex>);
    }
    let [parameter, first, second] = parameter_and_moments;
    let dtype = parameter.dtype();
    let gradient = gradient.cast(DType::F32).mul_scalar(step.gradient_scale);
    let first = first.mul_scalar(step.beta_1) + gradient.clone().mul_scalar(1.0 - step.beta_1);
    let second = second.mul_scalar(step.beta_2) + gradient.square().mul_scalar(1.0 - step.beta_2);
    let count = step.step as i32;
    let rate = step.learning_rate / (1.0 - step.beta_1.powi(count));
    let spread = second.clone().div_scalar(1.0 - step.beta_2.powi(count)).sqrt().add_scalar(step.epsilon);
    let kept = parameter.cast(DType::F32).mul_scalar(1.0 - step.learning_rate * step.weight_decay);
    let parameter = kept - (first.clone() / spread).mul_scalar(rate);
    [parameter.cast(dtype), first, second]
}

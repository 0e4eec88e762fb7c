//! The operations as Burn's CPU backend runs them, and their steps backwards.

use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::{Shape, Tensor, TensorData};
use inerd_kernels::activation::Activation;
use inerd_kernels::{Allowed, Attention, Heads, Loss, Matrix, Pattern};

/// See the functions of the same names in [`super`].
#[backend_extension(Autodiff, Flex)]
pub(crate) trait Kernels: Backend {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    fn biased_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
    fn layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        pattern: Arc<Pattern>,
    ) -> FloatTensor<Self>;
    fn joined_attention(qkv: FloatTensor<Self>, heads: usize, pattern: Arc<Pattern>) -> FloatTensor<Self>;
    fn vocabulary_loss(hidden: FloatTensor<Self>, output: FloatTensor<Self>, targets: Vec<u32>) -> FloatTensor<Self>;
    fn allowed_loss(
        hidden: FloatTensor<Self>,
        output: FloatTensor<Self>,
        targets: Vec<(u32, Vec<u32>)>,
    ) -> FloatTensor<Self>;
}

// --- Between tensors and slices ---------------------------------------------------------------------------------------

/// The values of a contiguous tensor.
fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("the tensor was made contiguous and is f32")
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

fn dims<const D: usize>(x: &FlexTensor) -> [usize; D] {
    x.layout().shape().dims()
}

/// A two-dimensional tensor as it lies, without a copy.
fn matrix(x: &FlexTensor) -> Matrix<'_> {
    let ([rows, columns], strides) = (dims(x), x.layout().strides());
    let data = &x.storage::<f32>()[x.layout().start_offset()..];
    Matrix::strided(data, rows, columns, strides[0] as usize, strides[1] as usize)
}

/// Whether a matrix lies column by column, as a transposed view of a stored one does.
fn by_columns(x: &FlexTensor) -> bool {
    let strides = x.layout().strides();
    strides[0] == 1 && strides[1] != 1
}

fn last(x: &FlexTensor) -> usize {
    let shape = x.layout().shape();
    shape[shape.num_dims() - 1]
}

/// The primitive of a tensor that lies on the CPU and is no part of a graph.
pub(super) fn primitive<const D: usize>(x: Tensor<D>) -> FlexTensor {
    x.try_into_primitive::<Flex>().expect("the tensor lies on the CPU, without gradients")
}

// --- Dense layers -----------------------------------------------------------------------------------------------------

fn linear(x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let mut shape: Vec<usize> = x.layout().shape().to_vec();
    let [inputs, outputs] = dims(weight);
    let rows = shape.iter().product::<usize>() / inputs.max(1);
    let end = shape.len() - 1;
    shape[end] = outputs;
    let x = x.to_contiguous();
    let x = Matrix::new(values(&x), rows, inputs);
    let out = match bias {
        None => inerd_kernels::matmul(x, matrix(weight)),
        Some(bias) => {
            let mut out = values(&bias.to_contiguous()).repeat(rows);
            inerd_kernels::matmul_into(x, matrix(weight), &mut out);
            out
        }
    };
    tensor(out, shape)
}

/// Inputs and weight as far as a gradient needs them.
#[derive(Debug)]
struct Linear;

impl<const N: usize> Backward<Flex, N> for Linear {
    type State = (NodeId, NodeId);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (x, weight): (FlexTensor, FlexTensor) =
            (checkpointer.retrieve_node_output(ops.state.0), checkpointer.retrieve_node_output(ops.state.1));
        let outputs = last(&upstream);
        let rows = values(&upstream).len() / outputs;
        let dy = Matrix::new(values(&upstream), rows, outputs);
        if let Some(node) = &ops.parents[0] {
            let dx = inerd_kernels::matmul(dy, matrix(&weight).transposed());
            grads.register::<Flex>(node.id, tensor(dx, x.layout().shape().clone()));
        }
        if let Some(node) = &ops.parents[1] {
            let [inputs, outputs] = dims(&weight);
            let contiguous = x.to_contiguous();
            let x = Matrix::new(values(&contiguous), rows, inputs);
            // In the order in which the weight is stored.
            let gradient = if by_columns(&weight) {
                let stored = tensor(inerd_kernels::matmul(dy.transposed(), x), [outputs, inputs]);
                let layout = stored.layout().transpose(0, 1);
                stored.with_layout(layout)
            } else {
                tensor(inerd_kernels::matmul(x.transposed(), dy), [inputs, outputs])
            };
            grads.register::<Flex>(node.id, gradient);
        }
        if let Some(Some(node)) = ops.parents.get(2) {
            let sums = inerd_kernels::column_sums(values(&upstream), outputs);
            grads.register::<Flex>(node.id, tensor(sums, [outputs]));
        }
    }
}

// --- Norms ------------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct NormState {
    x: NodeId,
    gain: FlexTensor,
    epsilon: f64,
}

#[derive(Debug)]
struct LayerNorm;

impl Backward<Flex, 3> for LayerNorm {
    type State = NormState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node).to_contiguous();
        let NormState { x, gain, epsilon } = ops.state;
        let x: FlexTensor = checkpointer.retrieve_node_output(x);
        let x = x.to_contiguous();
        let back = inerd_kernels::layer_norm_gradient(values(&x), values(&gain), epsilon as f32, values(&upstream));
        let width = back.gain.len();
        let gradients =
            [tensor(back.input, x.layout().shape().clone()), tensor(back.gain, [width]), tensor(back.bias, [width])];
        for (node, gradient) in ops.parents.iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct RmsNorm;

impl Backward<Flex, 2> for RmsNorm {
    type State = NormState;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node).to_contiguous();
        let NormState { x, gain, epsilon } = ops.state;
        let x: FlexTensor = checkpointer.retrieve_node_output(x);
        let x = x.to_contiguous();
        let back = inerd_kernels::rms_norm_gradient(values(&x), values(&gain), epsilon as f32, values(&upstream));
        let width = back.gain.len();
        let gradients = [tensor(back.input, x.layout().shape().clone()), tensor(back.gain, [width])];
        for (node, gradient) in ops.parents.iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

// --- Activations ------------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct Activate;

impl Backward<Flex, 1> for Activate {
    type State = (NodeId, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (x, activation) = ops.state;
        let [Some(node)] = ops.parents else { return };
        let x: FlexTensor = checkpointer.retrieve_node_output(x);
        let x = x.to_contiguous();
        let gradient = activation.gradient(values(&x), values(&upstream));
        grads.register::<Flex>(node.id, tensor(gradient, x.layout().shape().clone()));
    }
}

// --- Attention --------------------------------------------------------------------------------------------------------

/// `[rows, heads, length, width]` such that rows and tokens together have one stride, and the values of a head lie
/// together: a view of a token-by-token tensor does already.
fn token_by_token(x: FlexTensor) -> FlexTensor {
    let ([rows, _, length, _], strides) = (dims::<4>(&x), x.layout().strides());
    if strides[3] == 1 && (rows == 1 || strides[0] == strides[2] * length as isize) {
        return x;
    }
    let swapped = x.layout().transpose(1, 2);
    let x = x.with_layout(swapped).to_contiguous();
    let swapped = x.layout().transpose(1, 2);
    x.with_layout(swapped)
}

fn heads(x: &FlexTensor) -> Heads<'_> {
    let strides = x.layout().strides();
    let data = &x.storage::<f32>()[x.layout().start_offset()..];
    Heads::new(data, strides[2] as usize, strides[1] as usize)
}

/// `[rows, length, heads, width]` as a view `[rows, heads, length, width]`.
fn heads_first(values: Vec<f32>, [rows, heads, length, width]: [usize; 4]) -> FlexTensor {
    let x = tensor(values, [rows, length, heads, width]);
    let swapped = x.layout().transpose(1, 2);
    x.with_layout(swapped)
}

fn sizes(query: &FlexTensor, key: &FlexTensor) -> Attention {
    let ([_, heads, _, width], [_, shared, ..]) = (dims(query), dims::<4>(key));
    Attention { heads, shared, width, scale: (width as f32).powf(-0.5) }
}

/// What the gradient of attention needs.
#[derive(Debug, Clone)]
struct AttentionState {
    /// Query, key and value.
    inputs: [FlexTensor; 3],
    /// `[queries, heads, width]`
    out: FlexTensor,
    /// `[queries, heads]`
    sums: Arc<Vec<f32>>,
    pattern: Arc<Pattern>,
}

impl AttentionState {
    fn new(inputs: [FlexTensor; 3], pattern: Arc<Pattern>) -> Self {
        let inputs = inputs.map(token_by_token);
        let [q, k, v] = &inputs;
        let sizes = sizes(q, k);
        let (out, sums) = inerd_kernels::attention(heads(q), heads(k), heads(v), sizes, &pattern);
        let out = tensor(out, [pattern.queries(), sizes.heads, sizes.width]);
        Self { inputs, out, sums: Arc::new(sums), pattern }
    }

    /// Hands the gradients at the three inputs to `place`, head by head.
    fn gradient(&self, upstream: &FlexTensor, place: &mut dyn FnMut(usize, usize, usize, &[f32])) {
        let [q, k, v] = &self.inputs;
        let inputs = [heads(q), heads(k), heads(v)];
        let outputs = (values(&self.out), self.sums.as_slice());
        inerd_kernels::attention_gradient(inputs, sizes(q, k), &self.pattern, outputs, values(upstream), place);
    }
}

/// The token-by-token output in the shape of the query, `[rows, heads, queries, width]`.
fn as_query(out: FlexTensor, query: &FlexTensor) -> FlexTensor {
    let [rows, heads, length, width] = dims(query);
    let layout = Layout::contiguous(Shape::from([rows, length, heads, width])).transpose(1, 2);
    out.with_layout(layout)
}

#[derive(Debug)]
struct SeparateAttention;

impl Backward<Flex, 3> for SeparateAttention {
    type State = AttentionState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node);
        let swapped = upstream.layout().transpose(1, 2);
        let upstream = upstream.with_layout(swapped).to_contiguous();
        let shapes = ops.state.inputs.each_ref().map(dims::<4>);
        let mut gradients = shapes.map(|shape| vec![0.0; shape.iter().product()]);
        ops.state.gradient(&upstream, &mut |which, token, head, values| {
            let [_, heads, _, width] = shapes[which];
            gradients[which][(token * heads + head) * width..][..width].copy_from_slice(values);
        });
        for ((node, gradient), shape) in ops.parents.iter().zip(gradients).zip(shapes) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, heads_first(gradient, shape));
            }
        }
    }
}

#[derive(Debug)]
struct JoinedAttention;

impl Backward<Flex, 1> for JoinedAttention {
    type State = AttentionState;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [Some(node)] = ops.parents else { return };
        let [rows, heads, length, width] = dims(&ops.state.inputs[0]);
        let embedding = heads * width;
        let mut gradient = vec![0.0; rows * length * 3 * embedding];
        ops.state.gradient(&upstream, &mut |which, token, head, values| {
            let at = token * 3 * embedding + which * embedding + head * width;
            gradient[at..at + width].copy_from_slice(values);
        });
        grads.register::<Flex>(node.id, tensor(gradient, [rows, length, 3 * embedding]));
    }
}

/// Query, key and value as views of `[rows, length, 3 · heads · width]`.
fn split(qkv: FlexTensor, heads: usize) -> [FlexTensor; 3] {
    let qkv = qkv.to_contiguous();
    let [rows, length, joined] = dims(&qkv);
    let width = joined / 3 / heads;
    let strides = [length * joined, width, joined, 1].map(|s| s as isize).to_vec();
    let start = qkv.layout().start_offset();
    [0, 1, 2].map(|part| {
        let shape = Shape::from([rows, heads, length, width]);
        qkv.clone().with_layout(Layout::new(shape, strides.clone(), start + part * heads * width))
    })
}

// --- Losses -----------------------------------------------------------------------------------------------------------

/// The gradients of a loss, computed with it.
#[derive(Debug, Clone)]
struct LossState {
    hidden: FlexTensor,
    output: FlexTensor,
}

#[derive(Debug)]
struct CrossEntropy;

impl Backward<Flex, 2> for CrossEntropy {
    type State = LossState;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = values(&grads.consume::<Flex>(&ops.node).to_contiguous())[0];
        for (node, gradient) in ops.parents.iter().zip([ops.state.hidden, ops.state.output]) {
            if let Some(node) = node {
                // The loss is nearly always what `backward` was called on.
                let gradient = if upstream == 1.0 {
                    gradient
                } else {
                    let scaled = values(&gradient).iter().map(|g| g * upstream).collect();
                    tensor(scaled, gradient.layout().shape().clone())
                };
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

/// Computes a loss and the gradients that `tracked` asks for: at the hidden states, at the output matrix.
fn loss(
    hidden: &FlexTensor,
    output: &FlexTensor,
    tracked: [bool; 2],
    compute: impl FnOnce(&[f32], &[f32], usize, inerd_kernels::Gradients) -> Loss,
) -> (FlexTensor, LossState) {
    let (hidden, output) = (hidden.to_contiguous(), output.to_contiguous());
    let wanted = inerd_kernels::Gradients { hidden: tracked[0], output: tracked[1] };
    let loss = compute(values(&hidden), values(&output), last(&hidden), wanted);
    let gradient = |values: Vec<f32>, of: &FlexTensor| {
        if values.is_empty() { tensor(values, [0]) } else { tensor(values, of.layout().shape().clone()) }
    };
    let state = LossState { hidden: gradient(loss.hidden, &hidden), output: gradient(loss.output, &output) };
    (tensor(vec![loss.sum as f32], [1]), state)
}

fn vocabulary_loss(
    hidden: &FlexTensor,
    output: &FlexTensor,
    targets: &[u32],
    tracked: [bool; 2],
) -> (FlexTensor, LossState) {
    loss(hidden, output, tracked, |hidden, output, width, wanted| {
        inerd_kernels::vocabulary_loss(hidden, output, width, targets, wanted)
    })
}

fn allowed_loss(
    hidden: &FlexTensor,
    output: &FlexTensor,
    targets: &[(u32, Vec<u32>)],
    tracked: [bool; 2],
) -> (FlexTensor, LossState) {
    let targets: Vec<Allowed<'_>> = targets.iter().map(|(token, among)| Allowed { token: *token, among }).collect();
    loss(hidden, output, tracked, |hidden, output, width, wanted| {
        inerd_kernels::allowed_loss(hidden, output, width, &targets, wanted)
    })
}

// --- Outside of graphs ------------------------------------------------------------------------------------------------

pub(super) fn selected_logits(hidden: &FlexTensor, output: &FlexTensor, wanted: &[&[u32]]) -> Vec<Vec<f32>> {
    let (hidden, output) = (hidden.to_contiguous(), output.to_contiguous());
    inerd_kernels::selected_logits(values(&hidden), values(&output), last(&output), wanted)
}

pub(super) fn write_tokens(mut room: FlexTensor, places: &[usize], new: FlexTensor) -> FlexTensor {
    let [_, heads_count, width] = dims(&room);
    let new = token_by_token(new);
    let new = heads(&new);
    let values = room.storage_mut::<f32>();
    for (token, &place) in places.iter().enumerate() {
        for head in 0..heads_count {
            let at = (place * heads_count + head) * width;
            values[at..at + width].copy_from_slice(new.row(token, head, width));
        }
    }
    room
}

pub(super) fn squared_norm(x: &FlexTensor) -> f64 {
    inerd_kernels::squared_norm(values(&x.to_contiguous()))
}

pub(super) fn adamw(state: [FlexTensor; 3], gradient: &FlexTensor, step: inerd_kernels::AdamW) -> [FlexTensor; 3] {
    let [mut parameter, mut first, mut second] =
        state.map(|t| if t.is_contiguous() && t.layout().start_offset() == 0 { t } else { t.to_contiguous() });
    let gradient = gradient.to_contiguous();
    step.update(parameter.storage_mut(), values(&gradient), first.storage_mut(), second.storage_mut());
    [parameter, first, second]
}

// --- The two backends -------------------------------------------------------------------------------------------------

impl Kernels for Flex {
    fn linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        linear(&x, &weight, None)
    }

    fn biased_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        linear(&x, &weight, Some(&bias))
    }

    fn layer_norm(x: FlexTensor, gain: FlexTensor, bias: FlexTensor, epsilon: f64) -> FlexTensor {
        let [x, gain, bias] = [x, gain, bias].map(|t| t.to_contiguous());
        let out = inerd_kernels::layer_norm(values(&x), values(&gain), values(&bias), epsilon as f32);
        tensor(out, x.layout().shape().clone())
    }

    fn rms_norm(x: FlexTensor, gain: FlexTensor, epsilon: f64) -> FlexTensor {
        let [x, gain] = [x, gain].map(|t| t.to_contiguous());
        tensor(inerd_kernels::rms_norm(values(&x), values(&gain), epsilon as f32), x.layout().shape().clone())
    }

    fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        let x = x.to_contiguous();
        tensor(activation.apply(values(&x)), x.layout().shape().clone())
    }

    fn attention(query: FlexTensor, key: FlexTensor, value: FlexTensor, pattern: Arc<Pattern>) -> FlexTensor {
        let state = AttentionState::new([query, key, value], pattern);
        as_query(state.out, &state.inputs[0])
    }

    fn joined_attention(qkv: FlexTensor, heads: usize, pattern: Arc<Pattern>) -> FlexTensor {
        let [rows, length, joined] = dims(&qkv);
        let out = AttentionState::new(split(qkv, heads), pattern).out;
        out.with_layout(Layout::contiguous(Shape::from([rows, length, joined / 3])))
    }

    fn vocabulary_loss(hidden: FlexTensor, output: FlexTensor, targets: Vec<u32>) -> FlexTensor {
        vocabulary_loss(&hidden, &output, &targets, [false, false]).0
    }

    fn allowed_loss(hidden: FlexTensor, output: FlexTensor, targets: Vec<(u32, Vec<u32>)>) -> FlexTensor {
        allowed_loss(&hidden, &output, &targets, [false, false]).0
    }
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let out = linear(x.primitive(), weight.primitive(), None);
        match Linear.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight));
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn biased_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let out = linear(x.primitive(), weight.primitive(), Some(bias.primitive()));
        match Linear.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight));
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let [primitive, gains, biases] = [&x, &gain, &bias].map(|t| t.primitive().clone());
        let out = Flex::layer_norm(primitive, gains.clone(), biases, epsilon);
        match LayerNorm.prepare::<C>([x.node(), gain.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = NormState { x: prep.checkpoint(&x), gain: gains.to_contiguous(), epsilon };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        let gains = gain.primitive().clone();
        let out = Flex::rms_norm(x.primitive().clone(), gains.clone(), epsilon);
        match RmsNorm.prepare::<C>([x.node(), gain.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = NormState { x: prep.checkpoint(&x), gain: gains.to_contiguous(), epsilon };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let out = Flex::activate(x.primitive().clone(), activation);
        match Activate.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), activation);
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        pattern: Arc<Pattern>,
    ) -> FloatTensor<Self> {
        let state = AttentionState::new([&query, &key, &value].map(|t| t.primitive().clone()), pattern);
        let out = as_query(state.out.clone(), &state.inputs[0]);
        match SeparateAttention.prepare::<C>([query.node(), key.node(), value.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn joined_attention(qkv: FloatTensor<Self>, heads: usize, pattern: Arc<Pattern>) -> FloatTensor<Self> {
        let [rows, length, joined] = dims(qkv.primitive());
        let state = AttentionState::new(split(qkv.primitive().clone(), heads), pattern);
        let out = state.out.clone().with_layout(Layout::contiguous(Shape::from([rows, length, joined / 3])));
        match JoinedAttention.prepare::<C>([qkv.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn vocabulary_loss(hidden: FloatTensor<Self>, output: FloatTensor<Self>, targets: Vec<u32>) -> FloatTensor<Self> {
        let tracked = [hidden.is_tracked(), output.is_tracked()];
        let (sum, state) = vocabulary_loss(hidden.primitive(), output.primitive(), &targets, tracked);
        match CrossEntropy.prepare::<C>([hidden.node(), output.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, sum),
            OpsKind::UnTracked(prep) => prep.finish(sum),
        }
    }

    fn allowed_loss(
        hidden: FloatTensor<Self>,
        output: FloatTensor<Self>,
        targets: Vec<(u32, Vec<u32>)>,
    ) -> FloatTensor<Self> {
        let tracked = [hidden.is_tracked(), output.is_tracked()];
        let (sum, state) = allowed_loss(hidden.primitive(), output.primitive(), &targets, tracked);
        match CrossEntropy.prepare::<C>([hidden.node(), output.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, sum),
            OpsKind::UnTracked(prep) => prep.finish(sum),
        }
    }
}

//! Fused operations against the same composed of Burn's own, forwards and backwards.

use burn::tensor::activation::{gelu, log_softmax, silu, softmax};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData, module};
use inerd_lm::attention::{HIDDEN, Mask, attend};
use inerd_lm::fused::{self, Activation};

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &device())
}

fn close<const D: usize>(got: Tensor<D>, want: Tensor<D>, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let apart = (got - want).abs().max().into_scalar::<f32>();
    assert!(apart < 2e-5, "{what}: {apart}");
}

/// The same tensor twice, as leaves of two graphs.
fn twins<const D: usize>(x: &Tensor<D>) -> [Tensor<D>; 2] {
    [0, 1].map(|_| Tensor::from_inner(x.clone().inner()).require_grad())
}

/// Compares two results and the gradients of their weighted sums at pairs of leaves.
macro_rules! same {
    ($what:expr, $got:expr, $want:expr, $([$a:expr, $b:expr]),+) => {{
        let (got, want) = ($got, $want);
        close(got.clone(), want.clone(), $what);
        let weights = Tensor::random(got.dims(), Distribution::Uniform(-1.0, 1.0), &device());
        let got = (got * weights.clone()).sum().backward();
        let want = (want * weights).sum().backward();
        $(close($a.grad(&got).unwrap(), $b.grad(&want).unwrap(), concat!("gradient at ", stringify!($a)));)+
    }};
}

#[test]
fn dense_layers_of_both_layouts() {
    for rows in [1, 5, 70] {
        let ([x, x2], [b, b2]) = (twins(&random([2, rows, 24])), twins(&random([40])));
        let [w, w2] = twins(&random([24, 40]));
        let got = fused::linear(x.clone(), w.clone(), Some(b.clone()));
        same!("linear", got, module::linear(x2.clone(), w2.clone(), Some(b2.clone())), [x, x2], [w, w2], [b, b2]);
        let ([x, x2], [w, w2]) = (twins(&random([2, rows, 24])), twins(&random([40, 24])));
        let got = fused::linear(x.clone(), w.clone().transpose(), None);
        same!("transposed", got, module::linear(x2.clone(), w2.clone().transpose(), None), [x, x2], [w, w2]);
    }
}

#[test]
fn a_frozen_weight_passes_the_gradient_on_and_takes_none() {
    let [x, x2] = twins(&random([7, 24]));
    let frozen = random([24, 40]);
    let got = fused::linear(x.clone(), frozen.clone(), None);
    same!("frozen", got, x2.clone().matmul(frozen.clone()), [x, x2]);
    let gradients = fused::linear(x, frozen.clone(), None).sum().backward();
    assert!(frozen.grad(&gradients).is_none());
}

#[test]
fn norms() {
    let ([x, x2], [g, g2], [b, b2]) = (twins(&random([3, 70, 36])), twins(&random([36])), twins(&random([36])));
    let want = module::layer_norm(x2.clone(), g2.clone(), Some(b2.clone()), 1e-5);
    same!("layer norm", fused::layer_norm(x.clone(), g.clone(), b.clone(), 1e-5), want, [x, x2], [g, g2], [b, b2]);
    let ([x, x2], [g, g2]) = (twins(&random([3, 70, 36])), twins(&random([36])));
    let root = x2.clone().powi_scalar(2).mean_dim(2).add_scalar(1e-5).sqrt();
    let want = x2.clone() / root * g2.clone().unsqueeze();
    same!("root-mean-square norm", fused::rms_norm(x.clone(), g.clone(), 1e-5), want, [x, x2], [g, g2]);
}

#[test]
fn activations() {
    let [x, x2] = twins(&random([3, 50]).mul_scalar(6.0));
    same!("gelu", fused::activate(x.clone(), Activation::Gelu), gelu(x2.clone()), [x, x2]);
    let [x, x2] = twins(&random([3, 50]).mul_scalar(6.0));
    same!("silu", fused::activate(x.clone(), Activation::Silu), silu(x2.clone()), [x, x2]);
}

/// Attention with everything written out.
fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Tensor<4>) -> Tensor<4> {
    let (width, group) = (q.dims()[3], q.dims()[1] / k.dims()[1]);
    let share = |x: Tensor<4>| {
        let [rows, heads, length, width] = x.dims();
        x.unsqueeze_dim::<5>(2).repeat_dim(2, group).reshape([rows, heads * group, length, width])
    };
    let scores = q.matmul(share(k).swap_dims(2, 3)).mul_scalar((width as f32).powf(-0.5)) + mask;
    softmax(scores, 3).matmul(share(v))
}

#[test]
fn attention_in_packed_rows_with_shared_heads() {
    // Two rows: three examples with padding behind, and one.
    let segments = [0, 0, 0, 1, 1, 2, 2, 2, 2, -1, 3, 3, 3, 3, 3, 3, 3, 3, -1, -1];
    let (rows, width) = (2, 10);
    let mut scores = vec![HIDDEN; rows * width * width];
    for row in 0..rows {
        for query in 0..width {
            for key in 0..=query {
                let (a, b) = (segments[row * width + query], segments[row * width + key]);
                if query == key || (a == b && a >= 0) {
                    scores[(row * width + query) * width + key] = 0.0;
                }
            }
        }
    }
    let additive = Tensor::<4>::from_data(TensorData::new(scores, [rows, 1, width, width]), &device());
    let mask = Mask::segments(&segments, rows, width, &device());
    assert!(matches!(mask, Mask::Pattern(_)));
    let ([q, q2], [k, k2], [v, v2]) =
        (twins(&random([2, 4, 10, 6])), twins(&random([2, 2, 10, 6])), twins(&random([2, 2, 10, 6])));
    let want = composed(q2.clone(), k2.clone(), v2.clone(), additive);
    same!("attention", attend(q.clone(), k.clone(), v.clone(), &mask), want, [q, q2], [k, k2], [v, v2]);
}

#[test]
fn losses() {
    let ([h, h2], [w, w2]) = (twins(&random([9, 16])), twins(&random([50, 16])));
    let targets: Vec<u32> = (0..9).map(|i| (i * 11) % 50).collect();
    let columns: Vec<i32> = targets.iter().map(|&t| t as i32).collect();
    let columns = Tensor::<2, Int>::from_data(TensorData::new(columns, [9, 1]), &device());
    let want = log_softmax(h2.clone().matmul(w2.clone().transpose()), 1).gather(1, columns.clone()).sum().neg();
    same!("vocabulary", fused::vocabulary_loss(h.clone(), w.clone(), &targets), want, [h, h2], [w, w2]);

    let ([h, h2], [w, w2]) = (twins(&random([9, 16])), twins(&random([50, 16])));
    let allowed: Vec<(u32, Vec<u32>)> = targets.iter().map(|&t| (t, vec![t, (t + 3) % 50, (t + 20) % 50])).collect();
    let mut hide = vec![HIDDEN; 9 * 50];
    for (row, (_, among)) in allowed.iter().enumerate() {
        among.iter().for_each(|&t| hide[row * 50 + t as usize] = 0.0);
    }
    let hide = Tensor::<2>::from_data(TensorData::new(hide, [9, 50]), &device());
    let want = log_softmax(h2.clone().matmul(w2.clone().transpose()) + hide, 1).gather(1, columns).sum().neg();
    same!("allowed", fused::allowed_loss(h.clone(), w.clone(), allowed), want, [h, h2], [w, w2]);
}

//! Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) over packed and cached sequences.

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, TensorData};

/// Which keys a query may see.
#[derive(Debug, Clone)]
pub enum Mask {
    /// Every position sees itself and all before it. Queries are aligned to the end of the keys.
    Causal,
    /// Added to the scores: zero where a query sees a key, [`HIDDEN`] where it doesn't. `[rows, 1, queries, keys]`
    Additive(Tensor<4>),
}

/// The score of a key that may not be seen. Finite, so that a padding query that sees nothing gives no NaN; large
/// enough that `exp` of the difference is exactly zero in f32.
pub const HIDDEN: f32 = -1e9;

impl Mask {
    /// Causal attention within segments: several sequences packed into one row don't see each other.
    ///
    /// `segments` is `[rows * width]`, row by row; negative marks padding, which sees only itself.
    pub fn segments(segments: &[i32], rows: usize, width: usize, device: &Device) -> Self {
        let mut scores = vec![HIDDEN; rows * width * width];
        for row in 0..rows {
            let segment = &segments[row * width..(row + 1) * width];
            for query in 0..width {
                let line = &mut scores[(row * width + query) * width..][..width];
                line[query] = 0.0;
                if segment[query] < 0 {
                    continue;
                }
                for (key, score) in line.iter_mut().enumerate().take(query) {
                    if segment[key] == segment[query] {
                        *score = 0.0;
                    }
                }
            }
        }
        Self::Additive(Tensor::from_data(TensorData::new(scores, [rows, 1, width, width]), device))
    }
}

/// Attention of `query` `[rows, heads, queries, head width]` over `key` and `value`
/// `[rows, key-value heads, keys, head width]`; gives `[rows, heads, queries, head width]`.
///
/// With fewer key-value heads than heads, neighbouring heads share one (Ainslie et al. 2023).
pub fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: &Mask) -> Tensor<4> {
    let [_, heads, queries, width] = query.dims();
    let (key, value) = (share(key, heads), share(value, heads));
    match mask {
        Mask::Causal => {
            let options = AttentionModuleOptions { is_causal: queries > 1, ..Default::default() };
            attention(query, key, value, None, None, options)
        }
        Mask::Additive(mask) => {
            let scores = query.mul_scalar((width as f32).powf(-0.5)).matmul(key.swap_dims(2, 3)) + mask.clone();
            softmax(scores, 3).matmul(value)
        }
    }
}

/// Repeats key-value heads until there is one per query head.
fn share(x: Tensor<4>, heads: usize) -> Tensor<4> {
    let [rows, shared, length, width] = x.dims();
    if shared == heads {
        return x;
    }
    x.unsqueeze_dim::<5>(2).expand([rows, shared, heads / shared, length, width]).reshape([rows, heads, length, width])
}

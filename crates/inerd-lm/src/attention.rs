//! Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) over packed and cached sequences.

use std::sync::Arc;

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, TensorData};

use crate::fused::{self, Pattern};

/// Which keys a query may see.
#[derive(Debug, Clone)]
pub enum Mask {
    /// Every position sees itself and all before it. Queries are aligned to the end of the keys.
    Causal,
    /// Neighbouring keys, told for each query, counted over all rows. On the CPU, where no table of scores is needed.
    Pattern(Arc<Pattern>),
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
        if fused::is_cpu(device) {
            return Self::Pattern(Arc::new(neighbours(segments, width)));
        }
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

/// Causal attention within runs of equal segments of one row.
fn neighbours(segments: &[i32], width: usize) -> Pattern {
    let lengths: Vec<usize> = (segments.chunks(width.max(1)))
        .flat_map(|row| row.chunk_by(|a, b| a == b && *a >= 0).map(<[i32]>::len))
        .collect();
    Pattern::causal(&lengths)
}

/// Attention of `query` `[rows, heads, queries, head width]` over `key` and `value`
/// `[rows, key-value heads, keys, head width]`; gives `[rows, heads, queries, head width]`.
///
/// With fewer key-value heads than heads, neighbouring heads share one (Ainslie et al. 2023).
pub fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: &Mask) -> Tensor<4> {
    let [rows, heads, queries, width] = query.dims();
    if fused::on_cpu(&query) {
        match mask {
            Mask::Causal => return fused::attention(query, key.clone(), value, &causal(rows, queries, key.dims()[2])),
            Mask::Pattern(pattern) => return fused::attention(query, key, value, pattern),
            Mask::Additive(_) => {}
        }
    }
    let (key, value) = (share(key, heads), share(value, heads));
    match mask {
        Mask::Pattern(_) => unreachable!("patterns are made on the CPU alone, in single precision"),
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

/// As [`attend`], with queries, keys and values side by side, `[rows, length, 3 · embedding]`, and nothing cached; gives
/// `[rows, length, embedding]`.
pub(crate) fn attend_joined(qkv: Tensor<3>, heads: usize, mask: &Mask) -> Tensor<3> {
    let [rows, length, joined] = qkv.dims();
    let embedding = joined / 3;
    if fused::on_cpu(&qkv) {
        match mask {
            Mask::Causal => return fused::joined_attention(qkv, heads, &causal(rows, length, length)),
            Mask::Pattern(pattern) => return fused::joined_attention(qkv, heads, pattern),
            Mask::Additive(_) => {}
        }
    }
    let part = |part: usize| {
        let part = qkv.clone().narrow(2, part * embedding, embedding);
        part.reshape([rows, length, heads, embedding / heads]).swap_dims(1, 2)
    };
    attend(part(0), part(1), part(2), mask).swap_dims(1, 2).reshape([rows, length, embedding])
}

/// Rows of equal length, whose queries are the last of their keys.
fn causal(rows: usize, queries: usize, keys: usize) -> Arc<Pattern> {
    let mut pattern = Pattern::default();
    for row in 0..rows {
        pattern.push(row * keys, (row + 1) * keys + 1 - queries..=(row + 1) * keys);
    }
    Arc::new(pattern)
}

/// Repeats key-value heads until there is one per query head.
fn share(x: Tensor<4>, heads: usize) -> Tensor<4> {
    let [rows, shared, length, width] = x.dims();
    if shared == heads {
        return x;
    }
    x.unsqueeze_dim::<5>(2).expand([rows, shared, heads / shared, length, width]).reshape([rows, heads, length, width])
}

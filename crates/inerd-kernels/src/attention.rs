//! Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) over sequences of different lengths that lie one
//! behind another. No table of scores for the whole batch is ever held, and what isn't visible costs nothing.

use std::ops::Range;

use rayon::prelude::*;

use crate::matmul::{Matrix, matmul_alone};
use crate::simd::{add_scaled, dot, exp, max, sum, vectorised};

/// Heads of some tokens, `[tokens, heads, width]`; the values of one head are contiguous.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    data: &'a [f32],
    token_stride: usize,
    head_stride: usize,
}

impl<'a> Heads<'a> {
    /// Head `h` of token `t` begins at `t * token_stride + h * head_stride`.
    pub fn new(data: &'a [f32], token_stride: usize, head_stride: usize) -> Self {
        Self { data, token_stride, head_stride }
    }

    /// One head of one token.
    pub fn row(&self, token: usize, head: usize, width: usize) -> &'a [f32] {
        &self.data[token * self.token_stride + head * self.head_stride..][..width]
    }

    /// One head of neighbouring tokens, `[tokens, width]`.
    fn head(&self, tokens: Range<usize>, head: usize, width: usize) -> Matrix<'a> {
        let first = tokens.start * self.token_stride + head * self.head_stride;
        Matrix::strided(&self.data[first..], tokens.len(), width, self.token_stride, 1)
    }
}

/// Which keys each query sees: neighbours from the first key of its sequence on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Queries of one sequence, and the first key they see. Ranges are in order and leave nothing out.
    sequences: Vec<(Range<usize>, usize)>,
    /// Behind the last key that each query sees; grows within a sequence.
    ends: Vec<usize>,
    /// How many keys a query sees at most, the last ones; none where all.
    window: Option<usize>,
}

impl Pattern {
    /// Adds a sequence whose first key is `first`; `ends` are those of its queries, which follow the queries so far.
    pub fn push(&mut self, first: usize, ends: impl IntoIterator<Item = usize>) {
        let start = self.ends.len();
        self.ends.extend(ends);
        debug_assert!(self.ends[start..].is_sorted() && self.ends[start..].iter().all(|&end| end > first));
        self.sequences.push((start..self.ends.len(), first));
    }

    /// Causal attention within sequences of these lengths, one behind another.
    pub fn causal(lengths: &[usize]) -> Self {
        let mut pattern = Self::default();
        let mut first = 0;
        for &length in lengths {
            pattern.push(first, first + 1..=first + length);
            first += length;
        }
        pattern
    }

    /// The same, where each query sees at most its last `window` keys.
    #[must_use]
    pub fn windowed(&self, window: usize) -> Self {
        Self { window: Some(window), ..self.clone() }
    }

    /// The pattern of some of the queries (ascending).
    #[must_use]
    pub fn select(&self, queries: &[usize]) -> Self {
        let mut selected = Self { window: self.window, ..Self::default() };
        for (range, first) in &self.sequences {
            let here = queries.partition_point(|&q| q < range.start)..queries.partition_point(|&q| q < range.end);
            if !here.is_empty() {
                selected.push(*first, queries[here].iter().map(|&q| self.ends[q]));
            }
        }
        selected
    }

    /// Number of queries.
    pub fn queries(&self) -> usize {
        self.ends.len()
    }

    /// Scores to be computed for one head.
    fn scores(&self) -> usize {
        self.sequences.iter().map(|(range, first)| range.clone().map(|q| self.ends[q] - first).sum::<usize>()).sum()
    }

    /// The keys that a sequence's queries see.
    fn keys(&self, queries: &Range<usize>, first: usize) -> Range<usize> {
        first..self.ends[queries.end - 1]
    }
}

/// Sizes that all calls of one layer share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    pub heads: usize,
    /// Heads of keys and values; neighbouring heads of queries share one (Ainslie et al. 2023).
    pub shared: usize,
    /// Values of one head.
    pub width: usize,
    /// What the inner products are multiplied with.
    pub scale: f32,
}

/// Queries whose scores are held at a time.
const BLOCK: usize = 64;

/// Up to this many queries, scores are plain inner products: there is too little work to pack anything.
const FEW: usize = 4;

/// Multiplications from which on heads are shared out over threads.
const PARALLEL: usize = 1 << 18;

/// `softmax(scale * q kᵀ) v` `[queries, heads, width]`, and for each query and head the logarithm of the sum of the
/// exponentials, `[queries, heads]`, from which the gradient recomputes the weights.
pub fn attention(
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    sizes: Attention,
    pattern: &Pattern,
) -> (Vec<f32>, Vec<f32>) {
    let Attention { heads, shared, width, .. } = sizes;
    let tasks: Vec<(usize, usize)> =
        (0..pattern.sequences.len()).flat_map(|s| (0..shared).map(move |head| (s, head))).collect();
    let group = heads / shared;
    let compute = |&(s, head): &(usize, usize)| -> (Vec<f32>, Vec<f32>) {
        let (queries, first) = &pattern.sequences[s];
        let count = queries.len();
        let mut out = vec![0.0; group * count * width];
        let mut sums = vec![0.0; group * count];
        for g in 0..group {
            let out = &mut out[g * count * width..][..count * width];
            let sums = &mut sums[g * count..][..count];
            let at = Place::new(pattern, queries, *first, head * group + g, head);
            if count <= FEW {
                vectorised(
                    #[inline(always)]
                    || few_queries(q, k, v, sizes, &at, out, sums),
                );
            } else {
                many_queries(q, k, v, sizes, &at, out, sums);
            }
        }
        (out, sums)
    };
    let parallel = pattern.scores() * heads * width * 2 >= PARALLEL;
    let computed: Vec<(Vec<f32>, Vec<f32>)> =
        if parallel { tasks.par_iter().map(compute).collect() } else { tasks.iter().map(compute).collect() };

    let mut out = vec![0.0; pattern.queries() * heads * width];
    let mut sums = vec![0.0; pattern.queries() * heads];
    for (&(s, head), (values, sum)) in tasks.iter().zip(&computed) {
        let (queries, _) = &pattern.sequences[s];
        for g in 0..group {
            for (i, query) in queries.clone().enumerate() {
                let row = g * queries.len() + i;
                let target = query * heads + head * group + g;
                out[target * width..][..width].copy_from_slice(&values[row * width..][..width]);
                sums[target] = sum[row];
            }
        }
    }
    (out, sums)
}

/// One head of one sequence.
struct Place<'a> {
    queries: Range<usize>,
    first: usize,
    ends: &'a [usize],
    window: usize,
    head: usize,
    /// The head of the keys and values.
    shared: usize,
}

impl<'a> Place<'a> {
    fn new(pattern: &'a Pattern, queries: &Range<usize>, first: usize, head: usize, shared: usize) -> Self {
        let ends = &pattern.ends[queries.clone()];
        Self { queries: queries.clone(), first, ends, window: pattern.window.unwrap_or(usize::MAX), head, shared }
    }

    /// The keys that a query sees which sees those before `end`, counted from the first.
    #[inline(always)]
    fn seen(&self, end: usize) -> Range<usize> {
        let count = end - self.first;
        count.saturating_sub(self.window)..count
    }
}

#[inline(always)]
fn few_queries(
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    sizes: Attention,
    at: &Place<'_>,
    out: &mut [f32],
    sums: &mut [f32],
) {
    let width = sizes.width;
    let mut weights = Vec::new();
    for (i, query) in at.queries.clone().enumerate() {
        let row = q.row(query, at.head, width);
        weights.clear();
        let keys = at.seen(at.ends[i]);
        let first = at.first + keys.start;
        weights.extend((first..at.ends[i]).map(|key| sizes.scale * dot(row, k.row(key, at.shared, width))));
        sums[i] = softmax(&mut weights);
        let out = &mut out[i * width..][..width];
        for (key, &weight) in (first..).zip(&weights) {
            add_scaled(out, weight, v.row(key, at.shared, width));
        }
    }
}

fn many_queries(
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    sizes: Attention,
    at: &Place<'_>,
    out: &mut [f32],
    sums: &mut [f32],
) {
    let width = sizes.width;
    let mut scores = Vec::new();
    for block in blocks(at.queries.len()) {
        let ends = &at.ends[block.clone()];
        let keys = at.first..ends[ends.len() - 1];
        let queries = at.queries.start + block.start..at.queries.start + block.end;
        scores.clear();
        scores.resize(block.len() * keys.len(), 0.0);
        let keys_seen = k.head(keys.clone(), at.shared, width).transposed();
        matmul_alone(q.head(queries, at.head, width), keys_seen, &mut scores, false);
        vectorised(
            #[inline(always)]
            || {
                for ((row, end), sum) in scores.chunks_exact_mut(keys.len()).zip(ends).zip(&mut sums[block.clone()]) {
                    let seen = at.seen(*end);
                    row[..seen.start].fill(0.0);
                    row[seen.end..].fill(0.0);
                    let row = &mut row[seen];
                    row.iter_mut().for_each(|s| *s *= sizes.scale);
                    *sum = softmax(row);
                }
            },
        );
        let weights = Matrix::new(&scores, block.len(), keys.len());
        let out = &mut out[block.start * width..block.end * width];
        matmul_alone(weights, v.head(keys, at.shared, width), out, false);
    }
}

fn blocks(queries: usize) -> impl Iterator<Item = Range<usize>> {
    (0..queries).step_by(BLOCK).map(move |start| start..(start + BLOCK).min(queries))
}

/// Replaces scores by weights; gives the logarithm of the sum of their exponentials.
#[inline(always)]
fn softmax(scores: &mut [f32]) -> f32 {
    let top = max(scores);
    scores.iter_mut().for_each(|s| *s = exp(*s - top));
    let total = sum(scores, |s| s);
    scores.iter_mut().for_each(|s| *s /= total);
    top + total.ln()
}

/// Gradients of one sequence and one head of keys and values.
#[derive(Debug)]
struct Part {
    /// `[group, queries, width]`
    q: Vec<f32>,
    /// `[keys, width]`
    k: Vec<f32>,
    v: Vec<f32>,
}

/// The gradients of [`attention`] at queries, keys and values, handed to `place` head by head: which of the three
/// (0, 1, 2), the token, the head, and the values. What no query sees is left out.
///
/// `out` and `sums` are what [`attention`] gave, `upstream` is the gradient of `out`.
pub fn attention_gradient(
    inputs: [Heads<'_>; 3],
    sizes: Attention,
    pattern: &Pattern,
    (out, sums): (&[f32], &[f32]),
    upstream: &[f32],
    place: &mut dyn FnMut(usize, usize, usize, &[f32]),
) {
    let Attention { heads, shared, width, .. } = sizes;
    let group = heads / shared;
    let tasks: Vec<(usize, usize)> =
        (0..pattern.sequences.len()).flat_map(|s| (0..shared).map(move |head| (s, head))).collect();
    let outputs = Outputs { out: Heads::new(out, heads * width, width), sums, upstream };
    let compute = |&(s, head): &(usize, usize)| -> Part {
        let (queries, first) = &pattern.sequences[s];
        let keys = pattern.keys(queries, *first).len();
        let mut part = Part {
            q: vec![0.0; group * queries.len() * width],
            k: vec![0.0; keys * width],
            v: vec![0.0; keys * width],
        };
        for g in 0..group {
            let at = Place::new(pattern, queries, *first, head * group + g, head);
            head_gradient(inputs, sizes, &at, &outputs, g, &mut part);
        }
        part
    };
    let parallel = pattern.scores() * heads * width * 5 >= PARALLEL;
    let computed: Vec<Part> =
        if parallel { tasks.par_iter().map(compute).collect() } else { tasks.iter().map(compute).collect() };
    for (&(s, head), part) in tasks.iter().zip(&computed) {
        let (queries, first) = &pattern.sequences[s];
        for (row, values) in part.q.chunks_exact(width).enumerate() {
            let (g, i) = (row / queries.len(), row % queries.len());
            place(0, queries.start + i, head * group + g, values);
        }
        for (i, (k, v)) in part.k.chunks_exact(width).zip(part.v.chunks_exact(width)).enumerate() {
            place(1, first + i, head, k);
            place(2, first + i, head, v);
        }
    }
}

/// What the forward pass left behind, and the gradient that comes back.
struct Outputs<'a> {
    out: Heads<'a>,
    sums: &'a [f32],
    upstream: &'a [f32],
}

fn head_gradient(
    [q, k, v]: [Heads<'_>; 3],
    sizes: Attention,
    at: &Place<'_>,
    outputs: &Outputs<'_>,
    g: usize,
    part: &mut Part,
) {
    let Attention { heads, width, scale, .. } = sizes;
    let upstream = Heads::new(outputs.upstream, heads * width, width);
    let (mut weights, mut slopes) = (Vec::new(), Vec::new());
    for block in blocks(at.queries.len()) {
        let ends = &at.ends[block.clone()];
        let keys = at.first..ends[ends.len() - 1];
        let count = keys.len();
        let queries = at.queries.start + block.start..at.queries.start + block.end;
        for buffer in [&mut weights, &mut slopes] {
            buffer.clear();
            buffer.resize(block.len() * count, 0.0);
        }
        let (query, key) = (q.head(queries.clone(), at.head, width), k.head(keys.clone(), at.shared, width));
        let (value, above) = (v.head(keys, at.shared, width), upstream.head(queries.clone(), at.head, width));
        matmul_alone(query, key.transposed(), &mut weights, false);
        matmul_alone(above, value.transposed(), &mut slopes, false);
        vectorised(
            #[inline(always)]
            || {
                let rows = weights.chunks_exact_mut(count).zip(slopes.chunks_exact_mut(count));
                for ((weights, slopes), (query, end)) in rows.zip(queries.clone().zip(ends)) {
                    let seen = at.seen(*end);
                    let log_sum = outputs.sums[query * heads + at.head];
                    // The softmax's gradient: dS = P (dP - Σ P dP), and Σ P dP = dO · O (Dao 2023, algorithm 2).
                    let along = dot(upstream.row(query, at.head, width), outputs.out.row(query, at.head, width));
                    for row in [&mut *weights, &mut *slopes] {
                        row[..seen.start].fill(0.0);
                        row[seen.end..].fill(0.0);
                    }
                    for (w, s) in weights[seen.clone()].iter_mut().zip(&mut slopes[seen]) {
                        let score: f32 = *w;
                        *w = exp(score.mul_add(scale, -log_sum));
                        *s = *w * (*s - along) * scale;
                    }
                }
            },
        );
        let weights = Matrix::new(&weights, block.len(), count);
        let slopes = Matrix::new(&slopes, block.len(), count);
        let rows = (g * at.queries.len() + block.start) * width..(g * at.queries.len() + block.end) * width;
        matmul_alone(slopes, key, &mut part.q[rows], false);
        matmul_alone(slopes.transposed(), query, &mut part.k[..count * width], true);
        matmul_alone(weights.transposed(), above, &mut part.v[..count * width], true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    const SIZES: Attention = Attention { heads: 4, shared: 2, width: 8, scale: 0.3 };

    /// Query by query, in f64.
    fn plain(q: &[f32], k: &[f32], v: &[f32], pattern: &Pattern) -> Vec<f64> {
        let Attention { heads, shared, width, scale } = SIZES;
        let mut out = Vec::new();
        for (queries, first) in &pattern.sequences {
            for query in queries.clone() {
                for head in 0..heads {
                    let from = head / (heads / shared);
                    let row = |x: &[f32], t: usize, h: usize, all: usize| -> Vec<f64> {
                        x[(t * all + h) * width..][..width].iter().map(|&x| f64::from(x)).collect()
                    };
                    let window = pattern.window.unwrap_or(usize::MAX);
                    let keys = pattern.ends[query].saturating_sub(window).max(*first)..pattern.ends[query];
                    let score = |key: usize| -> f64 {
                        let products = row(q, query, head, heads).into_iter().zip(row(k, key, from, shared));
                        (f64::from(scale) * products.map(|(a, b)| a * b).sum::<f64>()).exp()
                    };
                    let total: f64 = keys.clone().map(score).sum();
                    for column in 0..width {
                        let weighted = |key: usize| score(key) / total * row(v, key, from, shared)[column];
                        out.push(keys.clone().map(weighted).sum());
                    }
                }
            }
        }
        out
    }

    fn check(pattern: &Pattern, keys: usize) {
        let Attention { heads, shared, width, .. } = SIZES;
        let queries = pattern.queries();
        let mut inputs =
            [values(queries * heads * width, 1), values(keys * shared * width, 2), values(keys * shared * width, 3)];
        let upstream = values(queries * heads * width, 4);
        let strides = [(heads * width, width), (shared * width, width), (shared * width, width)];
        let heads_of = |i: usize| Heads::new(&inputs[i], strides[i].0, strides[i].1);
        let [q, k, v] = [heads_of(0), heads_of(1), heads_of(2)];
        let (out, sums) = attention(q, k, v, SIZES, pattern);
        for (got, want) in out.iter().zip(plain(&inputs[0], &inputs[1], &inputs[2], pattern)) {
            assert!((f64::from(*got) - want).abs() < 1e-5);
        }
        let mut gradients = inputs.clone().map(|x| vec![0.0; x.len()]);
        attention_gradient([q, k, v], SIZES, pattern, (&out, &sums), &upstream, &mut |which, token, head, values| {
            gradients[which][token * strides[which].0 + head * strides[which].1..][..width].copy_from_slice(values);
        });
        // Against differences of the plain computation.
        for which in 0..3 {
            for at in (0..inputs[which].len()).step_by(5) {
                let mut loss = |by: f32| -> f64 {
                    let before = inputs[which][at];
                    inputs[which][at] += by;
                    let out = plain(&inputs[0], &inputs[1], &inputs[2], pattern);
                    inputs[which][at] = before;
                    out.iter().zip(&upstream).map(|(o, u)| o * f64::from(*u)).sum()
                };
                let slope = (loss(1.0 / 256.0) - loss(-1.0 / 256.0)) * 128.0;
                let got = f64::from(gradients[which][at]);
                assert!((got - slope).abs() < 1e-3, "input {which} at {at}: {got} instead of {slope}");
            }
        }
    }

    #[test]
    fn packed_sequences_see_only_themselves() {
        check(&Pattern::causal(&[3, 11, 1]), 15);
        check(&Pattern::causal(&[3, 11, 1]).windowed(4), 15);
    }

    #[test]
    fn queries_behind_a_cache_and_selected_queries() {
        let mut behind = Pattern::default();
        behind.push(2, [9, 10]);
        behind.push(12, [20, 21, 22, 23, 24]);
        check(&behind, 24);
        let selected = Pattern::causal(&[9, 8]).select(&[0, 4, 5, 6, 7, 8, 12, 16]);
        assert_eq!(selected.ends, [1, 5, 6, 7, 8, 9, 13, 17]);
        check(&selected, 17);
    }

    #[test]
    fn long_sequences_are_cut_into_blocks() {
        let (pattern, width) = (Pattern::causal(&[150]), SIZES.width);
        let (q, kv) = (values(150 * 4 * width, 1), values(150 * 2 * width, 2));
        let heads = [Heads::new(&q, 4 * width, width), Heads::new(&kv, 2 * width, width)];
        let (out, _) = attention(heads[0], heads[1], heads[1], SIZES, &pattern);
        for (got, want) in out.iter().zip(plain(&q, &kv, &kv, &pattern)) {
            assert!((f64::from(*got) - want).abs() < 1e-5);
        }
    }
}

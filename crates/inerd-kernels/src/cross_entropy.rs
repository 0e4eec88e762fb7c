//! Cross-entropy behind the output projection. Loss and gradients are computed together, some rows at a time: a table
//! of `[rows, vocabulary]` is never held.

use rayon::prelude::*;

use crate::matmul::{Matrix, matmul, matmul_into};
use crate::simd::{add_scaled, dot, exp, max, sum, vectorised};

/// A summed loss (nats) and what flows back. Gradients that weren't asked for are empty.
#[derive(Debug, Clone, Default)]
pub struct Loss {
    pub sum: f64,
    /// At the hidden states, `[rows, width]`.
    pub hidden: Vec<f32>,
    /// At the output matrix, `[vocabulary, width]`.
    pub output: Vec<f32>,
}

/// Which gradients a loss computes beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gradients {
    pub hidden: bool,
    pub output: bool,
}

/// A token and those it was chosen among, itself included.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    pub token: u32,
    pub among: &'a [u32],
}

/// Rows whose logits are held at a time.
const ROWS: usize = 128;

/// Cross-entropy of `targets` under the softmax over the vocabulary. `hidden` is `[rows, width]`, `output` is
/// `[vocabulary, width]`.
pub fn vocabulary_loss(hidden: &[f32], output: &[f32], width: usize, targets: &[u32], gradients: Gradients) -> Loss {
    let vocabulary = output.len() / width;
    let matrix = Matrix::new(output, vocabulary, width);
    let mut loss = Loss {
        sum: 0.0,
        hidden: Vec::with_capacity(hidden.len()),
        output: vec![0.0; if gradients.output { output.len() } else { 0 }],
    };
    for (hidden, targets) in hidden.chunks(ROWS * width).zip(targets.chunks(ROWS)) {
        let rows = Matrix::new(hidden, targets.len(), width);
        let mut logits = matmul(rows, matrix.transposed());
        let row = |(logits, &target): (&mut [f32], &u32)| -> f64 {
            vectorised(
                #[inline(always)]
                || softmax_loss(logits, target as usize),
            )
        };
        loss.sum += logits.par_chunks_mut(vocabulary).zip(targets).map(row).collect::<Vec<f64>>().iter().sum::<f64>();
        let slopes = Matrix::new(&logits, targets.len(), vocabulary);
        if gradients.hidden {
            loss.hidden.extend(matmul(slopes, matrix));
        }
        if gradients.output {
            matmul_into(slopes.transposed(), rows, &mut loss.output);
        }
    }
    loss
}

/// As [`vocabulary_loss`], but each softmax runs over the allowed tokens alone, and only their rows of `output` are
/// read.
pub fn allowed_loss(
    hidden: &[f32],
    output: &[f32],
    width: usize,
    targets: &[Allowed<'_>],
    gradients: Gradients,
) -> Loss {
    let row = |(hidden, target): (&[f32], &Allowed<'_>)| -> (f64, Vec<f32>, Vec<f32>) {
        vectorised(
            #[inline(always)]
            || {
                let weights = |&token: &u32| &output[token as usize * width..][..width];
                let mut slopes: Vec<f32> = target.among.iter().map(|token| dot(hidden, weights(token))).collect();
                let at = target.among.iter().position(|&token| token == target.token).unwrap_or(slopes.len());
                assert!(at < slopes.len(), "token {} is not among those allowed", target.token);
                let loss = softmax_loss(&mut slopes, at);
                let mut through = vec![0.0; if gradients.hidden { width } else { 0 }];
                for (token, &slope) in target.among.iter().zip(&slopes) {
                    add_scaled(&mut through, slope, weights(token));
                }
                (loss, slopes, through)
            },
        )
    };
    let rows: Vec<_> = hidden.par_chunks(width).zip(targets).map(row).collect();
    let mut loss = Loss { output: vec![0.0; if gradients.output { output.len() } else { 0 }], ..Loss::default() };
    for ((sum, slopes, through), (target, hidden)) in rows.iter().zip(targets.iter().zip(hidden.chunks_exact(width))) {
        loss.sum += sum;
        loss.hidden.extend(through);
        if gradients.output {
            for (&token, &slope) in target.among.iter().zip(slopes) {
                add_scaled(&mut loss.output[token as usize * width..][..width], slope, hidden);
            }
        }
    }
    loss
}

/// Replaces logits by the gradient of their cross-entropy with the entry `target`; gives the cross-entropy.
#[inline(always)]
fn softmax_loss(logits: &mut [f32], target: usize) -> f64 {
    let top = max(logits);
    let wanted = logits[target];
    logits.iter_mut().for_each(|l| *l = exp(*l - top));
    let total = sum(logits, |l| l);
    let inverse = 1.0 / total;
    logits.iter_mut().for_each(|l| *l *= inverse);
    logits[target] -= 1.0;
    f64::from(top - wanted) + f64::from(total).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    const BOTH: Gradients = Gradients { hidden: true, output: true };

    /// The sum of the losses as they are defined, in f64.
    fn defined(hidden: &[f32], output: &[f32], width: usize, targets: &[Allowed<'_>]) -> f64 {
        let row = |(hidden, target): (&[f32], &Allowed<'_>)| {
            let logit = |token: u32| -> f64 {
                let weights = &output[token as usize * width..][..width];
                hidden.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            target.among.iter().map(|&t| logit(t).exp()).sum::<f64>().ln() - logit(target.token)
        };
        hidden.chunks_exact(width).zip(targets).map(row).sum()
    }

    #[test]
    fn losses_and_gradients_are_those_of_the_definition() {
        let (width, vocabulary, rows) = (12, 31, ROWS + 3);
        let mut hidden = values(rows * width, 1);
        let mut output = values(vocabulary * width, 2);
        let all: Vec<u32> = (0..vocabulary as u32).collect();
        let target = |row: usize| (row as u32 * 7) % 31;
        let few: Vec<Vec<u32>> =
            (0..rows).map(|r| vec![target(r), (target(r) + 3) % 31, (target(r) + 9) % 31]).collect();
        let tokens: Vec<u32> = (0..rows).map(target).collect();
        for whole in [true, false] {
            let targets: Vec<Allowed<'_>> =
                (0..rows).map(|r| Allowed { token: tokens[r], among: if whole { &all } else { &few[r] } }).collect();
            let loss = if whole {
                vocabulary_loss(&hidden, &output, width, &tokens, BOTH)
            } else {
                allowed_loss(&hidden, &output, width, &targets, BOTH)
            };
            let want = defined(&hidden, &output, width, &targets);
            assert!((loss.sum - want).abs() < 1e-4 * want, "{} instead of {want}", loss.sum);
            for at in (0..hidden.len()).step_by(37) {
                let mut shifted = |by: f32| {
                    hidden[at] += by;
                    let loss = defined(&hidden, &output, width, &targets);
                    hidden[at] -= by;
                    loss
                };
                let slope = (shifted(0.007_812_5) - shifted(-0.007_812_5)) * 64.0;
                assert!((f64::from(loss.hidden[at]) - slope).abs() < 1e-3);
            }
            for at in 0..output.len() {
                let mut shifted = |by: f32| {
                    output[at] += by;
                    let loss = defined(&hidden, &output, width, &targets);
                    output[at] -= by;
                    loss
                };
                let slope = (shifted(0.007_812_5) - shifted(-0.007_812_5)) * 64.0;
                assert!((f64::from(loss.output[at]) - slope).abs() < 1e-2, "{} {slope}", loss.output[at]);
            }
        }
    }
}

use std::cmp::Reverse;

use burn::tensor::Device;
use inerd_lm::fused;

use crate::Labelled;

/// A prompt followed by its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Example {
    /// Prompt and response, end-of-sequence included.
    pub ids: Vec<u32>,
    /// Where the response begins in `ids`; at least 1.
    pub response: usize,
    /// The sorted tokens allowed at each position of the response, for [`crate::Loss::Allowed`] and for
    /// [`crate::CoRegularization`].
    pub allowed: Option<Vec<Vec<u32>>>,
    /// Candidate spans of the prompt, for [`crate::PlMarker`].
    pub spans: Vec<Labelled>,
}

/// Several examples laid out in rows of equal width, more than one to a row where they fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub rows: usize,
    pub width: usize,
    /// `[rows * width]`, row by row; padding is 0.
    pub ids: Vec<u32>,
    /// Position of each token within its own example.
    pub positions: Vec<u32>,
    /// Which example a token belongs to; -1 for padding.
    pub segments: Vec<i32>,
    /// Where the first token of each example stands, in the examples' order.
    pub starts: Vec<usize>,
}

impl Packed {
    /// Share of the positions that hold nothing, 0 to 1.
    pub fn padding(&self) -> f64 {
        let empty = self.segments.iter().filter(|&&s| s < 0).count();
        empty as f64 / self.segments.len().max(1) as f64
    }
}

/// Lays examples out for one pass on `device`.
///
/// On the CPU attention follows the examples wherever they lie: they stand one behind another in a single row, without
/// padding. Elsewhere they are [`pack`]ed, because attention computes whole rows.
pub fn lay_out(examples: &[&Example], device: &Device) -> Packed {
    if fused::is_cpu(device) { in_line(examples) } else { pack(examples) }
}

/// All examples in one row.
fn in_line(examples: &[&Example]) -> Packed {
    let width = examples.iter().map(|e| e.ids.len()).sum();
    let starts = examples.iter().scan(0, |end, e| {
        *end += e.ids.len();
        Some(*end - e.ids.len())
    });
    Packed {
        rows: 1,
        width,
        ids: examples.iter().flat_map(|e| e.ids.iter().copied()).collect(),
        positions: examples.iter().flat_map(|e| 0..e.ids.len() as u32).collect(),
        segments: (0..).zip(examples).flat_map(|(i, e)| std::iter::repeat_n(i, e.ids.len())).collect(),
        starts: starts.collect(),
    }
}

/// Lays examples out in as few positions as possible.
///
/// The width is searched between the longest example and twice that; for each, first-fit decreasing fills the rows.
pub fn pack(examples: &[&Example]) -> Packed {
    let longest = examples.iter().map(|e| e.ids.len()).max().unwrap_or(0);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&i| (Reverse(examples[i].ids.len()), i));
    let lengths: Vec<usize> = order.iter().map(|&i| examples[i].ids.len()).collect();
    // Attention grows with the square of the width: a wider row must save positions to be chosen.
    let width = (longest..=2 * longest).min_by_key(|&w| (first_fit(&lengths, w).1 * w, w)).unwrap_or(0);
    let (places, rows) = first_fit(&lengths, width);

    let mut packed = Packed {
        rows,
        width,
        ids: vec![0; rows * width],
        positions: vec![0; rows * width],
        segments: vec![-1; rows * width],
        starts: vec![0; examples.len()],
    };
    for (&example, &(row, column)) in order.iter().zip(&places) {
        let start = row * width + column;
        packed.starts[example] = start;
        for (offset, &id) in examples[example].ids.iter().enumerate() {
            packed.ids[start + offset] = id;
            packed.positions[start + offset] = offset as u32;
            packed.segments[start + offset] = example as i32;
        }
    }
    packed
}

/// Puts lengths (descending) into the first row with room; gives each one's (row, column) and the number of rows.
fn first_fit(lengths: &[usize], width: usize) -> (Vec<(usize, usize)>, usize) {
    let mut filled: Vec<usize> = Vec::new();
    let places = lengths
        .iter()
        .map(|&length| {
            let row = filled.iter().position(|&f| f + length <= width).unwrap_or_else(|| {
                filled.push(0);
                filled.len() - 1
            });
            filled[row] += length;
            (row, filled[row] - length)
        })
        .collect();
    (places, filled.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example(length: usize, fill: u32) -> Example {
        Example { ids: vec![fill; length], response: 1, ..Example::default() }
    }

    proptest! {
        #[test]
        fn every_token_is_packed_once_and_examples_never_mix(lengths in prop::collection::vec(1usize..60, 1..40)) {
            let examples: Vec<Example> = lengths.iter().zip(1..).map(|(&l, fill)| example(l, fill)).collect();
            let references: Vec<&Example> = examples.iter().collect();
            for packed in [pack(&references), lay_out(&references, &Device::flex())] {
            prop_assert_eq!(packed.segments.iter().filter(|&&s| s >= 0).count(), lengths.iter().sum::<usize>());
            for (index, (&start, length)) in packed.starts.iter().zip(&lengths).enumerate() {
                prop_assert_eq!(start / packed.width, (start + length - 1) / packed.width, "crosses a row");
                for offset in 0..*length {
                    prop_assert_eq!(packed.ids[start + offset], index as u32 + 1);
                    prop_assert_eq!(packed.positions[start + offset], offset as u32);
                    prop_assert_eq!(packed.segments[start + offset], index as i32);
                }
            }
            }
        }
    }

    #[test]
    fn a_batch_of_sixteen_mixed_lengths_wastes_under_five_percent() {
        // Lengths of WNUT-17 prompts and responses: mostly short, a few long.
        let lengths = [12, 14, 18, 21, 22, 25, 27, 30, 31, 33, 36, 40, 44, 52, 61, 83];
        let examples: Vec<Example> = lengths.iter().map(|&l| example(l, 1)).collect();
        let packed = pack(&examples.iter().collect::<Vec<_>>());
        assert!(packed.padding() < 0.05, "{:.3} of {} × {}", packed.padding(), packed.rows, packed.width);
    }
}

//! Matrix products. Many rows go to the `gemm` crate, which packs its operands; for few rows (a step of decoding) the
//! packing would cost as much as the product, so that ours reads the weights once, as they lie.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::ROWS;
use crate::simd::{dot, vectorised, with_vectors};

/// A matrix that lies in a slice, by rows, by columns or as part of a larger one.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, whole rows one behind another.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns, 1)
    }

    /// Element `(r, c)` lies at `r * row_stride + c * column_stride`.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Self {
        let reach = if rows * columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 };
        assert!(reach <= data.len(), "a {rows} × {columns} matrix reaches over its {} values", data.len());
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// The same values with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.row_stride..][..self.columns]
    }
}

/// Up to this many rows the product is computed without packing.
const FEW_ROWS: usize = 24;

/// Multiplications from which on a product is worth a second thread.
const PARALLEL: usize = 1 << 21;

/// `a b`, `[a.rows, b.columns]`.
pub fn matmul(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let mut out = vec![0.0; a.rows * b.columns];
    product(a, b, &mut out, false);
    out
}

/// `out += a b`.
pub fn matmul_into(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    product(a, b, out, true);
}

fn product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], add: bool) {
    assert_eq!(a.columns, b.rows, "the inner dimensions differ");
    assert_eq!(out.len(), a.rows * b.columns, "the output has another shape");
    if a.rows <= FEW_ROWS && a.column_stride == 1 && (b.column_stride == 1 || b.row_stride == 1) {
        few_rows(a, b, out);
    } else {
        let parallel = a.rows * a.columns * b.columns >= PARALLEL;
        packed(a, b, out, add, if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None });
    }
}

/// `out = a b` or `out += a b` on the calling thread, for tasks that run side by side.
pub(crate) fn matmul_alone(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], add: bool) {
    assert_eq!(a.columns, b.rows, "the inner dimensions differ");
    assert_eq!(out.len(), a.rows * b.columns, "the output has another shape");
    packed(a, b, out, add, gemm::Parallelism::None);
}

/// The product through the `gemm` crate.
fn packed(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], add: bool, parallelism: gemm::Parallelism) {
    // SAFETY: `Matrix::strided` has checked that every element lies within its slice, and `product` that `out` holds
    // `[a.rows, b.columns]`; `out` is borrowed mutably and overlaps neither operand.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `out += a b` for few rows: the columns are cut into blocks, and each block of `b` is read once for all rows.
fn few_rows(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    let columns = b.columns;
    let threads = if a.rows * a.columns * columns >= PARALLEL { rayon::current_num_threads() } else { 1 };
    // The block's sums stay in the first-level cache; whole vectors, so that blocks don't change the order of sums.
    let fits = (5120 / a.rows.max(1)).max(64);
    let block = columns.div_ceil(threads).min(fits).next_multiple_of(16);
    let compute = |first: usize| {
        let width = block.min(columns - first);
        let mut sums = vec![0.0; a.rows * width];
        for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
            sums.copy_from_slice(&out[row * columns + first..][..width]);
        }
        if b.column_stride == 1 {
            with_vectors(ByRows { a, b, first, sums: &mut sums, width });
        } else {
            with_vectors(ByColumns { a, b, first, sums: &mut sums, width });
        }
        sums
    };
    let blocks = columns.div_ceil(block);
    let computed: Vec<Vec<f32>> = if threads == 1 {
        (0..blocks).map(|i| compute(i * block)).collect()
    } else {
        (0..blocks).into_par_iter().map(|i| compute(i * block)).collect()
    };
    for (i, sums) in computed.iter().enumerate() {
        let width = block.min(columns - i * block);
        for (row, sums) in sums.chunks_exact(width).enumerate() {
            out[row * columns + i * block..][..width].copy_from_slice(sums);
        }
    }
}

/// `sums += a b[.., first..first + width]` where the rows of `b` are contiguous.
struct ByRows<'a> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    first: usize,
    /// `[a.rows, width]`
    sums: &'a mut [f32],
    width: usize,
}

impl WithSimd for ByRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, first, sums, width } = self;
        let weights = |k: usize| &b.data[k * b.row_stride + first..][..width];
        let mut k = 0;
        // Four rows of `b` at a time: a sum is loaded and stored once for four multiplications.
        while k + 4 <= a.columns {
            let w = [weights(k), weights(k + 1), weights(k + 2), weights(k + 3)];
            let mut pairs = sums.chunks_exact_mut(2 * width);
            let mut row = 0;
            for pair in &mut pairs {
                let (y0, y1) = pair.split_at_mut(width);
                two_rows(simd, [&a.row(row)[k..k + 4], &a.row(row + 1)[k..k + 4]], w, y0, y1);
                row += 2;
            }
            let last = pairs.into_remainder();
            if !last.is_empty() {
                one_row(simd, &a.row(row)[k..k + 4], w, last);
            }
            k += 4;
        }
        for k in k..a.columns {
            let w = weights(k);
            for (row, y) in sums.chunks_exact_mut(width).enumerate() {
                let x = a.row(row)[k];
                y.iter_mut().zip(w).for_each(|(y, w)| *y = x.mul_add(*w, *y));
            }
        }
    }
}

#[inline(always)]
fn two_rows<S: Simd>(simd: S, x: [&[f32]; 2], w: [&[f32]; 4], y0: &mut [f32], y1: &mut [f32]) {
    let at = |row: usize, k: usize| simd.splat_f32s(x[row][k]);
    let x0 = [at(0, 0), at(0, 1), at(0, 2), at(0, 3)];
    let x1 = [at(1, 0), at(1, 1), at(1, 2), at(1, 3)];
    let [(w0, r0), (w1, r1), (w2, r2), (w3, r3)] = w.map(S::as_simd_f32s);
    let (y0, y0_rest) = S::as_mut_simd_f32s(y0);
    let (y1, y1_rest) = S::as_mut_simd_f32s(y1);
    for (((((y0, y1), w0), w1), w2), w3) in y0.iter_mut().zip(y1).zip(w0).zip(w1).zip(w2).zip(w3) {
        *y0 = simd.mul_add_e_f32s(x0[0], *w0, *y0);
        *y1 = simd.mul_add_e_f32s(x1[0], *w0, *y1);
        *y0 = simd.mul_add_e_f32s(x0[1], *w1, *y0);
        *y1 = simd.mul_add_e_f32s(x1[1], *w1, *y1);
        *y0 = simd.mul_add_e_f32s(x0[2], *w2, *y0);
        *y1 = simd.mul_add_e_f32s(x1[2], *w2, *y1);
        *y0 = simd.mul_add_e_f32s(x0[3], *w3, *y0);
        *y1 = simd.mul_add_e_f32s(x1[3], *w3, *y1);
    }
    rest(x[0], [r0, r1, r2, r3], y0_rest);
    rest(x[1], [r0, r1, r2, r3], y1_rest);
}

#[inline(always)]
fn one_row<S: Simd>(simd: S, x: &[f32], w: [&[f32]; 4], y: &mut [f32]) {
    let x0 = [0, 1, 2, 3].map(|k| simd.splat_f32s(x[k]));
    let [(w0, r0), (w1, r1), (w2, r2), (w3, r3)] = w.map(S::as_simd_f32s);
    let (y, y_rest) = S::as_mut_simd_f32s(y);
    for ((((y, w0), w1), w2), w3) in y.iter_mut().zip(w0).zip(w1).zip(w2).zip(w3) {
        *y = simd.mul_add_e_f32s(x0[0], *w0, *y);
        *y = simd.mul_add_e_f32s(x0[1], *w1, *y);
        *y = simd.mul_add_e_f32s(x0[2], *w2, *y);
        *y = simd.mul_add_e_f32s(x0[3], *w3, *y);
    }
    rest(x, [r0, r1, r2, r3], y_rest);
}

/// The columns behind the last whole vector.
#[inline(always)]
fn rest(x: &[f32], w: [&[f32]; 4], y: &mut [f32]) {
    for (c, y) in y.iter_mut().enumerate() {
        for k in 0..4 {
            *y = x[k].mul_add(w[k][c], *y);
        }
    }
}

/// As [`ByRows`], where the columns of `b` are contiguous: a table of inner products.
struct ByColumns<'a> {
    a: Matrix<'a>,
    b: Matrix<'a>,
    first: usize,
    sums: &'a mut [f32],
    width: usize,
}

impl WithSimd for ByColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, first, sums, width } = self;
        let weights = |c: usize| &b.data[(first + c) * b.column_stride..][..b.rows];
        let mut c = 0;
        while c < width {
            let count = (width - c).min(4);
            // Behind the last column the fourth of four is computed again, in vain.
            let w = [0, 1, 2, 3].map(|i| weights(c + i.min(count - 1)));
            for row in 0..a.rows {
                let inner = four_columns(simd, a.row(row), w);
                for (y, x) in sums[row * width + c..][..count].iter_mut().zip(inner) {
                    *y += x;
                }
            }
            c += count;
        }
    }
}

#[inline(always)]
fn four_columns<S: Simd>(simd: S, x: &[f32], w: [&[f32]; 4]) -> [f32; 4] {
    let (x, x_rest) = S::as_simd_f32s(x);
    let [(w0, r0), (w1, r1), (w2, r2), (w3, r3)] = w.map(S::as_simd_f32s);
    let zero = simd.splat_f32s(0.0);
    let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
    for ((((x, w0), w1), w2), w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        s0 = simd.mul_add_e_f32s(*x, *w0, s0);
        s1 = simd.mul_add_e_f32s(*x, *w1, s1);
        s2 = simd.mul_add_e_f32s(*x, *w2, s2);
        s3 = simd.mul_add_e_f32s(*x, *w3, s3);
    }
    let mut sums = [s0, s1, s2, s3].map(|s| simd.reduce_sum_f32s(s));
    for (sum, rest) in sums.iter_mut().zip([r0, r1, r2, r3]) {
        for (x, w) in x_rest.iter().zip(rest) {
            *sum = x.mul_add(*w, *sum);
        }
    }
    sums
}

/// The sum of the rows of `x` `[rows, width]`: the gradient of a bias.
pub fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
    let add = |mut total: Vec<f32>, row: &[f32]| {
        total.iter_mut().zip(row).for_each(|(t, x)| *t += x);
        total
    };
    let block = |rows: &[f32]| rows.chunks_exact(width).fold(vec![0.0; width], add);
    let partial: Vec<Vec<f32>> = x.par_chunks(ROWS * width).map(block).collect();
    partial.iter().fold(vec![0.0; width], |total, sums| add(total, sums))
}

/// The logits of a few tokens per row: row `r` of `hidden` `[rows, width]` times the rows `wanted[r]` of the output
/// matrix `[vocabulary, width]`.
pub fn selected_logits(hidden: &[f32], output: &[f32], width: usize, wanted: &[&[u32]]) -> Vec<Vec<f32>> {
    assert_eq!(hidden.len(), wanted.len() * width, "one list of tokens per row");
    let row = |(hidden, tokens): (&[f32], &&[u32])| -> Vec<f32> {
        vectorised(
            #[inline(always)]
            || tokens.iter().map(|&t| dot(hidden, &output[t as usize * width..][..width])).collect(),
        )
    };
    hidden.chunks_exact(width).zip(wanted).map(row).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    fn exact(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f64> {
        let at = |m: Matrix<'_>, r: usize, c: usize| f64::from(m.data[r * m.row_stride + c * m.column_stride]);
        let element = |i: usize| {
            let (row, column) = (i / b.columns, i % b.columns);
            (0..a.columns).map(|k| at(a, row, k) * at(b, k, column)).sum()
        };
        (0..a.rows * b.columns).map(element).collect()
    }

    proptest! {
        #[test]
        fn products_of_all_layouts_are_right(m in 1usize..40, k in 1usize..50, n in 1usize..90) {
            let (x, w) = (values(m * k, 1), values(k * n, 2));
            for a in [Matrix::new(&x, m, k), Matrix::new(&x, k, m).transposed()] {
                for b in [Matrix::new(&w, k, n), Matrix::new(&w, n, k).transposed()] {
                    let exact = exact(a, b);
                    let mut twice = matmul(a, b);
                    for (got, want) in twice.iter().zip(&exact) {
                        prop_assert!((f64::from(*got) - want).abs() < 2e-5);
                    }
                    matmul_into(a, b, &mut twice);
                    for (got, want) in twice.iter().zip(&exact) {
                        prop_assert!((f64::from(*got) - 2.0 * want).abs() < 4e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_whichever_rows_share_its_product() {
        let (k, n) = (96, 200);
        let (x, w) = (values(FEW_ROWS * k, 1), values(k * n, 2));
        for b in [Matrix::new(&w, k, n), Matrix::new(&w, n, k).transposed()] {
            let together = matmul(Matrix::new(&x, FEW_ROWS, k), b);
            for row in 0..FEW_ROWS {
                let alone = matmul(Matrix::new(&x[row * k..][..k], 1, k), b);
                assert_eq!(alone, together[row * n..][..n]);
            }
        }
    }

    #[test]
    fn selected_logits_are_those_of_the_whole_vocabulary() {
        let (width, vocabulary) = (40, 30);
        let (hidden, output) = (values(2 * width, 1), values(vocabulary * width, 2));
        let all = matmul(Matrix::new(&hidden, 2, width), Matrix::new(&output, vocabulary, width).transposed());
        let wanted: [&[u32]; 2] = [&[3, 29], &[]];
        let some = selected_logits(&hidden, &output, width, &wanted);
        assert!((some[0][0] - all[3]).abs() < 1e-5 && (some[0][1] - all[29]).abs() < 1e-5);
        assert!(some[1].is_empty());
    }
}

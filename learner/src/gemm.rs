//! Matrix products over strided slices: the learner's one `unsafe` on the CPU.
//!
//! candle's own product allocates its result, cannot add into one, and calls the same kernel with a fixed
//! thread rule; attention needs products of sub-blocks, weight gradients need to be added in place.

#![allow(unsafe_code, reason = "the gemm crate takes raw pointers; every bound is asserted here")]

mod few;

use gemm::Parallelism;

pub(crate) use self::few::MOST_ROWS as MOST_FEW_ROWS;

/// A matrix within a slice: element (r, c) is `data[r * row_stride + c * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` numbers, one after the other.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Matrix<'a> {
        Matrix::strided(data, rows, columns, columns)
    }

    /// Rows of `columns` numbers that begin `row_stride` apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Matrix<'a> {
        Matrix { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// Its transpose, without moving anything.
    pub(crate) fn transposed(self) -> Matrix<'a> {
        Matrix {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn is_inside(&self) -> bool {
        let last = (self.rows.max(1) - 1) * self.row_stride + (self.columns.max(1) - 1) * self.column_stride;
        self.rows == 0 || self.columns == 0 || last < self.data.len()
    }
}

/// Whether a product may use the thread pool: not inside a parallel loop, where every thread has work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    Pool,
}

/// `out = scale * left * right`, or `out += scale * left * right` where `add`; `out` has rows of
/// `right.columns` numbers that begin `out_stride` apart.
pub(crate) fn product(
    out: &mut [f32],
    out_stride: usize,
    add: bool,
    scale: f32,
    left: Matrix<'_>,
    right: Matrix<'_>,
    threads: Threads,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows, "inner sizes of a product");
    assert!(left.is_inside() && right.is_inside(), "an operand of a product ends outside its slice");
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= out_stride && (m - 1) * out_stride + n <= out.len(), "a product ends outside its slice");
    if k == 0 && !add {
        (0..m).for_each(|row| out[row * out_stride..][..n].fill(0.0));
    }
    if k == 0 {
        return;
    }
    if few::takes(left, right, threads) {
        return few::product(out, out_stride, add, scale, left, right);
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::Pool => Parallelism::Rayon(0),
    };
    // SAFETY: the three asserts above prove that the first and the last element of each matrix lie in its
    // slice, and strides are not negative, so all others do; `out` is borrowed mutably, so nothing else reads
    // or writes it, and rows of `out` do not overlap because n <= out_stride. All elements are initialised f32.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    #[test]
    fn equals_the_three_loops_with_strides_transposes_and_adding() {
        let sizes = [
            (1, 1, 1),
            (3, 5, 7),
            (64, 33, 40),
            (1, 100, 64),
            (130, 1, 9),
            (4, 4, 0),
            (0, 3, 2),
            (7, 1030, 131),
        ];
        let ways = [
            (false, false, Threads::One),
            (true, false, Threads::Pool),
            (true, true, Threads::One),
            (true, true, Threads::Pool),
            (false, true, Threads::Pool),
        ];
        for (m, n, k) in sizes {
            for (add, transposed, threads) in ways {
                let (a, b) = (numbers(m * (k + 2) + 2, 1), numbers(k.max(1) * (n + 3) * 2 + n * (k + 1), 2));
                let left = Matrix::strided(&a, m, k, k + 2);
                let right = match transposed {
                    false => Matrix::strided(&b, k, n, n + 3),
                    true => Matrix::strided(&b, n, k, k + 1).transposed(),
                };
                let stride = n + 4;
                let before = numbers(m * stride, 3);
                let mut out = before.clone();
                product(&mut out, stride, add, 0.5, left, right, threads);
                for (at, &value) in out.iter().enumerate() {
                    let (row, column) = (at / stride, at % stride);
                    let mut expected = if column < n && !add { 0.0 } else { f64::from(before[at]) };
                    if column < n {
                        for i in 0..k {
                            let right = right.data[i * right.row_stride + column * right.column_stride];
                            expected += 0.5 * f64::from(a[row * (k + 2) + i]) * f64::from(right);
                        }
                    }
                    assert!((f64::from(value) - expected).abs() < 1e-4, "{m}x{n}x{k} at {at}");
                }
            }
        }
    }

    /// What `batch_invariant` stands on.
    #[test]
    fn of_few_rows_each_is_what_it_is_alone() {
        let (n, k) = (523, 77);
        let (a, b) = (numbers(MOST_FEW_ROWS * k, 1), numbers(n * k, 2));
        let right = Matrix::new(&b, n, k).transposed();
        let rows = |from: usize, rows: usize| {
            let mut out = vec![0.0; rows * n];
            product(&mut out, n, false, 1.0, Matrix::new(&a[from * k..], rows, k), right, Threads::Pool);
            out
        };
        let alone: Vec<f32> = (0..MOST_FEW_ROWS).flat_map(|row| rows(row, 1)).collect();
        for count in [2, 3, 4, 7, 31, MOST_FEW_ROWS] {
            for from in [0, MOST_FEW_ROWS - count] {
                assert!(rows(from, count) == alone[from * n..(from + count) * n], "{count} rows from {from}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "ends outside its slice")]
    fn refuses_an_operand_longer_than_its_slice() {
        product(
            &mut [0.0; 4],
            2,
            false,
            1.0,
            Matrix::new(&[0.0; 3], 2, 2),
            Matrix::new(&[0.0; 4], 2, 2),
            Threads::One,
        );
    }
}

//! The ops on a GPU: which launches of `kernels.rs` and which products each of them is.
//!
//! # Theory of operation
//! A method here stands for the loop in the op's own file; the file asks [`Gpu::of`] its operand and hands over. Results
//! are fresh tensors of the operand's type (f32 or bf16), statistics and gradients of parameters are f32. Nothing here waits
//! for the GPU, but for the statistics of the head and what was drawn, which the host needs. Shapes and types are compared
//! before a launch: a kernel would not notice.

use candle_core::{DType, Device, Tensor};

use super::attention::Heads;
use super::head::{Filters, TokenStats};
use super::rope::Angles;
use super::{Indices, read};
use crate::cuda::{Gpu, Operand};
use crate::error::{EngineError, Result};
use crate::kernels::{self, Device as _, Kernels, Paged, Size, Stored};

/// Logits held at a time: as bf16 a quarter of a GiB, and enough rows for a product to be worth its name.
pub(crate) const CHUNK_NUMBERS: usize = 128 * 1024 * 1024;

impl Gpu {
    fn kernels(&self, like: &Tensor) -> Result<Kernels<'_, Gpu>> {
        let stored = match like.dtype() {
            DType::F32 => Stored::F32,
            DType::BF16 => Stored::Bf16,
            other => return Err(EngineError::Input(format!("no op is for {other:?}"))),
        };
        Ok(Kernels { device: self, stored })
    }

    /// As long as wanted, of the type of `like`.
    fn room(&self, like: &Tensor, rows: usize, width: usize) -> Result<Tensor> {
        self.empty((rows, width), like.dtype())
    }

    /// The numbers of a tensor, as f32, on the host.
    pub(super) fn bring(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        // candle brings all that a tensor is a part of.
        let own = self.empty(tensor.elem_count(), tensor.dtype())?;
        self.copy(tensor, &own)?;
        Ok(own.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec1()?)
    }

    pub(super) fn add(&self, own: &Tensor, other: &Tensor) -> Result<()> {
        expect(other, own.dtype(), own.dims())?;
        self.kernels(own)?.add(own, other, count(own)?)
    }

    pub(super) fn scale(&self, own: &Tensor, factor: f32) -> Result<()> {
        expect(own, DType::F32, own.dims())?;
        self.kernels(own)?.scale(own, factor, count(own)?)
    }

    pub(super) fn sum_of_squares(&self, tensors: &[Tensor]) -> Result<f64> {
        let sum = Tensor::zeros(1, DType::F64, self.device())?;
        for tensor in tensors {
            expect(tensor, DType::F32, tensor.dims())?;
            self.kernels(tensor)?.sum_of_squares(tensor, &sum, count(tensor)?)?;
        }
        Ok(sum.to_vec1()?[0])
    }

    /// The rows of `table` named by `rows`: an embedding's too.
    pub(super) fn gather_rows(&self, table: &Tensor, rows: &[u32]) -> Result<Tensor> {
        let size = size(table)?;
        within(rows, size.rows)?;
        let out = self.room(table, rows.len(), size.width as usize)?;
        let size = Size { rows: rows.len() as u32, ..size };
        self.kernels(table)?.embedding_forward(table, &self.upload(rows)?, &out, size)?;
        Ok(out)
    }

    /// `count` rows, zero but for those of `source`, each at its index in `rows`, which are distinct.
    pub(super) fn scatter_rows(&self, source: &Tensor, rows: &[u32], count: usize) -> Result<Tensor> {
        within(rows, count as u32)?;
        let out = Tensor::zeros((count, source.dim(1)?), source.dtype(), self.device())?;
        self.put_rows(source, &Indices::new(rows.iter().map(|&row| row as usize)), &out)?;
        Ok(out)
    }

    /// Puts row i of `source` into row `rows[i]` of `table`.
    pub(crate) fn put_rows(&self, source: &Tensor, rows: &Indices, table: &Tensor) -> Result<()> {
        let (from, to) = (size(source)?, size(table)?);
        within(rows.host(), to.rows)?;
        if from.width != to.width
            || from.rows as usize != rows.host().len()
            || source.dtype() != table.dtype()
        {
            return Err(EngineError::Input("rows of another width, number or type".to_owned()));
        }
        self.kernels(source)?.cache_write(source, rows.there(self)?, table, from)
    }

    pub(super) fn embedding_backward(&self, dx: &Tensor, tokens: &[u32], d_table: &Tensor) -> Result<()> {
        let (rows, width) = dx.dims2()?;
        within(tokens, d_table.dim(0)? as u32)?;
        expect(d_table, DType::F32, &[d_table.dim(0)?, width])?;
        expect(dx, dx.dtype(), &[tokens.len(), width])?;
        debug_assert_eq!(rows, tokens.len());
        self.kernels(dx)?.embedding_backward(dx, tokens, d_table, width as u32)
    }

    pub(super) fn rms_norm_forward(&self, x: &Tensor, weight: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
        let (rows, width) = x.dims2()?;
        expect(weight, x.dtype(), &[width])?;
        let (out, inverse) = (self.room(x, rows, width)?, self.empty(rows, DType::F32)?);
        self.kernels(x)?.rms_norm_forward([x, weight], [&out, &inverse], eps, size(x)?)?;
        Ok((out, inverse))
    }

    pub(super) fn rms_norm_backward(
        &self,
        residual: Option<&Tensor>,
        [dy, x, inverse, weight]: [&Tensor; 4],
        d_weight: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        expect(dy, x.dtype(), x.dims())?;
        expect(inverse, DType::F32, &[rows])?;
        // The kernel always adds; where nothing is trained, to what is thrown away.
        let d_weight = match d_weight {
            Some(d_weight) => d_weight.clone(),
            None => Tensor::zeros(width, DType::F32, self.device())?,
        };
        expect(weight, x.dtype(), &[width])?;
        expect(&d_weight, DType::F32, &[width])?;
        let dx = match residual {
            Some(residual) => {
                let dx = self.room(x, rows, width)?;
                self.copy(residual, &dx)?;
                dx
            }
            None => x.zeros_like()?,
        };
        self.kernels(x)?.rms_norm_backward([dy, x, inverse, weight], [&dx, &d_weight], size(x)?)?;
        Ok(dx)
    }

    pub(super) fn rope(&self, x: &Tensor, positions: &Indices, angles: &Angles, sign: f32) -> Result<()> {
        let ((rows, width), half) = (x.dims2()?, angles.half);
        within(positions.host(), (angles.cosine.len() / half) as u32)?;
        if positions.host().len() != rows || !width.is_multiple_of(2 * half) {
            return Err(EngineError::Input(format!(
                "{rows} rows of {width} to be turned by heads of {half}"
            )));
        }
        let [cosine, sine] = angles.there(self)?;
        let shape = [rows as u32, (width / (2 * half)) as u32, half as u32];
        self.kernels(x)?.rope(x, positions.there(self)?, [cosine, sine], sign, shape)
    }

    pub(super) fn swiglu_forward(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        let (rows, width) = gate.dims2()?;
        expect(up, gate.dtype(), gate.dims())?;
        let out = self.room(gate, rows, width)?;
        self.kernels(gate)?.swiglu_forward([gate, up], &out, count(gate)?)?;
        Ok(out)
    }

    pub(super) fn swiglu_backward(
        &self,
        da: &Tensor,
        gate: &Tensor,
        up: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (rows, width) = gate.dims2()?;
        expect(up, gate.dtype(), gate.dims())?;
        expect(da, gate.dtype(), gate.dims())?;
        let (d_gate, d_up) = (self.room(gate, rows, width)?, self.room(gate, rows, width)?);
        self.kernels(gate)?.swiglu_backward([da, gate, up], [&d_gate, &d_up], count(gate)?)?;
        Ok((d_gate, d_up))
    }

    pub(super) fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let out = self.room(x, x.dim(0)?, weight.dim(0)?)?;
        self.product(&out, false, 1.0, Operand::plain(x), Operand::transposed(weight))?;
        if let Some(bias) = bias {
            expect(bias, x.dtype(), &[weight.dim(0)?])?;
            self.kernels(x)?.bias_add(&out, bias, size(&out)?)?;
        }
        Ok(out)
    }

    pub(super) fn linear_add(&self, residual: &Tensor, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let out = self.room(x, x.dim(0)?, weight.dim(0)?)?;
        self.copy(residual, &out)?;
        self.product(&out, true, 1.0, Operand::plain(x), Operand::transposed(weight))?;
        Ok(out)
    }

    pub(super) fn linear_backward_input(&self, products: &[(&Tensor, &Tensor)]) -> Result<Tensor> {
        let (dy, weight) = products[0];
        let out = self.room(dy, dy.dim(0)?, weight.dim(1)?)?;
        for (index, (dy, weight)) in products.iter().enumerate() {
            self.product(&out, index > 0, 1.0, Operand::plain(dy), Operand::plain(weight))?;
        }
        Ok(out)
    }

    pub(super) fn bias_backward(&self, dy: &Tensor, d_bias: &Tensor) -> Result<()> {
        expect(d_bias, DType::F32, &[dy.dim(1)?])?;
        self.kernels(dy)?.bias_backward(dy, d_bias, size(dy)?)
    }

    pub(super) fn attention_forward(
        &self,
        [q, k, v]: [&Tensor; 3],
        starts: &[usize],
        heads: Heads,
    ) -> Result<(Tensor, Tensor)> {
        let rows = attended([q, k, v], starts, heads)?;
        let (out, log_sums) =
            (self.empty(q.dims(), q.dtype())?, self.empty((rows, heads.query), DType::F32)?);
        let kernels = self.kernels(q)?;
        let tiles = kernels.tiles(&narrow(starts))?;
        kernels.attention_forward([q, k, v], &tiles, [&out, &log_sums], heads.into())?;
        Ok((out, log_sums))
    }

    pub(super) fn attention_backward(
        &self,
        d_out: &Tensor,
        saved: [&Tensor; 5],
        starts: &[usize],
        heads: Heads,
    ) -> Result<[Tensor; 3]> {
        let [q, k, v, out, log_sums] = saved;
        let rows = attended([q, k, v], starts, heads)?;
        expect(out, q.dtype(), q.dims())?;
        expect(d_out, q.dtype(), q.dims())?;
        expect(log_sums, DType::F32, &[rows, heads.query])?;
        let kernels = self.kernels(q)?;
        let tiles = kernels.tiles(&narrow(starts))?;
        let [dq, dk, dv] = [q, k, v].map(|like| self.empty(like.dims(), like.dtype()));
        let (dq, dk, dv) = (dq?, dk?, dv?);
        kernels.attention_backward(d_out, saved, &tiles, [&dq, &dk, &dv], rows as u32, heads.into())?;
        Ok([dq, dk, dv])
    }

    /// One query row per rollout against its pages.
    pub(crate) fn attention_decode(
        &self,
        q: &Tensor,
        cache: &Paged<'_, Tensor>,
        heads: Heads,
    ) -> Result<Tensor> {
        let rows = q.dim(0)?;
        expect(q, q.dtype(), &[rows, heads.query * heads.dim])?;
        for pool in cache.pools {
            expect(pool, q.dtype(), &[pool.dim(0)?, heads.key_value * heads.dim])?;
        }
        expect(cache.lengths, DType::U32, &[rows])?;
        expect(cache.pages, DType::U32, &[rows * cache.most_pages as usize])?;
        let out = self.empty(q.dims(), q.dtype())?;
        self.kernels(q)?.attention_decode(q, cache, &out, rows as u32, heads.into())?;
        Ok(out)
    }

    /// As `head::score`.
    pub(super) fn head_score(
        &self,
        hidden: &Tensor,
        weight: &Tensor,
        targets: &[u32],
        temperature: f32,
        at_once: Option<usize>,
    ) -> Result<TokenStats> {
        let chunk = chunk_rows(weight, at_once)?;
        head_stats(&self.head_chunks(hidden, weight, targets, temperature, chunk)?)
    }

    /// As `head::loss_backward`.
    pub(super) fn head_loss_backward(
        &self,
        [hidden, weight]: [&Tensor; 2],
        targets: &[u32],
        temperature: f32,
        grad_of_logprob: &dyn Fn(&TokenStats) -> Vec<f32>,
        d_weight: Option<&Tensor>,
        at_once: Option<usize>,
    ) -> Result<(TokenStats, Tensor)> {
        let chunk = chunk_rows(weight, at_once)?;
        let chunks = self.head_chunks(hidden, weight, targets, temperature, chunk)?;
        let stats = head_stats(&chunks)?;
        let gradient = super::head::gradient(grad_of_logprob, &stats, targets.len())?;
        let d_hidden = self.empty(hidden.dims(), hidden.dtype())?;
        let (mut from, again) = (0, chunks.len() > 1);
        for Chunk { states, mut logits, targets, statistics } in chunks {
            let rows = states.dim(0)?;
            if again {
                logits = Some(self.linear(&states, weight, None)?);
            }
            let Some(logits) = logits else { continue };
            let push = Tensor::from_slice(&gradient[from..from + rows], rows, self.device())?;
            let read = [&targets, &statistics, &push];
            self.kernels(&logits)?.head_gradient(&logits, read, temperature, size(&logits)?)?;
            let out = d_hidden.narrow(0, from, rows)?;
            self.product(&out, false, 1.0, Operand::plain(&logits), Operand::plain(weight))?;
            if let Some(d_weight) = d_weight {
                self.product(d_weight, true, 1.0, Operand::transposed(&logits), Operand::plain(&states))?;
            }
            from += rows;
        }
        Ok((stats, d_hidden))
    }

    /// Every chunk's statistics; its logits too, if it is the only one.
    fn head_chunks(
        &self,
        hidden: &Tensor,
        weight: &Tensor,
        targets: &[u32],
        temperature: f32,
        chunk: usize,
    ) -> Result<Vec<Chunk>> {
        within(targets, weight.dim(0)? as u32)?;
        let mut chunks = Vec::new();
        for from in (0..targets.len()).step_by(chunk) {
            let rows = chunk.min(targets.len() - from);
            let states = hidden.narrow(0, from, rows)?;
            let logits = self.linear(&states, weight, None)?;
            let targets = self.upload(&targets[from..from + rows])?;
            let statistics = self.empty((rows, 4), DType::F32)?;
            let size = size(&logits)?;
            self.kernels(&logits)?.head_statistics(&logits, &targets, &statistics, temperature, size)?;
            let logits = (rows == hidden.dim(0)?).then_some(logits);
            chunks.push(Chunk { states, logits, targets, statistics });
        }
        Ok(chunks)
    }

    /// Draws an id per row of logits from softmax(z/T) with its uniform number, or takes the best where there is none;
    /// ids and log-probabilities.
    pub(crate) fn draw(
        &self,
        logits: &Tensor,
        uniforms: impl Iterator<Item = Option<f64>>,
        temperature: f32,
    ) -> Result<Vec<(u32, f32)>> {
        let size = size(logits)?;
        let uniforms: Vec<f32> =
            uniforms.map(|uniform| uniform.map_or(-1.0, |uniform| uniform as f32)).collect();
        let rows = size.rows as usize;
        let uniforms = Tensor::from_slice(&uniforms, rows, self.device())?;
        let (ids, logprobs) = (self.empty(rows, DType::U32)?, self.empty(rows, DType::F32)?);
        self.kernels(logits)?.head_draw(logits, &uniforms, [&ids, &logprobs], temperature, size)?;
        Ok(ids.to_vec1()?.into_iter().zip(logprobs.to_vec1()?).collect())
    }

    /// One step of AdamW. `master`: the f32 parameter that `value` is the rounding of, where it is bf16.
    pub(crate) fn adamw(
        &self,
        value: &Tensor,
        master: Option<&Tensor>,
        state: [&Tensor; 3],
        rule: &kernels::AdamW,
    ) -> Result<()> {
        for tensor in state.into_iter().chain(master) {
            expect(tensor, DType::F32, value.dims())?;
        }
        if master.is_some() != (value.dtype() == DType::BF16) {
            return Err(EngineError::Input(
                "a bf16 parameter has an f32 master, an f32 one has none".to_owned(),
            ));
        }
        let values: Vec<&Tensor> = [value].into_iter().chain(master).collect();
        self.kernels(value)?.adamw(&values, state, rule, count(value)?)
    }
}

/// Whether the kernel draws: from everything, and without naming the best.
pub(crate) fn draws(filters: &Filters, best: usize) -> bool {
    *filters == Filters::default() && best == 0
}

/// Some rows of a batch at the head.
struct Chunk {
    states: Tensor,
    logits: Option<Tensor>,
    targets: Tensor,
    statistics: Tensor,
}

fn head_stats(chunks: &[Chunk]) -> Result<TokenStats> {
    let mut stats = TokenStats::default();
    for chunk in chunks {
        for row in read(&chunk.statistics)?.chunks_exact(4) {
            stats.logprob.push(row[0]);
            stats.entropy.push(row[1]);
            stats.variance.push(row[2]);
        }
    }
    Ok(stats)
}

fn chunk_rows(weight: &Tensor, at_once: Option<usize>) -> Result<usize> {
    Ok(super::head::rows_of_chunk(at_once.unwrap_or(CHUNK_NUMBERS), weight.dim(0)?))
}

impl Indices {
    /// On the GPU.
    pub(crate) fn there(&self, gpu: &Gpu) -> Result<&Tensor> {
        if let Some(there) = self.there.get() {
            return Ok(there);
        }
        let there = gpu.upload(&self.host)?;
        Ok(self.there.get_or_init(|| there))
    }
}

impl Angles {
    fn there(&self, gpu: &Gpu) -> Result<&[Tensor; 2]> {
        if let Some(there) = self.there.get() {
            return Ok(there);
        }
        let up = |values: &Vec<f32>| Tensor::from_slice(values, values.len(), gpu.device());
        let there = [up(&self.cosine)?, up(&self.sine)?];
        Ok(self.there.get_or_init(|| there))
    }
}

impl From<Heads> for kernels::Heads {
    fn from(heads: Heads) -> kernels::Heads {
        let Heads { query, key_value, dim } = heads;
        kernels::Heads { query: query as u32, key_value: key_value as u32, dim: dim as u32 }
    }
}

/// Compares what attention reads with the heads and the sequences; the number of rows.
fn attended([q, k, v]: [&Tensor; 3], starts: &[usize], heads: Heads) -> Result<usize> {
    let rows = q.dim(0)?;
    expect(q, q.dtype(), &[rows, heads.query * heads.dim])?;
    expect(k, q.dtype(), &[rows, heads.key_value * heads.dim])?;
    expect(v, q.dtype(), &[rows, heads.key_value * heads.dim])?;
    if starts.last() != Some(&rows) || !starts.is_sorted() || heads.dim > kernels::Heads::MOST as usize {
        return Err(EngineError::Input(format!(
            "a GPU attends to whole sequences with heads up to {} wide, not {}",
            kernels::Heads::MOST,
            heads.dim
        )));
    }
    Ok(rows)
}

fn expect(tensor: &Tensor, dtype: DType, dims: &[usize]) -> Result<()> {
    if tensor.dtype() == dtype && tensor.dims() == dims {
        return Ok(());
    }
    let (came, shape) = (tensor.dtype(), tensor.dims());
    Err(EngineError::Input(format!("expected a tensor of {dtype:?} {dims:?}, came {came:?} {shape:?}")))
}

fn within(indices: &[u32], rows: u32) -> Result<()> {
    match indices.iter().find(|&&index| index >= rows) {
        None => Ok(()),
        Some(index) => Err(EngineError::Input(format!("row {index} of {rows}"))),
    }
}

fn size(matrix: &Tensor) -> Result<Size> {
    let (rows, width) = matrix.dims2()?;
    count_of(rows)?;
    Ok(Size { rows: rows as u32, width: count_of(width)? })
}

fn count(tensor: &Tensor) -> Result<u32> {
    count_of(tensor.elem_count())
}

/// Kernels count in 32 bits.
fn count_of(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| EngineError::Input(format!("a tensor of {count} numbers or rows")))
}

fn narrow(starts: &[usize]) -> Vec<u32> {
    starts.iter().map(|&start| start as u32).collect()
}

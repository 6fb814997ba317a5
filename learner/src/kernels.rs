//! The ops' CUDA side: which kernels of `kernels/*.cu` an op launches, in which order, with which grid, block,
//! shared memory and arguments.
//!
//! # Theory of operation
//! Everything but the launch itself is written once, over a [`Device`]. A GPU is one such device; the tests bring
//! another, the kernels' own text run on the CPU (`kernels/shim.h`), so a wrong grid or a swapped argument is found
//! without a GPU. Matrix products are not here: on a GPU they are cuBLAS's.

/// Where kernels run.
pub trait Device {
    /// Memory of the device. It knows its own size; what lies in it is the caller's business.
    type Buffer;
    /// What can go wrong.
    type Error;

    /// Memory of `bytes` bytes, whatever was in it.
    ///
    /// # Errors
    /// The device has no room.
    fn uninitialised(&self, bytes: usize) -> Result<Self::Buffer, Self::Error>;

    /// Memory that holds `values`.
    ///
    /// # Errors
    /// The device has no room, or the copy failed.
    fn upload(&self, values: &[u32]) -> Result<Self::Buffer, Self::Error>;

    /// Runs a kernel after all those launched before it.
    ///
    /// # Errors
    /// The device refused the launch.
    fn launch(&self, launch: &Launch<'_, Self::Buffer>) -> Result<(), Self::Error>;
}

/// One argument of a kernel.
#[derive(Debug)]
pub enum Argument<'a, B> {
    /// A pointer to the beginning of a buffer.
    Buffer(&'a B),
    /// A size or an index.
    U32(u32),
    /// A number.
    F32(f32),
}

/// One launch of one kernel.
#[derive(Debug)]
pub struct Launch<'a, B> {
    /// Name of the entry point.
    pub kernel: String,
    /// Blocks in x and y; neither is 0.
    pub grid: [u32; 2],
    /// Threads per block, a multiple of 32.
    pub block: u32,
    /// Dynamic shared memory, at most 48 KiB.
    pub shared_bytes: u32,
    /// In the kernel's order.
    pub arguments: Vec<Argument<'a, B>>,
}

/// How activations and weights are stored. Statistics and gradients of parameters are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stored {
    /// 32-bit floats.
    F32,
    /// The upper halves of 32-bit floats.
    Bf16,
}

/// A matrix's rows and columns.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rows.
    pub rows: u32,
    /// Numbers per row.
    pub width: u32,
}

/// How the columns of q, k and v fall into heads.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads.
    pub query: u32,
    /// Key/value heads; divides the query heads.
    pub key_value: u32,
    /// Numbers per head, at most [`Heads::MOST`].
    pub dim: u32,
}

impl Heads {
    /// The widest head whose tiles fit a block's shared memory and registers.
    pub const MOST: u32 = 128;

    fn group(self) -> u32 {
        self.query / self.key_value
    }

    fn scale(self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Shared bytes for tiles of rows and tiles of scores.
    fn tiles(self, rows: u32, scores: u32) -> u32 {
        4 * (rows * TILE * (self.dim + 1) + scores * TILE * (TILE + 1))
    }
}

/// Rows of an attention tile; `TILE` in `attention.cu`.
const TILE: u32 = 16;
/// Rows per partial sum, where rows are summed; in `linear.cu` and `rms_norm.cu`.
const ROW_BLOCK: u32 = 64;
/// Blocks of an element-wise launch: enough to fill any GPU, each thread then takes several numbers.
const MOST_BLOCKS: u32 = 4096;
/// Partial sums of a sum of squares.
const SQUARES_BLOCKS: u32 = 64;

/// The tiles of a packed batch; sequence i is rows `starts[i]..starts[i + 1]`.
#[derive(Debug)]
pub struct Tiles<B> {
    table: B,
    count: u32,
}

/// AdamW's numbers for one step.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of each parameter taken off, times the learning rate.
    pub weight_decay: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// This step's number, from 1.
    pub step: i32,
    /// What the gradient is multiplied by first.
    pub clip: f64,
}

/// A paged cache of keys and values, and where each row's positions lie; see `decode.cu`.
#[derive(Debug)]
pub struct Paged<'a, B> {
    /// The two pools, slots of all key/value heads.
    pub pools: [&'a B; 2],
    /// Pages of each row, `most_pages` a row.
    pub pages: &'a B,
    /// Positions of each row, the new one included.
    pub lengths: &'a B,
    /// Slots per page.
    pub page: u32,
    /// Room for pages per row.
    pub most_pages: u32,
}

/// The ops on a device.
#[derive(Debug)]
pub struct Kernels<'d, D> {
    /// Where.
    pub device: &'d D,
    /// How activations and weights are stored there.
    pub stored: Stored,
}

use Argument::{Buffer, F32, U32};

impl<D: Device> Kernels<'_, D> {
    fn launch(
        &self,
        kernel: &str,
        grid: [u32; 2],
        [block, shared_bytes]: [u32; 2],
        arguments: Vec<Argument<'_, D::Buffer>>,
    ) -> Result<(), D::Error> {
        if grid.contains(&0) {
            return Ok(());
        }
        self.device.launch(&Launch { kernel: kernel.to_owned(), grid, block, shared_bytes, arguments })
    }

    /// As `launch`, of the kernel for the way numbers are stored.
    fn launch_stored(
        &self,
        kernel: &str,
        grid: [u32; 2],
        block: [u32; 2],
        arguments: Vec<Argument<'_, D::Buffer>>,
    ) -> Result<(), D::Error> {
        let suffix = match self.stored {
            Stored::F32 => "f32",
            Stored::Bf16 => "bf16",
        };
        self.launch(&format!("{kernel}_{suffix}"), grid, block, arguments)
    }

    /// `out[i] = table[tokens[i]]`; also gathers rows of states.
    pub fn embedding_forward(
        &self,
        table: &D::Buffer,
        tokens: &D::Buffer,
        out: &D::Buffer,
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments = vec![Buffer(table), Buffer(tokens), Buffer(out), U32(size.width)];
        self.launch_stored("embedding_forward", [size.rows, 1], [128, 0], arguments)
    }

    /// Adds each row of `dx` to the f32 gradient of its token's row; also scatters rows of states.
    pub fn embedding_backward(
        &self,
        dx: &D::Buffer,
        tokens: &[u32],
        d_table: &D::Buffer,
        width: u32,
    ) -> Result<(), D::Error> {
        let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
        order.sort_by_key(|&at| tokens[at as usize]);
        let (mut distinct, mut starts) = (Vec::new(), Vec::new());
        for (at, &row) in order.iter().enumerate() {
            let token = tokens[row as usize];
            if distinct.last() != Some(&token) {
                distinct.push(token);
                starts.push(at as u32);
            }
        }
        starts.push(order.len() as u32);
        let blocks = distinct.len() as u32;
        let [distinct, starts, order] =
            [self.device.upload(&distinct)?, self.device.upload(&starts)?, self.device.upload(&order)?];
        let arguments =
            vec![Buffer(dx), Buffer(&distinct), Buffer(&starts), Buffer(&order), Buffer(d_table), U32(width)];
        self.launch_stored("embedding_backward", [blocks, 1], [128, 0], arguments)
    }

    /// `out = weight * x / rms`, and each row's 1 / rms.
    pub fn rms_norm_forward(
        &self,
        [x, weight]: [&D::Buffer; 2],
        [out, inverse]: [&D::Buffer; 2],
        eps: f32,
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments =
            vec![Buffer(x), Buffer(weight), Buffer(out), Buffer(inverse), F32(eps), U32(size.width)];
        self.launch_stored("rms_norm_forward", [size.rows, 1], [256, 32], arguments)
    }

    /// Adds to `dx` (what reaches x past the norm) and to the weight's gradient.
    pub fn rms_norm_backward(
        &self,
        [dy, x, inverse, weight]: [&D::Buffer; 4],
        [dx, d_weight]: [&D::Buffer; 2],
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments =
            vec![Buffer(dy), Buffer(x), Buffer(inverse), Buffer(weight), Buffer(dx), U32(size.width)];
        self.launch_stored("rms_norm_backward", [size.rows, 1], [256, 32], arguments)?;
        self.sum_rows("rms_norm_backward_weight", &[dy, x, inverse], d_weight, size)
    }

    /// Adds a sum over rows to `into`: the kernel's partial sums first, then theirs.
    fn sum_rows(
        &self,
        kernel: &str,
        from: &[&D::Buffer],
        into: &D::Buffer,
        size: Size,
    ) -> Result<(), D::Error> {
        let parts = size.rows.div_ceil(ROW_BLOCK);
        let columns = size.width.div_ceil(128);
        let partial = self.device.uninitialised(4 * parts as usize * size.width as usize)?;
        let mut arguments: Vec<_> = from.iter().map(|from| Buffer(*from)).collect();
        arguments.extend([Buffer(&partial), U32(size.rows), U32(size.width)]);
        self.launch_stored(kernel, [columns, parts], [128, 0], arguments)?;
        let arguments = vec![Buffer(&partial), Buffer(into), U32(parts), U32(size.width)];
        self.launch("sum_partials", [columns, 1], [128, 0], arguments)
    }

    /// Turns the heads of each row by its position, in place; `sign` -1 turns back. `angles`: cosine and sine,
    /// `half` per position.
    pub fn rope(
        &self,
        x: &D::Buffer,
        positions: &D::Buffer,
        angles: [&D::Buffer; 2],
        sign: f32,
        [rows, heads, half]: [u32; 3],
    ) -> Result<(), D::Error> {
        let arguments = vec![
            Buffer(x),
            Buffer(positions),
            Buffer(angles[0]),
            Buffer(angles[1]),
            F32(sign),
            U32(heads),
            U32(half),
        ];
        self.launch_stored("rope", [rows, 1], [128, 0], arguments)
    }

    /// `out = silu(gate) * up`.
    pub fn swiglu_forward(
        &self,
        [gate, up]: [&D::Buffer; 2],
        out: &D::Buffer,
        count: u32,
    ) -> Result<(), D::Error> {
        let arguments = vec![Buffer(gate), Buffer(up), Buffer(out), U32(count)];
        self.launch_stored("swiglu_forward", each(count), [256, 0], arguments)
    }

    /// dLoss/dgate and dLoss/dup.
    pub fn swiglu_backward(
        &self,
        [da, gate, up]: [&D::Buffer; 3],
        [d_gate, d_up]: [&D::Buffer; 2],
        count: u32,
    ) -> Result<(), D::Error> {
        let arguments = vec![Buffer(da), Buffer(gate), Buffer(up), Buffer(d_gate), Buffer(d_up), U32(count)];
        self.launch_stored("swiglu_backward", each(count), [256, 0], arguments)
    }

    /// Adds the bias to each row.
    pub fn bias_add(&self, y: &D::Buffer, bias: &D::Buffer, size: Size) -> Result<(), D::Error> {
        let arguments = vec![Buffer(y), Buffer(bias), U32(size.width)];
        self.launch_stored("bias_add", [size.rows, 1], [128, 0], arguments)
    }

    /// Adds the sum of the rows of `dy` to the bias's gradient.
    pub fn bias_backward(&self, dy: &D::Buffer, d_bias: &D::Buffer, size: Size) -> Result<(), D::Error> {
        self.sum_rows("column_sum", &[dy], d_bias, size)
    }

    /// `y += x`.
    pub fn add(&self, y: &D::Buffer, x: &D::Buffer, count: u32) -> Result<(), D::Error> {
        self.launch_stored("add", each(count), [256, 0], vec![Buffer(y), Buffer(x), U32(count)])
    }

    /// The tiles that attention works on, of sequences `starts[i]..starts[i + 1]`.
    pub fn tiles(&self, starts: &[u32]) -> Result<Tiles<D::Buffer>, D::Error> {
        let of = |pair: &[u32]| {
            let (start, end) = (pair[0], pair[1]);
            (start..end).step_by(TILE as usize).flat_map(move |first| [first, start, end])
        };
        let table: Vec<u32> = starts.windows(2).flat_map(of).collect();
        Ok(Tiles { count: table.len() as u32 / 3, table: self.device.upload(&table)? })
    }

    /// The attended values, and log sum exp of each row's scores per head.
    pub fn attention_forward(
        &self,
        [q, k, v]: [&D::Buffer; 3],
        tiles: &Tiles<D::Buffer>,
        [out, log_sums]: [&D::Buffer; 2],
        heads: Heads,
    ) -> Result<(), D::Error> {
        let mut arguments =
            vec![Buffer(q), Buffer(k), Buffer(v), Buffer(&tiles.table), Buffer(out), Buffer(log_sums)];
        arguments.extend(shape(heads));
        let block = [TILE * TILE, heads.tiles(3, 1)];
        self.launch_stored("attention_forward", [tiles.count, heads.query], block, arguments)
    }

    /// dLoss/dq, dLoss/dk and dLoss/dv of `rows` rows.
    pub fn attention_backward(
        &self,
        d_out: &D::Buffer,
        [q, k, v, out, log_sums]: [&D::Buffer; 5],
        tiles: &Tiles<D::Buffer>,
        [dq, dk, dv]: [&D::Buffer; 3],
        rows: u32,
        heads: Heads,
    ) -> Result<(), D::Error> {
        let count = rows * heads.query;
        let along = self.device.uninitialised(4 * count as usize)?;
        let arguments = vec![Buffer(out), Buffer(d_out), Buffer(&along), U32(count), U32(heads.dim)];
        self.launch_stored("attention_backward_along", [count.div_ceil(8), 1], [256, 0], arguments)?;
        let with = |outs: &[_]| {
            let read = [q, k, v, d_out, log_sums, &along, &tiles.table];
            let mut arguments: Vec<_> = read.into_iter().map(Buffer).collect();
            arguments.extend(outs.iter().map(|out| Buffer(*out)));
            arguments.extend(shape(heads));
            arguments
        };
        let (grid, block) = ([tiles.count, heads.query], [TILE * TILE, heads.tiles(4, 1)]);
        self.launch_stored("attention_backward_query", grid, block, with(&[dq]))?;
        let (grid, block) = ([tiles.count, heads.key_value], [TILE * TILE, heads.tiles(4, 2)]);
        self.launch_stored("attention_backward_key_value", grid, block, with(&[dk, dv]))
    }

    /// Puts each row into its slot of a pool.
    pub fn cache_write(
        &self,
        rows: &D::Buffer,
        slots: &D::Buffer,
        pool: &D::Buffer,
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments = vec![Buffer(rows), Buffer(slots), Buffer(pool), U32(size.width)];
        self.launch_stored("cache_write", [size.rows, 1], [128, 0], arguments)
    }

    /// One query row per rollout against its pages.
    pub fn attention_decode(
        &self,
        q: &D::Buffer,
        cache: &Paged<'_, D::Buffer>,
        out: &D::Buffer,
        rows: u32,
        heads: Heads,
    ) -> Result<(), D::Error> {
        let [keys, values] = cache.pools;
        let arguments = vec![
            Buffer(q),
            Buffer(keys),
            Buffer(values),
            Buffer(cache.pages),
            Buffer(cache.lengths),
            Buffer(out),
            U32(heads.query),
            U32(heads.group()),
            U32(heads.dim),
            U32(cache.page),
            U32(cache.most_pages),
            F32(heads.scale()),
        ];
        let block = [128, 4 * 4 * (heads.dim + 2)];
        self.launch_stored("attention_decode", [rows, heads.query], block, arguments)
    }

    /// Four f32 per row of logits: log-probability of the target, entropy, variance, log sum exp, all of z/T.
    pub fn head_statistics(
        &self,
        logits: &D::Buffer,
        targets: &D::Buffer,
        statistics: &D::Buffer,
        temperature: f32,
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments = vec![
            Buffer(logits),
            Buffer(targets),
            Buffer(statistics),
            F32(1.0 / temperature),
            U32(size.width),
        ];
        self.launch_stored("head_statistics", [size.rows, 1], [256, 32], arguments)
    }

    /// Writes dLoss/dlogits over the logits, given dLoss/dlogprob of each row.
    pub fn head_gradient(
        &self,
        logits: &D::Buffer,
        [targets, statistics, gradient]: [&D::Buffer; 3],
        temperature: f32,
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments = vec![
            Buffer(logits),
            Buffer(targets),
            Buffer(statistics),
            Buffer(gradient),
            F32(1.0 / temperature),
            U32(size.width),
        ];
        self.launch_stored("head_gradient", [size.rows, 1], [256, 0], arguments)
    }

    /// Draws an id per row from softmax(z/T) with its uniform number in 0..1, or takes the best where that is
    /// negative; gives ids and log-probabilities.
    pub fn head_draw(
        &self,
        logits: &D::Buffer,
        uniforms: &D::Buffer,
        [ids, logprobs]: [&D::Buffer; 2],
        temperature: f32,
        size: Size,
    ) -> Result<(), D::Error> {
        let arguments = vec![
            Buffer(logits),
            Buffer(uniforms),
            Buffer(ids),
            Buffer(logprobs),
            F32(1.0 / temperature),
            U32(size.width),
        ];
        self.launch_stored("head_draw", [size.rows, 1], [256, 4 * (256 + 8)], arguments)
    }

    /// One update in place. `values`: the f32 parameter; where bf16 is stored, the bf16 parameter and then its f32
    /// master. `state`: gradient, first and second moment, all f32.
    pub fn adamw(
        &self,
        values: &[&D::Buffer],
        state: [&D::Buffer; 3],
        rule: &AdamW,
        count: u32,
    ) -> Result<(), D::Error> {
        let [beta1, beta2] = rule.betas;
        let numbers = [
            beta1,
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            1.0 - rule.learning_rate * rule.weight_decay,
            rule.learning_rate / (1.0 - beta1.powi(rule.step)),
            1.0 / (1.0 - beta2.powi(rule.step)).sqrt(),
            rule.eps,
            rule.clip,
        ];
        let mut arguments: Vec<_> = values.iter().chain(&state).map(|buffer| Buffer(*buffer)).collect();
        arguments.extend(numbers.map(|number| F32(number as f32)));
        arguments.push(U32(count));
        self.launch_stored("adamw", each(count), [256, 0], arguments)
    }

    /// Adds the sum of squares of `count` f32 to the f64 in `sum`.
    pub fn sum_of_squares(&self, x: &D::Buffer, sum: &D::Buffer, count: u32) -> Result<(), D::Error> {
        let partial = self.device.uninitialised(8 * SQUARES_BLOCKS as usize)?;
        let arguments = vec![Buffer(x), Buffer(&partial), U32(count)];
        self.launch("sum_of_squares", [SQUARES_BLOCKS, 1], [256, 64], arguments)?;
        let arguments = vec![Buffer(&partial), Buffer(sum), U32(SQUARES_BLOCKS)];
        self.launch("total", [1, 1], [256, 64], arguments)
    }

    /// Multiplies `count` f32.
    pub fn scale(&self, x: &D::Buffer, factor: f32, count: u32) -> Result<(), D::Error> {
        self.launch("scale", each(count), [256, 0], vec![Buffer(x), F32(factor), U32(count)])
    }
}

/// The grid of an element-wise kernel.
fn each(count: u32) -> [u32; 2] {
    [count.div_ceil(256).min(MOST_BLOCKS), 1]
}

/// The last arguments of every attention kernel.
fn shape<'a, B>(heads: Heads) -> [Argument<'a, B>; 4] {
    [U32(heads.query), U32(heads.group()), U32(heads.dim), F32(heads.scale())]
}

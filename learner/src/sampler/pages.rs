//! Keys and values in pages of fixed size: what bounds the sampler's memory, and what rollouts of one prompt share.
//!
//! A page holds the keys and values of a few consecutive positions, of all layers. A sequence has a table of pages; a
//! page in several tables is written by none of them. Pages are made when first needed, up to a number, and used again.
//!
//! On a GPU a layer's keys are one matrix, its values another: `positions` rows for each page. They are made at once, for as
//! many pages as `most`, or as there is memory for; what reads and writes them are kernels.

use std::ops::Range;

use candle_core::Tensor;

use crate::cuda::Gpu;
use crate::error::{EngineError, Result};
use crate::kernels::Paged;
use crate::ops::Indices;
use crate::ops::attention::{Heads, Page};

/// Share of a GPU's free memory that keys and values may take: the rest is for what computes them.
pub(crate) const SHARE: f64 = 0.8;

/// Bytes of a page of a model's layers, `width` numbers of `size` bytes a key.
pub(crate) fn page_bytes((layers, width): (usize, usize), positions: usize, size: usize) -> usize {
    2 * layers * positions * width * size
}

/// All pages there are.
#[derive(Debug)]
pub(super) struct Pages {
    layers: usize,
    /// Numbers of a position's keys (or values) in one layer.
    width: usize,
    /// Positions of a page.
    positions: usize,
    /// Greatest number of pages.
    most: usize,
    memory: Memory,
    /// In how many tables each page is.
    users: Vec<u32>,
    free: Vec<usize>,
}

/// Where pages are.
#[derive(Debug)]
enum Memory {
    Host(Vec<Vec<f32>>),
    /// Keys and values of each layer; none before the first page.
    Gpu {
        gpu: &'static Gpu,
        like: Tensor,
        layers: Vec<[Tensor; 2]>,
    },
}

/// The tables of rows that advance together, as kernels read them: where each one's next position goes, and all of them.
#[derive(Debug)]
pub(super) struct Step {
    slots: Indices,
    pages: Indices,
    lengths: Indices,
    most_pages: usize,
}

/// The pages of a sequence, in order.
#[derive(Debug, Default)]
pub(super) struct Table {
    pages: Vec<usize>,
    /// Positions written.
    length: usize,
}

impl Table {
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

impl Pages {
    /// Pages of a model's layers, `width` numbers a key; `like`: one of its parameters. `longest`: of all sequences that
    /// are in pages at a time, in positions together; more pages are never needed.
    pub(super) fn new(
        (layers, width): (usize, usize),
        positions: usize,
        most: usize,
        longest: usize,
        like: &Tensor,
    ) -> Pages {
        let (users, free) = (Vec::new(), Vec::new());
        let Some(gpu) = Gpu::of(like) else {
            return Pages { layers, width, positions, most, memory: Memory::Host(Vec::new()), users, free };
        };
        let page = page_bytes((layers, width), positions, like.dtype().size_in_bytes());
        let room = (gpu.free_bytes().unwrap_or(0) as f64 * SHARE) as usize / page.max(1);
        let memory = Memory::Gpu { gpu, like: like.clone(), layers: Vec::new() };
        let most = most.min(room).min(longest.div_ceil(positions));
        Pages { layers, width, positions, most, memory, users, free }
    }

    /// Pages that can still be taken.
    pub(super) fn available(&self) -> usize {
        self.free.len() + (self.most - self.users.len().min(self.most))
    }

    /// Pages in tables.
    pub(super) fn used(&self) -> usize {
        self.users.len() - self.free.len()
    }

    /// Makes the matrices of a GPU, where pages are there and the matrices are not.
    pub(super) fn prepare(&mut self) -> Result<()> {
        if let Memory::Gpu { gpu, like, layers } = &mut self.memory
            && layers.is_empty()
        {
            let rows = self.most * self.positions;
            for _ in 0..self.layers {
                let matrix = || gpu.empty((rows, self.width), like.dtype());
                layers.push([matrix()?, matrix()?]);
            }
        }
        Ok(())
    }

    /// Greatest number of pages.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Pages of a sequence of so many positions.
    pub(super) fn of(&self, positions: usize) -> usize {
        positions.div_ceil(self.positions)
    }

    /// Whether the next position begins a page.
    pub(super) fn is_full(&self, table: &Table) -> bool {
        table.length == table.pages.len() * self.positions
    }

    /// Adds a page to the table; false if there is none.
    pub(super) fn extend(&mut self, table: &mut Table) -> bool {
        let page = self.free.pop().or_else(|| {
            let room = self.users.len() < self.most;
            room.then(|| {
                if let Memory::Host(memory) = &mut self.memory {
                    memory.push(vec![0.0; self.layers * 2 * self.positions * self.width]);
                }
                self.users.push(0);
                self.users.len() - 1
            })
        });
        let Some(page) = page else { return false };
        self.users[page] = 1;
        table.pages.push(page);
        true
    }

    /// A table of the same positions for another sequence: whole pages are shared, a page begun is copied, as both will
    /// write there. None if there is no page for the copy.
    pub(super) fn share(&mut self, table: &Table) -> Result<Option<Table>> {
        let whole = table.length / self.positions;
        let mut shared = Table { pages: table.pages[..whole].to_vec(), length: table.length };
        if whole < table.pages.len() {
            if !self.extend(&mut shared) {
                return Ok(None);
            }
            self.copy(table.pages[whole], shared.pages[whole])?;
        }
        shared.pages[..whole].iter().for_each(|&page| self.users[page] += 1);
        Ok(Some(shared))
    }

    fn copy(&mut self, from: usize, to: usize) -> Result<()> {
        match &mut self.memory {
            Memory::Host(memory) => memory[to] = memory[from].clone(),
            Memory::Gpu { gpu, layers, .. } => {
                let rows =
                    |matrix: &Tensor, page: usize| matrix.narrow(0, page * self.positions, self.positions);
                for matrix in layers.iter().flatten() {
                    gpu.copy(&rows(matrix, from)?, &rows(matrix, to)?)?;
                }
            }
        }
        Ok(())
    }

    /// Gives the table's pages back; those of others stay theirs.
    pub(super) fn release(&mut self, table: Table) {
        for page in table.pages {
            self.users[page] -= 1;
            if self.users[page] == 0 {
                self.free.push(page);
            }
        }
    }

    /// Writes keys and values of one layer at the positions that follow those the table has; `advance` makes them the
    /// table's once all layers are written.
    pub(super) fn write(&mut self, table: &Table, layer: usize, keys: &[f32], values: &[f32]) {
        let [k, v] = self.halves(layer);
        let Memory::Host(memory) = &mut self.memory else { return };
        let rows = keys.chunks_exact(self.width).zip(values.chunks_exact(self.width));
        for (at, (keys, values)) in rows.enumerate() {
            let at = table.length + at;
            let page = table.pages[at / self.positions];
            debug_assert_eq!(self.users[page], 1, "a shared page is written by none");
            let [k, v] = [&k, &v].map(|half| half.start + at % self.positions * self.width);
            memory[page][k..k + self.width].copy_from_slice(keys);
            memory[page][v..v + self.width].copy_from_slice(values);
        }
    }

    /// Where a GPU's kernels put the next `count` positions of a table.
    pub(super) fn slots(&self, table: &Table, count: usize) -> Indices {
        let slot = |at: usize| table.pages[at / self.positions] * self.positions + at % self.positions;
        Indices::new((table.length..table.length + count).map(slot))
    }

    /// As `write`, of rows on a GPU, at the slots that were asked for.
    pub(super) fn put(&self, slots: &Indices, layer: usize, keys: &Tensor, values: &Tensor) -> Result<()> {
        let (gpu, [k, v]) = self.there(layer)?;
        gpu.put_rows(keys, slots, k)?;
        gpu.put_rows(values, slots, v)
    }

    /// What one more position of each of these tables needs on a GPU.
    pub(super) fn step<'t>(&self, tables: impl Iterator<Item = &'t Table> + Clone) -> Step {
        let most_pages = tables.clone().map(|table| table.pages.len()).max().unwrap_or(0);
        let slot = |table: &Table| self.slots(table, 1).host()[0] as usize;
        let padded = |table: &'t Table| {
            table.pages.iter().copied().chain(std::iter::repeat_n(0, most_pages - table.pages.len()))
        };
        Step {
            slots: Indices::new(tables.clone().map(slot)),
            pages: Indices::new(tables.clone().flat_map(padded)),
            lengths: Indices::new(tables.map(|table| table.length + 1)),
            most_pages,
        }
    }

    /// Puts each row's key and value at its next position and attends to all of them, on a GPU.
    pub(super) fn attend(
        &self,
        step: &Step,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        heads: Heads,
    ) -> Result<Tensor> {
        self.put(&step.slots, layer, k, v)?;
        let (gpu, [keys, values]) = self.there(layer)?;
        let cache = Paged {
            pools: [keys, values],
            pages: step.pages.there(gpu)?,
            lengths: step.lengths.there(gpu)?,
            page: self.positions as u32,
            most_pages: step.most_pages as u32,
        };
        gpu.attention_decode(q, &cache, heads)
    }

    fn there(&self, layer: usize) -> Result<(&'static Gpu, &[Tensor; 2])> {
        match &self.memory {
            Memory::Gpu { gpu, layers, .. } if layer < layers.len() => Ok((gpu, &layers[layer])),
            _ => Err(EngineError::Input("these pages are not on a GPU".to_owned())),
        }
    }

    /// The positions just written are the table's.
    pub(super) fn advance(&self, table: &mut Table, positions: usize) {
        table.length += positions;
        debug_assert!(table.length <= table.pages.len() * self.positions);
    }

    /// Keys and values of one layer at the first `length` positions, page by page.
    pub(super) fn read<'p>(&'p self, table: &Table, layer: usize, length: usize, out: &mut Vec<Page<'p>>) {
        let [k, v] = self.halves(layer);
        out.clear();
        let Memory::Host(memory) = &self.memory else { return };
        for (index, &page) in table.pages.iter().enumerate() {
            let positions = length.saturating_sub(index * self.positions).min(self.positions);
            let numbers = positions * self.width;
            let memory = &memory[page];
            out.push(Page { keys: &memory[k.start..][..numbers], values: &memory[v.start..][..numbers] });
        }
    }

    /// Where a layer's keys and values lie in a page.
    fn halves(&self, layer: usize) -> [Range<usize>; 2] {
        let half = self.positions * self.width;
        [2 * layer, 2 * layer + 1].map(|at| at * half..(at + 1) * half)
    }
}

//! Keys and values in pages of fixed size: what bounds the sampler's memory, and what rollouts of one prompt share.
//!
//! A page holds the keys and values of a few consecutive positions, of all layers. A sequence has a table of pages; a
//! page in several tables is written by none of them. Pages are made when first needed, up to a number, and used again.

use std::ops::Range;

use crate::ops::attention::Page;

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
    memory: Vec<Vec<f32>>,
    /// In how many tables each page is.
    users: Vec<u32>,
    free: Vec<usize>,
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
    pub(super) fn new(layers: usize, width: usize, positions: usize, most: usize) -> Pages {
        Pages { layers, width, positions, most, memory: Vec::new(), users: Vec::new(), free: Vec::new() }
    }

    /// Pages that can still be taken.
    pub(super) fn available(&self) -> usize {
        self.free.len() + (self.most - self.memory.len().min(self.most))
    }

    /// Pages in tables.
    pub(super) fn used(&self) -> usize {
        self.memory.len() - self.free.len()
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
            let room = self.memory.len() < self.most;
            room.then(|| {
                self.memory.push(vec![0.0; self.layers * 2 * self.positions * self.width]);
                self.users.push(0);
                self.memory.len() - 1
            })
        });
        let Some(page) = page else { return false };
        self.users[page] = 1;
        table.pages.push(page);
        true
    }

    /// A table of the same positions for another sequence: whole pages are shared, a page begun is copied, as both will
    /// write there. None if there is no page for the copy.
    pub(super) fn share(&mut self, table: &Table) -> Option<Table> {
        let whole = table.length / self.positions;
        let mut shared = Table { pages: table.pages[..whole].to_vec(), length: table.length };
        if whole < table.pages.len() {
            if !self.extend(&mut shared) {
                return None;
            }
            let (from, to) = (table.pages[whole], shared.pages[whole]);
            let copy = self.memory[from].clone();
            self.memory[to] = copy;
        }
        shared.pages[..whole].iter().for_each(|&page| self.users[page] += 1);
        Some(shared)
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
        let rows = keys.chunks_exact(self.width).zip(values.chunks_exact(self.width));
        for (at, (keys, values)) in rows.enumerate() {
            let at = table.length + at;
            let page = table.pages[at / self.positions];
            debug_assert_eq!(self.users[page], 1, "a shared page is written by none");
            let [k, v] = self.halves(layer).map(|half| half.start + at % self.positions * self.width);
            self.memory[page][k..k + self.width].copy_from_slice(keys);
            self.memory[page][v..v + self.width].copy_from_slice(values);
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
        for (index, &page) in table.pages.iter().enumerate() {
            let positions = length.saturating_sub(index * self.positions).min(self.positions);
            let numbers = positions * self.width;
            let memory = &self.memory[page];
            out.push(Page { keys: &memory[k.start..][..numbers], values: &memory[v.start..][..numbers] });
        }
    }

    /// Where a layer's keys and values lie in a page.
    fn halves(&self, layer: usize) -> [Range<usize>; 2] {
        let half = self.positions * self.width;
        [2 * layer, 2 * layer + 1].map(|at| at * half..(at + 1) * half)
    }
}

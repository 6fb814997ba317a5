//! What a run may allocate: linear memory and tables, counted whole when they grow, touched or not.

use wasmtime::ResourceLimiter;

/// Bytes of a table element.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// Most bytes of a memory: all that 32 bits can address.
pub(super) const MEMORY: usize = 1 << 32;

/// Most elements of one table, whatever the memory limit; a pool slot has room for so many.
pub(super) const TABLE_ELEMENTS: usize = 1 << 24;

/// Linear memory and tables against `Limits::memory`; nothing a guest has grown ever shrinks.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    pub(super) used: u64,
    /// Whether a growth was refused that the module's own maximum would have allowed.
    pub(super) refused: bool,
    /// The growth allowed last, in case the host then cannot do it.
    last: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Budget {
        Budget { limit, used: 0, refused: false, last: 0 }
    }

    fn grow(&mut self, more: usize, possible: bool, within_maximum: bool) -> bool {
        let more = more as u64;
        let fits = possible && self.used.checked_add(more).is_some_and(|used| used <= self.limit);
        if fits {
            self.used += more;
            self.last = more;
        } else if within_maximum {
            self.refused = true;
        }
        fits
    }

    fn give_back(&mut self) {
        self.used -= self.last;
        self.last = 0;
    }
}

/// Whether the module itself allows so much. A pool states its own bound as the maximum where the module has none.
fn within(desired: usize, maximum: Option<usize>, bound: usize) -> bool {
    maximum.is_none_or(|maximum| desired <= maximum || maximum >= bound)
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within_maximum = within(desired, maximum, MEMORY);
        Ok(self.grow(desired.saturating_sub(current), true, within_maximum))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let within_maximum = within(desired, maximum, TABLE_ELEMENTS);
        let bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT);
        Ok(self.grow(bytes, desired <= TABLE_ELEMENTS, within_maximum))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }
}

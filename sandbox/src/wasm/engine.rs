//! How wasmtime is configured: the same in the process that compiles and in the one that runs, or the artifact of the
//! one would not load in the other.
//!
//! There are two ways to place instances, and a program cannot tell which it got: outputs, fuel and limits are the same.
//! *Pooled* reserves address space for every slot once; an instance then costs a copy-on-write mapping of its initial
//! memory. *Tight* is for hosts that do not let a process reserve some hundred gigabytes of address space: memory is
//! mapped per instance and its bounds are checked by instructions.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, Module, OperatorCost, PoolingAllocationConfig,
    VariableOperatorCost,
};

use super::budget::{MEMORY, TABLE_ELEMENTS};

/// Call stack of the guest.
pub(super) const WASM_STACK: usize = 64 << 20;

/// Most tables of a module; toolchains make one.
const TABLES: u32 = 4;
/// Most bytes of a module's records of functions and globals: more than the format's own bounds on their number allow.
const INSTANCE: usize = 256 << 20;
/// Bytes at the start of a pooled memory or table that are overwritten after a run instead of given back to the
/// kernel: cheaper than faulting them in again.
const KEEP: usize = 256 << 10;

/// Where instances are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// In slots reserved once.
    Pooled,
    /// Wherever there is room.
    Tight,
}

impl Room {
    pub(super) fn name(self) -> &'static str {
        match self {
            Room::Pooled => "pooled",
            Room::Tight => "tight",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Room> {
        [Room::Pooled, Room::Tight].into_iter().find(|room| room.name() == name)
    }
}

/// The engine that runs: `slots` instances at once.
pub(super) fn for_runs(room: Room, slots: usize) -> wasmtime::Result<Engine> {
    let mut config = code(room);
    if room == Room::Pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    }
    Engine::new(&config)
}

/// The engine that only compiles; it reserves nothing.
pub(super) fn for_compiling(room: Room) -> wasmtime::Result<Engine> {
    Engine::new(&code(room))
}

/// Refuses what a pool has no room for, in either room.
pub(super) fn check(module: &Module) -> Result<(), String> {
    let tables = module.resources_required().num_tables;
    if tables > TABLES {
        return Err(format!("the module has {tables} tables, more than the {TABLES} allowed"));
    }
    Ok(())
}

/// Everything that machine code depends on.
fn code(room: Room) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .operator_cost(prices())
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(WASM_STACK) // no such stack is made, but it may not be the smaller one
        .wasm_backtrace_max_frames(None)
        .memory_init_cow(true)
        // Results, and with them fuel, must not depend on the machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_multi_memory(false)
        // Calls that pass a thousand values in two bytes of code would multiply the compiler's work.
        .wasm_multi_value(false)
        .wasm_memory64(false);
    if room == Room::Tight {
        config.memory_reservation(0).memory_guard_size(64 << 10).memory_reservation_for_growth(0);
    }
    config
}

fn pool(slots: usize) -> PoolingAllocationConfig {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES))
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .max_core_instance_size(INSTANCE)
        .max_memory_size(MEMORY)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP)
        .table_keep_resident(KEEP)
        // A slot that is free keeps its mapping, so a program that comes back finds its image there.
        .max_unused_warm_slots(slots);
    pool
}

/// One unit for each instruction, about as long as an addition takes, and one for each byte moved in bulk. None for those
/// that only name a value: constants and reads of locals become operands of the instruction that uses them. More for
/// calls, divisions and what the engine does by a function of its own: a loop of refused `memory.grow` at one unit
/// each took fifty times its limit.
fn prices() -> OperatorCost {
    const CALL: u8 = 4;
    const CALL_INDIRECT: u8 = 8;
    const DIVISION: u8 = 10;
    const ENGINE: u8 = 50;
    OperatorCost {
        Call: CALL,
        ReturnCall: CALL,
        CallIndirect: CALL_INDIRECT,
        ReturnCallIndirect: CALL_INDIRECT,
        I32DivS: DIVISION,
        I32DivU: DIVISION,
        I32RemS: DIVISION,
        I32RemU: DIVISION,
        I64DivS: DIVISION,
        I64DivU: DIVISION,
        I64RemS: DIVISION,
        I64RemU: DIVISION,
        F32Div: DIVISION,
        F64Div: DIVISION,
        F32Sqrt: DIVISION,
        F64Sqrt: DIVISION,
        MemoryCopy: ENGINE,
        MemoryFill: ENGINE,
        MemoryInit: ENGINE,
        DataDrop: ENGINE,
        TableCopy: ENGINE,
        TableFill: ENGINE,
        TableInit: ENGINE,
        ElemDrop: ENGINE,
        RefFunc: ENGINE,
        MemoryGrow: 4 * ENGINE,
        TableGrow: 4 * ENGINE,
        variable: VariableOperatorCost { memory_grow_per_page: ENGINE, ..VariableOperatorCost::new() },
        LocalGet: 0,
        I32Const: 0,
        I64Const: 0,
        F32Const: 0,
        F64Const: 0,
        ..OperatorCost::default()
    }
}

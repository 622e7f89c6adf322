//! The engine's settings: what guests are compiled for, and the room in which their instances live.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::fault::{Code, Fault};

/// Instances that fit into a process. A slot costs address space until it is used, 4 GiB of the 128 TiB that a process
/// has, and no memory.
const INSTANCES_MAX: u32 = 4_096;

/// Core modules in one component: the guest, its adapters, and the two small ones that tie them together.
const CORE_INSTANCES_PER_INSTANCE: u32 = 8;

/// Core modules that all instances have, taken together: an instance of a Rust guest has three.
const CORE_INSTANCES_MAX: u32 = INSTANCES_MAX * 4;

/// The most that a linear memory can address; what an instance is granted is counted elsewhere.
const MEMORY_BYTES_MAX: usize = 1 << 32;

/// Depth of a guest's calls. The threads that call guests have 2 MiB or more.
const STACK_BYTES: usize = 512 << 10;

/// An engine for the guests of this process.
///
/// # Errors
/// `internal`: the machine cannot run WebAssembly, or gives no address space.
pub(crate) fn new() -> Result<Engine, Fault> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    // Where address space is limited (`ulimit -v`), instances are made one by one: slower to start, otherwise the same.
    let engine = Engine::new(&pooled).or_else(|_| Engine::new(&config()));
    engine.map_err(|error| {
        Fault::new(Code::Internal, "the WebAssembly engine does not start on this machine").because(error)
    })
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // All our functions are synchronous, and calls are half as dear without it.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        // One memory model, whose pointers fit the interface.
        .wasm_memory64(false)
        // What a batch gives must not depend on the machine that it runs on.
        .relaxed_simd_deterministic(true);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(CORE_INSTANCES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * 2)
        .max_memory_size(MEMORY_BYTES_MAX);
    pool
}

//! The contract in `wit/`, as Rust types.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "lossmith:plugin/plugin",
    imports: { default: trappable },
    with: {
        "lossmith:plugin/tensor.tensor": tch::Tensor,
        "lossmith:plugin/context.params": super::context::ParamsHandle,
        "lossmith:plugin/context.batch": super::context::BatchHandle,
        "lossmith:plugin/context.progress": super::context::ProgressHandle,
        "lossmith:plugin/context.tuples": super::Tuples,
        "lossmith:plugin/context.pair-losses": super::PairLosses,
    },
});

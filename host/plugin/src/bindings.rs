//! The contract in `wit/`, as Rust types.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "lossmith:plugin/plugin",
    imports: { default: trappable },
    with: {
        "lossmith:plugin/tensor.tensor": tch::Tensor,
        "lossmith:plugin/context.params": super::Params,
        "lossmith:plugin/context.batch": super::Input,
        "lossmith:plugin/context.progress": super::Progress,
        "lossmith:plugin/context.tuples": super::Tuples,
        "lossmith:plugin/context.pair-losses": super::PairLosses,
    },
});

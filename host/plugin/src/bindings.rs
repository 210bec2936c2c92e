//! The contract in `wit/`, as Rust types.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "lossmith:plugin/plugin",
    imports: { default: trappable },
    with: {
        "lossmith:plugin/tensor.tensor": tch::Tensor,
        "lossmith:plugin/context.params": crate::Params,
        "lossmith:plugin/context.batch": crate::Input,
        "lossmith:plugin/context.progress": crate::Progress,
        "lossmith:plugin/context.tuples": crate::Tuples,
        "lossmith:plugin/context.pair-losses": crate::PairLosses,
    },
});

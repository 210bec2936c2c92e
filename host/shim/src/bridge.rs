//! The C++ side's declarations. Nothing outside this crate sees them.

#[cxx::bridge(namespace = "lossmith")]
pub(crate) mod ffi {
    /// One parameter and what Adam keeps for it.
    struct AdamSlot {
        parameter: *const Tensor,
        average: *const Tensor,
        square: *const Tensor,
        step: *const Tensor,
    }

    struct AdamSettings {
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        decoupled: bool,
    }

    /// One parameter and its momentum (null without momentum).
    struct SgdSlot {
        parameter: *const Tensor,
        momentum: *const Tensor,
    }

    struct SgdSettings {
        learning_rate: f64,
        momentum: f64,
        weight_decay: f64,
    }

    struct TensorPointer {
        tensor: *const Tensor,
    }

    /// What autocasting was for one kind of device.
    struct Autocast {
        cuda: bool,
        enabled: bool,
        dtype: i8,
    }

    struct NamedTensor {
        name: String,
        tensor: UniquePtr<Tensor>,
        parameter: bool,
    }

    struct NamedPointer {
        name: String,
        tensor: *const Tensor,
        parameter: bool,
    }

    struct Hinges {
        sums: UniquePtr<Tensor>,
        active: UniquePtr<Tensor>,
    }

    unsafe extern "C++" {
        include!("lossmith-torch-shim/src/shim.h");

        #[namespace = "at"]
        type Tensor;
        type ScriptModule;

        fn fused_adam(slots: &[AdamSlot], settings: &AdamSettings) -> Result<()>;
        fn fused_sgd(slots: &[SgdSlot], settings: &SgdSettings) -> Result<()>;
        fn clip_gradients(parameters: &[TensorPointer], maximum: f64) -> Result<UniquePtr<Tensor>>;
        fn clear_gradients(parameters: &[TensorPointer]) -> Result<()>;
        fn retain_gradient(tensor: &Tensor) -> Result<()>;

        fn enter_autocast(cuda: bool, enabled: bool) -> Result<Autocast>;
        fn leave_autocast(before: &Autocast);
        fn set_deterministic(on: bool);
        fn version() -> Result<String>;

        fn euclidean_distances(a: &Tensor, b: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn hinge_sums(x: &Tensor, weights: &Tensor, limit: f64, above: bool) -> Result<Hinges>;

        unsafe fn tensor_at(address: usize) -> Result<UniquePtr<Tensor>>;
        fn is_usual(tensor: &Tensor) -> Result<bool>;
        fn has_usual_modes() -> bool;
        fn address_of(tensor: &Tensor) -> usize;
        unsafe fn python_object(tensor: &Tensor) -> Result<usize>;

        fn load_script(path: &str, device: i32) -> Result<UniquePtr<ScriptModule>>;
        unsafe fn define_script(
            tensors: &[NamedPointer],
            backbone: *const ScriptModule,
            source: &str,
        ) -> Result<UniquePtr<ScriptModule>>;
        fn pickle_state(tensors: &[NamedPointer]) -> Result<UniquePtr<CxxString>>;
        fn save(self: &ScriptModule) -> Result<UniquePtr<CxxString>>;
        fn tensors(self: &ScriptModule) -> Result<Vec<NamedTensor>>;
        fn forward(self: &ScriptModule, input: &Tensor, train: bool) -> Result<UniquePtr<Tensor>>;
    }
}

// SAFETY: the handle is a shared pointer to a module that nothing else holds; libtorch allows its use from any thread.
unsafe impl Send for ffi::ScriptModule {}

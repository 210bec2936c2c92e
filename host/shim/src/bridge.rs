//! The C++ side's declarations. Nothing outside this crate sees them.

use crate::program::{GradientFunction, Jobs};

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

    /// How large a tensor is.
    struct Extent {
        /// Numbers.
        elements: u64,
        /// Dimensions.
        rank: u64,
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

    /// `a`, `rows` x `inner`, times `b`, `inner` x `columns`; the lengths of their rows as they lie in memory, and
    /// whether they lie there transposed.
    #[derive(Clone, Copy, Debug)]
    struct MatrixProduct {
        /// Rows of `a`.
        rows: usize,
        /// Columns of `b`, and the length of the rows of the result.
        columns: usize,
        /// Columns of `a`, rows of `b`.
        inner: usize,
        /// Length of the rows of `a` in memory.
        a_leading: usize,
        /// `a` lies transposed.
        a_transposed: bool,
        /// Length of the rows of `b` in memory.
        b_leading: usize,
        /// `b` lies transposed.
        b_transposed: bool,
        /// Added to what is there.
        add: bool,
    }

    struct PlacedTensor {
        place: usize,
        tensor: UniquePtr<Tensor>,
    }

    struct Hinges {
        sums: UniquePtr<Tensor>,
        active: UniquePtr<Tensor>,
    }

    /// What batch normalisation has, with the running mean and variance.
    struct Normalisation {
        weight: *const Tensor,
        bias: *const Tensor,
        mean: *const Tensor,
        variance: *const Tensor,
        momentum: f64,
        epsilon: f64,
    }

    struct Wait {
        name: String,
        count: u64,
    }

    extern "Rust" {
        type Jobs<'a>;
        fn run(self: &Jobs<'_>, number: usize);

        type GradientFunction;
        fn gradients(
            self: &GradientFunction,
            inputs: &[TensorPointer],
            given: &[TensorPointer],
        ) -> Result<Vec<PlacedTensor>>;
        fn release(self: &GradientFunction);
    }

    unsafe extern "C++" {
        include!("lossmith-torch-shim/src/shim.h");

        #[namespace = "at"]
        type Tensor;
        type ScriptModule;
        type WaitCounter;

        fn fused_adam(slots: &[AdamSlot], settings: &AdamSettings) -> Result<()>;
        fn fused_sgd(slots: &[SgdSlot], settings: &SgdSettings) -> Result<()>;
        fn clip_gradients(parameters: &[TensorPointer], maximum: f64) -> Result<UniquePtr<Tensor>>;
        fn clear_gradients(parameters: &[TensorPointer]) -> Result<()>;
        fn retain_gradient(tensor: &Tensor) -> Result<()>;

        fn enter_autocast(cuda: bool, enabled: bool) -> Result<Autocast>;
        fn leave_autocast(before: &Autocast);
        fn gradient_mode() -> i8;
        fn set_deterministic(on: bool);
        fn version() -> Result<String>;
        fn meta(tensor: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn extent(tensor: &Tensor) -> Result<Extent>;
        fn load_cuda() -> Result<()>;
        fn pinned(shape: &[i64]) -> Result<UniquePtr<Tensor>>;

        fn count_waits(cuda: bool) -> Result<UniquePtr<WaitCounter>>;
        fn counts(self: &WaitCounter) -> Result<Vec<Wait>>;

        type Store;
        fn join_store(host: &str, port: u16, listener: i32, prefix: &str, timeout: u64) -> Result<UniquePtr<Store>>;
        fn set(self: &Store, key: &str, value: &[u8]) -> Result<()>;
        fn get(self: &Store, key: &str, timeout: u64) -> Result<Vec<u8>>;
        type Pending;
        fn wait(self: &Pending, timeout: u64) -> Result<bool>;
        type Group;
        fn join_group(store: &Store, rank: u32, size: u32, loopback: bool, timeout: u64) -> Result<UniquePtr<Group>>;
        fn sum(self: &Group, tensor: &Tensor) -> Result<()>;
        fn gather(self: &Group, rows: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn broadcast(self: &Group, tensor: &Tensor) -> Result<()>;
        fn begin_broadcast(self: &Group, tensor: &Tensor, timeout: u64) -> Result<UniquePtr<Pending>>;
        fn failed(self: &Group) -> bool;
        fn bytes(self: &Group) -> u64;
        fn nanoseconds(self: &Group) -> u64;
        fn begin_sum(self: &Group, tensor: &Tensor, timeout: u64) -> Result<UniquePtr<Pending>>;
        fn batch_norm(self: &Group, x: &Tensor, with: &Normalisation) -> Result<UniquePtr<Tensor>>;

        fn euclidean_distances(a: &Tensor, b: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn hinge_sums(x: &Tensor, weights: &Tensor, limit: f64, above: bool) -> Result<Hinges>;

        fn multiply_single(product: &MatrixProduct, a: &[f32], b: &[f32], c: &mut [f32]);
        fn multiply_double(product: &MatrixProduct, a: &[f64], b: &[f64], c: &mut [f64]);
        fn parallel(count: usize, jobs: &Jobs<'_>) -> Result<()>;
        fn set_gradient(
            inputs: &[TensorPointer],
            outputs: &[TensorPointer],
            function: Box<GradientFunction>,
        ) -> Result<()>;
        fn share(tensor: &Tensor) -> UniquePtr<Tensor>;

        unsafe fn tensor_at(address: usize) -> Result<UniquePtr<Tensor>>;
        fn is_usual(tensor: &Tensor) -> Result<bool>;
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
// SAFETY: a handle of what is never freed; libtorch's store has a lock of its own for each call.
unsafe impl Send for ffi::Store {}
// SAFETY: as above.
unsafe impl Sync for ffi::Store {}
// SAFETY: a handle of what is never freed; libtorch's group takes calls of any thread. In which order they come is for
// those who call.
unsafe impl Send for ffi::Group {}
// SAFETY: as above.
unsafe impl Sync for ffi::Group {}

//! What a component exports: the six roles, and under each the strategies by name.

use crate::Params;
use crate::bindings::exports::lossmith::plugin::describe::{self as host, Parameter};

pub use host::Role;

pub mod balances;
pub mod fusions;
pub mod losses;
pub mod miners;
pub mod schedules;
pub mod transfers;

/// A named set of parameters. [`strategy!`](crate::strategy!) implements it.
pub trait Strategy: Sized {
    /// Lower-case words joined by hyphens.
    const NAME: &'static str;

    /// One line: what it is, with its source.
    fn summary() -> String;

    /// All parameters.
    fn parameters() -> Vec<Parameter>;

    /// With the values of the experiment, which are the same in all calls of an instance.
    fn read(params: &Params) -> crate::Result<Self>;
}

/// A strategy of a role, without its type.
#[derive(Clone, Copy, Debug)]
pub struct Entry<F> {
    name: &'static str,
    describe: fn() -> host::Strategy,
    run: F,
}

/// What is in a component. [`export!`](crate::export!) implements it.
pub trait Plugin {
    /// The losses.
    fn losses() -> &'static [losses::Entry] {
        &[]
    }
    /// The miners.
    fn miners() -> &'static [miners::Entry] {
        &[]
    }
    /// The transfers.
    fn transfers() -> &'static [transfers::Entry] {
        &[]
    }
    /// The balances.
    fn balances() -> &'static [balances::Entry] {
        &[]
    }
    /// The schedules.
    fn schedules() -> &'static [schedules::Entry] {
        &[]
    }
    /// The fusions.
    fn fusions() -> &'static [fusions::Entry] {
        &[]
    }
}

/// Makes this crate a component with the listed strategies. Once per crate, at its root; roles without a strategy are
/// left out.
///
/// ```ignore
/// export! { losses: [Contrastive, Triplet], miners: [BatchHard] }
/// ```
///
/// The roles are `losses`, `miners`, `transfers`, `balances`, `schedules` and `fusions`.
#[macro_export]
macro_rules! export {
    ($($role:ident: [$($strategy:path),+ $(,)?]),+ $(,)?) => {
        /// The component that this crate is built into.
        #[derive(Clone, Copy, Debug)]
        pub struct Component;

        impl $crate::Plugin for Component {
            $(fn $role() -> &'static [$crate::roles::$role::Entry] {
                const { &[$($crate::roles::$role::entry::<$strategy>()),+] }
            })+
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export_component!(Component with_types_in $crate::bindings);
    };
}

impl<P: Plugin> host::Guest for P {
    fn strategies() -> Vec<host::Strategy> {
        crate::panic::install();
        fn all<F>(entries: &[Entry<F>]) -> impl Iterator<Item = host::Strategy> {
            entries.iter().map(|entry| (entry.describe)())
        }
        all(P::losses())
            .chain(all(P::miners()))
            .chain(all(P::transfers()))
            .chain(all(P::balances()))
            .chain(all(P::schedules()))
            .chain(all(P::fusions()))
            .collect()
    }
}

fn describe<S: Strategy>(role: Role) -> host::Strategy {
    host::Strategy { role, name: S::NAME.to_owned(), summary: S::summary(), parameters: S::parameters() }
}

/// The entry called `name`, or a text that says what there is.
fn find<'a, F>(role: &str, entries: &'a [Entry<F>], name: &str) -> Result<&'a Entry<F>, String> {
    entries.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let known: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        match known.as_slice() {
            [] => format!("this plugin has no strategy of the role `{role}`"),
            known => format!("the role `{role}` has no strategy `{name}` in this plugin; it has {}", known.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_strategy_is_answered_with_the_known_ones() {
        let entry = |name| Entry { name, describe: || unreachable!(), run: () };
        let unknown = find("loss", &[entry("contrastive"), entry("triplet")], "triple").err();
        assert_eq!(
            unknown.as_deref(),
            Some("the role `loss` has no strategy `triple` in this plugin; it has contrastive, triplet")
        );
        let none = find::<()>("miner", &[], "triple").err();
        assert_eq!(none.as_deref(), Some("this plugin has no strategy of the role `miner`"));
    }
}

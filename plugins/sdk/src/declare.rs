//! The macro that declares a strategy.

/// Declares a strategy: a struct with its parameters as fields.
///
/// The first paragraph of each doc comment becomes the description that users read. A field `positive_margin` is the
/// parameter `positive-margin`. Types are `f64`, `i64`, `bool`, `String`, `Vec<f64>`, enums made with
/// [`choices!`](crate::choices!), and groups: [`Distance`](crate::Distance), [`Reducer`](crate::Reducer),
/// [`Regularizer`](crate::Regularizer), [`CrossBatchMemory`](crate::CrossBatchMemory). After `range` stands any range
/// of Rust, or [`above`](crate::above) or [`between`](crate::between) for a lower limit that is not allowed itself; it
/// holds for each number of a list.
///
/// ```
/// # use lossmith_sdk::prelude::*;
/// strategy! {
///     /// Normalised temperature-scaled cross entropy, Sohn 2016.
///     pub struct NtXent as "nt-xent" {
///         /// What cosines are divided by.
///         temperature: f64 = 0.07, range above(0.0);
///     }
/// }
/// ```
#[macro_export]
macro_rules! strategy {
    (
        $(#[doc = $summary:literal])+
        $visibility:vis struct $strategy:ident as $name:literal {
            $(
                $(#[doc = $about:literal])+
                $field:ident: $type:ty = $default:expr $(, range $range:expr)?;
            )*
        }
    ) => {
        $(#[doc = $summary])+
        #[derive(Clone, Debug)]
        $visibility struct $strategy {
            $($(#[doc = $about])+ $field: $type,)*
        }

        impl $crate::Strategy for $strategy {
            const NAME: &'static str = $name;

            fn summary() -> ::std::string::String {
                $crate::__private::summary(&[$($summary),+])
            }

            fn parameters() -> ::std::vec::Vec<$crate::__private::describe::Parameter> {
                <[::std::vec::Vec<$crate::__private::describe::Parameter>]>::concat(&[$(
                    <$type as $crate::Parameter>::describe(
                        &$crate::__private::name(stringify!($field)),
                        &$crate::__private::summary(&[$($about),+]),
                        $default,
                        $crate::__range!($($range)?),
                    )
                ),*])
            }

            fn read(params: &$crate::Params) -> $crate::Result<Self> {
                ::std::thread_local! {
                    // They are the same in all calls of an instance.
                    static READ: ::std::cell::OnceCell<$strategy> = const { ::std::cell::OnceCell::new() };
                }
                let _ = params;
                READ.with(|known| match known.get() {
                    Some(known) => Ok(known.clone()),
                    None => {
                        let read = Self {
                            $(
                                $field: <$type as $crate::Parameter>::read(
                                    params,
                                    &$crate::__private::name(stringify!($field)),
                                )?,
                            )*
                        };
                        Ok(known.get_or_init(|| read).clone())
                    }
                })
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __range {
    () => {
        ..
    };
    ($range:expr) => {
        $range
    };
}

/// The first paragraph of a doc comment, on one line.
#[doc(hidden)]
pub fn summary(lines: &[&str]) -> String {
    let paragraph = lines.iter().map(|line| line.trim()).skip_while(|line| line.is_empty());
    paragraph.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The parameter of a field.
#[doc(hidden)]
pub fn name(field: &str) -> String {
    field.trim_start_matches("r#").replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_first_paragraph() {
        assert_eq!(summary(&[" Some loss, 2020,", " eq. 1.", "", " More about it."]), "Some loss, 2020, eq. 1.");
    }

    #[test]
    fn a_field_with_underscores_has_a_name_with_hyphens() {
        assert_eq!(name("positive_margin"), "positive-margin");
        assert_eq!(name("r#type"), "type");
    }
}

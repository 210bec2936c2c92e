//! The macro that declares a parameter with a list of choices.

/// Declares an enum that can be the type of a parameter; each choice with the text that stands in an experiment.
///
/// ```
/// # use lossmith_sdk::prelude::*;
/// choices! {
///     /// Which triplets are kept.
///     pub enum Kind {
///         /// All that violate the margin.
///         All = "all",
///         /// Those whose negative is nearer than the positive.
///         Hard = "hard",
///     }
/// }
/// ```
#[macro_export]
macro_rules! choices {
    (
        $(#[doc = $about:literal])+
        $visibility:vis enum $choices:ident {
            $($(#[doc = $about_choice:literal])+ $choice:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $choices {
            $($(#[doc = $about_choice])+ $choice,)+
        }

        impl $crate::Parameter for $choices {
            type Element = ();

            fn describe(
                name: &str,
                summary: &str,
                default: Self,
                _: impl ::std::ops::RangeBounds<()>,
            ) -> ::std::vec::Vec<$crate::__private::describe::Parameter> {
                let default = match default {
                    $(Self::$choice => $text,)+
                };
                let choices = ::std::vec![$($text.to_owned()),+];
                let text = $crate::__private::describe::TextType { default: default.to_owned(), choices };
                $crate::__private::one(name, summary, $crate::__private::describe::ParameterType::Text(text))
            }

            fn read(params: &$crate::Params, name: &str) -> $crate::Result<Self> {
                match params.text(name).as_str() {
                    $($text => Ok(Self::$choice),)+
                    other => Err($crate::Error(::std::format!("`{name}` has no choice `{other}`"))),
                }
            }
        }
    };
}

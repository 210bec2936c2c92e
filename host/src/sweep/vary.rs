//! The keys `vary` and `search` of a method in a sweep file.

use std::fmt;

use lossmith_plugin::Value;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A key that is varied, by a list of values or, in a random search, by a range.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VaryConfig {
    /// The key, as in `--set`: `objective.0.balance.params.alpha`.
    pub key: String,
    /// Its values: numbers, texts, or true and false.
    #[serde(default)]
    pub values: Vec<Value>,
    /// In place of `values`, for a random search: the least and the greatest number. Between two integers integers are
    /// drawn, otherwise numbers of four digits.
    #[serde(default)]
    pub range: Option<(Value, Value)>,
    /// How numbers of a range are drawn. Default "linear".
    #[serde(default)]
    pub scale: Scale,
}

/// How the numbers of a range are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// All with the same probability.
    #[default]
    Linear,
    /// Their logarithms with the same probability: as many between 0.001 and 0.01 as between 0.01 and 0.1.
    Logarithmic,
}

/// A random search in place of every combination.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SearchConfig {
    /// How many combinations are drawn, no two of them equal; at least 1.
    pub trials: usize,
    /// What they are drawn by: the same seed draws the same ones, and more of them begin with these. Default 0.
    #[serde(default)]
    pub seed: u64,
}

/// One key or a list of them, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a form of the file; what is read is a list")]
pub(super) enum OneOrMore {
    /// One key.
    One(VaryConfig),
    /// Several keys.
    More(Vec<VaryConfig>),
}

/// Reads one table or a list of tables. A choice that tries both would lose what is wrong with them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<VaryConfig>, D::Error> {
    struct Keys;

    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<VaryConfig>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a table with a key and its values, or a list of such tables")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![VaryConfig::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }

    deserializer.deserialize_any(Keys)
}

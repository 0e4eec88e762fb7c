//! The one definition of every key: what the parser accepts, the reference page lists and the JSON schema states.
//!
//! A settings table is a plain struct written inside [`settings!`]; the macro adds the serde implementations, the
//! defaults and a [`Table`] that describes each [`Field`]. Nothing else in the crate lists keys.

use serde_json::Value;

/// What a key accepts.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Bool,
    /// A whole number in `min..=max`.
    Integer {
        min: i64,
        max: i64,
    },
    /// A finite number in `min..=max`.
    Number {
        min: f64,
        max: f64,
    },
    Text,
    /// One of a few words.
    Choice(&'static [Choice]),
    List(&'static Kind),
    /// A value or a list of values; one value is read as a list of one.
    OneOrMany(&'static Kind),
    /// Free keys (dataset names, type names) to values.
    Map(&'static Kind),
    Table(&'static Table),
    /// A value, or `false` for none; for tables also `true` for "with its defaults".
    Optional(&'static Kind),
    /// Dotted settings keys to values.
    Assignments,
    /// Dotted settings keys to lists of values.
    Axes,
}

/// A word that a [`Kind::Choice`] accepts.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub word: &'static str,
    pub doc: &'static str,
}

/// A table of the file: its doc and its keys.
#[derive(Debug)]
pub struct Table {
    pub doc: &'static str,
    pub fields: &'static [Field],
}

impl Table {
    /// The field of a key, by name or alias.
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == key || f.alias == Some(key))
    }
}

/// One key of a table.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    /// A second spelling that the parser accepts and replaces by `name`.
    pub alias: Option<&'static str>,
    pub doc: &'static str,
    pub kind: Kind,
    pub default: fn() -> Value,
    /// Takes no part in a stage's identity: it changes when or where a stage runs, not what it makes.
    pub inert: bool,
    /// Takes no part in a stage's identity while it has its default value: for keys that came later than the stages
    /// that are already in people's stores.
    pub skip_default: bool,
}

impl Field {
    pub const fn new(name: &'static str, doc: &'static str, kind: Kind, default: fn() -> Value) -> Self {
        Self { name, alias: None, doc, kind, default, inert: false, skip_default: false }
    }

    #[must_use]
    pub const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    #[must_use]
    pub const fn inert(mut self) -> Self {
        self.inert = true;
        self
    }

    #[must_use]
    pub const fn skip_default(mut self) -> Self {
        self.skip_default = true;
        self
    }

    /// Narrows a number's range.
    #[must_use]
    pub const fn range(mut self, from: f64, to: f64) -> Self {
        self.kind = narrowed(self.kind, from, to);
        self
    }
}

const fn narrowed(kind: Kind, from: f64, to: f64) -> Kind {
    match kind {
        Kind::Integer { .. } => Kind::Integer { min: from as i64, max: to as i64 },
        Kind::Number { .. } => Kind::Number { min: from, max: to },
        Kind::Optional(Kind::Integer { .. } | Kind::Number { .. }) | Kind::List(_) => {
            panic!("give the range of an optional number through its type")
        }
        other => other,
    }
}

/// A type that a settings struct may hold.
pub trait Setting {
    const KIND: Kind;
}

impl Setting for bool {
    const KIND: Kind = Kind::Bool;
}

impl Setting for String {
    const KIND: Kind = Kind::Text;
}

impl Setting for usize {
    const KIND: Kind = Kind::Integer { min: 0, max: i64::MAX };
}

impl Setting for u64 {
    const KIND: Kind = Kind::Integer { min: 0, max: i64::MAX };
}

impl Setting for f64 {
    const KIND: Kind = Kind::Number { min: f64::NEG_INFINITY, max: f64::INFINITY };
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = Kind::Optional(&T::KIND);
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
}

impl<T: Setting> Setting for std::collections::BTreeMap<String, T> {
    const KIND: Kind = Kind::Map(&T::KIND);
}

/// A list of names that may be written as one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

impl Names {
    pub fn of(names: &[&str]) -> Self {
        Self(names.iter().map(ToString::to_string).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The name, where there is exactly one.
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl Setting for Names {
    const KIND: Kind = Kind::OneOrMany(&Kind::Text);
}

/// Settings tables: `key: type = default [.range(0.0, 1.0).inert()];`.
macro_rules! settings {
    ($(
        $(#[doc = $table_doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident : $ty:ty = $default:expr $(, [$($option:tt)*])?;
            )*
        }
    )*) => {$(
        $(#[doc = $table_doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            pub const TABLE: $crate::define::Table = $crate::define::Table {
                doc: concat!($($table_doc, "\n"),*),
                fields: &[$(
                    $crate::define::Field::new(
                        stringify!($field),
                        concat!($($doc, "\n"),*),
                        <$ty as $crate::define::Setting>::KIND,
                        || {
                            let default: $ty = $default;
                            serde_json::to_value(default).unwrap_or_default()
                        },
                    )$($($option)*)?,
                )*],
            };
        }

        impl $crate::define::Setting for $name {
            const KIND: $crate::define::Kind = $crate::define::Kind::Table(&$name::TABLE);
        }
    )*};
}

/// Enumerations of words: `Variant = "word"`, the first is the default.
macro_rules! choices {
    ($(
        $(#[doc = $enum_doc:literal])*
        pub enum $name:ident {
            $(#[doc = $first_doc:literal])*
            $first:ident = $first_word:literal,
            $(
                $(#[doc = $doc:literal])*
                $variant:ident = $word:literal,
            )*
        }
    )*) => {$(
        $(#[doc = $enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(#[doc = $first_doc])*
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $(
                $(#[doc = $doc])*
                #[serde(rename = $word)]
                $variant,
            )*
        }

        impl $name {
            /// The word in the file.
            pub fn word(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $( Self::$variant => $word, )*
                }
            }
        }

        impl $crate::define::Setting for $name {
            const KIND: $crate::define::Kind = $crate::define::Kind::Choice(&[
                $crate::define::Choice { word: $first_word, doc: concat!($($first_doc, "\n"),*) },
                $( $crate::define::Choice { word: $word, doc: concat!($($doc, "\n"),*) }, )*
            ]);
        }
    )*};
}

pub(crate) use {choices, settings};

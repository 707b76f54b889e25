//! Reads an event as a value of an enum or a struct: the reverse of `encode`.

use std::cell::Cell;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
        value::StrDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::Error;

/// Why an event is not a value of the wanted type.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no variant, or no struct, of that name.
    UnknownType,
    /// What is in it does not fit.
    Payload(Error),
}

/// The event of this type with this payload.
pub(super) fn decode<'de, E: Deserialize<'de>>(
    event_type: &'de str,
    payload: &'de [u8],
) -> Result<E, Failure> {
    let unknown = Cell::new(false);
    let event = Named {
        event_type,
        payload,
        unknown: &unknown,
    };
    E::deserialize(event).map_err(|error| {
        if unknown.get() {
            Failure::UnknownType
        } else {
            Failure::Payload(error)
        }
    })
}

/// The names that a type has for its events: of an enum those of its variants, of a struct its own.
pub(super) fn names<'de, E: Deserialize<'de>>() -> Vec<&'static str> {
    let names = Cell::new(Vec::new());
    // It ends as soon as it has told what it wants.
    drop(E::deserialize(Asked(&names)));
    names.into_inner()
}

#[derive(Clone, Copy)]
struct Named<'de, 'cell> {
    event_type: &'de str,
    payload: &'de [u8],
    unknown: &'cell Cell<bool>,
}

impl<'de> Named<'de, '_> {
    fn json(self) -> serde_json::Deserializer<serde_json::de::SliceRead<'de>> {
        serde_json::Deserializer::from_slice(self.payload)
    }

    /// Reads the payload, all of it.
    fn read<T>(
        self,
        read: impl FnOnce(
            &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
        ) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut json = self.json();
        let value = read(&mut json)?;
        json.end().map(|()| value)
    }

    /// Goes on where the event is called so.
    fn called(self, name: &str) -> Result<Self, Error> {
        if self.event_type == name {
            return Ok(self);
        }
        self.unknown.set(true);
        Err(Error::custom("another type of event"))
    }
}

impl<'de> Deserializer<'de> for Named<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(
            "an event has to be a variant of an enum (with serde's own representation) or a struct",
        ))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.called(name)?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let event = self.called(name)?;
        event.read(|json| visitor.visit_newtype_struct(json))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let event = self.called(name)?;
        event.read(|json| json.deserialize_tuple(length, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let event = self.called(name)?;
        event.read(|json| json.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit seq
        tuple map identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Named<'de, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'de, Error> = self.event_type.into_deserializer();
        let variant = seed.deserialize(name);
        self.unknown.set(variant.is_err());
        Ok((variant?, self))
    }
}

impl<'de> VariantAccess<'de> for Named<'de, '_> {
    type Error = Error;

    /// A variant that has come to hold nothing is read from what it held.
    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.read(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.read(|json| json.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.read(|json| json.deserialize_struct("", fields, visitor))
    }
}

/// Is told what a type wants to read, and has nothing for it.
struct Asked<'cell>(&'cell Cell<Vec<&'static str>>);

impl Asked<'_> {
    fn told<T>(self, names: &[&'static str]) -> Result<T, Error> {
        self.0.set(names.to_vec());
        Err(Error::custom("nothing is read"))
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.told(&[])
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: V,
    ) -> Result<V::Value, Error> {
        self.told(&[name])
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: V,
    ) -> Result<V::Value, Error> {
        self.told(&[name])
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Error> {
        self.told(&[name])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.told(&[name])
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.told(variants)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit seq
        tuple map identifier ignored_any
    }
}

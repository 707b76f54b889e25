//! Writes a value of an enum or a struct as an event: the name of the variant, or of the struct, is
//! the type, and what is in it is the payload.

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, Impossible, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use serde_json::Error;

/// The JSON in which payloads are written.
type Json<'json, 'out> = &'json mut serde_json::Serializer<&'out mut Vec<u8>>;

/// The type and the payload of an event.
pub(super) fn encode(event: &(impl Serialize + ?Sized)) -> Result<(&'static str, Vec<u8>), Error> {
    let mut payload = Vec::with_capacity(128);
    let mut json = serde_json::Serializer::new(&mut payload);
    let event_type = event.serialize(Named(&mut json))?;
    Ok((event_type, payload))
}

/// Takes the name away from what it writes.
struct Named<'json, 'out>(Json<'json, 'out>);

/// What is written after the name.
struct Parts<P> {
    name: &'static str,
    parts: P,
}

fn unnamed<T>(what: &str) -> Result<T, Error> {
    Err(Error::custom(format_args!(
        "an event has to be a variant of an enum (with serde's own representation) or a struct, \
         whose name is the event's type, and this is {what}"
    )))
}

/// What has no name cannot be an event.
macro_rules! refuse {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, _: $type) -> Result<&'static str, Error> {
            unnamed(stringify!($type))
        }
    )*};
}

impl<'json, 'out> Serializer for Named<'json, 'out> {
    type Ok = &'static str;
    type Error = Error;
    type SerializeSeq = Impossible<&'static str, Error>;
    type SerializeTuple = Impossible<&'static str, Error>;
    type SerializeMap = Impossible<&'static str, Error>;
    type SerializeTupleStruct = Parts<<Json<'json, 'out> as Serializer>::SerializeTuple>;
    type SerializeTupleVariant = Parts<<Json<'json, 'out> as Serializer>::SerializeTuple>;
    type SerializeStruct = Parts<<Json<'json, 'out> as Serializer>::SerializeStruct>;
    type SerializeStructVariant = Parts<<Json<'json, 'out> as Serializer>::SerializeStruct>;

    refuse! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_str: &str,
        serialize_bytes: &[u8],
    }

    fn serialize_none(self) -> Result<&'static str, Error> {
        unnamed("None")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<&'static str, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<&'static str, Error> {
        unnamed("()")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<&'static str, Error> {
        self.0.serialize_unit().map(|()| name)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<&'static str, Error> {
        self.0.serialize_unit().map(|()| variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<&'static str, Error> {
        value.serialize(self.0).map(|()| name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<&'static str, Error> {
        value.serialize(self.0).map(|()| variant)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        unnamed("a sequence")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        unnamed("a tuple")
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, Error> {
        let parts = self.0.serialize_tuple(length)?;
        Ok(Parts { name, parts })
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        let parts = self.0.serialize_tuple(length)?;
        Ok(Parts { name, parts })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        unnamed("a map")
    }

    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, Error> {
        let parts = self.0.serialize_struct(name, length)?;
        Ok(Parts { name, parts })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        let parts = self.0.serialize_struct(name, length)?;
        Ok(Parts { name, parts })
    }
}

impl<P: SerializeTuple<Ok = (), Error = Error>> SerializeTupleStruct for Parts<P> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.parts.serialize_element(value)
    }

    fn end(self) -> Result<&'static str, Error> {
        self.parts.end().map(|()| self.name)
    }
}

impl<P: SerializeTuple<Ok = (), Error = Error>> SerializeTupleVariant for Parts<P> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.parts.serialize_element(value)
    }

    fn end(self) -> Result<&'static str, Error> {
        self.parts.end().map(|()| self.name)
    }
}

impl<P: SerializeStruct<Ok = (), Error = Error>> SerializeStruct for Parts<P> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.parts.serialize_field(key, value)
    }

    fn end(self) -> Result<&'static str, Error> {
        self.parts.end().map(|()| self.name)
    }
}

impl<P: SerializeStruct<Ok = (), Error = Error>> SerializeStructVariant for Parts<P> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.parts.serialize_field(key, value)
    }

    fn end(self) -> Result<&'static str, Error> {
        self.parts.end().map(|()| self.name)
    }
}

//! Values as they go to the server and come back.

use sqlx::{
    Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{
        PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, types::Oid,
    },
};

use crate::models::{Position, Timestamp, Version};

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH: i64 = 946_684_800_000_000;
/// The earliest moment that PostgreSQL knows, in its own count.
const EARLIEST: i64 = -211_813_488_000_000_000;

/// A moment as a `timestamptz`, without the detour over a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(i64);

impl Moment {
    /// The moment; none where PostgreSQL does not know it.
    pub(super) fn of(timestamp: Timestamp) -> Option<Self> {
        let micros = timestamp.as_micros().checked_sub(EPOCH)?;
        (micros >= EARLIEST).then_some(Self(micros))
    }

    /// The moment, or the earliest that there is.
    pub(super) fn clamped(timestamp: Timestamp) -> Self {
        Self::of(timestamp).unwrap_or(Self(EARLIEST))
    }
}

/// The moment that stands in the bytes of a `timestamptz`.
pub(super) const fn moment_from_bytes(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_micros(i64::from_be_bytes(bytes).saturating_add(EPOCH))
}

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Moment {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Moment {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Moment {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?))),
            PgValueFormat::Text => Err("a moment is only read in binary form".into()),
        }
    }
}

/// Text that is JSON, as a `json`: it is sent as it is, and the server has a look at it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JsonText<'a>(pub(super) &'a str);

impl Type<Postgres> for JsonText<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(114))
    }
}

impl PgHasArrayType for JsonText<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(199))
    }
}

impl Encode<'_, Postgres> for JsonText<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// A number as a `bigint`; one that is beyond all of those is the largest.
pub(super) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A position as a `bigint`.
pub(super) fn position(position: Position) -> i64 {
    bigint(position.get())
}

/// A version as a `bigint`.
pub(super) fn version(version: Version) -> i64 {
    bigint(version.get())
}

/// A number that came from the server. None is negative.
pub(super) fn number(bigint: i64) -> u64 {
    u64::try_from(bigint).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_as_they_went() {
        for micros in [0, -5, 946_684_800_000_001, i64::MAX] {
            let timestamp = Timestamp::from_micros(micros);
            let Moment(sent) = Moment::of(timestamp).unwrap();
            assert_eq!(moment_from_bytes(sent.to_be_bytes()), timestamp);
        }
        assert_eq!(Moment::of(Timestamp::from_micros(i64::MIN)), None);
    }
}

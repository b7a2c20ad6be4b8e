//! The periods of IssueCertificate.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;

use crate::api::ApiError;

fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", why)
}

/// The moment that a `Validity` structure means (Private CA API reference, Validity): `END_DATE`
/// (`YYMMDDHHMMSS` or `YYYYMMDDHHMMSS`), `ABSOLUTE` (Unix seconds), or `DAYS`, `MONTHS`, `YEARS` from now.
pub fn end(validity: &Value, now: Timestamp) -> Result<Timestamp, ApiError> {
    let kind = validity["Type"].as_str().ok_or_else(|| invalid("Validity needs a Type"))?;
    let value = validity["Value"].as_i64().filter(|value| *value >= 1);
    let value = value.ok_or_else(|| invalid("Validity needs a Value of at least 1"))?;
    let overflow = |_| invalid(format!("The validity of {value} {kind} is too long"));
    let later = |span: Span| {
        let zoned = now.to_zoned(TimeZone::UTC).checked_add(span).map_err(overflow)?;
        Ok(zoned.timestamp())
    };
    match kind {
        "ABSOLUTE" => Timestamp::from_second(value).map_err(overflow),
        "END_DATE" => end_date(&value.to_string()),
        "DAYS" => later(Span::new().try_days(value).map_err(overflow)?),
        "MONTHS" => later(Span::new().try_months(value).map_err(overflow)?),
        "YEARS" => later(Span::new().try_years(value).map_err(overflow)?),
        other => Err(invalid(format!("Validity of Type {other} is not known"))),
    }
}

fn end_date(digits: &str) -> Result<Timestamp, ApiError> {
    let unreadable = || invalid(format!("{digits} is neither YYMMDDHHMMSS nor YYYYMMDDHHMMSS"));
    // A number has no leading zeros, so a year such as 07 comes with a digit less.
    let full = match digits.len() {
        14 => digits.to_owned(),
        11 | 12 => {
            let padded = format!("{digits:0>12}");
            let century = if padded.as_str() >= "5" { "19" } else { "20" };
            format!("{century}{padded}")
        }
        _ => return Err(unreadable()),
    };
    let at = DateTime::strptime("%Y%m%d%H%M%S", &full).map_err(|_| unreadable())?;
    Ok(at.to_zoned(TimeZone::UTC).map_err(|_| unreadable())?.timestamp())
}

/// The start and end of a certificate: the end as asked, the start as asked by `ValidityNotBefore` or an hour ago.
pub fn period(body: &Value, now: Timestamp) -> Result<(Timestamp, Timestamp), ApiError> {
    let end = end(&body["Validity"], now)?;
    let start = match &body["ValidityNotBefore"] {
        Value::Null => now.checked_sub(Span::new().minutes(60)).map_err(|error| invalid(error.to_string()))?,
        asked if matches!(asked["Type"].as_str(), Some("ABSOLUTE" | "END_DATE")) => self::end(asked, now)?,
        _ => return Err(invalid("ValidityNotBefore must be of Type ABSOLUTE or END_DATE")),
    };
    if end <= now || end <= start {
        return Err(invalid("The validity ends before it begins"));
    }
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Private CA API reference, Validity: every Type.
    #[test]
    fn types() {
        let now = at("2026-01-31T10:00:00Z");
        let end = |kind: &str, value: i64| end(&json!({"Type": kind, "Value": value}), now);
        assert_eq!(end("DAYS", 2).unwrap(), at("2026-02-02T10:00:00Z"));
        assert_eq!(end("MONTHS", 1).unwrap(), at("2026-02-28T10:00:00Z"));
        assert_eq!(end("YEARS", 2).unwrap(), at("2028-01-31T10:00:00Z"));
        assert_eq!(end("ABSOLUTE", 1_800_000_000).unwrap().as_second(), 1_800_000_000);
        assert_eq!(end("END_DATE", 20_270_102_030_405).unwrap(), at("2027-01-02T03:04:05Z"));
        assert_eq!(end("END_DATE", 270_102_030_405).unwrap(), at("2027-01-02T03:04:05Z"));
        assert_eq!(end("END_DATE", 990_102_030_405).unwrap(), at("1999-01-02T03:04:05Z"));
        for (kind, value) in [("DAYS", 0), ("WEEKS", 1), ("END_DATE", 5), ("YEARS", 99_999), ("DAYS", i64::MAX)] {
            assert_eq!(end(kind, value).unwrap_err().code, "ValidationException", "{kind} {value}");
        }
    }

    /// Private CA API reference, IssueCertificate, ValidityNotBefore: 60 minutes before issuance unless given.
    #[test]
    fn start() {
        let now = at("2026-01-31T10:00:00Z");
        let mut body = json!({"Validity": {"Type": "DAYS", "Value": 1}});
        assert_eq!(period(&body, now).unwrap().0, at("2026-01-31T09:00:00Z"));
        body["ValidityNotBefore"] = json!({"Type": "ABSOLUTE", "Value": now.as_second()});
        assert_eq!(period(&body, now).unwrap().0, now);
        body["ValidityNotBefore"] = json!({"Type": "DAYS", "Value": 1});
        assert!(period(&body, now).is_err());
        let past = json!({"Validity": {"Type": "ABSOLUTE", "Value": 1}});
        assert!(period(&past, now).is_err());
    }
}

//! One immutable SDK configuration per side, and AWS errors sorted for operators.
//!
//! Each side has its own credentials and endpoints: an endpoint from the environment would redirect both sides, so only the
//! profile's endpoints are used.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::{ErrorKind, Finding, Level, StoreError};
use crate::profile::SideProfile;

/// Tries of one request by the SDK before its error is given up to the caller.
const ATTEMPTS_MAX: u32 = 4;

/// The SDK configuration of one side.
pub async fn sdk_config(side: &SideProfile) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(60))
        .operation_attempt_timeout(Duration::from_secs(120))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(side.region.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts);
    if let Some(name) = &side.aws_profile {
        loader = loader.profile_name(name);
    }
    if let Some(given) = &side.credentials {
        let token = given.session_token.as_ref().map(|token| token.0.clone());
        let secret = given.secret_access_key.0.clone();
        loader = loader.credentials_provider(Credentials::new(&given.access_key_id, secret, token, None, "profile"));
    }
    let config = loader.load().await;
    match &side.role_arn {
        None => config,
        Some(role) => {
            let provider = aws_config::sts::AssumeRoleProvider::builder(role)
                .configure(&config)
                .session_name("failback")
                .build()
                .await;
            config
                .into_builder()
                .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(provider))
                .build()
        }
    }
}

/// The endpoint the profile gives for a service (`dynamodb`, `s3`, `rds`, `route53`, `sts`), if it gives one.
///
/// Always set it on the service's own config builder (also when `None`), so that no environment variable redirects it.
pub fn endpoint(side: &SideProfile, service: &str) -> Option<String> {
    side.endpoints.get(service).or(side.endpoint_url.as_ref()).cloned()
}

/// The account the side's credentials belong to.
///
/// # Errors
///
/// As [`store_error`], when STS cannot be asked.
pub async fn caller_account(side: &SideProfile) -> Result<Option<String>, StoreError> {
    let config = sdk_config(side).await;
    let mut builder = aws_sdk_sts::config::Builder::from(&config);
    builder.set_endpoint_url(endpoint(side, "sts"));
    let reply = aws_sdk_sts::Client::from_conf(builder.build()).get_caller_identity().send().await;
    reply.map(|reply| reply.account).map_err(|error| store_error("cannot ask whose credentials these are", error))
}

/// A difference of clocks that is worth telling, in seconds. AWS refuses requests beyond 300.
const SKEW_SECONDS_TOLD: i64 = 60;

/// Notes how far this machine's clock is from a service's, by the dates of its replies: the farthest, since the SDK puts
/// the signing date right after the first reply.
#[derive(Debug, Clone, Default)]
pub(super) struct ClockWatch(Arc<Mutex<Option<i64>>>);

impl ClockWatch {
    fn note(&self, ahead: i64) {
        let mut farthest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A reply by another clock than the one that the signing date was put right by looks as far off, the other way round.
        let is_echo = |farthest: i64| {
            farthest.abs() > SKEW_SECONDS_TOLD && farthest.saturating_add(ahead).abs() <= SKEW_SECONDS_TOLD
        };
        if farthest.is_none_or(|farthest| farthest.abs() < ahead.abs() && !is_echo(farthest)) {
            *farthest = Some(ahead);
        }
    }

    /// What the replies tell, when it is worth telling.
    pub(super) fn finding(&self, subject: &str) -> Option<Finding> {
        let ahead = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        if ahead.abs() <= SKEW_SECONDS_TOLD {
            return None;
        }
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let what =
            format!("this machine's clock is {} s {side} the service's, which refuses more than 300", ahead.abs());
        Some(Finding::new(Level::Warning, subject, what).with_hint(ErrorKind::Skewed.remedy()))
    }
}

impl Intercept for ClockWatch {
    fn name(&self) -> &'static str {
        "ClockWatch"
    }

    /// The request's own date is this machine's clock when it was signed.
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let signed = context.request().headers().get("x-amz-date").and_then(signing_date);
        settings.interceptor_state().store_put(SignedAt(signed));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let here = settings.load::<SignedAt>().and_then(|signed| signed.0);
        let there = context.response().headers().get("date").and_then(http_date);
        if let (Some(here), Some(there)) = (here, there) {
            self.note(here - there);
        }
        Ok(())
    }
}

/// When a request was signed, in seconds since 1970.
#[derive(Debug)]
struct SignedAt(Option<i64>);

impl Storable for SignedAt {
    type Storer = StoreReplace<SignedAt>;
}

fn signing_date(text: &str) -> Option<i64> {
    let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

fn http_date(text: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second())
}

/// A reply as it came over the wire.
pub(super) type HttpResponse = aws_sdk_s3::config::http::HttpResponse;

/// Sorts an SDK error by what can be done about it; `what` says what failed, lowercase, naming the resource.
pub fn store_error<E>(what: impl Into<String>, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let kind = kind_of(&error);
    let code = error.code().map(str::to_owned);
    let message = error.message().map(str::to_owned);
    match (code, message) {
        (Some(code), Some(message)) => StoreError::caused(kind, what, format!("{code}: {message}")),
        (Some(code), None) => StoreError::caused(kind, what, code),
        _ => StoreError::caused(kind, what, error),
    }
}

fn kind_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> ErrorKind {
    match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => ErrorKind::Unreachable,
        SdkError::ServiceError(service) if is_signed_off_time(service.err().message()) => ErrorKind::Skewed,
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) => kind_of_code(code),
            None => kind_of_status(service.raw().status().as_u16()),
        },
        // Credentials that cannot be loaded show as construction failures.
        SdkError::ConstructionFailure(_) => ErrorKind::Denied,
        _ => ErrorKind::Other,
    }
}

/// DynamoDB and others call a request of another hour one with a wrong signature; only their words tell.
fn is_signed_off_time(message: Option<&str>) -> bool {
    let words = ["Signature expired", "Signature not yet current"];
    message.is_some_and(|message| words.iter().any(|word| message.contains(word)))
}

/// The kind of a reply without an error code, such as one to HEAD or of a proxy on the way.
pub(super) fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        // A success that cannot be understood was damaged on its way.
        200..=299 => ErrorKind::Unreachable,
        401 | 403 => ErrorKind::Denied,
        429 | 503 => ErrorKind::Throttled,
        500 | 502 | 504 => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

fn kind_of_code(code: &str) -> ErrorKind {
    match code {
        "ResourceNotFoundException"
        | "NoSuchBucket"
        | "NoSuchHostedZone"
        | "DBInstanceNotFound"
        | "DBClusterNotFoundFault"
        | "GlobalClusterNotFoundFault"
        | "NotFound"
        | "TableNotFoundException"
        | "NoSuchHealthCheck" => ErrorKind::Missing,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException"
        | "Forbidden"
        | "AuthFailure"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "NotAuthorizedException"
        | "UnauthorizedOperation"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "IncompleteSignature" => ErrorKind::Denied,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => ErrorKind::Skewed,
        "ThrottlingException"
        | "Throttling"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "SlowDown"
        | "TooManyRequestsException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "LimitExceededException" => ErrorKind::Throttled,
        "InternalServerError"
        | "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "RequestTimeout"
        | "ServiceUnavailableException" => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_an_instant_are_read() {
        assert_eq!(signing_date("20261124T121420Z"), Some(1_795_522_460));
        assert_eq!(http_date("Tue, 24 Nov 2026 12:14:20 GMT"), Some(1_795_522_460));
        assert_eq!((signing_date("2026"), http_date("yesterday")), (None, None));
    }

    #[test]
    fn a_clock_is_told_when_it_is_far_off() {
        let watch = ClockWatch::default();
        let told = || watch.finding("orders dr").map(|finding| finding.what);
        for ahead in [0, 60, -60] {
            assert_eq!(told(), None);
            watch.note(ahead);
        }
        watch.note(61);
        assert!(told().is_some_and(|what| what.contains("61 s ahead of")));
        watch.note(-3600);
        watch.note(0);
        assert!(told().is_some_and(|what| what.contains("3600 s behind")));
        watch.note(3601);
        assert!(told().is_some_and(|what| what.contains("3600 s behind")), "the SDK's own correction is no news");
    }
}

//! Requests for one object, sent by the SDK's parts without its orchestrator.
//!
//! Objects are looked at by the ten thousand, a HEAD and a request for tags each, and of what such a request costs much is the
//! orchestrator's: it settles configuration, endpoint and identity anew every time. Here one request of the SDK is watched for
//! what it settled ([`Watch`]); those after it are written, signed, sent and read by the SDK's own parts with that, and with
//! its cache of identities.
//!
//! Nothing is guessed. What is not plainly answered (refused, throttled, cut off, late, or told in a way that the orchestrator
//! has a hand in) is [`Answer::Unsettled`]: the SDK asks it again as it does all else, with its retries and its errors. Buckets
//! that are signed for in another way than by Signature Version 4 are never asked from here.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::get_object_tagging::{GetObjectTagging, GetObjectTaggingInput, GetObjectTaggingOutput};
use aws_sdk_s3::operation::head_object::{HeadObject, HeadObjectInput, HeadObjectOutput};
use aws_sdk_s3::types::ChecksumMode;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, SharedAuthScheme};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::{ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::FrozenLayer;
use aws_smithy_types::endpoint::Endpoint;
use aws_smithy_types::timeout::TimeoutConfig;

/// The only way of signing that is done here.
const SCHEME: AuthSchemeId = AuthSchemeId::new("sigv4");

/// Headers that the orchestrator adds and every request has alike.
const ALIKE: [&str; 2] = ["user-agent", "x-amz-user-agent"];

/// A header that the SDK reads in an interceptor, not where replies are read.
const READ_ELSEWHERE: &str = "expires";

/// How long a request may take when the SDK was told no limit.
const ATTEMPT_USUAL: Duration = Duration::from_secs(120);

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// The reply.
    Told(T),
    /// There is no such object.
    Missing,
    /// The SDK must ask.
    Unsettled,
}

/// The way to one bucket, once a request of the SDK has shown it.
#[derive(Debug, Clone, Default)]
pub(super) struct Direct {
    settled: Arc<OnceLock<Option<Settled>>>,
    /// The way was refused: what is asked on it would be asked twice.
    is_refused: Arc<AtomicBool>,
}

impl Direct {
    /// The way, learned from the request that this watches.
    pub fn watch(&self) -> Watch {
        Watch(self.clone())
    }

    /// HEAD of an object, checksums included.
    pub async fn head(&self, bucket: &str, full_key: &str, version: Option<&str>) -> Answer<HeadObjectOutput> {
        let Some(settled) = self.settled() else { return Answer::Unsettled };
        let input = HeadObjectInput::builder().bucket(bucket).key(full_key).checksum_mode(ChecksumMode::Enabled);
        match input.set_version_id(version.map(str::to_owned)).build() {
            Ok(input) => self.ask(settled, &settled.head, input).await,
            Err(_) => Answer::Unsettled,
        }
    }

    /// The tags of an object.
    pub async fn tags(&self, bucket: &str, full_key: &str, version: Option<&str>) -> Answer<GetObjectTaggingOutput> {
        let Some(settled) = self.settled() else { return Answer::Unsettled };
        let input = GetObjectTaggingInput::builder().bucket(bucket).key(full_key);
        match input.set_version_id(version.map(str::to_owned)).build() {
            Ok(input) => self.ask(settled, &settled.tags, input).await,
            Err(_) => Answer::Unsettled,
        }
    }

    fn settled(&self) -> Option<&Settled> {
        if self.is_refused.load(Ordering::Relaxed) { None } else { self.settled.get()?.as_ref() }
    }

    async fn ask<I, O>(&self, settled: &Settled, operation: &FrozenLayer, input: I) -> Answer<O>
    where
        I: Debug + Send + Sync + 'static,
        O: Debug + Send + Sync + 'static,
    {
        let mut settings = ConfigBag::base();
        settings.push_shared_layer(operation.clone());
        let reply = tokio::time::timeout(settled.attempt, settled.send(Input::erase(input), &mut settings)).await;
        let Ok(Ok(reply)) = reply else { return Answer::Unsettled };
        match reply.status().as_u16() {
            200 if !reply.headers().contains_key(READ_ELSEWHERE) => {
                let read = settings.load::<SharedResponseDeserializer>();
                let read = read.and_then(|read| read.deserialize_nonstreaming_with_config(&reply, &settings).ok());
                read.and_then(|output| output.downcast().ok()).map_or(Answer::Unsettled, Answer::Told)
            }
            404 => Answer::Missing,
            status => {
                // 400 is what one object under a customer key is answered with.
                if matches!(status, 401 | 403) {
                    self.is_refused.store(true, Ordering::Relaxed);
                }
                Answer::Unsettled
            }
        }
    }
}

/// What a request of the SDK settled for all that follow it.
#[derive(Debug)]
struct Settled {
    endpoint: Endpoint,
    components: RuntimeComponents,
    scheme: SharedAuthScheme,
    identity: SharedIdentityResolver,
    identities: SharedIdentityCache,
    connector: SharedHttpConnector,
    /// How long one request may take.
    attempt: Duration,
    alike: Vec<(&'static str, String)>,
    head: FrozenLayer,
    tags: FrozenLayer,
}

impl Settled {
    /// What this request settled, unless it is signed in a way that is not done here.
    fn of(request: &HttpRequest, components: &RuntimeComponents, settings: &ConfigBag) -> Option<Settled> {
        let endpoint = settings.load::<Endpoint>()?.clone();
        let schemes = endpoint.auth_schemes();
        let is_whole = |scheme: &aws_smithy_types::endpoint::EndpointAuthScheme| {
            scheme.name() == SCHEME.inner()
                && scheme.get("signingRegion").is_some()
                && scheme.get("signingName").is_some()
        };
        if schemes.is_empty() || !schemes.iter().all(is_whole) {
            return None;
        }
        let scheme = components.auth_scheme(SCHEME)?;
        let timeouts = settings.load::<TimeoutConfig>()?;
        let mut limits = HttpConnectorSettings::builder();
        limits.set_connect_timeout(timeouts.connect_timeout()).set_read_timeout(timeouts.read_timeout());
        let alike = ALIKE.into_iter().filter_map(|name| Some((name, request.headers().get(name)?.to_owned())));
        Some(Settled {
            identity: scheme.identity_resolver(components)?,
            identities: components.identity_cache(),
            connector: components.http_client()?.http_connector(&limits.build(), components),
            attempt: timeouts.operation_attempt_timeout().unwrap_or(ATTEMPT_USUAL),
            alike: alike.collect(),
            head: HeadObject::new().config()?,
            tags: GetObjectTagging::new().config()?,
            components: components.clone(),
            scheme,
            endpoint,
        })
    }

    /// Writes, signs and sends one request, and gives its reply with all of its body.
    async fn send(&self, input: Input, settings: &mut ConfigBag) -> Result<HttpResponse, BoxError> {
        let writer = settings.load::<SharedRequestSerializer>().cloned().ok_or("an operation that is not written")?;
        let mut request = writer.serialize_input(input, settings)?;
        request.uri_mut().set_endpoint(self.endpoint.url())?;
        for (name, values) in self.endpoint.headers() {
            for value in values {
                request.headers_mut().append(name.to_owned(), value.to_owned());
            }
        }
        for (name, value) in &self.alike {
            request.headers_mut().insert(*name, value.clone());
        }
        let identity =
            self.identities.resolve_cached_identity(self.identity.clone(), &self.components, settings).await?;
        let scheme = self.endpoint.auth_schemes().first().map(AuthSchemeEndpointConfig::from_typed);
        let scheme = scheme.ok_or("an endpoint that is not signed for")?;
        self.scheme.signer().sign_http_request(&mut request, &identity, scheme, &self.components, settings)?;
        let mut reply = self.connector.call(request).await?;
        let body = std::mem::replace(reply.body_mut(), SdkBody::taken());
        *reply.body_mut() = ByteStream::new(body).collect().await?.into_bytes().into();
        Ok(reply)
    }
}

/// Learns the way from a request of the SDK.
#[derive(Debug)]
pub(super) struct Watch(Direct);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.settled.get_or_init(|| Settled::of(context.request(), components, settings));
        Ok(())
    }
}

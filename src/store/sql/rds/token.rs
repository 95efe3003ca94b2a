//! IAM authentication tokens of RDS: a presigned request to connect, which a server takes as a password for 15 minutes.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};

use crate::profile::{AuthMode, DatabaseProfile, SideProfile};
use crate::store::{ErrorKind, Result, StoreError, aws};

/// Makes a token for every connection of one user to one server.
#[derive(Clone)]
pub(in crate::store) struct Tokens {
    sdk: SdkConfig,
    generator: Arc<AuthTokenGenerator>,
    place: String,
}

impl Tokens {
    /// Tokens for `user` at `host`, signed by the side's own credentials for its own Region; `None` where the profile asks
    /// for a password.
    ///
    /// # Errors
    ///
    /// `Unfit` for a user whose name cannot stand in a token.
    pub(in crate::store) async fn of(
        reached: &SideProfile,
        database: &DatabaseProfile,
        (host, port, user): (&str, u16, &str),
    ) -> Result<Option<Tokens>> {
        match database.auth {
            AuthMode::Password => Ok(None),
            AuthMode::Iam => Tokens::new(Box::pin(aws::sdk_config(reached)).await, (host, port, user)).map(Some),
        }
    }

    fn new(sdk: SdkConfig, (host, port, user): (&str, u16, &str)) -> Result<Tokens> {
        let unfit = |what: String| StoreError::new(ErrorKind::Unfit, what);
        // The name stands in a URL, and what signs it and what reads it must not take it apart differently.
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
        if user.is_empty() || !user.chars().all(fits) {
            let hint = "an IAM token is made for a user of letters, digits, `_`, `-`, `.` and `@` only";
            return Err(unfit(format!("{hint}, not for `{user}`")));
        }
        let config = Config::builder().hostname(host).port(port.into()).username(user);
        let config = config.build().map_err(|error| unfit(format!("no IAM token can be made: {error}")))?;
        let place = format!("{user} at {host}:{port}");
        Ok(Tokens { sdk, generator: Arc::new(AuthTokenGenerator::new(config)), place })
    }

    /// A token, made now; it opens connections for 15 minutes, and what is open stays open.
    ///
    /// # Errors
    ///
    /// `Denied` when there are no credentials to sign it with.
    pub(in crate::store) async fn token(&self) -> Result<String> {
        let what = || format!("cannot make an IAM token for {}", self.place);
        let made = self.generator.auth_token(&self.sdk).await;
        made.map(|token| token.to_string()).map_err(|error| StoreError::caused(ErrorKind::Denied, what(), error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_config::Region;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_smithy_async::time::StaticTimeSource;

    use super::*;

    fn signer(region: &'static str, seconds: u64) -> SdkConfig {
        let credentials = Credentials::new("akid", "skid", None, None, "test");
        SdkConfig::builder()
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .time_source(StaticTimeSource::new(UNIX_EPOCH + Duration::from_secs(seconds)))
            .build()
    }

    /// The vector of botocore's own test of `generate_db_auth_token`, whose parameters stand in another order.
    #[tokio::test]
    async fn a_token_is_what_other_sdks_sign() {
        let place = ("prod-instance.us-east-1.rds.amazonaws.com", 3306, "someusername");
        let token = Tokens::new(signer("us-east-1", 1_478_540_373), place).expect("a signer");
        let token = token.token().await.expect("a token");
        let begin = "prod-instance.us-east-1.rds.amazonaws.com:3306/?Action=connect&DBUser=someusername&";
        let rest = token.strip_prefix(begin).unwrap_or_else(|| panic!("{token}"));
        let mut parts: Vec<&str> = rest.split('&').collect();
        parts.sort_unstable();
        let signature = "X-Amz-Signature=d1138cdbc0ca63eec012ec0fc6c2267e03642168f5884a7795320d4c18374c61";
        assert_eq!(
            parts,
            [
                "X-Amz-Algorithm=AWS4-HMAC-SHA256",
                "X-Amz-Credential=akid%2F20161107%2Fus-east-1%2Frds-db%2Faws4_request",
                "X-Amz-Date=20161107T173933Z",
                "X-Amz-Expires=900",
                signature,
                "X-Amz-SignedHeaders=host",
            ]
        );
    }

    #[tokio::test]
    async fn another_second_or_region_is_another_token() {
        let place = ("ledger.example.com", 5432, "failback");
        let mut tokens = Vec::new();
        for (region, seconds) in [("us-east-1", 0), ("us-east-1", 1), ("us-west-2", 0)] {
            let signer = Tokens::new(signer(region, seconds), place).expect("a signer");
            tokens.push(signer.token().await.expect("a token"));
        }
        assert!(tokens[0] != tokens[1] && tokens[0] != tokens[2], "{tokens:?}");
    }

    #[tokio::test]
    async fn without_credentials_or_a_plain_user_there_is_no_token() {
        let bare = SdkConfig::builder().region(Region::new("us-east-1")).build();
        let error = Tokens::new(bare, ("h", 1, "me")).expect("a signer").token().await.expect_err("no credentials");
        assert_eq!(
            (error.kind, error.to_string()),
            (ErrorKind::Denied, "cannot make an IAM token for me at h:1".into())
        );
        for user in ["", "a b", "a&DBUser=root", "é"] {
            let error = Tokens::new(signer("us-east-1", 0), ("h", 1, user)).err().expect("refused");
            assert_eq!(error.kind, ErrorKind::Unfit);
        }
    }
}

//! The controller `auth`. There are no users yet: everybody is the anonymous user, whom a new Kuzzle allows everything.
//!
//! Source: Kuzzle, lib/api/controllers/authController.ts. The kernel refuses requests with a token before they get
//! here, as no token is valid.

use crate::errors::KuzzleError;
use crate::funnel::{Call, Outcome};
use crate::json;
use crate::outbound::Outbound;

use super::required_string;

/// `auth:checkToken`: `token` in the body; without one, or with an empty one, it is the anonymous user's.
pub(super) fn check_token(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let mut token = None;
    if let Some(body) = call.request.body() {
        json::for_each_member(body, |name, value| {
            if json::is_name(name, "token") {
                token = Some(value);
            }
        });
    }
    let token = token.filter(|value| value.get() != "null");
    let is_anonymous = match token {
        None => true,
        Some(_) => required_string(token, "body.token")?.is_empty(),
    };
    Ok(Outcome::new(if is_anonymous {
        r#"{"expiresAt":null,"kuid":"-1","valid":true}"#
    } else {
        r#"{"state":"Invalid token.","valid":false}"#
    }))
}

/// `auth:getCurrentUser`.
pub(super) fn get_current_user(
    _call: &Call<'_>,
    _outbound: &mut dyn Outbound,
) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(
        r#"{"_id":"-1","_source":{"profileIds":["anonymous"],"name":"Anonymous"},"strategies":[[]]}"#,
    ))
}

/// `auth:getMyRights`.
pub(super) fn get_my_rights(_call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(
        r#"{"hits":[{"action":"*","collection":"*","controller":"*","index":"*","value":"allowed"}],"total":1}"#,
    ))
}

/// `auth:getStrategies`: what Kuzzle comes with.
pub(super) fn get_strategies(_call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Ok(Outcome::new(r#"["local"]"#))
}

/// `auth:login`: nobody can log in yet.
pub(super) fn login(call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    let strategy = required_string(call.request.arguments().strategy, "strategy")?;
    Err(KuzzleError::new("security.credentials.unknown_strategy", &[&strategy]))
}

/// `auth:logout`: the anonymous user is not logged in.
pub(super) fn logout(_call: &Call<'_>, _outbound: &mut dyn Outbound) -> Result<Outcome, KuzzleError> {
    Err(KuzzleError::new("security.rights.unauthorized", &["auth", "logout"]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{World, error_id, json};

    fn auth(action: &str, rest: &str) -> Value {
        json(&World::new().ask(&format!(r#"{{"controller":"auth","action":"{action}"{rest}}}"#)))
    }

    #[test]
    fn everybody_is_anonymous() {
        for body in ["", r#","body":{}"#, r#","body":{"token":""}"#, r#","body":{"token":null}"#] {
            let valid = json!({ "expiresAt": null, "kuid": "-1", "valid": true });
            assert_eq!(auth("checkToken", body)["result"], valid, "{body}");
        }
        let user = auth("getCurrentUser", "")["result"].take();
        assert_eq!((&user["_id"], &user["_source"]["name"]), (&json!("-1"), &json!("Anonymous")));
        assert_eq!(user["_source"]["profileIds"], json!(["anonymous"]));
        let rights = auth("getMyRights", "")["result"].take();
        assert_eq!((&rights["total"], &rights["hits"][0]["value"]), (&json!(1), &json!("allowed")));
        assert_eq!(auth("getStrategies", "")["result"], json!(["local"]));
    }

    #[test]
    fn no_token_is_valid() {
        let answer = auth("checkToken", r#","body":{"token":"kauth-x"}"#);
        assert_eq!(answer["status"], 200);
        assert_eq!(answer["result"], json!({ "state": "Invalid token.", "valid": false }));
        let answer = auth("checkToken", r#","body":{"token":7}"#);
        assert_eq!(answer["error"]["id"], "api.assert.invalid_type");
        assert_eq!(answer["error"]["props"], json!(["body.token", "string"]));
    }

    #[test]
    fn nobody_can_log_in_or_out() {
        let answer = auth("login", r#","strategy":"local","body":{"username":"a","password":"b"}"#);
        assert_eq!(answer["error"]["id"], "security.credentials.unknown_strategy");
        assert_eq!((&answer["error"]["props"], &answer["status"]), (&json!(["local"]), &json!(400)));
        assert_eq!(auth("login", "")["error"]["id"], "api.assert.missing_argument");
        assert_eq!(auth("login", r#","strategy":{}"#)["error"]["id"], "api.assert.invalid_type");
        let mut world = World::new();
        let response = world.ask(r#"{"controller":"auth","action":"logout"}"#);
        assert_eq!((&*error_id(&response), response.status), ("security.rights.unauthorized", 401));
    }
}

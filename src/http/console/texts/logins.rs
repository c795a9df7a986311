//! Words of logins: admins, their roles and sessions, tokens for scripts, one's own account.

super::group! {
    /// Who may log in.
    Logins,
    role: "Role";
    roles_hint: "An owner may do everything; an admin runs devices; the help desk gives commands that take nothing away; an auditor only looks.";
    last_login: "Last login";
    disabled: "Switched off";
    may_log_in: "May log in";
    with_app: "With an app";
    locked_out: "Must wait";
    tokens: "Tokens for scripts";
    tokens_lead: "A token lets a script use the API with a role. It is shown once, when it is made.";
    no_tokens: "There are no tokens.";
    token_valid: "Valid";
    token_over: "Over";
    last_used: "Last used";
    revoke: "Revoke";
    new_admin: "Add somebody";
    new_token: "Make a token";
    token_name_hint: "What it is for.";
    password_hint: "At least 12 characters of any kind.";
    new_password: "New password";
    new_password_for_hint: "Leave empty to keep it. A new one ends every session of that person.";
    only_for_password: "Only needed for a new password.";
    disable: "May not log in";
    disable_hint: "Nobody is ever deleted: the audit names them.";
    wrong_passwords: "wrong passwords in a row.";
    unlock: "Let them try again";
    sessions: "Sessions";
    no_sessions: "Nobody is logged in under this name.";
    this_one: "This one";
    end_it: "End it";
    from: "From";
    account: "Your account";
    change_password: "Change the password";
    change_password_hint: "You log in again afterwards, everywhere.";
    app: "Authenticator app";
    app_hint: "With an app on your phone a stolen password is not enough. Any app that shows codes of six digits will do.";
    set_up_app: "Set up an app";
    remove_app: "Stop using the app";
    app_scan: "Scan this with your app";
    app_square: "Square code for your authenticator app";
    app_typed: "Or type this into it:";
    app_confirm_hint: "The six digits that the app shows now. Until they fit, no code is asked for.";
    confirm: "Confirm";
}

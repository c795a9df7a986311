//! Words of what happened to a device: the lines of its story, kinds of secrets, commands by their purpose.

super::group! {
    /// What is told.
    Told,
    story_queued: "Asked for";
    story_sent: "Fetched by the device";
    story_not_now: "The device said “not now”";
    story_done: "Done by the device";
    story_failed: "The device could not do it";
    story_not_understood: "The device did not understand it";
    story_cancelled: "Cancelled";
    story_expired: "Its time was over";
    story_late: "An answer came late";
    story_already_sent: "Could not be stopped any more";
    story_authenticate: "Began to enrol";
    story_token_update: "Said how it can be called";
    story_check_out: "Left management";
    story_set_bootstrap: "Handed over its bootstrap token";
    story_get_bootstrap: "Asked for its bootstrap token";
    story_user_authenticate: "A user logged in";
    story_user_channel: "A user's channel appeared";
    story_secret_kept: "A secret was put into custody";
    story_secret_revealed: "A secret was shown";
    story_location_shown: "Its place was shown";
    story_lost: "Marked as lost";
    story_missing: "Marked as missing";
    story_found: "Found again";
    story_came_back: "Came back with its old identity";
    story_clone: "Another device showed its identity";
    story_other_identity: "Showed another certificate";
    story_taken_back: "Taken back";
    story_block: "Blocked";
    story_unblock: "Unblocked";
    story_release: "Released on the server";
    story_remove: "Is to leave management";
    story_removed: "Removed from management";
    story_renewed: "Its identity was renewed";
    story_renewal_failed: "The renewal of its identity failed";
    secret_unlock: "Unlock token";
    secret_bootstrap: "Bootstrap token";
    secret_filevault: "FileVault key";
    secret_activation: "Activation Lock bypass code";
    secret_server_activation: "Activation Lock bypass code of this server";
    secret_recovery_lock: "Recovery lock";
    secret_firmware: "Firmware password";
    secret_pin: "PIN of a lock";
    request_information: "Ask what it is";
    request_profile: "Install a profile";
    request_remove_profile: "Remove a profile";
    request_apps: "Ask for its apps";
    request_security: "Ask for its security";
    request_profiles: "Ask for its profiles";
    request_certificates: "Ask for its certificates";
    request_bypass: "Ask for its Activation Lock code";
    request_lost_on: "Switch Lost Mode on";
    request_lost_off: "Switch Lost Mode off";
}

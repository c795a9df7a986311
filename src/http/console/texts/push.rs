//! Words of the push certificate: what is in force, the request, the import.

super::group! {
    /// The push certificate.
    Push,
    push_lead: "Apple delivers pushes only with this certificate. It is renewed every year with the same Apple Account; another one would mean that every device enrols anew.";
    no_push: "There is none yet: devices cannot be enrolled.";
    topic: "Topic";
    apple_account: "Apple Account";
    apple_account_hint: "Remembered, so that the renewal is done with the same one.";
    push_requested: "Requested";
    push_refused: "Refused by Apple";
    push_current: "In force";
    push_other: "For older enrolments";
    push_renew: "Get or renew it";
    push_step_request: "Make a request here.";
    push_step_sign: "Have it signed by an MDM vendor, and upload the result at identity.apple.com/pushcert with the Apple Account that is used every year.";
    push_step_import: "Import the certificate that Apple gives you.";
    make_request: "Make a request";
    push_file: "Certificate from Apple";
    push_key: "Its key";
    push_key_hint: "Only when the request was not made here.";
    push_csr: "Request for a push certificate";
    push_csr_hint: "Copy this into a file for your vendor to sign; what comes back is uploaded at";
    imported: "Imported";
}

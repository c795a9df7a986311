-- The whole current schema of a Cordon database, read as prose. `store` embeds it; `PRAGMA user_version` is its number.
--
-- Rules that hold everywhere: times are UTC milliseconds; every table is STRICT; words that are one of a few have a CHECK;
-- columns named sealed_* hold AES-256-GCM blobs whose associated data is the row's own place, so that a blob moved to
-- another row does not open. Order comes from sequences, never from times.

-- What the school decided, and the server's own notes ('open', 'highest_time'). JSON values.
CREATE TABLE setting (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The data key that seals every secret, itself wrapped. Two wrappings may exist for one key: the machine key's now,
-- the recovery code's from set-up on. Older keys stay until nothing is sealed with them.
CREATE TABLE wrapped_key (
    key_id      INTEGER NOT NULL,
    wrapping    TEXT NOT NULL CHECK (wrapping IN ('machine-key', 'recovery-code')),
    -- How the wrapping key is made from a recovery code: Argon2id with this salt and this cost (m=…,t=…,p=…).
    salt        BLOB,
    cost        TEXT,
    wrapped     BLOB NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (key_id, wrapping),
    CHECK ((wrapping = 'recovery-code') = (salt IS NOT NULL) AND (salt IS NULL) = (cost IS NULL))
) STRICT, WITHOUT ROWID;

-- Every certificate Cordon issued or was shown. Kept for ever: revocation must be able to answer.
CREATE TABLE certificate (
    fingerprint     BLOB PRIMARY KEY CHECK (length(fingerprint) = 32),
    serial          TEXT NOT NULL,
    subject         TEXT NOT NULL,
    purpose         TEXT NOT NULL CHECK (purpose IN ('root', 'issuing', 'tls', 'signer', 'identity', 'push', 'escrow', 'account')),
    not_before      INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    issued_profile  INTEGER REFERENCES issued_profile (id),
    revoked_at      INTEGER,
    revoked_why     TEXT,
    -- Last, so that the questions of every request do not read past it.
    der             BLOB NOT NULL,
    CHECK ((revoked_at IS NULL) = (revoked_why IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX certificate_expiring ON certificate (purpose, not_after);
CREATE INDEX certificate_revoked ON certificate (revoked_at) WHERE revoked_at IS NOT NULL;

-- The school's own keys: root, issuing CA, TLS, profile signer, and the one that Macs seal their FileVault keys for. One current of each purpose; replaced ones stay, and at most one
-- is to come: it goes out to the devices first.
CREATE TABLE authority (
    id           INTEGER PRIMARY KEY,
    purpose      TEXT NOT NULL CHECK (purpose IN ('root', 'issuing', 'tls', 'signer', 'escrow')),
    certificate  BLOB NOT NULL REFERENCES certificate (fingerprint),
    sealed_key   BLOB NOT NULL,
    standing     TEXT NOT NULL CHECK (standing IN ('current', 'next', 'former')),
    created_at   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX authority_current ON authority (purpose) WHERE standing = 'current';
CREATE UNIQUE INDEX authority_next ON authority (purpose) WHERE standing = 'next';

-- The physical thing. Lives on when it is un-enrolled, erased or moved.
CREATE TABLE device (
    id             INTEGER PRIMARY KEY,
    public_id      TEXT NOT NULL UNIQUE,
    serial         TEXT UNIQUE,
    name           TEXT,
    platform       TEXT NOT NULL CHECK (platform IN ('iOS', 'iPadOS', 'macOS', 'tvOS', 'watchOS', 'visionOS', 'unknown')),
    model          TEXT,
    model_name     TEXT,
    product_name   TEXT,
    os_version     TEXT,
    build_version  TEXT,
    imei           TEXT,
    meid           TEXT,
    -- As the device last said it of itself (DeviceInformation); NULL until it did.
    supervised     INTEGER CHECK (supervised IN (0, 1)),
    -- What people say of it. 'missing' is a mark only; 'lost' also asked for Lost Mode.
    lost           TEXT NOT NULL DEFAULT 'no' CHECK (lost IN ('no', 'lost', 'missing')),
    lost_since     INTEGER,
    lost_by        TEXT,
    -- What the device acknowledged: Lost Mode is on.
    lost_mode      INTEGER NOT NULL DEFAULT 0 CHECK (lost_mode IN (0, 1)),
    -- The doctor's simulated device, while it enrols: in no count, no list, no webhook, and gone a moment later.
    synthetic      INTEGER NOT NULL DEFAULT 0 CHECK (synthetic IN (0, 1)),
    created_at     INTEGER NOT NULL,
    CHECK ((lost = 'no') = (lost_since IS NULL) AND (lost = 'no') = (lost_by IS NULL))
) STRICT;
CREATE INDEX device_synthetic ON device (id) WHERE synthetic = 1;

-- One management relationship on one channel: the device's own, or one user's under it. Apple's ids as received.
-- Topic, token and magic come together or not at all, and only an Active enrollment has them.
CREATE TABLE enrollment (
    id                 INTEGER PRIMARY KEY,
    device             INTEGER NOT NULL REFERENCES device (id),
    parent             INTEGER REFERENCES enrollment (id),
    enrollment_id      TEXT NOT NULL UNIQUE,
    channel            TEXT NOT NULL CHECK (channel IN ('device', 'user')),
    udid               TEXT,
    user_enrollment_id TEXT,
    user_id            TEXT,
    user_short_name    TEXT,
    user_long_name     TEXT,
    state              TEXT NOT NULL CHECK (state IN ('Started', 'Active', 'Gone')),
    generation         INTEGER NOT NULL,
    topic              TEXT,
    push_token         BLOB,
    push_magic         TEXT,
    token_updates      INTEGER NOT NULL DEFAULT 0,
    awaiting_configuration INTEGER NOT NULL DEFAULT 0 CHECK (awaiting_configuration IN (0, 1)),
    not_on_console     INTEGER NOT NULL DEFAULT 0 CHECK (not_on_console IN (0, 1)),
    -- Set only by an administrator's explicit word; with 'dismissed_at' the one thing that lets an answer un-enrol.
    blocked_at         INTEGER,
    -- An administrator ended this enrolment. Counts once it is Gone; a fresh enrolment clears it.
    dismissed_at       INTEGER,
    -- The RemoveProfile that ends it.
    dismissed_by       TEXT,
    -- An administrator decided that it may come back out of Gone as it is.
    welcome_back       INTEGER NOT NULL DEFAULT 0 CHECK (welcome_back IN (0, 1)),
    issued_profile     INTEGER REFERENCES issued_profile (id),
    authenticated_at   INTEGER,
    token_updated_at   INTEGER,
    gone_at            INTEGER,
    last_seen_at       INTEGER,
    created_at         INTEGER NOT NULL,
    CHECK ((channel = 'device') = (parent IS NULL)),
    CHECK (udid IS NOT NULL OR user_enrollment_id IS NOT NULL),
    CHECK ((topic IS NULL) = (push_token IS NULL) AND (topic IS NULL) = (push_magic IS NULL)),
    CHECK (topic IS NULL OR state = 'Active')
) STRICT;
CREATE INDEX enrollment_of_device ON enrollment (device);
CREATE INDEX enrollment_children ON enrollment (parent) WHERE parent IS NOT NULL;
-- Asked at every start: which addresses do devices hold?
CREATE INDEX enrollment_holding ON enrollment (issued_profile) WHERE channel = 'device' AND state <> 'Gone';
CREATE INDEX enrollment_by_udid ON enrollment (udid) WHERE channel = 'device';
-- Asked by every look at the server's health and every scrape: how many devices are in which state. Not by `channel` first: the
-- planner would take it where a device's own enrolment is looked for, and read those of all devices for each.
CREATE INDEX enrollment_states ON enrollment (state, device) WHERE channel = 'device';

-- What one enrollment was given and may never change: URLs, topic, rights, per-user connections. Renewals copy it.
-- `person` is whose device it is; it becomes NULL when the person is erased.
CREATE TABLE issued_profile (
    id                  INTEGER PRIMARY KEY,
    payload_identifier  TEXT NOT NULL,
    name                TEXT NOT NULL,
    way                 TEXT NOT NULL CHECK (way IN ('download', 'page', 'ota', 'ade', 'renewal')),
    person              INTEGER REFERENCES person (id) ON DELETE SET NULL,
    replaces            INTEGER REFERENCES issued_profile (id),
    server_url          TEXT NOT NULL,
    check_in_url        TEXT NOT NULL,
    topic               TEXT NOT NULL,
    access_rights       INTEGER NOT NULL CHECK (access_rights BETWEEN 1 AND 8191),
    per_user            INTEGER NOT NULL CHECK (per_user IN (0, 1)),
    -- Apple's names, separated by blanks.
    capabilities        TEXT NOT NULL,
    sign_message        INTEGER NOT NULL CHECK (sign_message IN (0, 1)),
    identity            TEXT NOT NULL CHECK (identity IN ('scep', 'pkcs12')),
    signed              INTEGER NOT NULL CHECK (signed IN (0, 1)),
    -- SHA-256 of the signer's certificate.
    signer              BLOB CHECK (length(signer) = 32),
    -- SHA-256 in hex of the roots and intermediates inside, separated by blanks; none where TLS is publicly trusted.
    certificates        TEXT NOT NULL,
    -- When the first of these certificates and the signer's ends.
    ends_at             INTEGER,
    -- Until when a PKCS#12 identity inside may enrol its device; afterwards an unused file is worthless, as a challenge is.
    enroll_by           INTEGER,
    created_by          TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    CHECK ((identity = 'pkcs12') = (enroll_by IS NOT NULL)),
    CHECK (signed = (signer IS NOT NULL)),
    CHECK ((way = 'renewal') = (replaces IS NOT NULL))
) STRICT;

-- One-time permission to get a certificate. Only the hash is kept. Consumed when the certificate is issued; the same
-- transaction with the same key asked again gets the same certificate until `expires_at`.
CREATE TABLE challenge (
    id              INTEGER PRIMARY KEY,
    hash            BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    issued_profile  INTEGER REFERENCES issued_profile (id),
    -- Over the air, before there is a profile: the identity that is only good for fetching one.
    arrival         INTEGER REFERENCES arrival (id),
    enrollment      INTEGER REFERENCES enrollment (id),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    consumed_at     INTEGER,
    transaction_id  TEXT,
    key_hash        BLOB,
    certificate     BLOB REFERENCES certificate (fingerprint),
    -- A challenge inside a queued command lives as long as the command waits.
    command         TEXT,
    CHECK ((consumed_at IS NULL) = (certificate IS NULL)),
    CHECK ((issued_profile IS NULL) <> (arrival IS NULL))
) STRICT;
CREATE INDEX challenge_of_arrival ON challenge (arrival) WHERE arrival IS NOT NULL;
CREATE INDEX challenge_of_profile ON challenge (issued_profile) WHERE issued_profile IS NOT NULL;
CREATE INDEX challenge_of_certificate ON challenge (certificate) WHERE certificate IS NOT NULL;
CREATE INDEX challenge_transaction ON challenge (transaction_id) WHERE transaction_id IS NOT NULL;

-- Which certificate speaks for which device channel. Several at once while a renewal overlaps.
CREATE TABLE binding (
    certificate  BLOB NOT NULL REFERENCES certificate (fingerprint),
    enrollment   INTEGER NOT NULL REFERENCES enrollment (id),
    state        TEXT NOT NULL CHECK (state IN ('pending', 'current', 'retired', 'quarantined')),
    since        INTEGER NOT NULL,
    PRIMARY KEY (certificate, enrollment)
) STRICT, WITHOUT ROWID;
CREATE INDEX binding_of_enrollment ON binding (enrollment);

-- What to do. The plist is sealed: commands carry unlock tokens, PINs and passwords. Once handed out it never changes, and when
-- every delivery is finished it is purged (NULL): nobody needs it again.
CREATE TABLE command (
    uuid          TEXT PRIMARY KEY,
    request_type  TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    sealed_plist  BLOB
) STRICT, WITHOUT ROWID;

-- This command for this enrollment. `seq` is the order of the queue.
CREATE TABLE delivery (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    command        TEXT NOT NULL REFERENCES command (uuid),
    enrollment     INTEGER NOT NULL REFERENCES enrollment (id),
    state          TEXT NOT NULL CHECK (state IN
                       ('Queued', 'Sent', 'NotNow', 'Acknowledged', 'Error', 'CommandFormatError', 'Cancelled', 'Expired', 'Cleared')),
    generation     INTEGER NOT NULL,
    priority       INTEGER NOT NULL DEFAULT 0,
    not_before     INTEGER,
    expires_at     INTEGER,
    sent_count     INTEGER NOT NULL DEFAULT 0,
    last_sent_at   INTEGER,
    not_now_count  INTEGER NOT NULL DEFAULT 0,
    not_now_since  INTEGER,
    finished_at    INTEGER,
    UNIQUE (command, enrollment),
    CHECK ((finished_at IS NULL) = (state IN ('Queued', 'Sent', 'NotNow')))
) STRICT;
-- The poll: the unfinished deliveries of an enrollment in the order in which they are handed out, as the words happen to sort
-- backwards: Sent, Queued, NotNow. The next one is found without reading those behind it. Partial, so that history never slows it.
CREATE INDEX delivery_waiting ON delivery (enrollment, state DESC, priority DESC, seq) WHERE finished_at IS NULL;
CREATE INDEX delivery_of_enrollment ON delivery (enrollment, seq);
CREATE INDEX delivery_expiring ON delivery (expires_at) WHERE finished_at IS NULL AND expires_at IS NOT NULL;

-- The device's answer, compressed and sealed; apart from `delivery` so that polls never read it. The answer goes when the school's
-- retention is over; that there was one, and when it went, stays as long as the command. The blob stands last: it may be long.
CREATE TABLE result (
    delivery       INTEGER PRIMARY KEY REFERENCES delivery (seq),
    status         TEXT NOT NULL,
    error_chain    TEXT,
    answer_bytes   INTEGER NOT NULL,
    received_at    INTEGER NOT NULL,
    purged_at      INTEGER,
    sealed_answer  BLOB,
    CHECK (purged_at IS NULL OR sealed_answer IS NULL)
) STRICT;

-- Pushing, per enrollment: `due_at` is when unanswered work is pushed again; dead tokens wait for a TokenUpdate.
CREATE TABLE push (
    enrollment    INTEGER PRIMARY KEY REFERENCES enrollment (id),
    due_at        INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_sent_at  INTEGER,
    last_result   TEXT,
    expires_at    INTEGER,
    dead_at       INTEGER,
    dead_why      TEXT,
    CHECK ((dead_at IS NULL) = (dead_why IS NULL))
) STRICT;
CREATE INDEX push_due ON push (due_at) WHERE due_at IS NOT NULL AND dead_at IS NULL;

-- Effects promised inside a transaction and carried out after its commit. One row per kind and subject: a burst is one effect.
-- `asked` counts the wishes: one that comes while the effect is under way is not taken for done with it.
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL CHECK (kind IN ('push')),
    subject     INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    asked       INTEGER NOT NULL DEFAULT 1,
    created_at  INTEGER NOT NULL,
    UNIQUE (kind, subject)
) STRICT;
CREATE INDEX outbox_due ON outbox (due_at);

-- What happened to a device, in order, for people. `detail` is JSON without secrets. Nothing points at a line, so an id may come
-- again after the newest lines are gone.
CREATE TABLE timeline (
    id          INTEGER PRIMARY KEY,
    device      INTEGER NOT NULL REFERENCES device (id),
    enrollment  INTEGER REFERENCES enrollment (id),
    command     TEXT,
    at          INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    detail      TEXT
) STRICT;
CREATE INDEX timeline_of_device ON timeline (device, id);
CREATE INDEX timeline_of_command ON timeline (command, id) WHERE command IS NOT NULL;

-- Custody: never overwritten, kept per physical device and kind with a generation, also when it is un-enrolled or enrols anew.
-- A NULL value records that the secret was cleared by a command (an empty recovery lock).
CREATE TABLE secret (
    id            INTEGER PRIMARY KEY,
    device        INTEGER NOT NULL REFERENCES device (id),
    kind          TEXT NOT NULL CHECK (kind IN ('unlock-token', 'bootstrap-token', 'filevault-key', 'activation-lock-code', 'activation-lock-server-code',
                                                'recovery-lock', 'firmware-password', 'lock-pin')),
    generation    INTEGER NOT NULL,
    sealed_value  BLOB,
    created_at    INTEGER NOT NULL,
    -- The device took it back (an empty SetBootstrapToken): kept, but no longer handed out.
    withdrawn_at  INTEGER,
    -- Set for secrets that went out in a command: no foreign key, as old commands are cleared away and secrets are not.
    command       TEXT,
    -- The device acknowledged that command, or the device itself sent the secret. NULL: it may or may not be in force.
    confirmed_at  INTEGER,
    UNIQUE (device, kind, generation)
) STRICT;
CREATE INDEX secret_of_command ON secret (command) WHERE command IS NOT NULL;

-- One per push topic; the current one is for new enrollments. A request whose certificate has not come back has no chain yet.
CREATE TABLE push_certificate (
    topic        TEXT PRIMARY KEY,
    chain_pem    TEXT NOT NULL,
    sealed_key   BLOB NOT NULL,
    subject      TEXT NOT NULL,
    not_before   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL,
    current      INTEGER NOT NULL CHECK (current IN (0, 1)),
    imported_at  INTEGER NOT NULL,
    paused_why   TEXT,
    -- The Apple Account at identity.apple.com that it came from: only that account can renew it with the same topic.
    apple_account TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX push_certificate_current ON push_certificate (current) WHERE current = 1;

-- Keys made for push-certificate requests; the certificate that comes back finds its key here.
CREATE TABLE push_request (
    key_hash    BLOB PRIMARY KEY CHECK (length(key_hash) = 32),
    sealed_key  BLOB NOT NULL,
    csr_pem     TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Certificates by ACME, one row per directory. The account's key and the certificate's are sealed; a failed attempt waits until `due_at`.
CREATE TABLE acme (
    directory           TEXT PRIMARY KEY,
    sealed_account_key  BLOB NOT NULL,
    chain_pem           TEXT,
    sealed_key          BLOB,
    failures            INTEGER NOT NULL,
    due_at              INTEGER NOT NULL,
    CHECK ((chain_pem IS NULL) = (sealed_key IS NULL))
) STRICT, WITHOUT ROWID;

-- Requests under way at mdmcert.download: what it signs comes back by mail, encrypted to this certificate.
CREATE TABLE signing_request (
    id           INTEGER PRIMARY KEY,
    push_request BLOB NOT NULL REFERENCES push_request (key_hash),
    certificate  BLOB NOT NULL UNIQUE,
    sealed_key   BLOB NOT NULL,
    email        TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

-- Scripts. The token itself is shown once; its SHA-256 is kept.
CREATE TABLE api_token (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'helpdesk', 'teacher', 'auditor')),
    hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_by    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    last_used_at  INTEGER,
    revoked_at    INTEGER
) STRICT, WITHOUT ROWID;

-- Who changed or saw what, from where, why, and whether it was done or refused. Each row's hash covers the row and the hash before it.
-- Kept for ever, holds no secrets. `device` and `reason` stand apart from `detail` so that they can be looked for.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    origin    TEXT NOT NULL,
    verb      TEXT NOT NULL,
    subject   TEXT,
    device    TEXT,
    reason    TEXT,
    result    TEXT NOT NULL CHECK (result IN ('done', 'refused')),
    detail    TEXT,
    previous  BLOB NOT NULL CHECK (length(previous) = 32),
    hash      BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- How far the audit had come a moment ago: number and hash of its last row, sealed for the place 'audit_head', so that nobody without
-- the data key can take rows off the end or write the chain anew. AUTOINCREMENT's own count covers the last seconds.
CREATE TABLE audit_head (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    sealed_head  BLOB NOT NULL
) STRICT;

-- People who log in with a name and a password. Never deleted, only disabled: the audit names them.
-- `password_hash` is Argon2id of the password with this salt and cost. TOTP counts once a code has confirmed it;
-- `totp_step` is the step of the last code that was used, so that none works twice.
CREATE TABLE admin (
    id                   INTEGER PRIMARY KEY,
    name                 TEXT NOT NULL UNIQUE COLLATE NOCASE,
    role                 TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'helpdesk', 'teacher', 'auditor')),
    password_hash        BLOB NOT NULL CHECK (length(password_hash) = 32),
    password_salt        BLOB NOT NULL,
    password_cost        TEXT NOT NULL,
    password_changed_at  INTEGER NOT NULL,
    sealed_totp          BLOB,
    totp_confirmed_at    INTEGER,
    totp_step            INTEGER,
    created_by           TEXT NOT NULL,
    created_at           INTEGER NOT NULL,
    last_login_at        INTEGER,
    disabled_at          INTEGER,
    CHECK (sealed_totp IS NOT NULL OR totp_confirmed_at IS NULL)
) STRICT;

-- Who is logged in. The session's token is shown once; its SHA-256 is kept. Ending a session deletes its row.
CREATE TABLE admin_session (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    admin         INTEGER NOT NULL REFERENCES admin (id),
    hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    -- Where the login came from.
    origin        TEXT NOT NULL
) STRICT;
CREATE INDEX admin_session_of_admin ON admin_session (admin);

-- Wrong passwords, by name and by address, so that a restart forgives nobody. Written every few seconds from memory, the worst
-- thousand at most: a guess costs no write of its own.
CREATE TABLE login_try (
    key            TEXT PRIMARY KEY,
    wrong          INTEGER NOT NULL,
    last           INTEGER NOT NULL,
    blocked_until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is told to other programs. Written in the transaction of what it tells, and only when a webhook wants it.
-- `payload` is the JSON that is sent, without secrets.
CREATE TABLE event (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id  TEXT NOT NULL UNIQUE,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    device     INTEGER REFERENCES device (id),
    payload    TEXT NOT NULL
) STRICT;
CREATE INDEX event_at ON event (at);

-- Whom to tell over HTTP, and of what: `kinds` is a JSON array, empty for everything. The secret signs what is sent.
CREATE TABLE webhook (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    url            TEXT NOT NULL,
    sealed_secret  BLOB NOT NULL,
    kinds          TEXT NOT NULL,
    enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_by     TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    -- The secret before a rotation signs too until then, so that the receiver can change over in peace.
    sealed_old     BLOB,
    old_until      INTEGER,
    CHECK ((sealed_old IS NULL) = (old_until IS NULL))
) STRICT, WITHOUT ROWID;

-- One event for one webhook: the work to do and, afterwards, the log of it. Told again by hand, it is another row.
CREATE TABLE webhook_delivery (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook       TEXT NOT NULL REFERENCES webhook (id),
    event         INTEGER NOT NULL REFERENCES event (seq),
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at        INTEGER NOT NULL,
    last_at       INTEGER,
    last_status   INTEGER,
    last_answer   TEXT,
    delivered_at  INTEGER,
    given_up_at   INTEGER,
    CHECK (delivered_at IS NULL OR given_up_at IS NULL)
) STRICT;
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (webhook, seq) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX webhook_delivery_log ON webhook_delivery (webhook, seq);
CREATE INDEX webhook_delivery_event ON webhook_delivery (event, webhook);
-- The two-person rule: who asked to see which secret, who agreed, and whether it has been shown. Shown once. The kind ClearPasscode is
-- a wish to clear a passcode; once used it names the command, which is looked at again before that goes out.
CREATE TABLE secret_request (
    id           TEXT PRIMARY KEY,
    device       INTEGER NOT NULL REFERENCES device (id),
    kind         TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    asked_by     TEXT NOT NULL,
    asked_at     INTEGER NOT NULL,
    approved_by  TEXT,
    approved_at  INTEGER,
    used_at      INTEGER,
    command      TEXT UNIQUE,
    CHECK (command IS NULL OR used_at IS NOT NULL),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    CHECK (approved_by IS NULL OR approved_by <> asked_by),
    CHECK (used_at IS NULL OR approved_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX secret_request_open ON secret_request (asked_by, device, kind) WHERE used_at IS NULL;

-- ---- Ways in: invitations, and everybody who came to the door.

-- Permission to enrol, on paper or in a message. Only the hash of its code is kept. One use is one device; how often it was used
-- is counted from `arrival`. Made for a person, `recipient` is that person's public id, so that the name is nowhere but with the
-- person. Made for a class of the school, the devices that come in by it belong to that class.
CREATE TABLE invitation (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id   TEXT NOT NULL UNIQUE,
    hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- For people: whose device, or which.
    recipient   TEXT NOT NULL,
    person      INTEGER REFERENCES person (id) ON DELETE SET NULL,
    class       TEXT,
    "group"     INTEGER REFERENCES school_group (id) ON DELETE SET NULL,
    -- NULL: what the school's setting says when it is used.
    way         TEXT CHECK (way IN ('ota', 'profile')),
    uses        INTEGER NOT NULL CHECK (uses BETWEEN 1 AND 1000),
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;
CREATE INDEX invitation_of_class ON invitation (class, id) WHERE class IS NOT NULL;

-- One coming to the door: with a code, with a password, or by a device's own word (Automated Device Enrolment), and the profile
-- that was given last. `token_hash` is of the visitor's cookie, `challenge_hash` of the word in the Profile Service payload.
CREATE TABLE arrival (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    way             TEXT NOT NULL CHECK (way IN ('ota', 'profile', 'ade')),
    token_hash      BLOB UNIQUE CHECK (length(token_hash) = 32),
    challenge_hash  BLOB UNIQUE CHECK (length(challenge_hash) = 32),
    invitation      INTEGER REFERENCES invitation (id),
    person          INTEGER REFERENCES person (id) ON DELETE SET NULL,
    -- Who it is, for the audit and for people.
    visitor         TEXT NOT NULL,
    -- What the device said of itself under the signature of its built-in identity, and the SHA-256 of that identity's key.
    udid            TEXT,
    serial          TEXT,
    attributes      TEXT,
    device_key      BLOB CHECK (length(device_key) = 32),
    issued_profile  INTEGER REFERENCES issued_profile (id),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    -- Nothing was enrolled with it, and the use of the invitation was given back.
    closed_at       INTEGER
) STRICT;
CREATE INDEX arrival_of_invitation ON arrival (invitation) WHERE invitation IS NOT NULL;
CREATE INDEX arrival_of_profile ON arrival (issued_profile) WHERE issued_profile IS NOT NULL;
CREATE INDEX arrival_of_serial ON arrival (serial) WHERE serial IS NOT NULL;
CREATE INDEX certificate_of_profile ON certificate (issued_profile) WHERE issued_profile IS NOT NULL;

-- Replacements of MDM profiles on enrolled devices. 'queued': the InstallProfile waits or is being installed; 'proven': TokenUpdate
-- came under the new certificate, while the one before it stays good until the result of the command says what the device kept;
-- then 'done' or 'failed'. One open at a time.
CREATE TABLE renewal (
    id              INTEGER PRIMARY KEY,
    enrollment      INTEGER NOT NULL REFERENCES enrollment (id),
    -- No foreign key: old commands are cleared away.
    command         TEXT NOT NULL UNIQUE,
    issued_profile  INTEGER NOT NULL REFERENCES issued_profile (id),
    reason          TEXT NOT NULL CHECK (reason IN ('identity', 'profile', 'authorities', 'asked')),
    state           TEXT NOT NULL CHECK (state IN ('queued', 'proven', 'done', 'failed')),
    -- The certificate that comes back into force if the device rolls back.
    fallback        BLOB REFERENCES certificate (fingerprint),
    -- Failures in a row, this one included, and when it is tried again.
    failures        INTEGER NOT NULL DEFAULT 0,
    next_try_at     INTEGER,
    why             TEXT,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'proven')))
) STRICT;
CREATE UNIQUE INDEX renewal_open ON renewal (enrollment) WHERE finished_at IS NULL;
CREATE INDEX renewal_of_enrollment ON renewal (enrollment, id);

-- Where channels were pushed before a renewal that is still open: a device that rolls back has its old token and magic again.
CREATE TABLE fallback_target (
    enrollment  INTEGER PRIMARY KEY REFERENCES enrollment (id),
    push_token  BLOB NOT NULL,
    push_magic  TEXT NOT NULL
) STRICT;

-- What waits for a person's decision about a device. One open row per device and kind; the same thing again is counted.
CREATE TABLE attention (
    id           INTEGER PRIMARY KEY,
    device       INTEGER NOT NULL REFERENCES device (id),
    kind         TEXT NOT NULL CHECK (kind IN ('came-back', 'clone', 'other-identity', 'renewal')),
    certificate  BLOB REFERENCES certificate (fingerprint),
    detail       TEXT NOT NULL,
    first_at     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    times        INTEGER NOT NULL,
    settled_at   INTEGER,
    settled_by   TEXT,
    settled_how  TEXT,
    CHECK ((settled_at IS NULL) = (settled_by IS NULL) AND (settled_at IS NULL) = (settled_how IS NULL))
) STRICT;
CREATE UNIQUE INDEX attention_open ON attention (device, kind) WHERE settled_at IS NULL;

-- The last revocation list of each issuing authority; numbers only grow.
CREATE TABLE revocation_list (
    issuer     BLOB PRIMARY KEY REFERENCES certificate (fingerprint),
    number     INTEGER NOT NULL,
    der        BLOB NOT NULL,
    -- SHA-256 over what is in it.
    contents   BLOB NOT NULL CHECK (length(contents) = 32),
    made_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- ---- Profiles that the school hands out: what there is, who should have it, and what stands on each channel.

-- A configuration profile. Its PayloadIdentifier is its name on devices: the next version replaces the one before there.
-- Removed ones stay, because devices may still have to be told.
CREATE TABLE profile (
    id           INTEGER PRIMARY KEY,
    public_id    TEXT NOT NULL UNIQUE,
    identifier   TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1),
    -- Whether a device whose user took it off gets it again.
    comes_back   INTEGER NOT NULL DEFAULT 1 CHECK (comes_back IN (0, 1)),
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    removed_at   INTEGER
) STRICT;

-- One upload. `sealed_body` is what devices get, signed: profiles carry Wi-Fi and mail passwords. `signer` is the fingerprint of our
-- certificate that signed it; NULL for a profile with variables, which is filled in and signed for each device. `signed_by`: whose
-- signature was taken off when it came. `variables`: their names, a JSON array.
CREATE TABLE profile_version (
    id             INTEGER PRIMARY KEY,
    profile        INTEGER NOT NULL REFERENCES profile (id),
    version        INTEGER NOT NULL CHECK (version >= 1),
    sealed_body    BLOB NOT NULL,
    body_hash      BLOB NOT NULL CHECK (length(body_hash) = 32),
    bytes          INTEGER NOT NULL,
    signer         BLOB,
    payload_types  TEXT NOT NULL,
    variables      TEXT NOT NULL,
    signed_by      TEXT,
    created_by     TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (profile, version)
) STRICT;

-- Who should have a profile: a device itself, everyone who logs in on a device, a person wherever they log in, somebody who is known
-- by a UserID or short name only (`subject`), or a group: its people, its devices, or everyone who logs in on those.
CREATE TABLE assignment (
    id          INTEGER PRIMARY KEY,
    profile     INTEGER NOT NULL REFERENCES profile (id),
    target      TEXT NOT NULL CHECK (target IN ('device', 'everyone-on', 'user', 'person', 'group-people', 'group-devices', 'group-everyone-on')),
    device      INTEGER REFERENCES device (id),
    subject     TEXT COLLATE NOCASE,
    person      INTEGER REFERENCES person (id) ON DELETE CASCADE,
    "group"     INTEGER REFERENCES school_group (id) ON DELETE CASCADE,
    -- Assigned as a part of this pair; the profile is its restriction, or the one made of both.
    pair        INTEGER REFERENCES pair (id),
    -- Only while this schedule is open; NULL: always.
    schedule   INTEGER REFERENCES schedule (id),
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    CHECK ((target IN ('device', 'everyone-on')) = (device IS NOT NULL)),
    CHECK ((target = 'user') = (subject IS NOT NULL)),
    CHECK ((target = 'person') = (person IS NOT NULL)),
    CHECK ((target LIKE 'group-%') = ("group" IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX assignment_once ON assignment (profile, target, coalesce(device, 0), coalesce(subject, ''), coalesce(person, 0), coalesce("group", 0), coalesce(pair, 0));
CREATE INDEX assignment_of_pair ON assignment (pair) WHERE pair IS NOT NULL;
CREATE INDEX assignment_of_device ON assignment (device) WHERE device IS NOT NULL;
CREATE INDEX assignment_of_subject ON assignment (subject) WHERE subject IS NOT NULL;
CREATE INDEX assignment_of_person ON assignment (person) WHERE person IS NOT NULL;
CREATE INDEX assignment_of_group ON assignment ("group") WHERE "group" IS NOT NULL;
CREATE INDEX assignment_schedule ON assignment (schedule) WHERE schedule IS NOT NULL;

-- ---- When something is to be there: windows of the week by the clock on the school's wall.

-- `windows` is a JSON array like ["Mon-Fri 08:00-12:30"]; on the school's holidays none begins unless `on_holidays`.
CREATE TABLE schedule (
    id           INTEGER PRIMARY KEY,
    public_id    TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL UNIQUE COLLATE NOCASE,
    windows      TEXT NOT NULL,
    on_holidays  INTEGER NOT NULL CHECK (on_holidays IN (0, 1)),
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

-- The same as instants, made ahead for a year from windows, zone and holidays: what a channel should have is a comparison with the clock,
-- and nothing is forgotten while the server is off.
CREATE TABLE schedule_span (
    schedule  INTEGER NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
    opens_at   INTEGER NOT NULL,
    closes_at  INTEGER NOT NULL,
    PRIMARY KEY (schedule, opens_at),
    CHECK (closes_at > opens_at)
) STRICT, WITHOUT ROWID;
-- Asked every few seconds: what opened or closed a moment ago?
CREATE INDEX schedule_span_opening ON schedule_span (opens_at);
CREATE INDEX schedule_span_closing ON schedule_span (closes_at);

-- What management did with a profile on one channel: the version that the device acknowledged, and the last command about it.
-- Emptied when the device enrols anew, which takes the profiles off it. After a refusal it is tried again at `next_try_at`; when
-- `failures` in a row are too many it is a fault, and there is no next time until somebody says so. `gone_at`: the device reported
-- that it is not there any more, so somebody took it off.
CREATE TABLE channel_profile (
    enrollment  INTEGER NOT NULL REFERENCES enrollment (id),
    profile     INTEGER NOT NULL REFERENCES profile (id),
    installed   INTEGER,
    -- Which values a profile with variables was filled with: a hash, 0 without any.
    installed_fill INTEGER NOT NULL DEFAULT 0,
    -- Whose signature is under what was acknowledged: the fingerprint of our certificate. Before that ends the profile is replaced.
    installed_signer BLOB CHECK (length(installed_signer) = 32),
    command     TEXT NOT NULL,
    doing       TEXT NOT NULL CHECK (doing IN ('install', 'remove')),
    version     INTEGER NOT NULL,
    fill        INTEGER NOT NULL DEFAULT 0,
    signer      BLOB CHECK (length(signer) = 32),
    -- A command before this one was handed out and never answered: the device may have carried it out.
    uncertain   INTEGER NOT NULL DEFAULT 0 CHECK (uncertain IN (0, 1)),
    failed_at   INTEGER,
    failures    INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER,
    gone_at     INTEGER,
    PRIMARY KEY (enrollment, profile)
) STRICT, WITHOUT ROWID;
CREATE INDEX channel_profile_command ON channel_profile (command);
CREATE INDEX channel_profile_of ON channel_profile (profile);
CREATE INDEX channel_profile_signed ON channel_profile (installed_signer) WHERE installed_signer IS NOT NULL;
CREATE INDEX channel_profile_due ON channel_profile (next_try_at) WHERE next_try_at IS NOT NULL;

-- When each channel was last asked by itself what stands on it, and when for the long lists (apps, certificates).
CREATE TABLE inventory_round (
    enrollment  INTEGER PRIMARY KEY REFERENCES enrollment (id),
    asked_at    INTEGER NOT NULL,
    lists_at    INTEGER
) STRICT;

-- What stands on a device as it told it last: apps, certificates, profiles, facts of itself. `value` is what is compared: a version, a
-- last day, the fact; `since` when it was told first so.
CREATE TABLE stock (
    device  INTEGER NOT NULL REFERENCES device (id),
    kind    TEXT NOT NULL CHECK (kind IN ('app', 'certificate', 'profile', 'fact')),
    key     TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    detail  TEXT,
    since   INTEGER NOT NULL,
    PRIMARY KEY (device, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX stock_kind ON stock (kind, name COLLATE NOCASE);

-- What changed of it: the value before and after, NULL where it was not there. The newest of each device stay, for as long as stories do.
CREATE TABLE stock_change (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    device  INTEGER NOT NULL REFERENCES device (id),
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    name    TEXT NOT NULL,
    before  TEXT,
    after   TEXT
) STRICT;
CREATE INDEX stock_change_of ON stock_change (device, id);

-- What the school knows of a device or a person beside what there is a column for; profiles use it as a variable.
CREATE TABLE custom_field (
    device  INTEGER REFERENCES device (id),
    person  INTEGER REFERENCES person (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    CHECK ((device IS NULL) <> (person IS NULL))
) STRICT;
CREATE UNIQUE INDEX custom_field_of_device ON custom_field (device, name) WHERE device IS NOT NULL;
CREATE UNIQUE INDEX custom_field_of_person ON custom_field (person, name) WHERE person IS NOT NULL;

-- ---- Accounts: each stands in a profile of its own, made here, so that it can be changed, repaired or taken away without the others.

-- What is set up, and by which credential; whose it is says the profile's one assignment. The versions of the profile hold everything
-- but the credential. `sealed_credential` (place 'account/<id>') is what a device is still to be given: a password, or a key with its certificate.
-- It goes as soon as everybody who should have it acknowledged it, and no other copy is kept.
CREATE TABLE account (
    id                INTEGER PRIMARY KEY,
    public_id         TEXT NOT NULL UNIQUE,
    profile           INTEGER NOT NULL UNIQUE REFERENCES profile (id),
    kind              TEXT NOT NULL CHECK (kind IN ('mail', 'exchange', 'exchange-mac', 'caldav', 'carddav', 'ldap', 'wifi', 'vpn')),
    -- Apple's keys as JSON, with variables; never a password.
    settings          TEXT NOT NULL,
    -- 'ask': the device asks its user.
    credential        TEXT NOT NULL CHECK (credential IN ('ask', 'password', 'certificate')),
    sealed_credential BLOB,
    -- Since when it waits to be delivered, and when it was last delivered to everybody.
    credential_since  INTEGER,
    credential_done   INTEGER,
    -- The certificate in force.
    certificate       BLOB REFERENCES certificate (fingerprint),
    created_by        TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    CHECK (credential <> 'ask' OR sealed_credential IS NULL),
    CHECK ((sealed_credential IS NULL) = (credential_since IS NULL)),
    CHECK (certificate IS NULL OR credential = 'certificate')
) STRICT;
CREATE INDEX account_waiting ON account (credential_since) WHERE credential_since IS NOT NULL;

-- Certificates that the one in force took the place of: several, where one of them did not reach every device either. They are good until
-- every device has the one in force.
CREATE TABLE account_replaced (
    account      INTEGER NOT NULL REFERENCES account (id),
    certificate  BLOB NOT NULL REFERENCES certificate (fingerprint),
    PRIMARY KEY (account, certificate)
) STRICT, WITHOUT ROWID;

-- ---- Provisioning profiles: what lets a device run an app that was not bought in a store. One line of them for each app; each upload is
-- the next one of its line, with a UUID of Apple's.

CREATE TABLE provisioning (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT NOT NULL UNIQUE,
    -- Team and bundle identifier of the app, as Apple writes them: ABCDE12345.org.example.timetable
    app_id      TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- The one that devices should have.
    current     INTEGER NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    removed_at  INTEGER
) STRICT;
CREATE UNIQUE INDEX provisioning_of_app ON provisioning (app_id) WHERE removed_at IS NULL;

-- One upload: the file as Apple signed it, which is no secret.
CREATE TABLE provisioning_version (
    id            INTEGER PRIMARY KEY,
    provisioning  INTEGER NOT NULL REFERENCES provisioning (id),
    uuid          TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    team          TEXT,
    signed_by     TEXT NOT NULL,
    -- How many devices it names; NULL for one that is for all of the team's.
    devices       INTEGER,
    made_at       INTEGER,
    expires_at    INTEGER NOT NULL,
    body          BLOB NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX provisioning_versions ON provisioning_version (provisioning);

-- To whom: a device, or the devices of a group.
CREATE TABLE provisioning_assignment (
    provisioning  INTEGER NOT NULL REFERENCES provisioning (id),
    device        INTEGER REFERENCES device (id),
    "group"       INTEGER REFERENCES school_group (id) ON DELETE CASCADE,
    created_by    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    CHECK ((device IS NULL) <> ("group" IS NULL))
) STRICT;
CREATE UNIQUE INDEX provisioning_assigned_once ON provisioning_assignment (provisioning, coalesce(device, 0), coalesce("group", 0));
CREATE INDEX provisioning_assigned_device ON provisioning_assignment (device) WHERE device IS NOT NULL;
CREATE INDEX provisioning_assigned_group ON provisioning_assignment ("group") WHERE "group" IS NOT NULL;

-- What management did with one upload on one device, and what the device says. `stands`: it acknowledged the install and has not lost it
-- since. `confirmed_at`: it listed it afterwards. `removed_at`: it acknowledged the removal; `returned_at`: it lists it again since.
CREATE TABLE device_provisioning (
    enrollment    INTEGER NOT NULL REFERENCES enrollment (id),
    version       INTEGER NOT NULL REFERENCES provisioning_version (id),
    command       TEXT NOT NULL,
    doing         TEXT NOT NULL CHECK (doing IN ('install', 'remove')),
    stands        INTEGER NOT NULL DEFAULT 0 CHECK (stands IN (0, 1)),
    confirmed_at  INTEGER,
    removed_at    INTEGER,
    returned_at   INTEGER,
    failures      INTEGER NOT NULL DEFAULT 0,
    failed_at     INTEGER,
    next_try_at   INTEGER,
    PRIMARY KEY (enrollment, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_provisioning_command ON device_provisioning (command);
CREATE INDEX device_provisioning_of ON device_provisioning (version);
CREATE INDEX device_provisioning_due ON device_provisioning (next_try_at) WHERE next_try_at IS NOT NULL;

-- What each device said it has, the last time that it was asked; not ours alone.
CREATE TABLE listed_provisioning (
    enrollment  INTEGER NOT NULL REFERENCES enrollment (id),
    uuid        TEXT NOT NULL,
    name        TEXT NOT NULL,
    expires_at  INTEGER,
    listed_at   INTEGER NOT NULL,
    PRIMARY KEY (enrollment, uuid)
) STRICT, WITHOUT ROWID;

-- ---- Set-up plans: what a device or a user gets while Setup Assistant waits (AwaitingConfiguration), and how long it may wait.

-- The plan of one group, of one device, or of everybody (neither). `sealed_commands` is JSON: commands with Apple's keys,
-- among them the account of a Mac with its password hash. Profiles come from assignments and from `profiles`, ids as a JSON array.
CREATE TABLE setup_plan (
    id               INTEGER PRIMARY KEY,
    public_id        TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL,
    "group"          INTEGER REFERENCES school_group (id) ON DELETE CASCADE,
    device           INTEGER REFERENCES device (id),
    profiles         TEXT NOT NULL,
    sealed_commands  BLOB NOT NULL,
    commands         TEXT NOT NULL,
    limit_seconds    INTEGER NOT NULL CHECK (limit_seconds BETWEEN 10 AND 3600),
    created_by       TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    CHECK ("group" IS NULL OR device IS NULL)
) STRICT;
CREATE UNIQUE INDEX setup_plan_once ON setup_plan (coalesce("group", 0), coalesce(device, 0));

-- One channel's set-up under way, or its last one. It ends with DeviceConfigured or UserConfigured, whatever became of its steps.
CREATE TABLE setup_run (
    enrollment  INTEGER PRIMARY KEY REFERENCES enrollment (id),
    plan        TEXT,
    since       INTEGER NOT NULL,
    ends_by     INTEGER NOT NULL,
    released    TEXT,
    why         TEXT,
    CHECK ((released IS NULL) = (why IS NULL))
) STRICT;
CREATE INDEX setup_run_waiting ON setup_run (ends_by) WHERE released IS NULL;

-- The commands that a set-up waits for.
CREATE TABLE setup_step (
    enrollment  INTEGER NOT NULL REFERENCES enrollment (id),
    command     TEXT NOT NULL,
    PRIMARY KEY (enrollment, command)
) STRICT, WITHOUT ROWID;

-- ---- Logins that wait: a user channel whose person is held up until everything has gone out (NeedSyncResponse), or whose account
-- does not exist yet (UserConfiguration). One row per user channel: the series under way, or the last one.
CREATE TABLE series (
    enrollment  INTEGER PRIMARY KEY REFERENCES enrollment (id),
    kind        TEXT NOT NULL CHECK (kind IN ('login', 'setup')),
    open        INTEGER NOT NULL CHECK (open IN (0, 1)),
    since       INTEGER NOT NULL,
    handed_out  INTEGER NOT NULL DEFAULT 0,
    ended_at    INTEGER,
    CHECK ((ended_at IS NULL) = (open = 1))
) STRICT;

-- What has gone out in the series under way: each command once. Emptied when it ends.
CREATE TABLE series_step (
    enrollment  INTEGER NOT NULL REFERENCES enrollment (id),
    delivery    INTEGER NOT NULL REFERENCES delivery (seq),
    PRIMARY KEY (enrollment, delivery)
) STRICT, WITHOUT ROWID;

-- ---- People of the school, their groups, and who of them is managed on which Mac.

-- Pupils, teachers, staff: who uses devices. Those who log in to run Cordon are admins, another noun. A person is erased by
-- deleting the row; the audit names nobody but `public_id`, which then is a pseudonym of nobody.
CREATE TABLE person (
    id                   INTEGER PRIMARY KEY,
    public_id            TEXT NOT NULL UNIQUE,
    short_name           TEXT NOT NULL UNIQUE COLLATE NOCASE,
    long_name            TEXT,
    mail                 TEXT,
    -- Who keeps this person up to date. The key of a directory's record is one of the person's GUIDs.
    source               TEXT NOT NULL CHECK (source IN ('local', 'csv', 'ldap')),
    -- Argon2id, for the enrolment pages; NULL until a password is known.
    password_hash        BLOB CHECK (length(password_hash) = 32),
    password_salt        BLOB,
    password_cost        TEXT,
    password_changed_at  INTEGER,
    created_by           TEXT NOT NULL,
    created_at           INTEGER NOT NULL,
    disabled_at          INTEGER,
    -- Why: 'person' (somebody said so) or 'vanished' (the directory has the record no more, and brings it back by itself).
    disabled_why         TEXT CHECK (disabled_why IN ('person', 'vanished')),
    CHECK ((password_hash IS NULL) = (password_salt IS NULL) AND (password_hash IS NULL) = (password_cost IS NULL)
           AND (password_hash IS NULL) = (password_changed_at IS NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_why IS NULL))
) STRICT;

-- Ids of a person's records in directories, in capitals: what a Mac calls UserID. `learned` ones were proven by a password.
CREATE TABLE person_guid (
    guid     TEXT PRIMARY KEY,
    person   INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    kind     TEXT NOT NULL CHECK (kind IN ('apple-generateduid', 'entryUUID', 'objectGUID', 'given', 'learned')),
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX person_guid_of ON person_guid (person);

-- What answers a digest challenge: MD5 of name, realm and password (HA1 of RFC 2617), never the password. As good as the
-- password to whoever knows it, so it is sealed.
CREATE TABLE person_digest (
    id          INTEGER PRIMARY KEY,
    person      INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    realm       TEXT NOT NULL,
    sealed_ha1  BLOB NOT NULL,
    made_at     INTEGER NOT NULL,
    UNIQUE (person, realm)
) STRICT;

-- The directory that people come from, at most one. Attributes is JSON: which attribute is what.
CREATE TABLE directory (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    url              TEXT NOT NULL,
    base_dn          TEXT NOT NULL,
    filter           TEXT NOT NULL,
    attributes       TEXT NOT NULL,
    -- Who asks; NULL asks as nobody.
    bind_dn          TEXT,
    sealed_password  BLOB,
    -- Authorities that the directory's certificate may come from, instead of the public ones.
    ca_pem           TEXT,
    changed_at       INTEGER NOT NULL,
    last_sync_at     INTEGER,
    last_sync        TEXT,
    CHECK ((bind_dn IS NULL) = (sealed_password IS NULL))
) STRICT;

-- Groups of devices and of people; a class is both. A smart group has a filter instead of devices.
CREATE TABLE school_group (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    kind        TEXT NOT NULL CHECK (kind IN ('devices', 'people', 'class', 'smart')),
    filter      TEXT,
    -- How network users are dealt with who are in it, or on a device in it; NULL leaves it to the school.
    login_mode  TEXT CHECK (login_mode IN ('known', 'digest', 'refuse')),
    source      TEXT NOT NULL CHECK (source IN ('local', 'csv', 'ldap')),
    created_by  TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    CHECK ((kind = 'smart') = (filter IS NOT NULL))
) STRICT;

CREATE TABLE group_device (
    "group"  INTEGER NOT NULL REFERENCES school_group (id) ON DELETE CASCADE,
    device   INTEGER NOT NULL REFERENCES device (id),
    since    INTEGER NOT NULL,
    PRIMARY KEY ("group", device)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_device_of ON group_device (device);

-- `part`: a pupil (or plain member), or a teacher of a class. The admin of the same name as a teacher teaches it too.
CREATE TABLE group_person (
    "group"  INTEGER NOT NULL REFERENCES school_group (id) ON DELETE CASCADE,
    person   INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    part     TEXT NOT NULL CHECK (part IN ('member', 'teacher')),
    source   TEXT NOT NULL CHECK (source IN ('local', 'csv', 'ldap')),
    since    INTEGER NOT NULL,
    PRIMARY KEY ("group", person)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_person_of ON group_person (person);

-- Admins who teach a class without being people of the school.
CREATE TABLE group_admin (
    "group"  INTEGER NOT NULL REFERENCES school_group (id) ON DELETE CASCADE,
    admin    INTEGER NOT NULL REFERENCES admin (id),
    since    INTEGER NOT NULL,
    PRIMARY KEY ("group", admin)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_admin_of ON group_admin (admin);

-- By what right a user's channel of a Mac is there. Keyed by the channel's id, because a network user logs in before the channel
-- exists. A new enrolment of the device forgets the local users and the tokens, but not who is a network user.
CREATE TABLE user_standing (
    channel           TEXT PRIMARY KEY,
    device_channel    INTEGER NOT NULL REFERENCES enrollment (id),
    standing          TEXT NOT NULL CHECK (standing IN ('installer', 'further', 'outside', 'managed')),
    person            INTEGER REFERENCES person (id) ON DELETE SET NULL,
    -- SHA-256 of the AuthToken that every request must bring; NULL for one who is managed without.
    token_hash        BLOB CHECK (length(token_hash) = 32),
    -- SHA-256 of the one challenge that may be answered, once and soon.
    nonce_hash        BLOB CHECK (length(nonce_hash) = 32),
    nonce_expires_at  INTEGER,
    since             INTEGER NOT NULL,
    CHECK (token_hash IS NULL OR standing = 'managed'),
    CHECK ((nonce_hash IS NULL) = (nonce_expires_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX user_standing_of ON user_standing (device_channel);
CREATE INDEX user_standing_person ON user_standing (person) WHERE person IS NOT NULL;

-- ---- Silence: enrolled devices that were not heard of, as far as anything was done about it.

CREATE TABLE activity (
    enrollment      INTEGER PRIMARY KEY REFERENCES enrollment (id),
    -- When a push last asked whether it is there.
    tested_at       INTEGER,
    -- It counts as inactive since then, and that was told.
    inactive_since  INTEGER
) STRICT;

-- ---- One wish for many devices.

-- What somebody asked of many devices (`whom`: the group, by its name then). `sealed_keys` are Apple's keys as a property list, purged
-- (NULL) when every device has its command. The whole wish is purged after the last of its commands.
CREATE TABLE bulk (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id     TEXT NOT NULL UNIQUE,
    request_type  TEXT NOT NULL,
    sealed_keys   BLOB,
    unchecked     INTEGER NOT NULL CHECK (unchecked IN (0, 1)),
    not_before    INTEGER,
    expires_at    INTEGER,
    whom          TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX bulk_of ON bulk (created_by, id);

-- Every device of it, written with the wish itself; a job gives each its command afterwards (`command`), or writes down why there is
-- none (`refused`). `command` is no foreign key: old ones are cleared away.
CREATE TABLE bulk_item (
    bulk     INTEGER NOT NULL REFERENCES bulk (id),
    device   INTEGER NOT NULL REFERENCES device (id),
    command  TEXT,
    refused  TEXT,
    PRIMARY KEY (bulk, device),
    CHECK (command IS NULL OR refused IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_item_open ON bulk_item (bulk, device) WHERE command IS NULL AND refused IS NULL;

-- ---- Pairs: a restriction, and the capability that it is accepted for.

-- 'together': `combined` is one profile made of both, and goes out instead of them. 'gated': the restriction goes out first, and the
-- capability when the device says what `condition` wants to hear. A removed pair stays, for what still stands on devices because of it.
CREATE TABLE pair (
    id           INTEGER PRIMARY KEY,
    public_id    TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    mode         TEXT NOT NULL CHECK (mode IN ('together', 'gated')),
    restriction  INTEGER NOT NULL REFERENCES profile (id),
    capability   INTEGER NOT NULL REFERENCES profile (id),
    combined     INTEGER REFERENCES profile (id),
    condition    TEXT NOT NULL,
    on_lapse     TEXT NOT NULL CHECK (on_lapse IN ('withdraw', 'after-grace', 'keep')),
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    removed_at   INTEGER,
    CHECK (restriction <> capability),
    CHECK ((mode = 'together') = (combined IS NOT NULL))
) STRICT;

-- How far one channel is with one gated pair. `version` and `fill` are the edition of the restriction that stands there, since
-- `restricted_at`. At `due_at` it is looked at again: to ask the device, or because a time is over. All of it survives a restart.
CREATE TABLE gate (
    enrollment     INTEGER NOT NULL REFERENCES enrollment (id),
    pair           INTEGER NOT NULL REFERENCES pair (id),
    phase          TEXT NOT NULL CHECK (phase IN ('waiting', 'grace', 'unmet', 'open', 'lapsed')),
    since          INTEGER NOT NULL,
    version        INTEGER,
    fill           INTEGER,
    restricted_at  INTEGER,
    asked_at       INTEGER,
    answer         TEXT CHECK (answer IN ('complies', 'fails', 'silent', 'refused')),
    answered_at    INTEGER,
    refusals       INTEGER NOT NULL DEFAULT 0,
    due_at         INTEGER,
    PRIMARY KEY (enrollment, pair),
    CHECK ((version IS NULL) = (restricted_at IS NULL) AND (version IS NULL) = (fill IS NULL)),
    CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CHECK ((restricted_at IS NULL) = (phase = 'waiting'))
) STRICT, WITHOUT ROWID;
CREATE INDEX gate_of_pair ON gate (pair, enrollment);
CREATE INDEX gate_due ON gate (due_at) WHERE due_at IS NOT NULL;
-- The story of one pair on all devices.
CREATE INDEX timeline_of_pair ON timeline (json_extract(detail, '$.pair'), id) WHERE kind GLOB 'gate-*';

-- ---- E-mail: warnings for people.

-- The server that takes our mail, at most one, and whom it is for. `recipients` and `kinds` are JSON arrays. How sending goes is here
-- too, because one letter holds everything that waits.
CREATE TABLE mail_server (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    host            TEXT NOT NULL,
    port            INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    -- 'plain' is for a server on this machine only.
    security        TEXT NOT NULL CHECK (security IN ('tls', 'starttls', 'plain')),
    username        TEXT,
    sealed_password BLOB,
    -- Authorities that the server's certificate may come from, instead of the public ones.
    ca_pem          TEXT,
    sender          TEXT NOT NULL,
    recipients      TEXT NOT NULL,
    kinds           TEXT NOT NULL,
    enabled         INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    changed_at      INTEGER NOT NULL,
    -- Attempts since a letter was last taken, and when the next may be made: after a letter a pause, after a failure a longer one.
    attempts        INTEGER NOT NULL DEFAULT 0,
    due_at          INTEGER NOT NULL DEFAULT 0,
    last_at         INTEGER,
    last_sent_at    INTEGER,
    -- Why the last attempt failed, or which recipients were refused.
    trouble         TEXT,
    CHECK ((username IS NULL) = (sealed_password IS NULL))
) STRICT;

-- One event for the next letter, and afterwards the log of it.
CREATE TABLE mail_delivery (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    event        INTEGER NOT NULL UNIQUE REFERENCES event (seq),
    sent_at      INTEGER,
    given_up_at  INTEGER,
    CHECK (sent_at IS NULL OR given_up_at IS NULL)
) STRICT;
CREATE INDEX mail_delivery_waiting ON mail_delivery (seq) WHERE sent_at IS NULL AND given_up_at IS NULL;

-- Where the listeners' certificate comes from, as somebody chose here. Nothing while nobody chose, and without force where the
-- configuration says `tls.mode`. Of a certificate that was given: the chain and its key.
CREATE TABLE tls_choice (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    mode        TEXT NOT NULL CHECK (mode IN ('own-ca', 'given', 'acme')),
    chain_pem   TEXT,
    sealed_key  BLOB,
    contact     TEXT,
    chosen_at   INTEGER NOT NULL,
    CHECK ((mode = 'given') = (chain_pem IS NOT NULL) AND (chain_pem IS NULL) = (sealed_key IS NULL))
) STRICT;

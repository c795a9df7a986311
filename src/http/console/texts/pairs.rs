//! The words of the pages about pairs: a restriction, and the capability that it is accepted for.

use super::Words;

macro_rules! words {
    ($($name:ident: $english:literal;)*) => {
        /// The words of one language.
        pub struct Pairs { $(pub $name: &'static str,)* }
        static ENGLISH: Pairs = Pairs { $($name: $english,)* };
    };
}

impl Words {
    pub fn pairs(&self) -> &'static Pairs {
        &ENGLISH
    }
}

impl Pairs {
    /// The phase of a gate.
    pub fn phase(&self, phase: &str) -> &'static str {
        match phase {
            "waiting" => self.waiting,
            "grace" => self.grace,
            "unmet" => self.unmet,
            "open" => self.open,
            _ => self.lapsed,
        }
    }

    /// What happened with a gate, from the kinds of the timeline.
    pub fn event(&self, kind: &str) -> Option<&'static str> {
        Some(match kind {
            "gate-waiting" => self.told_waiting,
            "gate-grace" => self.told_grace,
            "gate-unmet" => self.told_unmet,
            "gate-open" => self.told_open,
            "gate-lapsed" => self.told_lapsed,
            "gate-restriction-gone" => self.told_gone,
            "gate-ended" => self.told_ended,
            _ => return None,
        })
    }
}

words! {
    nav: "Pairs";
    lead: "A restriction, and what a device gets for accepting it: the passcode first, then the VPN. Nobody keeps the one without the other.";
    new: "Make a pair";
    none: "There are no pairs yet.";
    name_hint: "As people will know it: “VPN for a passcode”.";
    mode: "How";
    gated: "The locked restriction first, the capability when the device complies";
    together: "Both in one profile";
    restriction: "Restriction";
    capability: "Capability";
    until: "Until";
    until_hint: "passcode; or installed; or a fact that the device tells, such as SecurityInfo.FDE_Enabled=true.";
    on_lapse: "When it complies no more";
    withdraw: "The capability goes at once";
    after_grace: "The capability goes after an hour";
    keep: "The capability stays";
    combined: "In one profile";
    too_few: "A pair needs two profiles. Add them to the library first.";
    devices: "How far each device is";
    nobody: "Nobody has it yet.";
    device: "Device";
    state: "State";
    ends: "Its time ends";
    story: "What happened";
    change: "Change it";
    remove_does: "The capability leaves every device that has it, and then the restriction. Both profiles stay in the library.";
    remove_sure: "I know that the capability goes from every device";
    removed: "removed from the library";
    waiting: "Waits for the restriction";
    grace: "Has its hour";
    unmet: "Does not comply";
    open: "Complies";
    lapsed: "Complies no more";
    told_waiting: "The restriction of a pair is on its way";
    told_grace: "The restriction stands; the hour for a new passcode has begun";
    told_unmet: "The restriction stands, and the device does not comply";
    told_open: "The device complies; the capability is released";
    told_lapsed: "The device complies no more";
    told_gone: "The restriction vanished; the capability is withdrawn";
    told_ended: "A pair has ended here";
}

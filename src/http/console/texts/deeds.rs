//! Words of what can be done to a device, and of what would become of it.

super::group! {
    /// Deeds and commands.
    Deeds,
    cannot_be_undone: "Think twice: this cannot be taken back.";
    what_it_does: "What this does";
    how_it_stands: "How the device stands now";
    ahead: "command(s) wait already and may go first.";
    reason: "Reason";
    reason_hint: "At least 10 characters. It is kept in the audit for ever.";
    pin: "PIN of six digits";
    pin_hint: "Whoever unlocks the Mac types it. It is kept in custody.";
    message: "Message on the screen";
    phone: "Phone number on the screen";
    footnote: "Footnote on the screen";
    type_name: "Name of the device";
    type_name_hint: "To be sure that it is this one, type its name:";
    not_its_name: "is not the name of this device";
    lock: "Lock";
    lock_does: "Locks the screen at once. Whoever knows the passcode opens it again. A Mac restarts and stays locked until the PIN is typed.";
    lock_button: "Lock it";
    restart: "Restart";
    restart_does: "Restarts the device at once; unsaved work is lost. An iPhone or iPad must be supervised, and with a passcode it is off the Wi-Fi until somebody unlocks it.";
    restart_button: "Restart it";
    shut_down: "Shut down";
    shut_down_does: "Switches the device off. It cannot be reached until somebody switches it on again.";
    shut_down_button: "Shut it down";
    clear_passcode: "Clear the passcode";
    clear_passcode_does: "Opens the device for whoever holds it, and switches its data protection off until a new passcode is set. Only for a device that is in the hands of its owner: be sure of that first, and say how.";
    clear_passcode_button: "Clear the passcode";
    possession: "How do you know that the owner holds it?";
    possession_hint: "For example “She is standing in front of me with it”. At least 10 characters; kept in the audit for ever.";
    lost: "Mark as lost";
    lost_does: "Marks the device as lost and puts it into Lost Mode: it is locked and shows your words to whoever finds it. A waiting clearing of its passcode is stopped. A Mac is only marked.";
    lost_button: "Mark as lost";
    lost_message_hint: "Give a message or a phone number: the finder sees it.";
    missing: "Only mark it as missing";
    missing_hint: "Nothing is sent to the device.";
    found: "It was found";
    found_does: "Takes the mark away and ends Lost Mode, so that the device can be used again.";
    found_button: "It was found";
    locate: "Ask where it is";
    locate_does: "Asks the device for its place. It answers only in Lost Mode. Whoever uses it is told afterwards that its place was asked for.";
    locate_button: "Ask where it is";
    whereabouts: "Where it was";
    whereabouts_does: "Shows where the device said it was. That you looked, and why, is kept in its story and in the audit.";
    whereabouts_button: "Show where it was";
    where_it_was: "As the device said it";
    erase: "Erase";
    erase_does: "Deletes everything on the device and takes it back to how it left the factory. What was not saved elsewhere is gone.";
    erase_button: "Erase everything on it";
    remove: "Remove management";
    remove_does: "Takes the device out of management. Everything that came with it goes too: its profiles, managed apps and their data, managed accounts. To come back it must be enrolled anew.";
    remove_button: "Remove management";
    block: "Block";
    block_does: "Tells the device to leave the next time it comes, and refuses it until it is unblocked. Everything that came with management goes too.";
    block_button: "Block it";
    unblock: "Unblock";
    unblock_does: "Lets the device enrol again. It does not come back by itself.";
    unblock_button: "Unblock it";
    will_it: "Will it run?";
    will_run: "It will run";
    will_not_run: "It will not run";
    not_sure: "Probably";
    about_when: "About when";
    why_not: "Why";
    look_ahead: "Look ahead";
}

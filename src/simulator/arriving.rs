//! How a simulated device comes to the door by itself or by its person's hand: the enrolment page, over-the-air delivery in three phases,
//! Automated Device Enrolment. Ends where `enrollment` begins, with an enrolment profile.
//!
//! Written from Apple's text, not from the server's code: a device asks nothing of its server that is not in a profile it was given.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::browser::{Browser, hidden};
use super::built_in::BuiltIn;
use super::device::{Device, DeviceError, World};
use super::network::{Url, tls_config_at};
use super::profile::{self, Refusal};
use super::scep;
use super::wire::{Answer, Client, Request};
use crate::pki::cms::{open_envelope, sign_attached, verify_attached};
use crate::pki::keys::PrivateKey;
use crate::pki::x509::Certificate;
use crate::plist::{Dict, Dictionary, Value, parse, parse_dict, to_xml};

/// Content type of what a device signs to enrol.
pub const SIGNED: &str = "application/pkcs7-signature";
const PROFILE: &str = "application/x-apple-aspen-config";

/// What a person shows at the door.
#[derive(Debug, Clone, Copy)]
pub enum Pass<'a> {
    Code(&'a str),
    Login { name: &'a str, password: &'a str },
}

/// A Profile Service payload that a device holds, and the identity that it brought.
pub struct OverTheAir {
    pub url: Url,
    pub challenge: Option<String>,
    asked: Vec<String>,
    anchors: Vec<Vec<u8>>,
    pub passing: Option<(Certificate, PrivateKey)>,
}

impl Device {
    /// Its person opens the enrolment page in a browser and shows a pass; the file that they are given.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] with the status of the page that came instead.
    pub fn fetch_by_page(&self, page: &Url, anchors: &[Vec<u8>], pass: Pass<'_>) -> Result<Vec<u8>, DeviceError> {
        let mut browser = Browser::new(&self.world, page.clone(), anchors)?;
        let inside = show(&mut browser, page, pass)?;
        if !inside.is_success() {
            return Err(DeviceError::Refused { message: "the enrolment page", status: inside.status });
        }
        take_profile(browser.open("/enroll/profile")?)
    }

    /// All of it: page, file, and whatever the file asks for, to the end.
    ///
    /// # Errors
    /// [`DeviceError`] from wherever it stops.
    pub fn enroll_by_page(
        &mut self,
        page: &Url,
        anchors: &[Vec<u8>],
        pass: Pass<'_>,
        built_in: &BuiltIn,
    ) -> Result<Option<OverTheAir>, DeviceError> {
        let file = self.fetch_by_page(page, anchors, pass)?;
        let Some(mut delivery) = OverTheAir::read(&file, anchors)? else {
            self.enroll(&file)?;
            return Ok(None);
        };
        delivery.introduce(self, built_in)?;
        let profile = delivery.finish(self)?;
        self.enroll(&profile)?;
        Ok(Some(delivery))
    }

    /// Automated Device Enrolment: asks the URL that Apple gave it.
    ///
    /// # Errors
    /// [`DeviceError`] from wherever it stops.
    pub fn enroll_automated(&mut self, url: &Url, anchors: &[Vec<u8>], built_in: &BuiltIn) -> Result<(), DeviceError> {
        let body = built_in.sign(&self.machine_info(), self.world.clock.now());
        let profile = take_profile(post(&self.world, url, anchors, &body)?)?;
        self.enroll(&profile)
    }

    /// The same through the web view of Setup Assistant, in which a person logs in; the web view keeps no cookies.
    ///
    /// # Errors
    /// [`DeviceError`] from wherever it stops.
    pub fn enroll_in_setup_assistant(
        &mut self,
        page: &Url,
        anchors: &[Vec<u8>],
        pass: Pass<'_>,
        built_in: &BuiltIn,
    ) -> Result<(), DeviceError> {
        let body = built_in.sign(&self.machine_info(), self.world.clock.now());
        let mut browser = Browser::new(&self.world, page.clone(), anchors)?;
        browser.headers.push(("x-apple-aspen-deviceinfo".to_owned(), STANDARD.encode(&body)));
        let first = browser.open(&page.target)?;
        let machine = hidden(&first, "machine").unwrap_or_default();
        // The header is on the first request only.
        browser.headers.clear();
        browser.forget();
        let mut fields = vec![("machine", machine.as_str())];
        fields.extend(pass_fields(&pass));
        let profile = take_profile(browser.submit("/enroll", &fields)?)?;
        self.enroll(&profile)
    }

    /// `MachineInfo` as this device would say it.
    pub fn machine_info(&self) -> Vec<u8> {
        let spec = &self.state.spec;
        let said = [
            ("UDID", &spec.udid),
            ("SERIAL", &spec.serial),
            ("PRODUCT", &spec.product),
            ("VERSION", &spec.build_version),
            ("OS_VERSION", &spec.os_version),
        ];
        let mut dict: Dictionary =
            said.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str()))).collect();
        dict.insert("LANGUAGE".to_owned(), "en".into());
        dict.insert("MDM_CAN_REQUEST_SOFTWARE_UPDATE".to_owned(), true.into());
        to_xml(&Value::Dictionary(dict))
    }
}

impl OverTheAir {
    /// Reads the file of phase 1; `None` when it is an ordinary profile.
    ///
    /// # Errors
    /// [`Refusal`] for what a device would not install.
    pub fn read(file: &[u8], anchors: &[Vec<u8>]) -> Result<Option<Self>, DeviceError> {
        let content = match file.first() {
            Some(0x30) => verify_attached(file).map_err(|e| Refusal::profile(1003, e.to_string()))?.content,
            _ => file.to_vec(),
        };
        let dict = parse_dict(&content).map_err(Refusal::from)?;
        if dict.find_string("PayloadType").map_err(Refusal::from)? != Some("Profile Service") {
            return Ok(None);
        }
        let wanted = dict.dict("PayloadContent").map_err(Refusal::from)?;
        let asked = wanted.array("DeviceAttributes").map_err(Refusal::from)?;
        Ok(Some(Self {
            url: wanted.string("URL").map_err(Refusal::from)?.parse()?,
            challenge: wanted.find_string("Challenge").map_err(Refusal::from)?.map(str::to_owned),
            asked: asked.iter().filter_map(|name| name.as_string().map(str::to_owned)).collect(),
            anchors: anchors.to_vec(),
            passing: None,
        }))
    }

    /// What the device says: the attributes that were asked for and that it has, and the challenge.
    pub fn attributes(&self, device: &Device) -> Vec<u8> {
        let spec = device.spec();
        let has = [
            ("UDID", &spec.udid),
            ("VERSION", &spec.build_version),
            ("PRODUCT", &spec.product),
            ("SERIAL", &spec.serial),
            ("DEVICE_NAME", &spec.name),
        ];
        let mut dict: Dictionary = has
            .iter()
            .filter(|(key, _)| self.asked.iter().any(|asked| asked == key))
            .map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())))
            .collect();
        if let Some(challenge) = &self.challenge {
            dict.insert("CHALLENGE".to_owned(), challenge.as_str().into());
        }
        to_xml(&Value::Dictionary(dict))
    }

    /// Sends any body to the URL of the payload.
    ///
    /// # Errors
    /// [`DeviceError::Wire`] when no answer came.
    pub fn send(&self, device: &Device, body: &[u8]) -> Result<Answer, DeviceError> {
        post(&device.world, &self.url, &self.anchors, body)
    }

    /// Phase 2: says who it is under the built-in identity, and gets a passing one by SCEP.
    ///
    /// # Errors
    /// [`DeviceError`] from wherever it stops.
    pub fn introduce(&mut self, device: &Device, built_in: &BuiltIn) -> Result<(), DeviceError> {
        let body = built_in.sign(&self.attributes(device), device.world.clock.now());
        let answer = take_profile(self.send(device, &body)?)?;
        let given = profile::read(&answer)?;
        let payload = given.find_single("com.apple.security.scep");
        let payload = payload.ok_or_else(|| Refusal::profile(1000, "there is no SCEP payload in the answer"))?;
        let payload = profile::read_scep(&payload.dict)?;
        let identity = scep::obtain(&device.world, &self.anchors, &payload, &device.state.behaviour)?;
        let bad = |_| Refusal::installation(4001, "the passing identity cannot be read");
        let leaf = identity.chain.first().map(|leaf| Certificate::parse(&leaf.0));
        let leaf = leaf.ok_or_else(|| Refusal::installation(4001, "SCEP gave no certificate"))?;
        let key = PrivateKey::from_pkcs8_der(&identity.key_pkcs8.0);
        self.passing = Some((
            leaf.map_err(|_| Refusal::installation(4001, "the passing certificate cannot be read"))?,
            key.map_err(bad)?,
        ));
        Ok(())
    }

    /// Phase 3, and the Update button later: asks under the passing identity and opens what comes with its key; an enrolment profile.
    ///
    /// # Errors
    /// [`DeviceError`] from wherever it stops.
    pub fn finish(&self, device: &Device) -> Result<Vec<u8>, DeviceError> {
        let (certificate, key) = self.passing.as_ref().ok_or(DeviceError::NotEnrolled)?;
        let body = sign_attached(&self.attributes(device), certificate, key, &[], device.world.clock.now());
        open_closed(&take_profile(self.send(device, &body)?)?, certificate, key)
    }
}

/// Opens a profile that is closed for one key: as the same profile, unsigned, with its payloads readable.
///
/// # Errors
/// [`Refusal`] when it is not closed, or not for this key.
pub fn open_closed(file: &[u8], certificate: &Certificate, key: &PrivateKey) -> Result<Vec<u8>, DeviceError> {
    let signed = verify_attached(file).map_err(|e| Refusal::profile(1003, e.to_string()))?;
    let dict: Dict = parse_dict(&signed.content).map_err(Refusal::from)?;
    if !dict.flag("IsEncrypted").map_err(Refusal::from)? || dict.get("PayloadContent").is_some() {
        return Err(Refusal::profile(1000, "the profile is not encrypted").into());
    }
    let closed = dict.data("EncryptedPayloadContent").map_err(Refusal::from)?;
    let (content, _) = open_envelope(closed, certificate, key)
        .map_err(|_| Refusal::profile(1005, "the profile is encrypted for another device"))?;
    let content = parse(content.expose()).map_err(Refusal::from)?;
    let mut open = dict.into_dictionary();
    open.remove("IsEncrypted");
    open.remove("EncryptedPayloadContent");
    open.insert("PayloadContent".to_owned(), content);
    Ok(to_xml(&Value::Dictionary(open)))
}

/// The first page, and the pass on its form.
///
/// # Errors
/// [`DeviceError::Wire`].
pub fn show(browser: &mut Browser, page: &Url, pass: Pass<'_>) -> Result<Answer, DeviceError> {
    let first = browser.open(&page.target)?;
    let form = hidden(&first, "form").unwrap_or_default();
    let mut fields = vec![("form", form.as_str())];
    fields.extend(pass_fields(&pass));
    Ok(browser.submit("/enroll", &fields)?)
}

fn pass_fields<'a>(pass: &Pass<'a>) -> Vec<(&'static str, &'a str)> {
    match *pass {
        Pass::Code(code) => vec![("code", code)],
        Pass::Login { name, password } => vec![("name", name), ("password", password)],
    }
}

fn post(world: &World, url: &Url, anchors: &[Vec<u8>], body: &[u8]) -> Result<Answer, DeviceError> {
    let mut client = Client::new(Arc::clone(&world.network), tls_config_at(anchors, None, &world.clock)?);
    let headers = [("Content-Type", SIGNED), ("User-Agent", "DeviceManagementClient/1.0")];
    Ok(client.send(&Request { method: "POST", url, headers: &headers, body })?)
}

/// A profile, and nothing that looks like one to a person only.
fn take_profile(answer: Answer) -> Result<Vec<u8>, DeviceError> {
    let kind = answer.find_header("content-type").unwrap_or_default();
    if answer.status != 200 || kind != PROFILE {
        return Err(DeviceError::Refused { message: "the request for a profile", status: answer.status });
    }
    Ok(answer.body)
}

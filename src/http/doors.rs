//! The listeners' certificates, swapped together while they run. Built by `server`, told by `service::serving`.

use super::tls::{ClientAuth, TlsHolder, alpn_config, server_config};
use crate::service::ports::{Doors, TlsIdentity};
use std::sync::{Arc, Mutex, PoisonError};

/// The two TLS listeners.
pub struct TlsDoors {
    pub people: Arc<TlsHolder>,
    pub devices: Arc<TlsHolder>,
    /// What is served now, to come back to after a challenge.
    served: Mutex<Served>,
}

struct Served {
    chain_der: Vec<Vec<u8>>,
    key_pkcs8: crate::base::secret::Secret<Vec<u8>>,
}

impl TlsDoors {
    /// # Errors
    /// In words, when chain and key cannot be served.
    pub fn new(identity: &TlsIdentity) -> Result<Self, String> {
        let config = |auth| {
            server_config(identity.chain_der.clone(), identity.key_pkcs8.expose(), auth).map_err(|e| e.to_string())
        };
        Ok(Self {
            people: Arc::new(TlsHolder::new(config(ClientAuth::None)?)),
            devices: Arc::new(TlsHolder::new(config(ClientAuth::Optional)?)),
            served: Mutex::new(Served::of(identity)),
        })
    }
}

impl Served {
    fn of(identity: &TlsIdentity) -> Self {
        Self { chain_der: identity.chain_der.clone(), key_pkcs8: identity.key_pkcs8.clone() }
    }
}

impl Doors for TlsDoors {
    fn serve(&self, identity: &TlsIdentity) -> Result<(), String> {
        let (chain, key) = (&identity.chain_der, identity.key_pkcs8.expose());
        let config = |auth| server_config(chain.clone(), key, auth).map_err(|e| e.to_string());
        let (people, devices) = (config(ClientAuth::None)?, config(ClientAuth::Optional)?);
        self.people.replace(people);
        self.devices.replace(devices);
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Served::of(identity);
        Ok(())
    }

    fn answer_alpn(&self, answer: Option<&TlsIdentity>) -> Result<(), String> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let (chain, key) = (served.chain_der.clone(), served.key_pkcs8.expose());
        let config = match answer {
            Some(answer) => alpn_config(chain, key, &answer.chain_der, answer.key_pkcs8.expose()),
            None => server_config(chain, key, ClientAuth::None),
        };
        self.people.replace(config.map_err(|e| e.to_string())?);
        Ok(())
    }
}

"""A real mail server for the tests: aiosmtpd on loopback, one JSON line for each letter that it takes.

Arguments: mode (tls, starttls, plain), port, certificate, key, folder. A file `refuse` in the folder makes it refuse letters for now.
"""
import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

mode, port, certificate, key, folder = sys.argv[1:6]


class Taker:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if os.path.exists(os.path.join(folder, "refuse")):
            return "451 4.3.0 come back later"
        letter = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or mode == "tls",
            "login": getattr(session, "who", None),
            "content": envelope.content.decode("ascii"),
        }
        with open(os.path.join(folder, "letters"), "a", encoding="utf-8") as file:
            file.write(json.dumps(letter) + "\n")
        return "250 2.0.0 taken"


def check(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (b"cordon", "gr\u00fcn".encode())
    session.who = data.login.decode() if ok else None
    return AuthResult(success=ok, handled=ok)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)


def protocol():
    login = {} if mode == "plain" else {"authenticator": check, "auth_required": True, "auth_require_tls": mode == "starttls"}
    tls = {"tls_context": context, "require_starttls": True} if mode == "starttls" else {}
    return SMTP(Taker(), hostname="mail.test", **login, **tls)


async def main():
    secure = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", int(port), ssl=secure)
    async with server:
        await server.serve_forever()


asyncio.run(main())

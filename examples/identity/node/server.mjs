// A site that identifies its visitors to the relay. It needs only Node.
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const key = process.env.RELAY_IDENTITY_KEY; // the same as the relay's
if (!key) throw new Error("RELAY_IDENTITY_KEY is not set");

/** Returns a JWT that identifies the person to the relay for five minutes. */
function identity(sub) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp: Math.floor(Date.now() / 1000) + 300 })}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

/** Returns the signed-in user; read yours from your own session. */
const signedIn = () => "user-42";

const server = createServer(async (req, res) => {
  if (req.url === "/chat-identity") {
    res.writeHead(200, { "content-type": "text/plain", "cache-control": "no-store" }).end(identity(signedIn(req)));
  } else if (req.url === "/") {
    res.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(await readFile(new URL("../page.html", import.meta.url)));
  } else {
    res.writeHead(404).end();
  }
});
server.listen(Number(process.env.PORT ?? 8000), "localhost", () => console.log(`http://localhost:${server.address().port}/`));

package relay_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

const siteSecret = "a-secret-of-the-website-for-its-own-tokens"

func siteKey(c *relay.Config) { c.IdentityKey = siteSecret }

// signIn is what a website's server hands to a page of somebody signed in.
func signIn(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	return signed(t, jwt.SigningMethodHS256, []byte(siteSecret), nil, claims)
}

func signed(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// of are the claims of a sign-in that holds for an hour.
func of(sub string) jwt.MapClaims {
	return jwt.MapClaims{"sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
}

func introduction(identity string) string {
	return `{"carrier":"bearer","identity":` + quote(identity) + `}`
}

// as introduces a browser as whoever the website says, with the token that it
// has, if any.
func (b *browser) as(sub string) *browser {
	b.r.t.Helper()
	a := b.do("POST", "/v1/visitor", introduction(signIn(b.r.t, of(sub))))
	if a.status != http.StatusOK || a.token() == "" {
		b.r.t.Fatalf("introduced as %s: got %d %s, want a token", sub, a.status, a.body)
	}
	return &browser{b.r, a.token()}
}

func (r *rig) signedIn(sub string) *browser { r.t.Helper(); return (&browser{r: r}).as(sub) }

// voided fails the test unless the stream ends because its token is void.
func (x *tab) voided(what string) {
	x.t.Helper()
	all := x.ended()
	if last := all[len(all)-1]; last.kind != "problem" || last.str("code") != "visitor_unknown" || last.json["fatal"] != true {
		x.t.Errorf("%s: ended with %s, want a fatal problem visitor_unknown", what, last)
	}
}

func pemOf(t *testing.T, public any) relay.Secret {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return relay.Secret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// siteKeys are keys of all the kinds that a website may sign with.
func siteKeys(t *testing.T) (*rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, e, d
}

func TestOneWhoSignsInIsTheSameVisitorOnEveryDevice(t *testing.T) {
	disk := onDisk(t)
	r := newRig(t, func(c *relay.Config) { disk(c); siteKey(c) }, anyframetest.WithAgent(1, talk))
	phone, laptop, stranger := r.signedIn("ann"), r.signedIn("ann"), r.signedIn("bob")
	if phone.token == laptop.token {
		t.Error("two devices have one token, want one each")
	}
	x, y, z := phone.open(""), laptop.open(""), stranger.open("")
	phone.say("hello", "k1")
	same(t, "the laptop", numbered(y.turnEnds(1)), numbered(x.turnEnds(1)))
	r.restart()
	same(t, "a third device, later", numbered(r.signedIn("ann").open("").turnEnds(1)), numbered(x.all()))
	laptop.say("and again", "k2")
	if n := len(r.plane.Sessions()); n != 1 {
		t.Errorf("sandboxes: got %d, want one for all devices", n)
	}
	if z.close(); count(z.all(), "user")+count(z.all(), "text") != 0 {
		t.Errorf("another one who signed in: got\n%swant nothing", lines(z.all()))
	}
}

func TestAllKindsOfIdentityKeysVerify(t *testing.T) {
	r, e, d := siteKeys(t)
	pkcs1 := relay.Secret(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&r.PublicKey)}))
	for name, tt := range map[string]struct {
		key    relay.Secret
		method jwt.SigningMethod
		with   any
	}{
		"a secret":              {siteSecret, jwt.SigningMethodHS256, []byte(siteSecret)},
		"RSA":                   {pemOf(t, &r.PublicKey), jwt.SigningMethodRS256, r},
		"RSA, the older PEM":    {pkcs1, jwt.SigningMethodRS256, r},
		"P-256":                 {pemOf(t, &e.PublicKey), jwt.SigningMethodES256, e},
		"Ed25519":               {pemOf(t, d.Public()), jwt.SigningMethodEdDSA, d},
		"line ends written \\n": {relay.Secret(strings.ReplaceAll(string(pemOf(t, &e.PublicKey)), "\n", `\n`)), jwt.SigningMethodES256, e},
	} {
		desk := newDesk(t, func(c *relay.Config) { c.IdentityKey = tt.key })
		a := desk.ask("POST", "/v1/visitor", introduction(signed(t, tt.method, tt.with, nil, of("ann"))))
		if a.status != http.StatusOK || len(a.token()) != 43 {
			t.Errorf("%s: got %d %s, want a token", name, a.status, a.body)
		}
	}
}

func TestAnIdentityThatDoesNotHoldIsRefused(t *testing.T) {
	r, e, d := siteKeys(t)
	rsaPEM, ecPEM := pemOf(t, &r.PublicKey), pemOf(t, &e.PublicKey)
	now := time.Now()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	hs := func(claims jwt.MapClaims) string { return signIn(t, claims) }
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	good := hs(of("ann"))
	parts := strings.Split(good, ".")
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(good) - 1
	respelt := good[:last] + string(digits[strings.IndexByte(digits, good[last])+1]) // bits that no byte has
	wide, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key   relay.Secret
		aud   string
		token string
	}{
		"no signature":                       {siteSecret, "", signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, of("ann"))},
		"no signature, by another case":      {siteSecret, "", raw(`{"alg":"nOnE"}`) + "." + parts[1] + "."},
		"the signature left out":             {siteSecret, "", parts[0] + "." + parts[1] + "."},
		"no signature, for a public key":     {rsaPEM, "", signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, of("ann"))},
		"the public key taken for a secret":  {rsaPEM, "", signed(t, jwt.SigningMethodHS256, []byte(rsaPEM), nil, of("ann"))},
		"the same, of P-256":                 {ecPEM, "", signed(t, jwt.SigningMethodHS256, []byte(ecPEM), nil, of("ann"))},
		"another secret":                     {siteSecret, "", signed(t, jwt.SigningMethodHS256, []byte(siteSecret+"x"), nil, of("ann"))},
		"the secret with another method":     {siteSecret, "", signed(t, jwt.SigningMethodHS512, []byte(siteSecret), nil, of("ann"))},
		"the RSA key with another method":    {rsaPEM, "", signed(t, jwt.SigningMethodPS256, r, nil, of("ann"))},
		"another kind of key":                {rsaPEM, "", signed(t, jwt.SigningMethodEdDSA, d, nil, of("ann"))},
		"another curve":                      {ecPEM, "", signed(t, jwt.SigningMethodES384, wide, nil, of("ann"))},
		"other claims under the signature":   {siteSecret, "", parts[0] + "." + raw(`{"sub":"bob","exp":9999999999}`) + "." + parts[2]},
		"a key that it brings along":         {siteSecret, "", signed(t, jwt.SigningMethodHS256, []byte("x"), map[string]any{"jwk": map[string]any{"kty": "oct", "k": raw("x")}}, of("ann"))},
		"what must be understood and is not": {siteSecret, "", signed(t, jwt.SigningMethodHS256, []byte(siteSecret), map[string]any{"crit": []string{"b64"}, "b64": false}, of("ann"))},
		"expired":                            {siteSecret, "", hs(jwt.MapClaims{"sub": "ann", "exp": in(-30 * time.Second)})},
		"no end":                             {siteSecret, "", hs(jwt.MapClaims{"sub": "ann"})},
		"an end that is no time":             {siteSecret, "", hs(jwt.MapClaims{"sub": "ann", "exp": "tomorrow"})},
		"not valid yet":                      {siteSecret, "", hs(jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "nbf": in(10 * time.Minute)})},
		"nobody":                             {siteSecret, "", hs(jwt.MapClaims{"exp": in(time.Hour)})},
		"an empty name":                      {siteSecret, "", hs(of(""))},
		"a name that is a fraction":          {siteSecret, "", hs(jwt.MapClaims{"sub": 7.5, "exp": in(time.Hour)})},
		"a name that is a truth":             {siteSecret, "", hs(jwt.MapClaims{"sub": true, "exp": in(time.Hour)})},
		"a name that is a list":              {siteSecret, "", hs(jwt.MapClaims{"sub": []string{"ann"}, "exp": in(time.Hour)})},
		"a name that is too long":            {siteSecret, "", hs(of(strings.Repeat("n", 256)))},
		"no audience":                        {siteSecret, "relay", good},
		"another audience":                   {siteSecret, "relay", hs(jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "aud": "payments"})},
		"an audience, and we have none":      {siteSecret, "", hs(jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "aud": []string{"payments"}})},
		"claims that are no object":          {siteSecret, "", parts[0] + "." + raw(`["ann"]`) + "." + parts[2]},
		"null":                               {siteSecret, "", raw("null") + "." + raw("null") + "." + parts[2]},
		"the signature spelt otherwise":      {siteSecret, "", respelt},
		"four parts":                         {siteSecret, "", good + ".x"},
		"two parts":                          {siteSecret, "", parts[0] + "." + parts[1]},
		"padding":                            {siteSecret, "", good + "="},
		"a space around it":                  {siteSecret, "", " " + good},
		"too long":                           {siteSecret, "", hs(jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "more": strings.Repeat("x", 8<<10)})},
		"nonsense":                           {siteSecret, "", "nonsense"},
		"dots":                               {siteSecret, "", ".."},
	} {
		t.Run(name, func(t *testing.T) {
			desk := newDesk(t, func(c *relay.Config) { c.IdentityKey, c.IdentityAudience = tt.key, tt.aud })
			a := desk.ask("POST", "/v1/visitor", introduction(tt.token))
			refused(t, name, a, 401, "identity_invalid")
			detail, _ := a.json["detail"].(string)
			if !strings.Contains(detail, "Sign in again.") || strings.Contains(detail, "expired") != (name == "expired") {
				t.Errorf("got detail %q, want it to ask for a new sign-in, and to tell one that has expired", detail)
			}
			if !strings.Contains(desk.logs.String(), `"msg":"identity refused"`) {
				t.Error("the log does not tell the operator why")
			}
		})
	}
}

func TestAnIdentityThatHoldsIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		in := func(d time.Duration) int64 { return now.Add(d).Unix() }
		for name, tt := range map[string]struct {
			aud    string
			claims jwt.MapClaims
		}{
			"for a clock that is behind":   {"", jwt.MapClaims{"sub": "ann", "exp": in(-29 * time.Second)}},
			"from a clock that is ahead":   {"", jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "nbf": in(30 * time.Second), "iat": in(time.Minute)}},
			"our audience":                 {"relay", jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "aud": "relay"}},
			"our audience among others":    {"relay", jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "aud": []string{"site", "relay"}}},
			"an audience that says nobody": {"", jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "aud": ""}},
			"the longest name":             {"", of(strings.Repeat("n", 255))},
			"a name with anything in it":   {"", of("späße\x00\n'; DROP TABLE notes; --")},
			"more than we need":            {"", jwt.MapClaims{"sub": "ann", "exp": in(time.Hour), "iss": "site", "roles": []string{"admin"}}},
		} {
			desk := newDesk(t, func(c *relay.Config) { siteKey(c); c.IdentityAudience = tt.aud })
			if a := desk.ask("POST", "/v1/visitor", introduction(signIn(t, tt.claims))); a.status != http.StatusOK || len(a.token()) != 43 {
				t.Errorf("%s: got %d %s, want a token", name, a.status, a.body)
			}
		}
	})
}

func TestAnIdentityKeyThatCannotBeSafeIsRefusedAtStart(t *testing.T) {
	r, e, _ := siteKeys(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(e)
	if err != nil {
		t.Fatal(err)
	}
	public := string(pemOf(t, &r.PublicKey))
	bare := strings.Join(strings.Split(strings.TrimSpace(public), "\n")[1:len(strings.Split(strings.TrimSpace(public), "\n"))-1], "")
	for name, tt := range map[string]struct{ key, want string }{
		"a short secret":           {"0123456789012345678901234567890", "32 bytes"},
		"a short RSA key":          {string(pemOf(t, &weak.PublicKey)), "2048"},
		"another curve":            {string(pemOf(t, &wide.PublicKey)), "P-256"},
		"a private key":            {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), "private key"},
		"a torn PEM":               {public[:len(public)/2], "PEM"},
		"two keys":                 {public + public, "one PEM"},
		"something else in PEM":    {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "certificate"},
		"nothing known in PEM":     {string(pem.EncodeToMemory(&pem.Block{Type: "SOMETHING", Bytes: []byte("x")})), "not a PEM public key"},
		"a public key without PEM": {bare, "public key"},
		"a JWK":                    {`{"kty":"RSA","n":"0123456789012345678901234567890","e":"AQAB"}`, "public key"},
		"a key of SSH":             {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI0123456789 ann@site", "public key"},
	} {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.IdentityKey = "afm_x", 1, relay.Secret(tt.key)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "RELAY_IDENTITY_KEY ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one of RELAY_IDENTITY_KEY that speaks of %s", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), tt.key[:min(len(tt.key), 30)]) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
	c := relay.DefaultConfig()
	c.APIKey, c.AgentID, c.IdentityAudience = "afm_x", 1, "relay"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "RELAY_IDENTITY_AUDIENCE") {
		t.Errorf("an audience without a key: got error %v, want one", err)
	}
}

func TestDevicesThatComeFirstAtOnceAreOneVisitor(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, siteKey, anyframetest.WithAgent(1, speak))
		devices := make([]*browser, 20)
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() { devices[i] = []*rig{a, b}[i%2].signedIn("ann") })
		}
		wg.Wait()
		x := devices[0].open("")
		for i, d := range devices[:4] {
			d.insist("hello", "k"+string(rune('a'+i)))
			x.turnEnds(i + 1)
		}
		if n := len(a.plane.Sessions()); n != 1 {
			t.Errorf("sandboxes of one who came on twenty devices at once: got %d, want 1", n)
		}
	})
}

func TestLoggingOutOnOneDeviceLeavesTheOthers(t *testing.T) {
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, share, siteKey, anyframetest.WithAgent(1, talk))
		phone, laptop := a.signedIn("ann"), a.signedIn("ann")
		here, there, other := phone.open(""), phone.at(b).open(""), laptop.open("")
		phone.say("hello", "k1")
		for _, x := range []*tab{here, there, other} {
			x.turnEnds(1)
		}
		if got := phone.do("DELETE", "/v1/visitor", ""); got.status != http.StatusNoContent {
			t.Fatalf("DELETE: got %d %s, want 204", got.status, got.body)
		}
		here.voided("the phone's stream")
		there.voided("the phone's stream at another replica")
		refused(t, "the phone's token", phone.do("GET", "/v1/session", ""), 401, "visitor_unknown")
		refused(t, "the same at another replica", phone.at(b).do("GET", "/v1/session", ""), 401, "visitor_unknown")
		laptop.say("still here", "k2")
		other.turnEnds(2)
		again := b.signedIn("ann").open("")
		same(t, "signed in again", numbered(again.turnEnds(2)), numbered(other.all()))
	})
}

func TestSigningInIsAnotherVisitor(t *testing.T) {
	r := newRig(t, siteKey, anyframetest.WithAgent(1, talk))
	anonymous := r.visitor()
	x := anonymous.open("")
	anonymous.say("before I signed in", "k1")
	x.turnEnds(1)

	ann := anonymous.as("ann")
	x.voided("the stream of before")
	refused(t, "the token of before", anonymous.do("GET", "/v1/session", ""), 401, "visitor_unknown")
	if got := ann.do("GET", "/v1/transcript", ""); !strings.HasPrefix(got.body, `{"events":[]`) {
		t.Errorf("the conversation of one who signed in: got %s, want nothing of what was said before", got.body)
	}
	y := ann.open("")
	ann.say("I am ann", "k1")
	y.turnEnds(1)
	if same := ann.as("ann"); same.token != ann.token {
		t.Error("signed in as the same again: got another token, want the one that there is")
	}
	if got := ann.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); got.token() != ann.token {
		t.Errorf("confirmed without the identity: got %s, want the same token", got.body)
	}

	bob := ann.as("bob") // on the same browser
	y.voided("the stream of who was there before")
	refused(t, "the token of who was there before", ann.do("GET", "/v1/session", ""), 401, "visitor_unknown")
	if got := bob.do("GET", "/v1/transcript", ""); strings.Contains(got.body, "I am ann") {
		t.Errorf("another one on the same browser: got %s, want nothing of it", got.body)
	}
	same(t, "the first one, back", numbered(r.signedIn("ann").open("").turnEnds(1)), numbered(y.all()))
	refused(t, "a bad identity beside a good token", bob.do("POST", "/v1/visitor", introduction("bad")), 401, "identity_invalid")
	if got := bob.do("GET", "/v1/session", ""); got.status != http.StatusOK {
		t.Errorf("the token beside it: got %d, want it as it was", got.status)
	}
}

func TestSigningInChangesTheCookie(t *testing.T) {
	d := newDesk(t, siteKey)
	before := d.ask("POST", "/v1/visitor", `{}`).cookies()[0].Value
	a := d.ask("POST", "/v1/visitor", `{"identity":`+quote(signIn(t, of("ann")))+`}`, "Cookie", "relay_visitor="+before)
	got := a.cookies()
	if len(got) != 1 || got[0].Value == before || len(got[0].Value) != 43 || a.json["token"] != nil {
		t.Fatalf("got %s and cookies %v, want another cookie and no token in the body", a.body, got)
	}
	refused(t, "the cookie of before", d.ask("GET", "/v1/session", "", "Cookie", "relay_visitor="+before), 401, "visitor_unknown")
	if a := d.ask("GET", "/v1/session", "", "Cookie", "relay_visitor="+got[0].Value); a.status != http.StatusOK {
		t.Errorf("the new cookie: got %d, want 200", a.status)
	}
}

func TestATokenGetsMoreTimeOnlyByTheIdentityThatItCameBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(c *relay.Config) { siteKey(c); c.VisitorTTL = 100 * time.Hour })
		introduce := func(body string, headers ...string) answer {
			t.Helper()
			a := d.ask("POST", "/v1/visitor", body, headers...)
			if a.status != http.StatusOK {
				t.Fatalf("got %d %s, want 200", a.status, a.body)
			}
			return a
		}
		first := introduce(introduction(signIn(t, of("ann"))))
		token, until := first.token(), first.json["expires_at"]
		time.Sleep(50 * time.Hour)
		if a := introduce(`{"carrier":"bearer"}`, bearer(token)...); a.token() != token || a.json["expires_at"] != until {
			t.Errorf("without the identity: got %s, want the same token until %v", a.body, until)
		}
		a := introduce(introduction(signIn(t, of("ann"))), bearer(token)...)
		if a.token() != token || a.json["expires_at"] == until {
			t.Errorf("with the identity: got %s, want the same token for longer", a.body)
		}
		time.Sleep(99 * time.Hour)
		if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
			t.Errorf("99 h later: got %d, want 200", a.status)
		}
		// Whom the website meant is known for longer than any token.
		again := introduce(introduction(signIn(t, of("ann"))), bearer(token)...)
		if again.token() != token {
			t.Errorf("just before the end: got another token, want the visitor to be the same")
		}
		time.Sleep(101 * time.Hour)
		refused(t, "after the end", d.ask("GET", "/v1/session", "", bearer(token)...), 401, "visitor_unknown")
	})
}

func TestWhoSignedInIsNeverToldOrStored(t *testing.T) {
	const sub = "ann.lee+xyzzy@example.org"
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newRig(t, func(c *relay.Config) { siteKey(c); c.Store = "sqlite:" + path }, anyframetest.WithAgent(1, talk))
	w := &witness{r: r}
	identity := signIn(t, of(sub))
	a := w.do(&browser{r: r}, "POST", "/v1/visitor", introduction(identity))
	ann := &browser{r, a.token()}
	w.do(ann, "POST", "/v1/visitor", introduction(identity+"x"))
	x := ann.open("")
	ann.say("hello", "k1")
	x.turnEnds(1)
	w.do(ann, "GET", "/v1/transcript", "")
	w.watch(x)
	w.do(ann, "DELETE", "/v1/visitor", "")
	r.stop()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.saw("store", string(file))
	if !bytes.Contains(file, []byte("identity:")) {
		t.Error("the file holds no identity, so this test looks in the wrong place")
	}
	w.clean([]string{sub, "xyzzy@example", siteSecret, identity, strings.Split(identity, ".")[1], strings.Split(identity, ".")[2]})
}

// A stream may be on its way in when its visitor leaves. No later look at the
// store may be needed to end it.
func TestAStreamOpenedWhileItsTokenIsVoidedEnds(t *testing.T) {
	for name, meet := range map[string]func(*rig) *browser{
		"anonymous": (*rig).visitor,
		"signed in": func(r *rig) *browser { return r.signedIn("ann") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := onDisk(t)
			r := newRig(t, func(c *relay.Config) { disk(c); siteKey(c) })
			r.srv.SetWatch(time.Hour, time.Hour)
			for range 25 {
				v := meet(r)
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						x, code := v.tryOpen()
						switch {
						case code != "" && code != "visitor_unknown":
							t.Errorf("the stream: got %s, want it to open or visitor_unknown", code)
						case code == "":
							x.voided("the stream")
						}
					})
				}
				if a := v.do("DELETE", "/v1/visitor", ""); a.status != http.StatusNoContent {
					t.Errorf("DELETE: got %d %s, want 204", a.status, a.body)
				}
				wg.Wait()
			}
		})
	}
}

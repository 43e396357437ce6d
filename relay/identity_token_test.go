package relay_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/relay"
)

func pemOf(t *testing.T, public any) relay.Secret {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return relay.Secret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// siteKeys returns keys of all kinds that a website may sign with.
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

func TestIdentity_EveryKeyType_Verifies(t *testing.T) {
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
		offline := newOffline(t, func(c *relay.Config) { c.IdentityKey = tt.key })
		a := offline.ask("POST", "/v1/visitor", introduction(signed(t, tt.method, tt.with, nil, of("ann"))))
		if a.status != http.StatusOK || len(a.token()) != 43 {
			t.Errorf("%s: got %d %s, want a token", name, a.status, a.body)
		}
	}
}

func TestIdentity_InvalidToken_Refused(t *testing.T) {
	t.Parallel()
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
	respelt := good[:last] + string(digits[strings.IndexByte(digits, good[last])+1]) // bits that belong to no byte
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
			offline := newOffline(t, func(c *relay.Config) { c.IdentityKey, c.IdentityAudience = tt.key, tt.aud })
			a := offline.ask("POST", "/v1/visitor", introduction(tt.token))
			refused(t, name, a, 401, "identity_invalid")
			detail, _ := a.json["detail"].(string)
			if !strings.Contains(detail, "Sign in again.") || strings.Contains(detail, "expired") != (name == "expired") {
				t.Errorf("got detail %q, want it to ask for a new sign-in, and to tell one that has expired", detail)
			}
			if !strings.Contains(offline.logs.String(), `"msg":"identity token rejected"`) {
				t.Error("the log does not tell the operator why")
			}
		})
	}
}

func TestIdentity_ValidToken_Accepted(t *testing.T) {
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
			offline := newOffline(t, func(c *relay.Config) { siteKey(c); c.IdentityAudience = tt.aud })
			if a := offline.ask("POST", "/v1/visitor", introduction(signIn(t, tt.claims))); a.status != http.StatusOK || len(a.token()) != 43 {
				t.Errorf("%s: got %d %s, want a token", name, a.status, a.body)
			}
		}
	})
}

func TestIdentity_UnsafeKey_RefusedAtStart(t *testing.T) {
	t.Parallel()
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
		c.APIKey, c.AgentID, c.IdentityKey = "afm_x1234", 1, relay.Secret(tt.key)
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "RELAY_IDENTITY_KEY ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one of RELAY_IDENTITY_KEY that speaks of %s", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), tt.key[:min(len(tt.key), 30)]) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
	c := relay.DefaultConfig()
	c.APIKey, c.AgentID, c.IdentityAudience = "afm_x1234", 1, "relay"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "RELAY_IDENTITY_AUDIENCE") {
		t.Errorf("an audience without a key: got error %v, want one", err)
	}
}

package visitor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func FuzzIdentity(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	secret := []byte("a-secret-of-the-website-for-its-own-tokens")
	claims := jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(24 * time.Hour).Unix()}
	var good []string
	for _, by := range []struct {
		method jwt.SigningMethod
		key    any
	}{{jwt.SigningMethodHS256, secret}, {jwt.SigningMethodES256, key}} {
		token, err := jwt.NewWithClaims(by.method, claims).SignedString(by.key)
		if err != nil {
			f.Fatal(err)
		}
		good = append(good, token)
		f.Add(token)
		f.Add(token[:len(token)-1])
		f.Add(token + "=")
	}
	for _, method := range []struct {
		method jwt.SigningMethod
		key    any
	}{{jwt.SigningMethodHS256, public}, {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType}, {jwt.SigningMethodHS512, secret}} {
		token, err := jwt.NewWithClaims(method.method, claims).SignedString(method.key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add("..")
	f.Add("bnVsbA.bnVsbA.")
	var checks []*Verifier
	for _, k := range []string{string(secret), string(public)} {
		i, err := NewVerifier(k, "")
		if err != nil {
			f.Fatal(err)
		}
		checks = append(checks, i)
	}
	f.Fuzz(func(t *testing.T, token string) {
		for _, i := range checks {
			subject, reason := i.Subject(token)
			if (subject == "") == (reason == "") {
				t.Errorf("%q: got subject %q and reason %q, want one of them", token, subject, reason)
			}
			if subject != "" && !slices.Contains(good, token) {
				t.Errorf("%q: taken for %q, and nobody signed it", token, subject)
			}
		}
	})
}

package visitor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
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
				t.Errorf("%q: taken for %q, which was not signed", token, subject)
			}
		}
	})
}

const testSecret = "a-secret-of-the-website-for-its-own-tokens"

// signed returns a token of exactly these bytes, signed with testSecret.
func signed(header, payload string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// A token that the website's library signed for one person must not be read as another's.
func TestSubject_IsReadAsItWasSigned(t *testing.T) {
	v, err := NewVerifier(testSecret, "")
	if err != nil {
		t.Fatal(err)
	}
	const header, exp = `{"alg":"HS256","typ":"JWT"}`, `"exp":99999999999`
	for payload, want := range map[string]string{
		`{"sub":"alice",` + exp + `}`:                                        "alice",
		`{"sub":"alice","SUB":"victim",` + exp + `}`:                         "alice",
		`{"SUB":"victim","sub":"alice",` + exp + `}`:                         "alice",
		`{"sub":"alice","\u0053ub":"victim",` + exp + `}`:                    "alice",
		`{"SUB":"victim",` + exp + `}`:                                       "",
		`{"sub":"alice","EXP":1,` + exp + `}`:                                "alice",
		`{"sub":"alice","EXP":99999999999}`:                                  "",
		`{"sub":"alice","AUD":"x","NBF":99999999999,` + exp + `}`:            "alice",
		`{"sub":"alice","sub":"victim",` + exp + `}`:                         "",
		`{"sub":"alice","\u0073ub":"victim",` + exp + `}`:                    "",
		`{"sub":"alice",` + exp + `,` + exp + `}`:                            "",
		`{"sub":"alice","more":1,"more":1,` + exp + `}`:                      "",
		`{"sub":"alice",` + exp + `} {}`:                                     "",
		"{\"sub\":\"alice\xff\"," + exp + "}":                                "",
		"{\"sub\":\"alice\xfe\"," + exp + "}":                                "",
		"{\"sub\":\"alice\",\"more\":\"\xff\"," + exp + "}":                  "",
		`{"sub":"alice\ud800",` + exp + `}`:                                  "",
		`{"sub":"alice\udfff",` + exp + `}`:                                  "",
		`{"sub":"alice\ud83d\ude00",` + exp + `}`:                            "alice\U0001f600",
		`{"sub":42,` + exp + `}`:                                             "42",
		`{"sub":0,` + exp + `}`:                                              "0",
		`{"sub":-7,` + exp + `}`:                                             "-7",
		`{"sub":12345678901234567890123,` + exp + `}`:                        "12345678901234567890123",
		`{"sub":"42",` + exp + `}`:                                           "42",
		`{"sub":42.0,` + exp + `}`:                                           "",
		`{"sub":4.2,` + exp + `}`:                                            "",
		`{"sub":42e0,` + exp + `}`:                                           "",
		`{"sub":-0,` + exp + `}`:                                             "",
		`{"sub":` + strings.Repeat("9", 256) + `,` + exp + `}`:               "",
		`{"sub":null,` + exp + `}`:                                           "",
		`{"sub":true,` + exp + `}`:                                           "",
		`{"sub":["alice"],` + exp + `}`:                                      "",
		`{"sub":{"id":"alice"},` + exp + `}`:                                 "",
		`{"sub":"",` + exp + `}`:                                             "",
		`{` + exp + `}`:                                                      "",
		`null`:                                                               "",
		`["alice"]`:                                                          "",
		`{"sub":"alice",` + exp + `,"roles":[{"a":1,"a":1}],"iat":1.5}`:      "alice",
		`{"sub":"` + strings.Repeat("n", maxSubjectBytes) + `",` + exp + `}`: strings.Repeat("n", maxSubjectBytes),
	} {
		got, reason := v.Subject(signed(header, payload))
		if got != want || (reason == "") != (want != "") {
			t.Errorf("%q: got %q, refused for %q, want %q", payload, got, reason, want)
		}
	}
	for _, header := range []string{`{"alg":"none","alg":"HS256"}`, `{"alg":"HS256","alg":"HS256"}`, "{\"alg\":\"HS256\",\"kid\":\"\xff\"}"} {
		if got, _ := v.Subject(signed(header, `{"sub":"alice",`+exp+`}`)); got != "" {
			t.Errorf("header %s: got %q, want it refused", header, got)
		}
	}
	for _, payload := range []string{`{"sub":true,` + exp + `}`, `{"sub":4.2,` + exp + `}`, `{` + exp + `}`} {
		if _, reason := v.Subject(signed(header, payload)); reason != "sub" {
			t.Errorf("%s: refused for %q, want sub", payload, reason)
		}
	}
}

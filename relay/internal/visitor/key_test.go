package visitor

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// If a public key were taken for a secret, anyone could sign.
func TestIdentityKey_KeyInAnotherForm_Refused(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &e.PublicKey, e)
	if err != nil {
		t.Fatal(err)
	}
	must := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	ssh := append(binary.BigEndian.AppendUint32(nil, 11), "ssh-ed25519"...)
	ssh = append(binary.BigEndian.AppendUint32(ssh, 32), edPublic...)
	for kind, key := range map[string][]byte{
		"RSA":                 must(x509.MarshalPKIXPublicKey(&r.PublicKey)),
		"RSA, PKCS 1":         x509.MarshalPKCS1PublicKey(&r.PublicKey),
		"P-256":               must(x509.MarshalPKIXPublicKey(&e.PublicKey)),
		"P-256, a point":      must(e.PublicKey.Bytes()),
		"Ed25519":             must(x509.MarshalPKIXPublicKey(edPublic)),
		"RSA, private":        must(x509.MarshalPKCS8PrivateKey(r)),
		"RSA, private, old":   x509.MarshalPKCS1PrivateKey(r),
		"P-256, private, old": must(x509.MarshalECPrivateKey(e)),
		"Ed25519, private":    must(x509.MarshalPKCS8PrivateKey(edPrivate)),
		"a certificate":       certificate,
		"OpenSSH":             ssh,
		"a JWK":               []byte(`{"kty":"EC","crv":"P-256","x":"0123456789","y":"0123456789"}`),
		"JWKs":                []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"0123456789"}]}`),
		"PEM":                 pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(edPublic))}),
	} {
		lines := strings.SplitAfter(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key}))), "\n")
		body := strings.Join(lines[1:len(lines)-1], "")
		for form, text := range map[string]string{
			"base64":                    base64.StdEncoding.EncodeToString(key),
			"base64, no padding":        base64.RawStdEncoding.EncodeToString(key),
			"base64url":                 base64.URLEncoding.EncodeToString(key),
			"base64url, no padding":     base64.RawURLEncoding.EncodeToString(key),
			"base64 in lines":           body,
			"base64 in lines of \\n":    strings.ReplaceAll(body, "\n", `\n`),
			"base64 in lines of \\r\\n": strings.ReplaceAll(body, "\n", `\r\n`),
			"base64 with spaces":        " " + strings.ReplaceAll(body, "\n", " "),
			"hex":                       hex.EncodeToString(key),
			"hex, upper case":           strings.ToUpper(hex.EncodeToString(key)),
			"hex after 0x":              "0x" + hex.EncodeToString(key),
			"a data URL":                "data:application/x-pem-file;base64," + base64.StdEncoding.EncodeToString(key),
			"no BEGIN line":             body + lines[len(lines)-1],
			"no END line":               lines[0] + body,
			"half of the lines":         strings.Join(lines[1:max(2, len(lines)/2)], "") + "\n" + strings.Join(lines[len(lines)/2:], ""),
		} {
			v, err := NewVerifier(text, "")
			if v != nil || err == nil || len(strings.Fields(err.Error())) < 5 {
				t.Errorf("%s, %s: got error %v, want it refused with words", kind, form, err)
			}
			if err != nil && strings.Contains(err.Error(), text[:20]) {
				t.Errorf("%s, %s: the error holds the key", kind, form)
			}
		}
	}
	for _, text := range []string{
		"ssh-ed25519 " + base64.StdEncoding.EncodeToString(ssh) + " ann@site",
		"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY= ann@site",
		"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t ann@site",
		`{"kty":"RSA","n":"0123456789012345678901234567890","e":"AQAB"}`, `[{"kty":"RSA","n":"0123456789012345678901234567890"}]`,
	} {
		if v, err := NewVerifier(text, ""); v != nil || err == nil {
			t.Errorf("%s: got error %v, want it refused", text[:20], err)
		}
	}
}

func TestIdentityKey_Secret_Taken(t *testing.T) {
	for i := range 2000 {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
		sum[0] = 0x30 // as DER begins
		if i%2 == 0 {
			sum[1] = 0x1e // and with the right length
		}
		for _, secret := range []string{
			hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]), base64.RawURLEncoding.EncodeToString(sum[:]),
			base64.StdEncoding.EncodeToString(append(sum[:], sum[:]...)), rand.Text() + rand.Text(),
		} {
			if _, err := NewVerifier(secret, ""); err != nil {
				t.Fatalf("%s: got %v, want it taken", secret, err)
			}
		}
	}
	for _, secret := range []string{"correct horse battery staple and more", `a "secret" {with} [brackets] - of one line`, strings.Repeat("a", 32), strings.Repeat("0", 64)} {
		if _, err := NewVerifier(secret, ""); err != nil {
			t.Errorf("%s: got %v, want it taken", secret, err)
		}
	}
}
